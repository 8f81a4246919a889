//! Are keys read before a tunnel is made, its endpoint asked for below it, and nothing removed before there is a plan?

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use config::model::PublicKey;
use linkmgr::kinds::wireguard::PeerReading;

use super::*;
use crate::link_keys::{KeyText, LinkKey};
use crate::making::{Done, Made, Task};

const KEY: &str = "M7O3sJJdILHWfX96PHoUQ/V35lOeI27CTI7FnxLgABU=";

fn tunnel() -> ConfigText {
    let text = format!(
        "[link]\nname = \"wg0\"\nkind = \"wireguard\"\nprivate-key-file = \"/k\"\n[[peers]]\npublic-key = \"{KEY}\"\n\
         endpoint = \"vpn.example.test:51820\"\nallowed = [\"10.9.0.0/24\"]\n"
    );
    file(Kind::Profile, "/e/profiles/tunnel.toml", &text)
}

fn texts(with: bool) -> Vec<ConfigText> {
    let main = "[resolver]\nupstreams = [\"192.0.2.53\"]\ndnssec = \"off\"\n";
    let mut texts = files(main, OFFICE);
    texts.extend(with.then(tunnel));
    texts
}

/// Has the configuration be read; returns what follows from it.
fn reload(world: &mut World, with: bool) -> Vec<Effect> {
    world.on(Input::Errand(Outcome::Config(Ok(texts(with)))), NOW)
}

fn reads_keys(effects: &[Effect]) -> bool {
    let is_it = |effect: &Effect| matches!(effect, Effect::Errand(Errand::ReadLinkKeys));
    effects.iter().any(is_it)
}

fn tasks(effects: &[Effect]) -> Vec<&Task> {
    effects.iter().filter_map(task).collect()
}

fn task(effect: &Effect) -> Option<&Task> {
    if let Effect::Make(task) = effect {
        Some(task)
    } else {
        None
    }
}

/// Something was refused that may pass, or nothing was.
fn made_but(passes: bool) -> Input {
    let Input::Made(Done::Made(made)) = made(None) else {
        panic!("it is made");
    };
    Input::Made(Done::Made(Made { passes, ..made }))
}

fn made(readings: Option<PeerReading>) -> Input {
    let key = PublicKey::of_base64(KEY).unwrap();
    let peers = BTreeMap::from([(key, readings.unwrap_or_default())]);
    Input::Made(Done::Made(Made {
        notes: Vec::new(),
        passes: false,
        tunnels: Some(BTreeMap::from([("wg0".into(), peers)])),
        associations: crate::making::associations::Board::default(),
        unmarked: Vec::new(),
        uppers: BTreeSet::new(),
    }))
}

#[test]
fn a_tunnel_waits_for_its_keys_and_is_ordered_again_with_every_reload() {
    let (mut world, _) = office("");
    let effects = reload(&mut world, true);
    assert!(reads_keys(&effects), "{effects:?}");
    assert!(tasks(&effects).is_empty(), "nothing is made without keys");
    let key = LinkKey {
        path: "/k".to_owned(),
        text: Ok(KeyText(KEY.to_owned())),
        used: String::new(),
    };
    let effects = world.on(Input::Errand(Outcome::LinkKeys(Ok(vec![key]))), NOW);
    let [Task::Links(order, _)] = tasks(&effects)[..] else {
        panic!("{effects:?}");
    };
    assert_eq!(order.wanted.len(), 1);
    assert!(
        reads_keys(&reload(&mut world, true)),
        "a key file may have changed"
    );
    let effects = reload(&mut world, false);
    assert!(!reads_keys(&effects));
    let [Task::Links(order, _)] = tasks(&effects)[..] else {
        panic!("{effects:?}");
    };
    assert!(order.wanted.is_empty(), "it goes with its profile");
}

