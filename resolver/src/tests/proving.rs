//! When are upstreams asked whether they can be validated through, and is what is wrong told as long as it is kept?

use super::message::{Ask, asked};
use super::signed::{Zone, world_in};
use super::world::{HOME, World};
use crate::wire::rcode;

const AUTO: &str = "[resolver]\ndnssec = \"auto\"\n";

/// Returns what was asked, without what chance put into it.
fn questions(world: &mut World) -> Vec<String> {
    let sent = world.take_sent();
    let mut asked: Vec<String> = sent
        .iter()
        .map(|text| {
            let words: Vec<&str> = text.split_whitespace().collect();
            let [server, name, kind, ..] = words[..] else {
                panic!("{text}");
            };
            let name = match name.split_once('.') {
                Some((label, rest)) if label.len() == 8 => format!("chance.{rest}"),
                None if name.len() == 8 => "chance".to_owned(),
                Some(_) | None => name.to_owned(),
            };
            format!("{server} {name} {kind}")
        })
        .collect();
    asked.sort();
    asked.dedup();
    asked
}

#[test]
fn upstreams_where_public_names_go_are_asked_when_they_appear_and_no_others() {
    let mut world = World::with(AUTO, &[]);
    let all = [
        "192.0.2.53 . DNSKEY",
        "192.0.2.53 a.root-servers.net A",
        "192.0.2.53 chance A",
        "192.0.2.53 chance.com A",
        "192.0.2.53 com DS",
    ];
    assert_eq!(questions(&mut world), all);
    world.run();
    world.take_sent();
    // A plan that changes nothing asks nothing; another network does.
    world.apply();
    assert_eq!(questions(&mut world), [""; 0]);
    world.switch("home0", false);
    world.switch("home0", true);
    assert_eq!(questions(&mut world), all);
    for mode in ["off", "observe", "enforce"] {
        let main = format!("[resolver]\ndnssec = \"{mode}\"\n");
        let mut world = World::with(&main, &[]);
        assert_eq!(questions(&mut world), [""; 0], "{mode}");
    }
}

#[test]
fn what_somebody_claims_is_not_asked_for_a_proof_either() {
    let office =
        "match = { name = \"vpn*\" }\n[dns]\nupstreams = [\"10.8.0.1\"]\nclaims = [\"com\"]\n";
    let mut world = World::with(AUTO, &[("office", office)]);
    let asked = questions(&mut world);
    assert!(asked.iter().all(|text| !text.contains("com")), "{asked:?}");
    assert_eq!(asked.len(), 3);
}

#[test]
fn a_network_that_is_not_there_yet_proves_nothing_and_the_first_question_asks_again() {
    let mut world = World::with(AUTO, &[]);
    world.run();
    world.switch("home0", false);
    world.server(HOME).silent = true;
    world.switch("home0", true);
    assert_eq!(questions(&mut world).len(), 5);
    world.sleep(20);
    world.take_sent();
    assert_eq!(world.status("home@home0").dnssec, "auto, not asked yet");
    // It is there; whoever asks first waits for what it says.
    world.server(HOME).silent = false;
    let client = world.put("www.a.test A");
    assert!(!world.has_answer(client));
    assert_eq!(
        questions(&mut world).len(),
        5,
        "the question itself is held"
    );
    world.run();
    assert_eq!(world.answer(client).rcode, rcode::NXDOMAIN);
    assert!(world.status("home@home0").dnssec.starts_with("observe: "));
}

#[test]
fn an_upstream_that_is_silent_when_it_is_first_asked_is_asked_again() {
    let mut world = World::with(AUTO, &[]);
    world.run();
    world.switch("home0", false);
    world.server(HOME).silent = true;
    world.switch("home0", true);
    world.put("www.a.test A");
    world.sleep(15);
    let told = world.status("home@home0").dnssec;
    assert!(told.starts_with("observe: no reply"), "{told}");
    world.server(HOME).silent = false;
    world.sleep(60);
    world.take_sent();
    world.ask("www.b.test A");
    assert!(
        questions(&mut world).len() > 5,
        "it is asked for a proof again"
    );
}

#[test]
fn whoever_asks_while_an_early_proof_hangs_waits_for_two_seconds_at_most() {
    let mut world = World::with(AUTO, &[]);
    world.run();
    world.switch("home0", false);
    world.server(HOME).silent = true;
    world.switch("home0", true);
    world.sleep(1);
    world.take_sent();
    let client = world.put("www.a.test A");
    world.run_for(1900);
    let held = |asked: &[String]| !asked.iter().any(|text| text.contains("www.a.test"));
    assert!(held(&questions(&mut world)));
    world.server(HOME).silent = false;
    world.run_for(200);
    assert!(!held(&questions(&mut world)), "it was asked on");
    world.run();
    assert!(world.has_answer(client));
}

#[test]
fn what_is_wrong_with_an_answer_is_told_from_the_cache_too() {
    for (mode, code) in [("enforce", rcode::SERVFAIL), ("observe", rcode::NOERROR)] {
        let zones = [Zone::new("trap.test")];
        let mut world = world_in(mode, &zones);
        zones[0].serve(&mut world, "www.trap.test", false);
        world.take_sent();
        for dnssec_ok in [true, false, true] {
            let ask = Ask {
                dnssec_ok,
                ..asked("www.trap.test A")
            };
            let seen = world.ask_as(&ask);
            assert_eq!(seen.codes(), (code, Some(6)), "{mode}");
            assert!(seen.why().contains("does not fit"), "{}", seen.why());
        }
        let asked = world.take_sent();
        assert_eq!(
            asked.len(),
            2,
            "{mode}: its address and its keys once, {asked:?}"
        );
    }
}
