//! Does the journal say after a crash what it said before, and nothing about another boot?

use config::model::{RouteKind, RouteTuning};
use policy::facts::Preference;
use policy::links::Switch;

use super::*;
use crate::kernel::NextHop;

fn prefix(text: &str) -> Prefix {
    let (address, length) = text.split_once('/').unwrap();
    Prefix {
        address: address.parse().unwrap(),
        length: length.parse().unwrap(),
    }
}

fn boot(id: &str) -> Boot {
    Boot {
        id: id.into(),
        marks: AddressMarks::All,
    }
}

fn rule() -> PolicyRule {
    PolicyRule {
        priority: 100,
        is_ipv6: false,
        from: Some(prefix("10.0.0.0/8")),
        to: Some(prefix("192.0.2.0/24")),
        mark: Some((1, 255)),
        incoming: Some("home0".into()),
        outgoing: None,
        table: Some(1000),
        kind: RouteKind::Unicast,
        suppress_length: Some(0),
        invert: true,
        tos: 16,
        protocol: Some(6),
        source_ports: Some((1, 1023)),
        destination_ports: Some((22, 22)),
        users: Some((0, 999)),
        vrf: true,
        goto: Some(200),
    }
}

fn by(key: RouteKey, ways: &[&str]) -> OwnRoute {
    let ways = ways.iter();
    OwnRoute {
        key,
        kind: RouteKind::Unicast,
        hops: ways.map(|via| NextHop::only(7, via.parse().ok())).collect(),
        on_link: false,
        source: None,
        mtu: None,
        preference: Preference::Medium,
        tuning: RouteTuning::default(),
        valid: None,
    }
}

fn full() -> Journal {
    let mut journal = Journal::load(None, &boot("today"));
    let kind = Arc::from("veth");
    let kind = Some(&kind);
    journal.write_down(&Item::Address(7, prefix("192.0.2.1/24")), None, kind);
    let leased = Item::Address(7, prefix("2001:db8::1/64"));
    journal.write_down(&leased, Some(Supplier::Ra), kind);
    let key = RouteKey {
        table: 254,
        to: prefix("0.0.0.0/0"),
        metric: 100,
        from: None,
    };
    journal.write_down(&Item::Route(key), Some(Supplier::Dhcp4), None);
    let sourced = RouteKey {
        to: prefix("2001:db8:1::/48"),
        from: Some(prefix("2001:db8:77::/64")),
        ..key
    };
    journal.write_down(&Item::Route(sourced), None, None);
    journal.write_down_ways(&by(sourced, &["fe80::1", "fe80::2"]));
    journal.write_down_ways(&by(
        RouteKey {
            from: None,
            ..sourced
        },
        &["fe80::3"],
    ));
    journal.write_down(&Item::Rule(rule()), None, None);
    let plain = PolicyRule {
        is_ipv6: true,
        from: None,
        to: None,
        mark: None,
        incoming: None,
        suppress_length: None,
        invert: false,
        table: None,
        kind: RouteKind::Prohibit,
        ..rule()
    };
    journal.write_down(&Item::Rule(plain), None, None);
    journal.write_down_setting((7, Setting::Mtu), 1500, 1400, kind);
    journal.write_down_setting((7, Setting::Mtu), 1400, 1300, kind);
    let switch = Setting::Switch(Switch::AcceptRa);
    journal.write_down_setting((7, switch), 1, 0, kind);
    journal
}

#[test]
fn text_says_all_again() {
    let mut journal = full();
    let kept = journal.poll(false).unwrap();
    let again = Journal::load(Some(&kept.text), &boot("today"));
    assert_eq!(again.entries(), journal.entries());
    assert_eq!(again.items().count(), 8, "{}", kept.text);
}

