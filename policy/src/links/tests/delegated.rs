//! Rows: a prefix that was delegated, links that want some of it, and who gets what.

use config::model::DelegatedUse;

use super::*;
use crate::facts::Delegated;

fn delegated(text: &str, valid: u64) -> Delegated {
    Delegated {
        prefix: prefix(text),
        preferred_until: Some(at(valid / 2)),
        valid_until: Some(at(valid)),
        excluded: None,
    }
}

fn wan() -> Profile {
    let dhcp6 = Dhcp6Settings {
        delegate: Some(56),
        ..Dhcp6Settings::default()
    };
    let network = NetworkSettings {
        dhcp6: Some(dhcp6),
        ..NetworkSettings::default()
    };
    profile("wan", "eth0", network)
}

fn lan(id: &str, links: &str, from: Option<&str>, subnet: Option<u32>) -> Profile {
    let network = NetworkSettings {
        delegated: Some(DelegatedUse {
            from: from.map(|from| ProfileId(from.into())),
            subnet,
            host: 1,
        }),
        ..NetworkSettings::default()
    };
    profile(id, links, network)
}

fn router(prefixes: Vec<Delegated>) -> Facts {
    let supply = Supply {
        delegated: prefixes,
        ..Supply::default()
    };
    let mut facts = with([(Supplier::Dhcp6, supply)]);
    for (index, name) in [(3, "lan0"), (4, "lan1"), (5, "guest0")] {
        link(&mut facts, index, name, "bridge");
    }
    facts
}

/// The addresses of a link with their ends.
fn got(plan: &LinksPlan, index: u32) -> Vec<String> {
    let link = plan.links.get(&id(index));
    let addresses = link.into_iter().flat_map(|link| &link.addresses);
    addresses
        .map(|(prefix, address)| {
            let ends = [address.preferred_until, address.valid_until]
                .map(|end| end.map_or(0, |end| end.since(Instant::ZERO).as_secs()));
            format!("{prefix} {} {}", ends[0], ends[1])
        })
        .collect()
}

#[test]
fn each_link_that_wants_one_gets_a_subnet_and_the_rest_is_unreachable() {
    let config = config([
        wan(),
        lan("lan0", "lan0", Some("wan"), Some(0)),
        lan("lan1", "lan1", None, Some(255)),
        lan("other", "guest0", Some("elsewhere"), Some(7)),
    ]);
    let facts = router(vec![delegated("2001:db8:0:100::/56", 7200)]);
    let plan = links(&config, &facts);
    assert_eq!(got(&plan, 3), ["2001:db8:0:100::1/64 3600 7200"]);
    assert_eq!(got(&plan, 4), ["2001:db8:0:1ff::1/64 3600 7200"]);
    assert_eq!(got(&plan, 5), [""; 0], "it wants another's");
    let text = plan.to_string();
    let rest = "route unreachable 2001:db8:0:100::/56 metric 2147483647 until boot+7200s (DHCPv6)";
    assert!(text.contains(rest), "{text}");
}

#[test]
fn a_new_prefix_comes_beside_the_old_one_until_that_ends() {
    let config = config([wan(), lan("lan0", "lan0", None, Some(1))]);
    let mut old = delegated("2001:db8:0:100::/56", 7200);
    old.preferred_until = Some(at(100));
    let facts = router(vec![old, delegated("2001:db8:0:200::/56", 9000)]);
    assert_eq!(
        got(&links(&config, &facts), 3),
        [
            "2001:db8:0:101::1/64 100 7200",
            "2001:db8:0:201::1/64 4500 9000"
        ]
    );
    let later = Facts {
        as_of: at(7200),
        ..facts
    };
    assert_eq!(
        got(&links(&config, &later), 3),
        ["2001:db8:0:201::1/64 4500 9000"]
    );
}

#[test]
fn a_carrier_that_goes_takes_no_part_of_a_prefix_away() {
    let config = config([wan(), lan("lan0", "lan0", None, Some(1))]);
    let prefixes = || vec![delegated("2001:db8:0:100::/56", 7200)];
    let whole = links(&config, &router(prefixes()));
    for index in [2, 3] {
        let mut facts = router(prefixes());
        facts.links.get_mut(&id(index)).unwrap().up = false;
        // Longer than any grace.
        facts.down_since.insert(id(index), at(1));
        let plan = links(&config, &facts);
        assert_eq!(got(&plan, 3), got(&whole, 3), "{index}");
        assert!(plan.to_string().contains("route unreachable"), "{index}");
    }
    let mut strict = lan("lan0", "lan0", None, Some(1));
    strict.network.carrier.fixed = CarrierUse::Grace(Duration::from_secs(5));
    let config = self::config([wan(), strict]);
    let mut facts = router(prefixes());
    facts.links.get_mut(&id(3)).unwrap().up = false;
    facts.down_since.insert(id(3), at(98));
    let plan = links(&config, &facts);
    assert_eq!((got(&plan, 3).len(), plan.review_at), (1, Some(at(101))));
    facts.as_of = at(101);
    assert_eq!(links(&config, &facts).review_at, Some(at(103)));
    facts.as_of = at(103);
    assert_eq!(got(&links(&config, &facts), 3), [""; 0]);
}

#[test]
fn a_link_keeps_its_subnet_whoever_comes_after() {
    let prefixes = || vec![delegated("2001:db8:0:100::/56", 7200)];
    let mut facts = router(prefixes());
    let every = config([
        wan(),
        lan("lan", "lan*", None, None),
        lan("a", "guest*", None, None),
    ]);
    facts.links.remove(&id(4));
    facts.links.remove(&id(5));
    let alone = got(&links(&every, &facts), 3);
    let all = links(&every, &router(prefixes()));
    assert_eq!(got(&all, 3), alone);
    let mut others = [got(&all, 3), got(&all, 4), got(&all, 5)].concat();
    others.sort();
    others.dedup();
    assert_eq!(others.len(), 3);
}

#[test]
fn what_is_too_small_or_taken_is_told() {
    let prefixes = |text| {
        let mut one = delegated(text, 7200);
        one.excluded = (text == "2001:db8::/63").then(|| prefix("2001:db8::/64"));
        vec![one]
    };
    let rows: [(&str, &[Option<u32>], usize); 6] = [
        ("2001:db8::/64", &[None], 1),
        ("2001:db8::/64", &[None, None], 1),
        ("2001:db8::/64", &[Some(1)], 0),
        ("2001:db8::/62", &[Some(3), Some(3)], 1),
        ("2001:db8::/63", &[None, None], 1),
        ("2001:db8::/80", &[None], 0),
    ];
    for (text, wanted, expected) in rows {
        let lans = wanted.iter().enumerate().map(|(at, subnet)| {
            let name = format!("lan{at}");
            lan(&name, &name, None, *subnet)
        });
        let config = config(lans.chain([wan()]));
        let plan = plan(&config, &router(prefixes(text)));
        let count = got(&plan.links, 3).len() + got(&plan.links, 4).len();
        assert_eq!(count, expected, "{text} {wanted:?}");
        let told = plan
            .dns
            .notes
            .iter()
            .filter(|note| note.text.contains("gets nothing"));
        let is_tellable = !text.ends_with("/80");
        let missing = if is_tellable {
            wanted.len() - expected
        } else {
            0
        };
        assert_eq!(
            told.count(),
            missing,
            "{text} {wanted:?}: {:?}",
            plan.dns.notes
        );
    }
}
