//! Does the world draw the right conclusions? Inputs in, effects out; nothing is opened.

mod beginning;
mod steering;
mod trust;
mod tunnels;

use config::model::Prefix;
use config::time::Instant;
use linkmgr::{AddressMessage, KernelEvent, LinkMessage};
use linnet::api::{
    ClaimParameters, ExplainParameters, FlushParameters, Notice, QueryParameters, Reply,
    StatusParameters, WithdrawParameters,
};
use linnet::config_dirs::{ConfigText, Kind, Rank};
use serde_json::Value;
use tokio::sync::oneshot;

pub(crate) use beginning::beginning;

use super::{Effect, World};
use crate::control::Caller;
use crate::errands::{Errand, Outcome};
use crate::input::{ConnectionId, ControlCall, Input, Method, Signal};
use crate::kernel_clock::BUILT_AT;
use crate::notify::Announcement;

const NOW: Instant = Instant::ZERO;
const OFFICE: &str = "match = { name = \"vpn*\" }\n[dns]\nupstreams = [\"10.8.0.1\"]\nclaims = [\"corp.test\"]\nsearch = [\"corp.test\"]\n";

fn file(kind: Kind, path: &str, text: &str) -> ConfigText {
    ConfigText {
        rank: Rank::Admin,
        kind,
        path: path.into(),
        text: Ok(text.to_owned()),
    }
}

fn files(main: &str, office: &str) -> Vec<ConfigText> {
    vec![
        file(Kind::Main, "/e/linnet.toml", main),
        file(Kind::Profile, "/e/profiles/office.toml", office),
    ]
}

fn vpn0(up: bool) -> LinkMessage {
    LinkMessage {
        index: 3,
        name: "vpn0".into(),
        kind: "tun".into(),
        admin_up: up,
        carrier: up,
        ..LinkMessage::default()
    }
}

/// A world with the office's profile and its link, begun.
fn office(main: &str) -> (World, Vec<Effect>) {
    begun(main, OFFICE, &[vpn0(true)])
}

/// A world with one profile and some links, begun.
fn begun(main: &str, profile: &str, links: &[LinkMessage]) -> (World, Vec<Effect>) {
    let mut world = World::new(beginning(files(main, profile)), NOW);
    let links = links.iter().cloned().map(KernelEvent::Link);
    let listing = [KernelEvent::ListingBegins].into_iter().chain(links);
    let listing = listing.chain([KernelEvent::ListingEnds]).collect();
    let early = world.on(Input::Kernel(listing), NOW);
    assert!(early.is_empty(), "nothing happens before the beginning");
    let effects = world.begin(NOW);
    (world, effects)
}

fn call(world: &mut World, connection: u64, method: Method) -> (Vec<Effect>, Option<Reply>) {
    let (answer, mut answered) = oneshot::channel();
    let call = ControlCall {
        connection: ConnectionId(connection),
        caller: Caller { uid: 0, pid: None },
        method,
        answer,
    };
    let mut others = Vec::new();
    for effect in world.on(Input::Control(Box::new(call)), NOW) {
        if let Effect::Reply(caller, reply) = effect {
            caller.send(reply).unwrap();
        } else {
            others.push(effect);
        }
    }
    (others, answered.try_recv().ok())
}

fn explain(world: &mut World, name: &str) -> Value {
    let parameters = ExplainParameters {
        name: name.to_owned(),
    };
    let (_, reply) = call(world, 1, Method::Explain(parameters));
    reply.expect("explanations come at once").parameters
}

fn status(world: &mut World) -> Value {
    let (_, reply) = call(world, 1, Method::Status(StatusParameters::default()));
    reply.expect("status comes at once").parameters
}

fn myvpn(persistent: bool) -> ClaimParameters {
    ClaimParameters {
        owner: "myvpn".to_owned(),
        upstreams: vec!["10.9.0.1".to_owned()],
        claims: vec!["lab.test".to_owned()],
        persistent,
        ..ClaimParameters::default()
    }
}

#[test]
fn the_first_plan_is_told_and_an_equal_one_is_not() {
    let (mut world, effects) = office("");
    assert!(effects.iter().any(|effect| matches!(
        effect,
        Effect::Notice(Notice::PlanChanged { generation: 1, .. })
    )));
    let same = world.on(Input::Kernel(vec![KernelEvent::Link(vpn0(true))]), NOW);
    assert!(same.is_empty(), "{same:?}");
}

