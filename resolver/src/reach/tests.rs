//! Links that work, fall, come back, and lead to portals, in the simulated world: real lookups, time that is an argument.

use std::time::Duration;

use config::model::Transport;
use config::time::Instant;
use policy::facts::{Family, Reach};
use policy::plan::ScopeLink;
use policy::{LinkId, ScopeId};

use super::http::Reply;
use super::{Connectivity, Ground, Visit};
use crate::event::{Failure, TlsFault};
use crate::tests::signed::{Zone, world_of, world_with};
use crate::tests::world::{HOME, OFFICE, Say, World};
use crate::wire::rcode;

const API: &str = "https://portal.test/api";
const LOGIN: &str = "https://login.portal.test/in";
const PORTAL: &str = "192.0.2.200";
const NAME: &str = "www.signed.test";

/// A link in a world whose server answers for one signed name.
struct Story {
    world: World,
    zone: Zone,
    /// What the portal says to whoever asks.
    said: Option<String>,
}

impl Story {
    fn new() -> Self {
        let zone = Zone::new("signed.test");
        let mut world = world_with("enforce", &[], std::slice::from_ref(&zone));
        zone.serve(&mut world, NAME, true);
        world.resolver.apply_connectivity(Connectivity {
            name: Some(NAME.parse().unwrap()),
            ..Connectivity::default()
        });
        Self {
            world,
            zone,
            said: None,
        }
    }

    fn link(&self) -> LinkId {
        let links = self.world.facts.links.iter();
        let mut homes = links.filter(|(_, link)| &*link.name == "home0");
        *homes.next().unwrap().0
    }

    fn ground(&self, api: Option<&str>) -> Ground {
        let scope = ScopeId("home@home0".into());
        Ground {
            link: ScopeLink {
                name: "home0".into(),
                id: Some(self.link()),
            },
            upstreams: self.world.plan.dns.scopes[&scope].upstreams.clone(),
            scope: Some(scope),
            v4: true,
            v6: false,
            is_uplink: true,
            awaits_address: false,
            api: api.map(Into::into),
            network: None,
        }
    }

    fn judge(&mut self, api: Option<&str>) {
        let ground = self.ground(api);
        let now = self.world.now;
        self.world.resolver.apply_grounds(vec![ground], now);
        self.world.pump();
    }

    fn reach(&self) -> Reach {
        let told = self.world.resolver.reaches().next().unwrap();
        assert_eq!(told.families.len(), 1);
        assert_eq!(told.families[0].family, Family::Ipv4);
        told.families[0].reach
    }

    /// Runs in small steps until the link reaches so far; returns how long that took.
    fn until(&mut self, reach: Reach, at_most: u64) -> Duration {
        let began = self.world.now;
        while self.reach() != reach {
            self.run_for(10);
            let took = self.world.now.since(began);
            assert!(
                took <= Duration::from_secs(at_most),
                "{:?} for {took:?}",
                self.reach()
            );
        }
        self.world.now.since(began)
    }

    fn visit(&mut self) -> Visit {
        for _ in 0..500 {
            if let Some(visit) = self.world.resolver.poll_visit() {
                return visit;
            }
            self.world.run_for(10);
        }
        panic!("no visit");
    }

    /// Runs, and lets the portal answer.
    fn run_for(&mut self, millis: u64) {
        for _ in 0..millis.div_ceil(10) {
            self.world.run_for(10);
            while let Some(said) = self.said.clone()
                && let Some(visit) = self.world.resolver.poll_visit()
            {
                self.says(&visit, &said);
            }
        }
    }

    fn says(&mut self, visit: &Visit, body: &str) {
        let reply = Reply {
            status: 200,
            content_type: "application/captive+json".to_owned(),
            location: None,
            body: body.as_bytes().to_vec(),
        };
        let now = self.world.now;
        self.world.resolver.handle_visit(visit.id, Ok(reply), now);
        self.world.pump();
    }

    /// Every address is the portal's, and nothing is signed.
    fn forge(&mut self) {
        let server = self.world.server(HOME);
        server.otherwise(Say::Anything(PORTAL));
        for question in [format!("{NAME} A"), "signed.test DNSKEY".to_owned()] {
            server.says(&question, Say::Anything(PORTAL));
        }
    }

