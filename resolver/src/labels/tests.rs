//! Which labels are called out, and what does a client get?

use std::net::IpAddr;

use config::model::Prefix;

use super::*;
use crate::llmnr::LLMNR_PORT;
use crate::tests::message::{Seen, asked};
use crate::tests::world::{HOME, Say, World};

const MAIN: &str = "[resolver]\ndnssec = \"off\"\nmdns = \"off\"\n";
const HOME_PROFILE: (&str, &str) = (
    "home",
    "match = { name = \"home*\" }\n[dns]\nupstreams = [\"192.0.2.53\"]\nllmnr = \"resolve\"\n",
);
const SEARCHING: (&str, &str) = (
    "home",
    "match = { name = \"home*\" }\n[dns]\nupstreams = [\"192.0.2.53\"]\nllmnr = \"resolve\"\nsearch = [\"home.test\"]\n",
);

/// A profile in place of the usual one, without a search suffix.
const QUIET: (&str, &str) = ("office", "match = { name = \"none\" }\n");

fn world(profiles: &[(&str, &str)]) -> World {
    let mut all = vec![QUIET];
    all.extend_from_slice(profiles);
    let mut world = World::with(MAIN, &all);
    for link in world.facts.links.values_mut() {
        link.multicast = true;
        link.addresses = vec![Prefix {
            address: IpAddr::from([192, 0, 2, 2]),
            length: 24,
        }];
    }
    world.server(HOME).otherwise(Say::NoName(60, 60));
    world.apply();
    world
}

/// Runs, with neighbours that have names and addresses; returns the names that were called out.
fn run(world: &mut World, neighbours: &[(&str, [u8; 4])]) -> Vec<String> {
    let mut names = Vec::new();
    for _ in 0..300 {
        let mut orders = Vec::new();
        while let Some(order) = world.resolver.poll_order() {
            orders.push(order);
        }
        for order in orders {
            let Order::Say { id, place, wire } = order else {
                continue;
            };
            let name = DomainName::from_wire(&wire[12..wire.len() - 4]).unwrap();
            if !names.contains(&name.to_string()) {
                names.push(name.to_string());
            }
            let is_a = wire[wire.len() - 3] == 1;
            let has = |(owner, _): &&(&str, _)| *owner == name.to_string();
            for (_, address) in neighbours.iter().filter(has) {
                let mut wire = wire.clone();
                wire[2] = 0x80;
                if is_a {
                    wire[7] = 1;
                    wire.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4]);
                    wire.extend_from_slice(address);
                }
                let heard = Overheard {
                    id,
                    place,
                    source: SocketAddr::new(IpAddr::from(*address), LLMNR_PORT),
                    by_tcp: false,
                    wire: Some(wire),
                };
                let now = world.now;
                world.resolver.handle_overheard(&heard, now);
                world.pump();
            }
        }
        world.run_for(10);
    }
    names
}

fn ask(world: &mut World, text: &str, neighbours: &[(&str, [u8; 4])]) -> (Seen, Vec<String>) {
    let client = world.put(text);
    let names = run(world, neighbours);
    (world.answer(client), names)
}

fn says(seen: &Seen, part: &str) -> bool {
    format!("{seen:?}").contains(part)
}

const PRINTER: (&str, [u8; 4]) = ("printer", [192, 0, 2, 7]);

#[test]
fn a_label_that_nothing_completes_is_asked_of_the_neighbours() {
    let mut world = world(&[HOME_PROFILE]);
    let (answer, names) = ask(&mut world, "printer A", &[PRINTER]);
    assert_eq!((answer.rcode, names), (0, vec!["printer".to_owned()]));
    assert!(says(&answer, "192.0.2.7"), "{answer:?}");
    assert_eq!(
        world.take_sent(),
        Vec::<String>::new(),
        "no upstream hears of it"
    );
    // Of the other type it has none: the name is there all the same.
    let (answer, _) = ask(&mut world, "printer AAAA", &[PRINTER]);
    assert_eq!(answer.rcode, 0, "{answer:?}");
    let (answer, names) = ask(&mut world, "nobody A", &[PRINTER]);
    assert_eq!((answer.rcode, names), (3, vec!["nobody".to_owned()]));
    assert!(
        says(&answer, "nobody on home0 answered for it (LLMNR)"),
        "{answer:?}"
    );
}

#[test]
fn suffixes_come_first_and_neighbours_only_where_none_has_the_name() {
    let mut world = world(&[SEARCHING]);
    world.server(HOME).answers(
        "printer.home.test A",
        &["printer.home.test. 60 A 192.0.2.99"],
    );
    let (answer, names) = ask(&mut world, "printer A", &[PRINTER]);
    assert!(says(&answer, "192.0.2.99"), "{answer:?}");
    assert_eq!(names, Vec::<String>::new());
    let (answer, names) = ask(&mut world, "scanner A", &[("scanner", [192, 0, 2, 8])]);
    assert!(says(&answer, "192.0.2.8"), "{answer:?}");
    assert_eq!(names, ["scanner"]);
    let (answer, _) = ask(&mut world, "nobody A", &[]);
    assert!(
        says(&answer, "looked for as nobody.home.test; nobody on"),
        "{answer:?}"
    );
}