#[test]
fn choice_of_an_upstream_is_explained() {
    for (selection, first) in [
        ("ordered", &["10.8.0.1"][..]),
        ("fastest", &["10.8.0.1"]),
        ("hedged", &["10.8.0.1", "10.8.0.2"]),
    ] {
        let upstreams = "upstreams = [\"10.8.0.1\"]";
        assert!(OFFICE.contains(upstreams));
        let two = format!("upstreams = [\"10.8.0.1\", \"10.8.0.2\"]\nselection = \"{selection}\"");
        let profile = OFFICE.replace(upstreams, &two);
        let (mut world, _) = begun("", &profile, &[vpn0(true)]);
        let target = &explain(&mut world, "git.corp.test")["target"];
        assert_eq!(target["selection"], selection);
        assert_eq!(target["first"], serde_json::json!(first));
    }
}

#[test]
fn a_link_that_goes_down_changes_the_plan_and_its_names_are_refused() {
    let (mut world, _) = office("");
    assert_eq!(
        explain(&mut world, "git.corp.test")["target"]["action"],
        "ask"
    );
    let effects = world.on(Input::Kernel(vec![KernelEvent::Link(vpn0(false))]), NOW);
    assert!(effects.iter().any(|effect| matches!(
        effect,
        Effect::Notice(Notice::PlanChanged { generation: 2, .. })
    )));
    let told = explain(&mut world, "git.corp.test");
    assert_eq!(told["target"]["action"], "refuse");
    assert_eq!(told["because"]["profile"], "office");
    let refusal = told["target"]["refusal"].as_str().unwrap();
    assert!(
        refusal.contains("vpn0") && refusal.contains("down"),
        "{refusal}"
    );
}

#[test]
fn resolv_conf_is_asked_for_once_and_only_when_it_is_to_be_ours() {
    let errands = |effects: &[Effect]| -> Vec<Errand> {
        let errand = |effect: &Effect| {
            if let Effect::Errand(errand) = effect {
                Some(errand.clone())
            } else {
                None
            }
        };
        effects.iter().filter_map(errand).collect()
    };
    let (mut world, effects) = office("[resolver]\nresolv-conf = \"stub\"\n");
    assert!(
        matches!(errands(&effects)[..], [Errand::Take(..)]),
        "{effects:?}"
    );
    let again = world.on(Input::Kernel(vec![KernelEvent::LinkGone { index: 9 }]), NOW);
    assert_eq!(errands(&again), []);
    let (_, effects) = office("");
    assert_eq!(
        errands(&effects),
        [Errand::GiveBack],
        "what an earlier life left"
    );
}

#[test]
fn links_that_were_down_for_a_moment_are_seen_down_and_all_by_one_plan() {
    let profile = "match = { name = \"c*\" }\ndhcp4 = true\n";
    let link = |index: u32, up| LinkMessage {
        index,
        name: format!("c{index}").into(),
        ..vpn0(up)
    };
    let all = |up| (10..60).map(move |index| link(index, up));
    let links: Vec<LinkMessage> = all(true).collect();
    let (mut world, _) = begun("", profile, &links);
    for (row, read, plans) in [
        (
            "down and up",
            all(false).chain(all(true)).collect::<Vec<_>>(),
            2,
        ),
        ("down", all(false).collect(), 1),
        ("up", all(true).collect(), 1),
    ] {
        let before = world.generation;
        let read = read.into_iter().map(KernelEvent::Link).collect();
        world.on(Input::Kernel(read), NOW);
        assert_eq!(world.generation - before, plans, "{row}");
    }
}

#[test]
fn a_claim_holds_before_its_caller_hears_of_it_and_goes_with_the_connection() {
    let (mut world, _) = office("");
    let (effects, reply) = call(&mut world, 7, Method::Claim(myvpn(false)));
    assert_eq!(reply.unwrap().error, None);
    assert!(
        matches!(effects.first(), Some(Effect::Announce(_))),
        "{effects:?}"
    );
    assert_eq!(
        explain(&mut world, "x.lab.test")["because"]["owner"],
        "claim myvpn"
    );
    let _other = world.on(Input::ControlGone(ConnectionId(8)), NOW);
    assert_eq!(status(&mut world)["claims"][0]["owner"], "myvpn");
    let _gone = world.on(Input::ControlGone(ConnectionId(7)), NOW);
    assert_eq!(status(&mut world)["claims"], serde_json::json!([]));
    assert_ne!(
        explain(&mut world, "x.lab.test")["because"]["owner"],
        "claim myvpn"
    );
}