#[test]
fn the_name_of_an_endpoint_is_asked_below_its_tunnel_and_the_kernel_is_told() {
    let (mut world, _) = office("");
    drop(reload(&mut world, true));
    let effects = world.on(made(None), NOW);
    assert!(tasks(&effects).is_empty(), "{effects:?}");
    let mut asked = 0;
    while let Some(transmit) = world.resolver.poll_transmit() {
        // Beside them the network is asked whether it translates.
        let name = transmit.wire.to_ascii_lowercase();
        asked += usize::from(name.windows(3).any(|octets| octets == b"vpn"));
        assert_eq!(transmit.upstream.to_string(), "192.0.2.53");
        let mut reply = transmit.wire.clone();
        reply[2] |= 0x80;
        let is_a = reply.windows(5).any(|octets| octets == [0, 0, 1, 0, 1]);
        if is_a {
            reply[7] = 1;
            let end = 12 + reply[12..].iter().position(|octet| *octet == 0).unwrap() + 5;
            reply.truncate(end);
            reply[11] = 0;
            reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 198, 51, 100, 9]);
        }
        world.resolver.handle_reply(transmit.exchange, &reply, NOW);
    }
    assert_eq!(asked, 2, "for both families");
    let mut effects = Vec::new();
    while let Some(answer) = world.resolver.poll_answer() {
        assert!(World::is_mine(answer.client));
        world.take_answer(&answer);
    }
    world.settle(NOW, &mut effects);
    let endpoint: SocketAddr = "198.51.100.9:51820".parse().unwrap();
    let [Task::Tell((link, _), told)] = tasks(&effects)[..] else {
        panic!("{effects:?}");
    };
    assert_eq!((&**link, *told), ("wg0", endpoint));
    let told = explain(&mut world, "vpn.example.test");
    let text = told["endpoint"].as_str().unwrap();
    assert!(
        text.contains("wg0") && text.contains("scope resolver"),
        "{text}"
    );
}

#[test]
fn what_may_pass_is_tried_again_ever_more_rarely_and_at_once_when_somebody_reloads() {
    let (mut world, _) = office("");
    let effects = reload(&mut world, true);
    assert!(reads_keys(&effects), "{effects:?}");
    let mut now = NOW;
    let mut pauses = Vec::new();
    for _ in 0..12 {
        let _effects = world.on(made_but(true), now);
        let at = world.making.poll_timeout().unwrap();
        pauses.push(at.since(now).as_secs());
        // Nothing before its time.
        let effects = world.on(Input::Timer, at - Duration::from_millis(1));
        assert!(!reads_keys(&effects), "{effects:?}");
        now = at;
        let effects = world.on(Input::Timer, now);
        assert!(reads_keys(&effects), "{effects:?}");
        assert_eq!(world.making.poll_timeout(), None, "while it is tried");
    }
    assert_eq!(pauses[..4], [1, 2, 4, 8]);
    assert_eq!(pauses[10..], [600, 600]);
    // A link that goes may have stood in the way, whether it goes while it is tried or afterwards.
    let gone = || Input::Kernel(vec![KernelEvent::LinkGone { index: 77 }]);
    let _effects = world.on(gone(), now);
    let _effects = world.on(made_but(true), now);
    let second = Duration::from_secs(1);
    assert_eq!(world.making.poll_timeout(), Some(now + second));
    now = now + second;
    assert!(reads_keys(&world.on(Input::Timer, now)));
    let _effects = world.on(made_but(true), now);
    assert_eq!(world.making.poll_timeout(), Some(now + 600 * second));
    // Once in each pause: where containers come and go it says little.
    let _effects = world.on(gone(), now + second);
    assert_eq!(world.making.poll_timeout(), Some(now + 600 * second));
    now = now + 600 * second;
    assert!(reads_keys(&world.on(Input::Timer, now)));
    let _effects = world.on(made_but(true), now);
    let _effects = world.on(gone(), now + 5 * second);
    assert_eq!(world.making.poll_timeout(), Some(now + 5 * second));
    now = now + 5 * second;
    assert!(reads_keys(&world.on(Input::Timer, now)));
    let _effects = world.on(made_but(true), now);
    let effects = reload(&mut world, true);
    assert!(reads_keys(&effects), "{effects:?}");
    let _effects = world.on(made_but(false), now);
    assert_eq!(world.making.poll_timeout(), None);
}

#[test]
fn what_happens_else_does_not_make_it_rarer() {
    let (mut world, _) = office("");
    for _ in 0..5 {
        assert!(reads_keys(&reload(&mut world, true)));
        let _effects = world.on(made_but(true), NOW);
        let at = world.making.poll_timeout().unwrap();
        assert_eq!(at.since(NOW), Duration::from_secs(1));
    }
}
