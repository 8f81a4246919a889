//! Rows: a rule that goes on with another one, which is another profile's, the kernel's, or nobody's.

use super::*;

fn rule(priority: u32, is_ipv6: bool, goto: Option<u32>) -> PolicyRule {
    PolicyRule {
        priority,
        is_ipv6,
        goto,
        kind: match goto {
            Some(_) => RouteKind::Unicast,
            None => RouteKind::Throw,
        },
        ..PolicyRule::default()
    }
}

fn with(rules: &[PolicyRule]) -> NetworkSettings {
    NetworkSettings {
        rules: rules.to_vec(),
        ..dhcp4()
    }
}

#[test]
fn a_rule_that_goes_on_where_none_stands_is_told_with_both_places() {
    let told = |family: &str| {
        format!(
            "{family} rule 100 goes on with 200, and linnet has none there now: unless somebody else has, the kernel passes over rule 100"
        )
    };
    for (target, is_there, expected) in [
        (rule(200, false, None), true, vec![]),
        (rule(200, false, None), false, vec![told("IPv4")]),
        (rule(200, true, None), true, vec![told("IPv4")]),
        (rule(201, false, None), true, vec![told("IPv4")]),
    ] {
        let config = config([
            profile("a", "eth0", with(&[rule(100, false, Some(200))])),
            profile("b", "eth1", with(&[target])),
        ]);
        let mut facts = one_link();
        if is_there {
            link(&mut facts, 3, "eth1", "ethernet");
        }
        let plan = plan(&config, &facts);
        let notes = plan.dns.notes.iter();
        let texts: Vec<String> = notes.map(|note| note.text.clone()).collect();
        assert_eq!(texts, expected, "{config:?}");
    }
    // The kernel has rules of its own; one more for IPv4.
    for (is_ipv6, to, is_well) in [
        (false, 32766, true),
        (true, 32766, true),
        (false, 32767, true),
        (true, 32767, false),
    ] {
        let rules = [rule(100, is_ipv6, Some(to))];
        let config = config([profile("a", "eth0", with(&rules))]);
        let plan = plan(&config, &one_link());
        assert_eq!(plan.dns.notes.is_empty(), is_well, "{:?}", plan.dns.notes);
    }
}