#[test]
fn a_persistent_claim_is_kept_and_forgotten_when_it_is_withdrawn() {
    let (mut world, _) = office("");
    let kept = |effects: &[Effect]| {
        effects.iter().find_map(|effect| {
            if let Effect::Keep(_, text) = effect {
                Some(text.contains("lab.test"))
            } else {
                None
            }
        })
    };
    let (effects, _) = call(&mut world, 7, Method::Claim(myvpn(true)));
    assert_eq!(kept(&effects), Some(true));
    let gone = world.on(Input::ControlGone(ConnectionId(7)), NOW);
    assert_eq!(kept(&gone), None);
    let withdraw = || {
        Method::Withdraw(WithdrawParameters {
            owner: "myvpn".to_owned(),
        })
    };
    let (effects, reply) = call(&mut world, 8, withdraw());
    assert_eq!((kept(&effects), reply.unwrap().error), (Some(false), None));
    let (_, reply) = call(&mut world, 8, withdraw());
    assert_eq!(
        reply.unwrap().error.as_deref(),
        Some("org.linnet.Manager.NoSuchClaim")
    );
}

#[test]
fn a_reload_answers_its_callers_and_keeps_the_old_when_the_new_is_broken() {
    let (mut world, _) = office("");
    let (effects, reply) = call(&mut world, 1, Method::Reload);
    assert!(reply.is_none(), "the files are to be read first");
    let asked = effects
        .iter()
        .filter(|effect| matches!(effect, Effect::Errand(Errand::ReadConfig)))
        .count();
    assert_eq!(asked, 1);
    assert!(matches!(
        effects[0],
        Effect::Announce(Announcement::Reloading)
    ));
    let second = world.on(Input::Signal(Signal::Hangup), NOW);
    assert!(second.is_empty(), "one reading serves both: {second:?}");
    let texts = Ok(files("[resolver\n", &OFFICE.replace("corp", "other")));
    let read = world.on(Input::Errand(Outcome::Config(texts)), NOW);
    assert!(
        matches!(read.last(), Some(Effect::LookAgain)),
        "the anchor files are to be read too: {read:?}"
    );
    let effects = world.on(Input::Anchors(None), NOW);
    let replies: Vec<&Reply> = effects
        .iter()
        .filter_map(|effect| {
            if let Effect::Reply(_, reply) = effect {
                Some(reply)
            } else {
                None
            }
        })
        .collect();
    assert_eq!(replies.len(), 1);
    assert_eq!(replies[0].parameters["applied"], false);
    // Nor is anything read for listeners that stay as they are.
    let opens = |effect: &Effect| {
        let reads = matches!(effect, Effect::Errand(Errand::ReadKeys));
        reads || matches!(effect, Effect::Listeners(_))
    };
    assert!(!read.iter().any(opens), "{read:?}");
    assert_eq!(
        explain(&mut world, "git.corp.test")["because"]["profile"],
        "office"
    );
    assert_eq!(
        status(&mut world)["diagnostics"][0]["file"],
        "/e/linnet.toml"
    );
    let texts = Ok(files("", &OFFICE.replace("corp", "other")));
    let _read = world.on(Input::Signal(Signal::Hangup), NOW);
    let _applied = world.on(Input::Errand(Outcome::Config(texts)), NOW);
    assert_eq!(
        explain(&mut world, "git.other.test")["because"]["profile"],
        "office"
    );
    assert_eq!(status(&mut world)["diagnostics"], serde_json::json!([]));
}

#[test]
fn names_answered_here_and_single_labels_are_explained() {
    let (mut world, _) = office("");
    let _hosts = world.on(Input::Hosts("192.0.2.9 printer\n".to_owned()), NOW);
    let local = explain(&mut world, "printer");
    assert_eq!(
        (&local["target"]["action"], &local["local"]),
        (&"local".into(), &"hosts".into())
    );
    assert_eq!(local["because"]["text"], "the hosts table has it");
    let onion = explain(&mut world, "x.onion");
    let text = onion["because"]["text"].as_str().unwrap();
    assert!(text.contains("RFC 7686"), "{text}");
    let single = explain(&mut world, "git");
    assert_eq!(single["searched"], serde_json::json!(["git.corp.test"]));
    assert_eq!(single["name"], "git");
    assert_eq!(single["because"]["profile"], "office");
}

