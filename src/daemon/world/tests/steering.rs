//! Is what was told of links carried out, kept before anybody hears of it, and taken up again by the next daemon?

use linnet::api::LinkParameters;
use policy::facts::Told;

use super::*;
use crate::making::{Done, Made, Task};
use crate::world::{Kept, Steer};

const ETH: &str =
    "match = { name = \"eth*\" }\nautoconnect = false\naddresses = [\"192.0.2.10/24\"]\n";
const BRIDGE: &str = "autoconnect = false\n[link]\nname = \"br0\"\nkind = \"bridge\"\n";
const VLAN: &str =
    "autoconnect = false\n[link]\nname = \"vlan5\"\nkind = \"vlan\"\nid = 5\nparent = \"br0\"\n";

fn texts(main: &str, profiles: &[(&str, &str)]) -> Vec<ConfigText> {
    let main = file(Kind::Main, "/e/linnet.toml", main);
    let profiles = profiles.iter();
    let profiles =
        profiles.map(|(id, text)| file(Kind::Profile, &format!("/e/profiles/{id}.toml"), text));
    [main].into_iter().chain(profiles).collect()
}

const ALL: [(&str, &str); 3] = [("eth", ETH), ("br", BRIDGE), ("vlan", VLAN)];

fn link(index: u32, name: &str, kind: &str) -> LinkMessage {
    LinkMessage {
        index,
        name: name.into(),
        kind: kind.into(),
        ..LinkMessage::default()
    }
}

/// A daemon that finds these links and this file.
fn daemon(
    texts: Vec<ConfigText>,
    told: Option<&str>,
    links: &[LinkMessage],
) -> (World, Vec<Effect>) {
    let mut beginning = beginning(texts);
    beginning.links.told = told.map(str::to_owned);
    let mut world = World::new(beginning, NOW);
    let links = links.iter().cloned().map(KernelEvent::Link);
    let listing = [KernelEvent::ListingBegins].into_iter().chain(links);
    let listing = listing.chain([KernelEvent::ListingEnds]).collect();
    drop(world.on(Input::Kernel(listing), NOW));
    let effects = world.begin(NOW);
    (world, effects)
}

fn steer(world: &mut World, steer: Steer, link: &str) -> (Vec<Effect>, Reply) {
    let link = link.to_owned();
    let (effects, reply) = call(world, 1, Method::Steer(steer, LinkParameters { link }));
    (effects, reply.expect("it is answered at once"))
}

fn told(world: &mut World, what: Steer, link: &str) -> Vec<Effect> {
    let (effects, reply) = steer(world, what, link);
    assert_eq!(reply.error, None, "{what:?} {link}: {reply:?}");
    effects
}

fn refused(world: &mut World, what: Steer, link: &str) -> String {
    let (_, reply) = steer(world, what, link);
    let name = reply.error.unwrap_or_else(|| panic!("{what:?} {link}"));
    let message = reply.parameters["message"].as_str().unwrap().to_owned();
    format!("{}: {message}", name.rsplit('.').next().unwrap())
}

fn kept(effects: &[Effect]) -> Option<&str> {
    let mut texts = effects.iter().filter_map(|effect| {
        if let Effect::Keep(Kept::Told, text) = effect {
            Some(text.as_str())
        } else {
            None
        }
    });
    texts.next_back()
}