    fn be_honest(&mut self) {
        let server = self.world.server(HOME);
        server.otherwise(Say::NoName(60, 60));
        server.answers("portal.test A", &[&format!("portal.test. 60 A {PORTAL}")]);
        self.zone.serve_keys_at(&mut self.world, HOME);
        self.zone.serve(&mut self.world, NAME, true);
    }

    /// A network with a portal that forges everything and says so.
    fn in_a_hotel() -> Self {
        let mut story = Self::new();
        story.forge();
        story.judge(Some(API));
        let visit = story.visit();
        assert_eq!(visit.url.to_string(), API);
        assert_eq!(visit.link.id, Some(story.link()));
        assert_eq!(
            visit.addresses,
            [PORTAL.parse::<std::net::IpAddr>().unwrap()]
        );
        let body = format!(r#"{{"captive": true, "user-portal-url": "{LOGIN}"}}"#);
        story.says(&visit, &body);
        assert_eq!(story.reach(), Reach::Portal);
        story.said = Some(body);
        story
    }

    fn ask(&mut self, text: &str) -> crate::tests::message::Seen {
        let client = self.world.put(text);
        self.run_for(4500);
        self.world.answer(client)
    }
}

#[test]
fn a_signed_answer_validates_a_link_and_nothing_is_asked_after_that() {
    let mut story = Story::new();
    story.judge(None);
    let took = story.until(Reach::Validated, 1);
    assert!(took < Duration::from_millis(100), "{took:?}");
    let sent = story.world.take_sent();
    assert!(sent.iter().all(|sent| sent.starts_with(HOME)), "{sent:?}");
    story.world.sleep(86_400);
    assert_eq!(story.world.take_sent(), [""; 0]);
    // The same ground again is no news.
    story.judge(None);
    story.world.sleep(60);
    assert_eq!(story.world.take_sent(), [""; 0]);
}

#[test]
fn a_made_up_name_is_asked_for_right_below_the_root_and_never_twice() {
    let mut story = Story::new();
    story
        .world
        .resolver
        .apply_connectivity(Connectivity::default());
    story.judge(None);
    story.world.run_for(5000);
    let mut names: Vec<String> = Vec::new();
    for sent in story.world.sent.drain(..) {
        let name = sent.asked.name;
        if sent.asked.record_type == 1 && !names.contains(&name) {
            names.push(name);
        }
    }
    assert!(names.len() >= 2, "{names:?}");
    for name in names {
        let name = name.trim_end_matches('.');
        assert!(name.len() == 14 && !name.contains('.'), "{name}");
    }
}

/// A made-up name tells nobody anything; one that somebody has chosen does.
#[test]
fn a_chosen_name_goes_no_way_in_the_clear_when_all_upstreams_are_encrypted() {
    const ROOT: &str = "192.0.2.99";
    for (recursion, in_the_clear) in [("auto", false), ("always", true)] {
        let main = format!("[resolver]\ndnssec = \"enforce\"\nrecursion = \"{recursion}\"\n");
        let home =
            "match = { name = \"home*\" }\n[dns]\nupstreams = [\"tls://192.0.2.53#dns.example\"]\n";
        let mut story = Story {
            world: World::with(&main, &[("home", home)]),
            zone: Zone::new("signed.test"),
            said: None,
        };
        let resolver = &mut story.world.resolver;
        resolver.apply_root_servers(&[ROOT.parse().unwrap()]);
        resolver.apply_connectivity(Connectivity {
            name: Some(NAME.parse().unwrap()),
            ..Connectivity::default()
        });
        let fails = Say::Fail(Failure::Tls(TlsFault::WrongName));
        let home = story.world.server(HOME);
        home.says(&format!("{NAME} A"), fails);
        let root = story.world.server(ROOT);
        root.answers(". NS", &[". 300 NS root-server.invalid"]);
        story.judge(None);
        story.world.run_for(20_000);
        let sent = story.world.take_sent();
        let to_root = sent.iter().any(|sent| sent.starts_with(ROOT));
        assert_eq!(to_root, in_the_clear, "{recursion}: {sent:?}");
    }
}

/// The keys that prove a made-up name's absence go the same way as the name; what clients ask for does not.
#[test]
fn a_link_whose_encrypted_upstreams_are_dead_is_proven_by_the_way_to_the_root_and_names_stay_here()
{
    const ROOT: &str = "192.0.2.99";
    let home =
        "match = { name = \"home*\" }\n[dns]\nupstreams = [\"tls://192.0.2.53#dns.example\"]\n";
    let zone = Zone::new("");
    let main = "[resolver]\ndnssec = \"enforce\"\nrecursion = \"auto\"\n";
    let world = world_of(main, &[("home", home)], std::slice::from_ref(&zone));
    let mut story = Story {
        world,
        zone,
        said: None,
    };
    let Story { world, zone, .. } = &mut story;
    world.resolver.apply_root_servers(&[ROOT.parse().unwrap()]);
    world.server(HOME).shut = Some((Transport::Tls, Some(Failure::Refused)));
    let root = world.server(ROOT);
    root.answers(". NS", &[". 300 NS root-server.invalid"]);
    zone.serve_keys_at(world, ROOT);
    zone.deny_at(world, ROOT);
    story.judge(None);
    story.world.put("secret.test A");
    story.until(Reach::Validated, 15);
    story.world.run_for(5000);
    let sent = story.world.take_sent();
    assert!(sent.iter().any(|sent| sent.starts_with(ROOT)), "{sent:?}");
    assert!(
        !sent
            .iter()
            .any(|sent| sent.contains("test") && sent.starts_with(ROOT)),
        "{sent:?}"
    );
}

#[test]
fn a_link_falls_after_three_rounds_of_silence_and_comes_back_after_two_good_ones() {
    let mut story = Story::new();
    story.judge(None);
    story.until(Reach::Validated, 1);
    story.world.sleep(60);
    // One lost round moves nothing.
    story.world.server(HOME).silent = true;
    story.world.put("a.test A");
    story.world.run_for(3000);
    story.world.server(HOME).silent = false;
    story.world.sleep(60);
    assert_eq!(story.reach(), Reach::Validated);
    // Three do, within the time that is documented.
    story.world.server(HOME).silent = true;
    story.world.put("b.test A");
    let took = story.until(Reach::Nowhere, 15);
    assert!(took > Duration::from_secs(7), "{took:?}");
    // And it comes back by itself, within the pause that doubles.
    story.world.run_for(2000);
    story.world.server(HOME).silent = false;
    let took = story.until(Reach::Validated, 15);
    assert!(
        took >= Duration::from_secs(1),
        "two good ones in a row: {took:?}"
    );
}

#[test]
fn a_link_that_is_bad_is_asked_ever_more_rarely_and_only_while_somebody_asks_for_names() {
    let mut story = Story::new();
    story.world.server(HOME).silent = true;
    story.judge(None);
    story.until(Reach::Nowhere, 15);
    story.world.sleep(3600);
    story.world.sent.clear();
    story.world.sleep(3600);
    assert_eq!(story.world.take_sent(), [""; 0]);
    // What is asked for is asked beside it, so that only names that are made up count.
    let mut rounds: Vec<Instant> = Vec::new();
    for minute in 0..60 {
        story.world.put(&format!("n{minute}.test A"));
        story.world.sleep(60);
        let sent = story.world.sent.drain(..);
        let probes = sent.filter(|sent| sent.asked.name.trim_end_matches('.') == NAME);
        rounds.extend(probes.map(|sent| sent.at));
    }
    rounds.dedup_by(|later, earlier| later.since(*earlier) < Duration::from_secs(60));
    assert!(
        (8..=13).contains(&rounds.len()),
        "{} in an hour",
        rounds.len()
    );
}

#[test]
fn a_network_that_forges_without_an_api_is_looked_at_as_a_browser_would() {
    let mut story = Story::new();
    story.forge();
    story.judge(None);
    let visit = story.visit();
    let url = visit.url.to_string();
    let host = url
        .strip_prefix("http://")
        .and_then(|rest| rest.strip_suffix('/'));
    let host = host.unwrap();
    assert!(
        host.len() == 14 && !host.contains('.'),
        "the made-up name: {url}"
    );
    assert_eq!(
        visit.addresses,
        [PORTAL.parse::<std::net::IpAddr>().unwrap()]
    );
    assert_eq!(visit.link.id, Some(story.link()));
    let reply = Reply {
        status: 302,
        location: Some(LOGIN.to_owned()),
        ..Reply::default()
    };
    let now = story.world.now;
    story.world.resolver.handle_visit(visit.id, Ok(reply), now);
    story.until(Reach::Portal, 10);
    let door = |story: &Story| {
        let told = story.world.resolver.reaches().next().unwrap();
        told.portal.as_ref().and_then(|portal| portal.door.clone())
    };
    assert_eq!(door(&story).unwrap().to_string(), LOGIN);
    // The way to the login is its word, so it is answered, and nothing of it is kept.
    let name = door(&story).unwrap().name().unwrap().to_string();
    let login = story.ask(&format!("{name} A"));
    assert_eq!(login.rcode, 0, "{login:?}");
    story.world.run_for(20_000);
    assert!(
        story.world.resolver.poll_visit().is_none(),
        "once a minute at most"
    );
    story.be_honest();
    story.until(Reach::Validated, 700);
    assert_eq!(door(&story), None);
}

/// Replies as they come to a page that was asked for, and where they lead.
const PAGES: [(u16, Option<&str>, &str, &str); 6] = [
    (302, Some("/login?x=1"), "", "/login?x=1"),
    (307, Some("in"), "text/html", "/in"),
    (
        302,
        Some("//login.portal.test/in"),
        "",
        "http://login.portal.test/in",
    ),
    (200, None, "text/html", "/"),
    (200, None, "application/xhtml+xml", "/"),
    (511, None, "text/html", "/"),
];

#[test]
fn a_page_in_the_place_of_another_and_a_way_from_there_are_doors() {
    for (status, location, content_type, door) in PAGES {
        let mut story = Story::new();
        story.forge();
        story.judge(None);
        let visit = story.visit();
        let reply = Reply {
            status,
            location: location.map(str::to_owned),
            content_type: content_type.to_owned(),
            ..Reply::default()
        };
        let now = story.world.now;
        story.world.resolver.handle_visit(visit.id, Ok(reply), now);
        story.until(Reach::Portal, 10);
        let told = story.world.resolver.reaches().next().unwrap();
        let found = told.portal.as_ref().and_then(|portal| portal.door.clone());
        // Nobody can open what was made up: it is shown at the address that answered for it.
        let expected = match door.starts_with('/') {
            true => format!("http://{PORTAL}{door}"),
            false => door.to_owned(),
        };
        assert_eq!(found.unwrap().to_string(), expected);
        assert!(
            story.world.resolver.poll_visit().is_none(),
            "nothing is followed"
        );
    }
}

#[test]
fn a_page_that_is_configured_and_is_another_leads_to_a_portal_unless_tls_vouches_for_it() {
    for (scheme, (status, location, content_type, door)) in ["http", "https"]
        .into_iter()
        .flat_map(|scheme| PAGES.map(|page| (scheme, page)))
    {
        let page = format!("{scheme}://{NAME}/204");
        let mut story = Story::new();
        story.world.resolver.apply_connectivity(Connectivity {
            page: Some(page.parse().unwrap()),
            ..Connectivity::default()
        });
        // Names are let through, and prove nothing.
        story.world.server(HOME).otherwise(Say::NoName(60, 60));
        story.judge(None);
        let visit = story.visit();
        assert_eq!(visit.url.to_string(), page);
        let reply = Reply {
            status,
            location: location.map(str::to_owned),
            content_type: content_type.to_owned(),
            ..Reply::default()
        };
        let is_good = scheme == "https" && status == 200;
        let now = story.world.now;
        story.world.resolver.handle_visit(visit.id, Ok(reply), now);
        story.until(
            if is_good {
                Reach::Validated
            } else {
                Reach::Portal
            },
            10,
        );
        let told = story.world.resolver.reaches().next().unwrap();
        let found = told.portal.as_ref().and_then(|portal| portal.door.clone());
        let expected = match door {
            _ if is_good => None,
            "/" => Some(page),
            door if door.starts_with('/') => Some(format!("{scheme}://{NAME}{door}")),
            door => Some(door.replace("http://", &format!("{scheme}://"))),
        };
        assert_eq!(
            found.map(|url| url.to_string()),
            expected,
            "{scheme} {status}"
        );
    }
}

#[test]
fn what_leads_to_no_page_is_no_door_and_whoever_asks_no_portals_does_not_look() {
    for (status, location) in [
        (302, "javascript:alert(1)"),
        (302, "https://user@portal.test/"),
        (302, "//user@portal.test/"),
        (302, "/\\portal.test/"),
        (200, LOGIN),
        (204, LOGIN),
    ] {
        let mut story = Story::new();
        story.forge();
        story.judge(None);
        let visit = story.visit();
        let reply = Reply {
            status,
            location: Some(location.to_owned()),
            ..Reply::default()
        };
        let now = story.world.now;
        story.world.resolver.handle_visit(visit.id, Ok(reply), now);
        let told = story.world.resolver.reaches().next().unwrap();
        assert_eq!(told.portal, None, "{location}");
    }
    let mut story = Story::new();
    story.world.resolver.apply_connectivity(Connectivity {
        name: Some(NAME.parse().unwrap()),
        asks_portals: false,
        ..Connectivity::default()
    });
    story.forge();
    story.judge(None);
    story.until(Reach::Portal, 10);
    assert!(story.world.resolver.poll_visit().is_none());
}

#[test]
fn a_portal_that_is_announced_is_asked_behind_tls_and_no_other() {
    let mut story = Story::new();
    story.judge(Some("http://portal.test/api"));
    story.until(Reach::Validated, 1);
    assert_eq!(story.world.resolver.poll_visit(), None);
    let told = story.world.resolver.reaches().next().unwrap();
    let trouble = told.portal.as_ref().unwrap().trouble.as_deref();
    assert_eq!(trouble, Some("its API is not at an https address"));
}

#[test]
fn a_portals_host_that_somebody_claims_is_not_asked_for() {
    let mut story = Story::new();
    story.judge(Some("https://portal.corp.test/api"));
    story.world.run_for(5000);
    assert_eq!(story.world.resolver.poll_visit(), None);
    let sent = story.world.take_sent();
    assert!(
        !sent.iter().any(|sent| sent.contains("corp.test")),
        "{sent:?}"
    );
    let told = story.world.resolver.reaches().next().unwrap();
    let trouble = told.portal.as_ref().unwrap().trouble.clone().unwrap();
    assert!(trouble.contains("claimed by profile office"), "{trouble}");
}

#[test]
fn behind_a_portal_its_own_names_are_plain_and_not_kept_and_all_else_is_strict() {
    let mut story = Story::in_a_hotel();
    story.world.take_sent();
    for name in ["portal.test A", "login.portal.test A"] {
        for _ in 0..2 {
            let seen = story.ask(name);
            assert_eq!(seen.codes(), (rcode::NOERROR, None), "{name}");
            assert!(seen.answers[0].ends_with(PORTAL), "{:?}", seen.answers);
            assert_eq!(seen.flags & 0x20, 0, "never AD");
        }
        let sent = story.world.take_sent();
        let asked = sent
            .iter()
            .filter(|sent| sent.contains(&format!(" {name}")));
        assert_eq!(asked.count(), 2, "{sent:?}");
    }
    // What is signed is not answered with a forged address, and the reason is told in time.
    let seen = story.ask(&format!("{NAME} A"));
    assert_eq!(seen.rcode, rcode::SERVFAIL, "{seen:?}");
    assert!(seen.why().contains(LOGIN), "{}", seen.why());
    assert!(
        seen.why().contains("home0 leads to a portal"),
        "{}",
        seen.why()
    );
    // What the office claims goes to the office.
    story.world.take_sent();
    story.ask("git.corp.test A");
    let sent = story.world.take_sent();
    let leaked = |sent: &&String| sent.contains("corp.test") && !sent.starts_with(OFFICE);
    assert_eq!(sent.iter().find(leaked), None);
    assert!(story.world.status("home@home0").cache_entries == 0);
    let name = NAME.parse().unwrap();
    let scope = ScopeId("home@home0".into());
    let now = story.world.now;
    let told = |name| {
        let prospects = story.world.resolver.prospects(name, &scope, now);
        prospects.unwrap().validation
    };
    assert!(told(&name).contains("refused unless"), "{}", told(&name));
    let own = "portal.test".parse().unwrap();
    assert!(told(&own).contains("portal's own name"), "{}", told(&own));
}

#[test]
fn after_the_login_all_is_as_before_within_a_second_and_nothing_forged_is_left() {
    let mut story = Story::in_a_hotel();
    let forged = story.ask("portal.test A");
    assert_eq!(forged.rcode, rcode::NOERROR);
    // A question that is on its way while the door opens is answered, and kept nowhere.
    let late = story.world.put("login.portal.test A");
    story.be_honest();
    let login = story.world.now;
    story.said = Some(r#"{"captive": false, "seconds-remaining": 600}"#.to_owned());
    story.until(Reach::Validated, 1);
    let took = story.world.now.since(login);
    assert!(took < Duration::from_secs(1), "{took:?}");
    story.run_for(1000);
    assert!(story.world.has_answer(late));
    let seen = story.ask("login.portal.test A");
    assert_eq!(seen.rcode, rcode::NXDOMAIN, "{seen:?}");
    let seen = story.ask(&format!("{NAME} A"));
    assert_eq!(seen.codes(), (rcode::NOERROR, None), "{seen:?}");
    // The session's end is an occasion to ask again, and no other is.
    story.said = None;
    assert_eq!(story.world.resolver.poll_visit(), None);
    let began = story.world.now;
    while story.world.resolver.poll_visit().is_none() {
        story.world.run_for(1000);
        assert!(story.world.now.since(began) < Duration::from_secs(700));
    }
    assert!(story.world.now.since(began) > Duration::from_secs(500));
}

#[test]
fn a_network_that_forges_without_a_word_is_a_portal_too() {
    let mut story = Story::new();
    story.forge();
    story.judge(None);
    story.until(Reach::Portal, 3);
    // Nobody knows its names: what is asked is answered as ever, and not kept.
    assert_eq!(story.world.status("home@home0").cache_entries, 0);
    story.be_honest();
    story.until(Reach::Validated, 20);
}

#[test]
fn questions_wait_for_what_an_announced_portal_says_but_not_for_long() {
    let mut story = Story::new();
    story.forge();
    story.judge(Some(API));
    let early = story.world.put(&format!("{NAME} A"));
    story.world.run_for(500);
    assert!(!story.world.has_answer(early));
    let visit = story.visit();
    let body = format!(r#"{{"captive": true, "user-portal-url": "{LOGIN}"}}"#);
    story.says(&visit, &body);
    story.said = Some(body);
    story.run_for(4000);
    let seen = story.world.answer(early);
    assert_eq!(seen.rcode, rcode::SERVFAIL, "{seen:?}");
    assert!(seen.why().contains(LOGIN), "{}", seen.why());
    // Nobody answers for the portal: after two seconds it goes on as if there were none.
    let mut story = Story::new();
    story.judge(Some(API));
    story.world.server(HOME).says("portal.test A", Say::Silence);
    let early = story.world.put(&format!("{NAME} A"));
    story.world.run_for(2600);
    assert!(story.world.has_answer(early));
}

#[test]
fn a_portals_names_go_past_a_default_scope_that_is_tied_to_no_link() {
    const LENT: &str = "match = { name = \"home*\" }\n[dns]\nupstreams = [\"192.0.2.53\"]\ndefault = \"no\"\nclaims = [\"home.test\"]\n";
    let mut story = Story::in_a_hotel();
    story.world.server("203.0.113.9").silent = true;
    let main = "[resolver]\ndnssec = \"enforce\"\nupstreams = [\"203.0.113.9\"]\n";
    story.world.reconfigure(main, &[("home", LENT)]);
    story.judge(Some(API));
    story.run_for(3000);
    assert_eq!(story.reach(), Reach::Portal);
    story.world.take_sent();
    let seen = story.ask("login.portal.test A");
    assert_eq!(seen.rcode, rcode::NOERROR, "{seen:?}");
    let sent = story.world.take_sent();
    assert!(
        !sent.iter().any(|sent| sent.contains("203.0.113.9 login")),
        "{sent:?}"
    );
    // Others do not.
    story.ask("www.example A");
    let sent = story.world.take_sent();
    assert!(
        !sent
            .iter()
            .any(|sent| sent.starts_with(HOME) && sent.contains("www.example"))
    );
}

#[test]
fn links_that_are_judged_no_longer_leave_nothing_behind() {
    let mut story = Story::in_a_hotel();
    let now = story.world.now;
    story.world.resolver.apply_grounds(Vec::new(), now);
    story.world.pump();
    assert_eq!(story.world.resolver.reaches().count(), 0);
    story.world.take_sent();
    story.world.sleep(3600);
    assert_eq!(story.world.resolver.poll_visit(), None);
    let sent = story.world.take_sent();
    assert!(sent.iter().all(|sent| !sent.contains(NAME)), "{sent:?}");
}