#[test]
fn what_a_suffix_could_not_be_asked_for_is_not_called_out() {
    let office = (
        "office",
        "match = { name = \"vpn*\" }\n[dns]\nupstreams = [\"10.8.0.1\"]\nclaims = [\"corp.test\"]\nsearch = [\"corp.test\"]\n",
    );
    let mut world = world(&[HOME_PROFILE, office]);
    world.switch("vpn0", false);
    // The suffix of a profile whose link is down is not searched; one of the machine's own is.
    let main = format!("{MAIN}search = [\"corp.test\"]\n");
    world.reconfigure(&main, &[HOME_PROFILE, office]);
    let (answer, names) = ask(&mut world, "git A", &[("git", [192, 0, 2, 66])]);
    assert_eq!((answer.rcode, names), (5, Vec::new()), "{answer:?}");
    // A server that fails is no word that there is no such name either.
    let mut world = self::world(&[SEARCHING]);
    world.server(HOME).otherwise(Say::Code(2));
    let (answer, names) = ask(&mut world, "git A", &[("git", [192, 0, 2, 66])]);
    assert_eq!((answer.rcode, names), (2, Vec::new()), "{answer:?}");
}

#[test]
fn a_claimed_label_is_asked_where_it_is_claimed_and_nowhere_else() {
    let office = (
        "office",
        "match = { name = \"vpn*\" }\n[dns]\nupstreams = [\"10.8.0.1\"]\nclaims = [\"intranet\"]\n",
    );
    let mut world = world(&[HOME_PROFILE, office]);
    world
        .server("10.8.0.1")
        .answers("intranet A", &["intranet. 60 A 10.8.0.80"]);
    let (answer, names) = ask(&mut world, "intranet A", &[("intranet", [192, 0, 2, 66])]);
    assert!(says(&answer, "10.8.0.80"), "{answer:?}");
    assert_eq!(names, Vec::<String>::new());
    world.switch("vpn0", false);
    let (answer, names) = ask(&mut world, "intranet A", &[("intranet", [192, 0, 2, 66])]);
    assert_eq!((answer.rcode, names), (5, Vec::new()), "{answer:?}");
}

#[test]
fn a_claim_that_comes_while_neighbours_are_asked_ends_the_question() {
    let mut world = world(&[HOME_PROFILE]);
    let client = world.put("intranet A");
    let claims =
        "match = { name = \"vpn*\" }\n[dns]\nupstreams = [\"10.8.0.1\"]\nclaims = [\"intranet\"]\n";
    world.reconfigure(MAIN, &[HOME_PROFILE, ("office", claims)]);
    assert_eq!(world.answer(client).rcode, 2);
    assert_eq!(run(&mut world, &[]), Vec::<String>::new());
}

#[test]
fn names_that_give_orders_other_names_and_other_ways_in_are_not_called_out() {
    let mut world = world(&[HOME_PROFILE]);
    for text in ["wpad A", "isatap A", "printer NS", "a.b A", "localhost A"] {
        let (_, names) = ask(&mut world, text, &[("wpad", [192, 0, 2, 66])]);
        assert_eq!(names, Vec::<String>::new(), "{text}");
    }
    let mut bypassing = asked("printer A");
    bypassing.stub = Stub::Bypass;
    world.ask_as(&bypassing);
    assert_eq!(run(&mut world, &[PRINTER]), Vec::<String>::new());
    // An alias is a stranger's word.
    world.server(HOME).says(
        "lure.test A",
        Say::Answer(vec!["lure.test. 60 CNAME printer.".to_owned()]),
    );
    world.put("lure.test A");
    assert_eq!(run(&mut world, &[PRINTER]), Vec::<String>::new());
}

#[test]
fn without_the_switch_nothing_is_said() {
    let mut world = world(&[]);
    let (answer, names) = ask(&mut world, "printer A", &[PRINTER]);
    assert_eq!((answer.rcode, names), (3, Vec::new()));
}

#[test]
fn two_who_claim_to_be_the_only_one_are_explained() {
    let mut world = world(&[HOME_PROFILE]);
    let two = [PRINTER, ("printer", [192, 0, 2, 66])];
    let (answer, _) = ask(&mut world, "printer A", &two);
    assert_eq!(answer.rcode, 0);
    for part in ["192.0.2.7", "192.0.2.66", "theirs alone (LLMNR)"] {
        assert!(says(&answer, part), "{part}: {answer:?}");
    }
}

#[test]
fn a_client_whose_time_is_spent_is_told_by_whom() {
    let mut world = world(&[SEARCHING]);
    world.server(HOME).delay = Duration::from_millis(4300);
    let client = world.put("printer A");
    for _ in 0..2 {
        run(&mut world, &[]);
    }
    let answer = world.answer(client);
    assert_eq!(answer.rcode, 2, "{answer:?}");
    let why = "no answer in time from the neighbours on home0 (LLMNR)";
    assert!(says(&answer, why), "{answer:?}");
    assert_eq!(
        world.resolver.labels.llmnr.poll_timeout(),
        None,
        "nobody is waited for"
    );
}