/// Returns the links that are to be there by the last order; `None` when there is none.
fn ordered(effects: &[Effect]) -> Option<Vec<String>> {
    let mut orders = effects.iter().filter_map(|effect| {
        if let Effect::Make(Task::Links(order, _)) = effect {
            let names = order
                .wanted
                .iter()
                .map(|wanted| wanted.link.name.to_string());
            Some(names.collect())
        } else {
            None
        }
    });
    orders.next_back()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn a_link_that_a_profile_makes_comes_and_goes_by_command() {
    let (mut world, effects) = daemon(texts("", &ALL), None, &[]);
    assert_eq!(ordered(&effects), None, "not by itself");
    let absent = &status(&mut world)["unmade"];
    assert_eq!(absent[0]["name"], "br0", "{absent}");
    assert_eq!(absent[0]["told"], Value::Null);

    // What it stands on comes with it, and first.
    let effects = told(&mut world, Steer::Up, "vlan5");
    assert_eq!(ordered(&effects), Some(names(&["br0", "vlan5"])));
    let links = [link(7, "br0", "bridge"), link(8, "vlan5", "vlan")];
    let come = links.iter().cloned().map(KernelEvent::Link).collect();
    let effects = world.on(Input::Kernel(come), NOW);
    assert_eq!(
        kept(&effects).map(|text| text.matches("index").count()),
        Some(2)
    );
    assert_eq!(status(&mut world)["links"][1]["told"], "up");
    // Made again when somebody removes it.
    let effects = world.on(Input::Kernel(vec![KernelEvent::LinkGone { index: 8 }]), NOW);
    assert_eq!(ordered(&effects), Some(names(&["br0", "vlan5"])));

    let effects = told(&mut world, Steer::Down, "br0");
    assert_eq!(ordered(&effects), Some(names(&["vlan5"])));
    assert!(
        matches!(effects.last(), Some(Effect::Make(_))),
        "whoever leaves says so first: {effects:?}"
    );
    drop(world.on(Input::Kernel(vec![KernelEvent::LinkGone { index: 7 }]), NOW));
    let absent = &status(&mut world)["unmade"][0];
    assert_eq!(
        (&absent["name"], &absent["told"]),
        (&"br0".into(), &"down".into())
    );
    assert_eq!(
        ordered(&told(&mut world, Steer::Up, "br0")),
        Some(names(&["br0", "vlan5"]))
    );
}

#[test]
fn what_was_told_is_kept_before_its_caller_hears_and_outlives_the_daemon() {
    let there = [
        link(3, "eth0", "ethernet"),
        link(4, "eth1", "ethernet"),
        link(7, "br0", "bridge"),
    ];
    let (mut world, _) = daemon(texts("", &ALL), None, &there);
    let (answer, _answered) = oneshot::channel();
    let call = ControlCall {
        connection: ConnectionId(1),
        caller: Caller { uid: 0, pid: None },
        method: Method::Steer(
            Steer::Up,
            LinkParameters {
                link: "eth0".to_owned(),
            },
        ),
        answer,
    };
    let effects = world.on(Input::Control(Box::new(call)), NOW);
    let at = |is_it: fn(&Effect) -> bool| effects.iter().position(is_it).unwrap();
    assert!(
        at(|it| matches!(it, Effect::Keep(Kept::Told, _)))
            < at(|it| matches!(it, Effect::Reply(..))),
        "{effects:?}"
    );
    told(&mut world, Steer::Release, "eth1");
    told(&mut world, Steer::Down, "br0");
    let effects = told(&mut world, Steer::Up, "vlan5");
    let text = kept(&effects).unwrap().to_owned();

    // The bridge went before the daemon heard of it, and one link has another name by now.
    let now = [link(3, "eth9", "ethernet"), link(4, "eth1", "ethernet")];
    let (mut world, effects) = daemon(texts("", &ALL), Some(&text), &now);
    assert_eq!(ordered(&effects), Some(names(&["vlan5"])));
    let status = status(&mut world);
    assert_eq!(status["links"][0]["told"], "up", "{status}");
    assert_eq!(status["links"][1]["told"], "release");
    assert_eq!(status["unmade"][0]["told"], "down");
    assert_eq!(world.facts.told.len(), 2);
    assert!(world.plan.links.links.len() == 1, "{}", world.plan.links);

    // On another kernel it means nothing, nor does what nobody can read; a link with another index is another one.
    let other = text.replace("\"boot\":\"boot\"", "\"boot\":\"another\"");
    for void in [&*other, "nonsense", "{}"] {
        let (world, _) = daemon(texts("", &ALL), Some(void), &now);
        assert!(
            world.facts.told.is_empty() && world.facts.told_absent.is_empty(),
            "{void}"
        );
    }
    let (world, effects) = daemon(
        texts("", &ALL),
        Some(&text),
        &[link(33, "eth0", "ethernet")],
    );
    assert!(world.facts.told.is_empty());
    assert!(!kept(&effects).unwrap().contains("eth0"), "{effects:?}");
}

#[test]
fn what_was_told_goes_with_the_link_and_with_its_profile() {
    let there = [link(3, "eth0", "ethernet"), link(7, "br0", "bridge")];
    let (mut world, _) = daemon(texts("", &ALL), None, &there);
    told(&mut world, Steer::Up, "eth0");
    told(&mut world, Steer::Release, "br0");
    told(&mut world, Steer::Down, "vlan5");
    let effects = world.on(Input::Kernel(vec![KernelEvent::LinkGone { index: 3 }]), NOW);
    assert!(!kept(&effects).unwrap().contains("eth0"));
    // A file that cannot be read says nothing of what is to be.
    let broken = [("eth", ETH), ("br", "match = ["), ("vlan", VLAN)];
    drop(world.on(Input::Errand(Outcome::Config(Ok(texts("", &broken)))), NOW));
    assert_eq!(
        world.facts.told.values().collect::<Vec<_>>(),
        [&Told::Release]
    );
    let effects = world.on(
        Input::Errand(Outcome::Config(Ok(texts("", &ALL[..1])))),
        NOW,
    );
    assert_eq!(kept(&effects), Some("{\"boot\":\"boot\",\"links\":[]}"));
    assert!(world.facts.told.is_empty() && world.facts.told_absent.is_empty());
}

#[test]
fn adopting_a_link_that_is_set_up_by_command_leaves_it_set_up() {
    let (mut world, _) = daemon(texts("", &ALL), None, &[link(3, "eth0", "ethernet")]);
    for before in [Steer::Up, Steer::Release, Steer::Down] {
        told(&mut world, before, "eth0");
        told(&mut world, Steer::Adopt, "eth0");
        let plan = world.plan.links.links.values().next();
        assert_eq!(
            plan.and_then(|link| link.admin_up),
            Some(true),
            "{before:?}"
        );
    }
    let by_itself = ETH.replace("autoconnect = false\n", "");
    let by_itself = texts("", &[("eth", &by_itself)]);
    let (mut world, _) = daemon(by_itself, None, &[link(3, "eth0", "ethernet")]);
    told(&mut world, Steer::Release, "eth0");
    told(&mut world, Steer::Adopt, "eth0");
    assert_eq!(world.facts.told.len(), 0);
    assert_eq!(world.plan.links.links.len(), 1);
}

#[test]
fn whoever_names_what_is_not_there_is_told_what_could_be_meant() {
    let there = [link(3, "eth0", "ethernet"), link(4, "tap0", "tun")];
    let (mut world, _) = daemon(texts("", &ALL), None, &there);
    for (what, name, expected) in [
        (
            Steer::Up,
            "eth7",
            "NoSuchLink: there is no link eth7; those that profiles are for: br0, eth0, vlan5",
        ),
        (
            Steer::Up,
            "br",
            "NoSuchLink: there is no link br: profile br makes br0",
        ),
        (
            Steer::Up,
            "eth",
            "NoSuchLink: there is no link eth: profile eth is for eth0",
        ),
        (
            Steer::Adopt,
            "br0",
            "NoSuchLink: br0 is not there: linnet up br0 makes it, as profile br says",
        ),
        (
            Steer::Renew,
            "br0",
            "NoSuchLink: br0 is not there: linnet up br0 makes it, as profile br says",
        ),
        (Steer::Up, "tap0", "NoProfile: no profile matches tap0"),
    ] {
        let text = refused(&mut world, what, name);
        assert!(text.starts_with(expected), "{name}: {text}");
    }
    assert!(world.facts.told.is_empty() && world.facts.told_absent.is_empty());
    assert_eq!(status(&mut world).get("idle_profiles"), None);
    let (mut world, _) = daemon(texts("", &ALL), None, &[]);
    assert_eq!(
        status(&mut world)["idle_profiles"],
        serde_json::json!(["eth"])
    );
    let text = refused(&mut world, Steer::Down, "eth");
    assert!(
        text.ends_with("profile eth is for links that match eth*, and none does"),
        "{text}"
    );
    let observed = "[links]\nmanage = \"none\"\n";
    let (mut world, _) = daemon(texts(observed, &ALL), None, &there);
    let text = refused(&mut world, Steer::Up, "eth0");
    assert!(
        text.starts_with("NotManaged: links are only observed"),
        "{text}"
    );
}

/// The kernel would take it along.
#[test]
fn a_link_that_carries_somebody_elses_is_taken_down_and_goes_when_that_does() {
    let links = [link(7, "br0", "bridge"), link(9, "docker0", "macvlan")];
    let (mut world, _) = daemon(texts("", &ALL), None, &links);
    let effects = told(&mut world, Steer::Up, "br0");
    assert_eq!(ordered(&effects), Some(names(&["br0"])));
    let carries = |uppers: &[u32]| {
        let uppers = uppers.iter().copied().collect();
        Input::Made(Done::Made(Made {
            uppers,
            ..Made::default()
        }))
    };
    drop(world.on(carries(&[]), NOW));
    let effects = told(&mut world, Steer::Down, "br0");
    assert_eq!(ordered(&effects), Some(Vec::new()));
    drop(world.on(carries(&[9]), NOW));
    let plan = world.plan.links.links.values().next();
    assert_eq!(plan.and_then(|plan| plan.admin_up), Some(false));
    assert_eq!(world.making.poll_timeout(), None, "it may take months");
    let gone = |index| Input::Kernel(vec![KernelEvent::LinkGone { index }]);
    drop(world.on(gone(8), NOW));
    assert_eq!(world.making.poll_timeout(), None, "another one");
    let mut effects = world.on(gone(9), NOW);
    effects.extend(world.on(Input::Timer, NOW));
    assert_eq!(ordered(&effects), Some(Vec::new()));
    // One of which nothing was heard yet, or that has gone meanwhile, is looked for again.
    drop(world.on(carries(&[77]), NOW));
    assert!(world.making.poll_timeout().is_some());
}