#[test]
fn a_bad_parameter_is_named() {
    let (mut world, _) = office("");
    let rows = [
        (
            Method::Explain(ExplainParameters {
                name: "a..b".to_owned(),
            }),
            "name",
        ),
        (
            Method::Query(QueryParameters {
                name: "a.test".to_owned(),
                record_type: Some("NOPE".to_owned()),
                dnssec: false,
                checking_disabled: false,
            }),
            "type",
        ),
        (
            Method::Flush(FlushParameters {
                suffix: Some("a..b".to_owned()),
                ..FlushParameters::default()
            }),
            "suffix",
        ),
        (
            Method::Flush(FlushParameters {
                name: Some("a..b".to_owned()),
                ..FlushParameters::default()
            }),
            "name",
        ),
        (
            Method::Flush(FlushParameters {
                name: Some("a.test".to_owned()),
                suffix: Some("test".to_owned()),
                scope: None,
            }),
            "suffix",
        ),
    ];
    for (method, parameter) in rows {
        let reply = call(&mut world, 1, method).1.unwrap();
        assert_eq!(
            reply.error.as_deref(),
            Some("org.varlink.service.InvalidParameter")
        );
        assert_eq!(reply.parameters["parameter"], parameter);
    }
}

#[test]
fn a_termination_is_told_before_the_end() {
    let (mut world, _) = office("");
    let effects = world.on(Input::Signal(Signal::Terminate), NOW);
    assert!(matches!(
        effects[..],
        [Effect::Announce(Announcement::Stopping), Effect::Stop]
    ));
}

fn veth(index: u32, name: String) -> KernelEvent {
    KernelEvent::Link(LinkMessage {
        index,
        name: name.into(),
        kind: "veth".into(),
        admin_up: true,
        carrier: true,
        ..LinkMessage::default()
    })
}

#[test]
fn links_that_nobody_means_make_no_work_and_are_told_all_the_same() {
    let (mut world, _) = office("");
    let before = world.generation;
    for index in 10..1010 {
        let effects = world.on(
            Input::Kernel(vec![veth(index, format!("veth{index}"))]),
            NOW,
        );
        assert!(effects.is_empty(), "{effects:?}");
    }
    assert_eq!(world.facts.links.len(), 1);
    assert_eq!(world.poll_timeout(), None, "nothing is to be done later");
    assert_eq!(world.generation, before);
    let links = status(&mut world)["links"].clone();
    assert_eq!(links.as_array().unwrap().len(), 1001);
}

#[test]
fn many_links_that_come_one_by_one_have_a_plan_together() {
    let (mut world, _) = office("");
    for index in 10..410 {
        let _effects = world.on(Input::Kernel(vec![veth(index, format!("vpn{index}"))]), NOW);
    }
    let before = world.generation;
    let at = world.poll_timeout().expect("a plan waits");
    assert!(at.since(NOW).as_millis() < 10, "{at:?}");
    assert!(before < 150, "{before} plans");
    let _effects = world.on(Input::Timer, at);
    assert_eq!(world.generation, before + 1);
    assert_eq!(world.poll_timeout(), None);
    assert_eq!(world.plan.profiles_by_link.len(), 401);
    // The next one alone does not wait.
    let late = at + std::time::Duration::from_secs(1);
    let _effects = world.on(Input::Kernel(vec![veth(500, "vpn500".to_owned())]), late);
    assert_eq!(world.generation, before + 2);
}

#[test]
fn a_link_is_judged_when_the_address_is_there_that_its_upstreams_are_asked_from() {
    let home = "match = { name = \"home0\" }\naddresses = [\"192.0.2.10/24\", \"2001:db8::10/64\"]\n\
                [dns]\nupstreams = [\"192.0.2.1\"]\n[[routes]]\nto = \"0.0.0.0/0\"\nvia = \"192.0.2.1\"\n";
    let home0 = LinkMessage {
        name: "home0".into(),
        kind: "veth".into(),
        ..vpn0(true)
    };
    let main = "[connectivity]\ncheck = \"always\"\n";
    let (mut world, _) = begun(main, home, &[home0]);
    let awaits = |world: &World| {
        let grounds = world.grounds();
        assert_eq!(grounds.len(), 1);
        grounds[0].awaits_address
    };
    assert!(awaits(&world));
    for (address, is_awaited) in [
        ("fe80::1/64", true),
        ("2001:db8::10/64", true),
        ("192.0.2.10/24", false),
    ] {
        let (of, length) = address.split_once('/').unwrap();
        let prefix = Prefix {
            address: of.parse().unwrap(),
            length: length.parse().unwrap(),
        };
        let event = KernelEvent::Address(AddressMessage::lasting(3, prefix));
        let _effects = world.on(Input::Kernel(vec![event]), NOW);
        assert_eq!(awaits(&world), is_awaited, "{address}");
    }
}