#[test]
fn every_prefix_of_a_text_reads_to_a_part_of_it() {
    let text = full().poll(false).unwrap().text;
    for end in 0..=text.len() {
        let part = Journal::load(text.get(..end), &boot("today"));
        // Half a line may not make an item that was never written down.
        let all = full();
        let wrong = part.items().find(|item| !all.proves(item));
        // A number or a prefix length that lost its end reads as another one: the file is replaced whole for this reason.
        if text.as_bytes().get(end.wrapping_sub(1)) == Some(&b'\n') {
            assert_eq!(wrong, None, "{end}");
        }
    }
}

#[test]
fn another_boot_proves_nothing() {
    let text = full().poll(false).unwrap().text;
    for id in ["yesterday", "", "today2"] {
        assert_eq!(Journal::load(Some(&text), &boot(id)).items().count(), 0);
    }
    for text in ["", "boot today", "linnet-link-journal 2\nboot today\n"] {
        assert_eq!(Journal::load(Some(text), &boot("today")).items().count(), 0);
    }
}

#[test]
fn line_that_does_not_read_proves_nothing_and_the_others_do() {
    let text = "linnet-link-journal 1\nboot today\naddress 7 192.0.2.1/33 profile\naddress 7 192.0.2.1/24\n\
                rule 4 100 kind=unicast colour=red\nnonsense\nroute 254 10.0.0.0/8 5 profile\n";
    let journal = Journal::load(Some(text), &boot("today"));
    let key = RouteKey {
        table: 254,
        to: prefix("10.0.0.0/8"),
        metric: 5,
        from: None,
    };
    assert_eq!(journal.items().collect::<Vec<_>>(), [Item::Route(key)]);
}

#[test]
fn first_value_of_a_setting_is_the_one_that_comes_back() {
    let mut journal = Journal::default();
    journal.write_down_setting((7, Setting::Mtu), 1500, 1400, None);
    journal.write_down_setting((7, Setting::Mtu), 1400, 1300, None);
    let changed = journal.changed(7, Setting::Mtu);
    let expected = Changed {
        was: 1500,
        ours: 1300,
    };
    assert_eq!(changed, Some(expected));
}

#[test]
fn one_version_at_a_time_is_kept_and_leavings_wait_for_peace() {
    let mut journal = full();
    let first = journal.poll(false).unwrap();
    let item = Item::Address(9, prefix("192.0.2.9/24"));
    journal.write_down(&item, None, None);
    assert_eq!(journal.poll(false), None, "the first is under way");
    journal.settle(first.version);
    let second = journal.poll(false).unwrap();
    journal.settle(second.version);
    assert!(journal.is_settled());
    journal.strike(&item);
    assert_eq!(journal.poll(false), None, "there is no hurry");
    let third = journal.poll(true).unwrap();
    assert_eq!(third.text, first.text);
    assert_eq!(journal.poll(true), None);
}

#[test]
fn ways_are_written_down_before_they_are_there_and_struck_out_when_they_are_not() {
    let mut journal = Journal::load(None, &boot("today"));
    let key = RouteKey {
        table: 254,
        to: prefix("::/0"),
        metric: 100,
        from: None,
    };
    let ways = |journal: &Journal| journal.ways(&key).map_or(0, |ways| ways.len());
    let keep = |journal: &mut Journal| {
        let kept = journal.poll(true);
        kept.inspect(|kept| journal.settle(kept.version)).is_some()
    };
    for (route, count) in [("fe80::1", 1), ("fe80::2", 2)] {
        journal.write_down_ways(&by(key, &[route]));
        assert_eq!((ways(&journal), journal.is_settled()), (count, false));
        assert!(keep(&mut journal));
        journal.write_down_ways(&by(key, &[route]));
        assert!(journal.is_settled(), "nothing is new");
    }
    journal.settle_ways(&by(key, &["fe80::2"]));
    assert_eq!((ways(&journal), journal.is_settled()), (1, true));
    assert!(keep(&mut journal), "there is time");
    journal.settle_ways(&by(key, &["fe80::2"]));
    assert!(!keep(&mut journal));
    journal.strike(&Item::Route(key));
    assert_eq!(ways(&journal), 0);
}
