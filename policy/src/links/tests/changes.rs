//! What is told of links when a plan follows another, and how a plan reads at a moment.

use super::*;
use crate::diff::link_changes;

fn two_links() -> Facts {
    let mut facts = one_link();
    link(&mut facts, 3, "wlan0", "wifi");
    for index in [2, 3] {
        facts.supplies.insert((id(index), Supplier::Dhcp4), lease());
    }
    facts
}

#[test]
fn what_comes_and_goes_is_told_and_a_renewal_is_not() {
    let config = config([profile("a", "*", dhcp4())]);
    let nothing = LinksPlan::default();
    let asked = links(&config, &one_link());
    let leased = links(&config, &with([(Supplier::Dhcp4, lease())]));
    let mut longer = lease();
    longer.addresses[0].valid_until = Some(at(7300));
    longer.routes[0].valid_until = Some(at(7300));
    let renewed = links(&config, &with([(Supplier::Dhcp4, longer)]));
    for (row, old, new, expected) in [
        (
            "a link",
            &nothing,
            &asked,
            &["eth0 is set up by profile a"][..],
        ),
        (
            "a lease",
            &asked,
            &leased,
            &[
                "eth0 gets address 192.0.2.10/24 by DHCPv4",
                "eth0 gets route 0.0.0.0/0 via 192.0.2.1",
                "eth0 has the IPv4 default route: no other link has one",
            ],
        ),
        ("a renewal", &leased, &renewed, &[]),
        (
            "its end",
            &renewed,
            &asked,
            &[
                "eth0 loses address 192.0.2.10/24",
                "eth0 loses route 0.0.0.0/0 via 192.0.2.1",
                "no link has an IPv4 default route",
            ],
        ),
        ("let go", &asked, &nothing, &["eth0 is let go"]),
    ] {
        assert_eq!(link_changes(old, new), expected, "{row}");
    }
}

#[test]
fn the_default_route_moves_with_its_reason() {
    let config = config([profile("a", "*", dhcp4())]);
    let mut facts = two_links();
    let before = links(&config, &facts);
    facts.links.get_mut(&id(2)).unwrap().up = false;
    let told = link_changes(&before, &links(&config, &facts));
    let moved = told.last().map(String::as_str);
    assert_eq!(
        moved,
        Some("wlan0 has the IPv4 default route: no other link has one"),
        "{told:?}"
    );
}

#[test]
fn of_a_thousand_links_some_are_told_and_the_rest_is_counted() {
    let config = config([profile("a", "*", dhcp4())]);
    let mut facts = Facts::default();
    for index in 2..1002 {
        link(&mut facts, index, &format!("eth{index}"), "ethernet");
    }
    let told = link_changes(&LinksPlan::default(), &links(&config, &facts));
    assert_eq!(told.len(), 65);
    assert_eq!(
        told.last().map(String::as_str),
        Some("936 more links or things on links change")
    );
}

#[test]
fn who_looks_at_a_plan_sees_what_is_left_of_each_time() {
    let config = config([profile("a", "*", dhcp4())]);
    let plan = links(&config, &with([(Supplier::Dhcp4, lease())]));
    let text = plan.seen_at(at(3000)).to_string();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    assert!(
        lines.contains(&"address 192.0.2.10/24 metric 100 valid for 700 s (DHCPv4)"),
        "{text}"
    );
    assert!(
        lines.contains(&"route 0.0.0.0/0 via 192.0.2.1 metric 100 for 700 s (DHCPv4)"),
        "{text}"
    );
}
