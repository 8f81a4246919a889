//! The monitor against a real kernel: each test runs itself again in a network namespace of its own.

mod listing;

use std::io::Write as _;
use std::process::{Command, Stdio};

use linkmgr::LinkManager;
use policy::{LinkFacts, LinkId};

use super::*;

const INSIDE: &str = "LINNET_TEST_NAMESPACE";
const PATIENCE: Duration = Duration::from_secs(8);

/// Runs `story` in a new network namespace; says so when the machine does not allow one.
fn in_namespace(test: &str, story: impl AsyncFnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(story());
        return;
    }
    // SAFETY: geteuid has no preconditions.
    let is_root = unsafe { libc::geteuid() } == 0;
    let flags = if is_root { "-n" } else { "-Urn" };
    let unshare = |arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command.arg(flags).args(arguments).stdin(Stdio::null());
        command
    };
    let probe = unshare(&["ip", "link", "set", "lo", "up"]).output();
    match probe {
        Ok(output) if output.status.success() => {}
        Ok(output) => return skip(test, String::from_utf8_lossy(&output.stderr).trim()),
        Err(error) => return skip(test, &error.to_string()),
    }
    let this = std::env::current_exe().unwrap();
    let output = unshare(&[this.to_str().unwrap()])
        .args(["--exact", &format!("monitor::tests::{test}"), "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let (said, wrong) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    write!(io::stderr(), "{wrong}").unwrap();
    assert!(output.status.success(), "{said}\n{wrong}");
    assert!(said.contains("1 passed"), "{test} is not a test's name");
}

fn skip(test: &str, reason: &str) {
    writeln!(io::stderr(), "SKIP {test}: {reason}").unwrap();
}

fn ip(arguments: &str) {
    let output = Command::new("ip")
        .args(arguments.split(' '))
        .output()
        .unwrap();
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {arguments}: {wrong}");
}

/// Starts `ip -batch` on these lines.
fn ip_batch(lines: impl Iterator<Item = String>) -> std::process::Child {
    let path = std::env::temp_dir().join(format!("linnet-batch-{}", std::process::id()));
    let text: String = lines.map(|line| line + "\n").collect();
    std::fs::write(&path, text).unwrap();
    let file = std::fs::File::open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    Command::new("ip")
        .args(["-batch", "-"])
        .stdin(file)
        .spawn()
        .unwrap()
}

struct Watcher {
    monitor: Monitor,
    links: LinkManager,
    listings: u32,
}

impl Watcher {
    fn open() -> Self {
        Self::with(Monitor::open().unwrap())
    }

    fn with(monitor: Monitor) -> Self {
        Self {
            monitor,
            links: LinkManager::default(),
            listings: 0,
        }
    }

    async fn step(&mut self) -> Vec<KernelEvent> {
        let next = tokio::time::timeout(PATIENCE, self.monitor.next()).await;
        let events = next
            .unwrap_or_else(|_| panic!("nothing comes any more: {:#?}", self.links.facts()))
            .unwrap();
        for event in &events {
            self.listings += u32::from(*event == KernelEvent::ListingEnds);
            self.links
                .handle_event(event.clone(), config::time::Instant::ZERO);
        }
        events
    }

    async fn listed(mut self) -> Self {
        while self.listings == 0 {
            self.step().await;
        }
        self
    }

    /// Reads until the link of this name is as wanted, and a new listing says the same of all links.
    async fn until(&mut self, name: &str, is_wanted: impl Fn(&LinkFacts) -> bool) -> LinkId {
        let id = loop {
            match self.find(name) {
                Some((id, facts)) if is_wanted(facts) => break id,
                Some(_) | None => {}
            }
            self.step().await;
        };
        self.settle().await;
        id
    }

    /// Reads until a new listing says the same of all links.
    async fn settle(&mut self) {
        loop {
            let fresh = Box::pin(Self::open().listed()).await;
            if fresh.links.facts().values().eq(self.links.facts().values()) {
                return;
            }
            self.step().await;
        }
    }

    fn find(&self, name: &str) -> Option<(LinkId, &LinkFacts)> {
        let mut all = self.links.facts().iter();
        let (id, facts) = all.find(|(_, facts)| &*facts.name == name)?;
        Some((*id, facts))
    }

    fn facts(&self, name: &str) -> &LinkFacts {
        self.find(name).expect("the link is there").1
    }
}

async fn watcher_of_home() -> Watcher {
    ip("link add home0 type veth peer name peer0");
    for name in ["home0", "peer0"] {
        // A link-local address would come at a moment of its own, when its uniqueness is proven.
        ip(&format!("link set {name} addrgenmode none"));
        ip(&format!("link set {name} up"));
    }
    ip("address add 192.0.2.10/24 dev home0");
    ip("address add 2001:db8::10/64 dev home0 nodad");
    ip("route add default via 192.0.2.1 metric 100");
    let mut watcher = Watcher::open().listed().await;
    watcher.until("home0", |facts| facts.up).await;
    watcher
}

fn metric4(facts: &LinkFacts) -> Option<u32> {
    facts.default_route4.map(|route| route.metric)
}

fn gateway4(facts: &LinkFacts) -> Option<String> {
    Some(facts.default_route4?.gateway?.to_string())
}

fn texts(facts: &LinkFacts) -> Vec<String> {
    let addresses = facts.addresses.iter();
    addresses
        .map(|prefix| format!("{}/{}", prefix.address, prefix.length))
        .collect()
}

#[test]
fn link_is_followed_from_its_birth_to_its_end() {
    in_namespace("link_is_followed_from_its_birth_to_its_end", async || {
        let mut watcher = Watcher::open().listed().await;
        assert!(watcher.facts("lo").loopback);
        assert_eq!(&*watcher.facts("lo").kind, "loopback");
        ip("link add home0 type veth peer name peer0");
        let id = watcher.until("home0", |facts| !facts.up).await;
        assert_eq!(&*watcher.facts("home0").kind, "veth");
        assert!(watcher.facts("home0").mac.is_some());
        ip("link set peer0 up");
        ip("link set home0 up");
        watcher.until("home0", |facts| facts.up).await;
        ip("address add 192.0.2.10/24 dev home0");
        ip("address add 2001:db8::10/64 dev home0");
        let has = |wanted: &'static str| {
            move |facts: &LinkFacts| texts(facts).contains(&wanted.to_owned())
        };
        watcher.until("home0", has("192.0.2.10/24")).await;
        assert!(
            !has("2001:db8::10/64")(watcher.facts("home0")),
            "its uniqueness is not proven yet"
        );
        watcher.until("home0", has("2001:db8::10/64")).await;
        ip("link property add dev home0 altname a-name-longer-than-fifteen");
        watcher
            .until("home0", |facts| facts.alt_names.len() == 1)
            .await;
        ip("link set home0 name uplink0");
        let renamed = watcher.until("uplink0", |_| true).await;
        assert_eq!(renamed, id);
        ip("link del uplink0");
        while watcher.find("uplink0").is_some() {
            watcher.step().await;
        }
        watcher.settle().await;
        let index = id.index;
        ip(&format!(
            "link add uplink0 index {index} type veth peer name peer0"
        ));
        let again = watcher.until("uplink0", |_| true).await;
        assert_eq!(again.index, id.index);
        assert!(again.birth > id.birth);
        assert_eq!(watcher.listings, 1, "nothing was lost");
    });
}

#[test]
fn default_route_is_followed_through_what_the_kernel_does_not_tell() {
    let test = "default_route_is_followed_through_what_the_kernel_does_not_tell";
    in_namespace(test, async || {
        let mut watcher = watcher_of_home().await;
        let has = |metric: Option<u32>| move |facts: &LinkFacts| metric4(facts) == metric;
        watcher.until("home0", has(Some(100))).await;
        ip("route replace default via 192.0.2.2 metric 100");
        let is_second = |facts: &LinkFacts| gateway4(facts).as_deref() == Some("192.0.2.2");
        watcher.until("home0", is_second).await;
        ip("route add default via 192.0.2.3 metric 50");
        watcher.until("home0", has(Some(50))).await;
        ip("route del default via 192.0.2.3 metric 50");
        watcher.until("home0", has(Some(100))).await;
        ip("-6 route add default via 2001:db8::1 metric 300");
        let is_v6 = |facts: &LinkFacts| facts.default_route6.is_some_and(|it| it.metric == 300);
        watcher.until("home0", is_v6).await;

        ip("link set peer0 down");
        watcher.until("home0", |facts| !facts.up).await;
        assert_eq!(metric4(watcher.facts("home0")), Some(100));
        ip("link set peer0 up");
        watcher.until("home0", |facts| facts.up).await;

        ip("link set home0 down");
        watcher.until("home0", |facts| !facts.up).await;
        ip("link set home0 up");
        watcher.until("home0", |facts| facts.up).await;
        assert_eq!(metric4(watcher.facts("home0")), None);
        assert_eq!(watcher.facts("home0").default_route6, None);

        ip("route add default via 192.0.2.1 metric 7");
        watcher.until("home0", has(Some(7))).await;
        ip("address add 192.0.2.20/24 dev home0");
        ip("route add default via 192.0.2.1 src 192.0.2.20 metric 3");
        watcher.until("home0", has(Some(3))).await;
        ip("address del 192.0.2.20/24 dev home0");
        watcher.until("home0", has(Some(7))).await;
        ip("address del 192.0.2.10/24 dev home0");
        watcher.until("home0", has(None)).await;
    });
}

#[test]
fn two_halves_are_a_default_route() {
    in_namespace("two_halves_are_a_default_route", async || {
        let mut watcher = watcher_of_home().await;
        ip("route add 0.0.0.0/1 via 192.0.2.8");
        ip("route add 128.0.0.0/1 via 192.0.2.8");
        let is_tunnel = |facts: &LinkFacts| gateway4(facts).as_deref() == Some("192.0.2.8");
        watcher.until("home0", is_tunnel).await;
        assert_eq!(metric4(watcher.facts("home0")), Some(0));
        ip("-6 route add ::/1 via 2001:db8::8 metric 50");
        ip("-6 route add 8000::/1 via 2001:db8::8 metric 60");
        let is_tunnel6 = |facts: &LinkFacts| facts.default_route6.is_some_and(|it| it.metric == 60);
        watcher.until("home0", is_tunnel6).await;
        ip("route del 128.0.0.0/1 via 192.0.2.8");
        watcher
            .until("home0", |facts| metric4(facts) == Some(100))
            .await;
    });
}

#[test]
fn route_over_two_links_is_a_default_route_of_both() {
    in_namespace(
        "route_over_two_links_is_a_default_route_of_both",
        async || {
            let mut watcher = watcher_of_home().await;
            ip("address add 198.51.100.10/24 dev peer0");
            ip("route add default metric 20 nexthop via 192.0.2.1 nexthop via 198.51.100.1");
            for name in ["home0", "peer0"] {
                watcher
                    .until(name, |facts| metric4(facts) == Some(20))
                    .await;
            }
        },
    );
}

#[test]
fn lost_notices_are_made_up_by_a_listing_and_no_link_blinks() {
    let test = "lost_notices_are_made_up_by_a_listing_and_no_link_blinks";
    in_namespace(test, async || {
        const ROUTES: u32 = 20_000;
        drop(watcher_of_home().await);
        let monitor = Monitor::with_receive_buffer(8 << 10).unwrap();
        let mut watcher = Watcher::with(monitor).listed().await;
        let (id, _) = watcher.find("home0").expect("home0 is there");
        let lines = (1..=ROUTES).rev();
        let mut batch = ip_batch(
            lines.map(|metric| format!("route add default via 192.0.2.1 metric {}", 1000 + metric)),
        );
        assert!(batch.wait().unwrap().success());
        ip("route del default via 192.0.2.1 metric 100");
        ip("link set peer0 name other0");
        while metric4(watcher.facts("home0")) != Some(1001) {
            watcher.step().await;
            assert_eq!(watcher.find("home0").map(|(id, _)| id), Some(id));
        }
        assert!(watcher.listings > 1, "nothing was lost");
        watcher.until("other0", |_| true).await;
    });
}

#[test]
fn foreign_routes_wake_nobody() {
    in_namespace("foreign_routes_wake_nobody", async || {
        let routes: u32 =
            std::env::var("LINNET_TEST_ROUTES").map_or(20_000, |text| text.parse().unwrap());
        let mut watcher = watcher_of_home().await;
        // The kernel tells once more of an address whose uniqueness it has not looked at.
        let quiet = Duration::from_millis(200);
        while let Ok(events) = tokio::time::timeout(quiet, watcher.monitor.next()).await {
            events.unwrap();
        }
        let unread = socket::open_notices(RECEIVE_BUFFER).unwrap();
        let mut batch = ip_batch((0..routes).map(|number| {
            let [_, a, b, c] = (number * 4).to_be_bytes();
            format!("route add 11.{a}.{b}.{c}/30 via 192.0.2.1")
        }));
        let before = cpu_time();
        let mut added = tokio::task::spawn_blocking(move || batch.wait());
        tokio::select! {
            status = &mut added => assert!(status.unwrap().unwrap().success()),
            events = watcher.monitor.next() => panic!("{events:?}"),
        }
        let spent = cpu_time() - before;
        let nothing = socket::receive(&unread, &mut Vec::new());
        assert_eq!(nothing.unwrap_err().kind(), io::ErrorKind::WouldBlock);
        ip("link set peer0 name other0");
        let events = watcher.step().await;
        assert!(
            events
                .iter()
                .all(|event| matches!(event, KernelEvent::Link(_) | KernelEvent::Switches { .. })),
            "{events:?}"
        );
        assert_eq!(watcher.listings, 1);
        let begun = std::time::Instant::now();
        let before = cpu_time();
        let fresh = Watcher::open().listed().await;
        let (listed, listing) = (begun.elapsed(), cpu_time() - before);
        assert_eq!(fresh.links.facts().len(), watcher.links.facts().len());
        writeln!(
            io::stderr(),
            "{routes} foreign routes: {spent:?} of CPU time while they came; first facts after {listed:?} ({listing:?} of CPU time)"
        )
        .unwrap();
    });
}

/// Has routes replaced, and returns which of them were told of.
async fn heard_of(watcher: &mut Watcher, replaced: &[String], marker: &str) -> Vec<String> {
    let replace = |route: &str, host: &str| {
        let net = if route.contains(':') {
            "2001:db8::"
        } else {
            "192.0.2."
        };
        ip(&format!("route replace {route} via {net}{host} table 77"));
    };
    for route in replaced {
        replace(route, "1");
        replace(route, "2");
    }
    ip(&format!("link property add dev peer0 altname {marker}"));
    let mut heard = Vec::new();
    loop {
        let events = watcher.step().await;
        for event in events {
            if let KernelEvent::PlaceTaken(theirs) = event {
                heard.push(theirs.key.to.to_string());
            } else if let KernelEvent::Link(link) = event
                && link.alt_names.iter().any(|name| **name == *marker)
            {
                return heard;
            }
        }
    }
}

#[test]
fn who_replaces_routes_is_heard_where_ours_lead_and_nowhere_else() {
    let test = "who_replaces_routes_is_heard_where_ours_lead_and_nowhere_else";
    in_namespace(test, async || {
        let mut watcher = watcher_of_home().await;
        ip("-6 route add default via 2001:db8::1 metric 300");
        let there = |number: u16| {
            let [a, b] = number.to_be_bytes();
            match number % 2 {
                0 => format!("10.{a}.{b}.0/24"),
                _ => format!("2001:db8:{a}:{b}::/64"),
            }
        };
        // Up to the most, and one more: then all are heard.
        for (ours, are_told_apart) in [
            (0, true),
            (3, true),
            (40, true),
            (1500, true),
            (1501, false),
        ] {
            let destinations: Vec<Prefix> = (0..ours).map(|it| destination(&there(it))).collect();
            watcher.monitor.hear_of(&destinations);
            let probed: Vec<u16> = [0, 1, 2, 19, 38, 39, 750, 1498, 1499, 3000, 3001].into();
            let replaced: Vec<String> = probed.iter().map(|it| there(*it)).collect();
            let expected = probed.iter().filter(|it| **it < ours || !are_told_apart);
            let expected: Vec<String> = expected.map(|it| there(*it)).collect();
            let heard = heard_of(&mut watcher, &replaced, &format!("marker{ours}")).await;
            assert_eq!(heard, expected, "of {ours}");
            ip("route flush table 77");
            ip("-6 route flush table 77");
        }
        assert_eq!(watcher.listings, 1, "nothing was lost");
    });
}

fn destination(text: &str) -> Prefix {
    let (address, length) = text.split_once('/').unwrap();
    let (address, length) = (address.parse().unwrap(), length.parse().unwrap());
    Prefix { address, length }
}

/// Before the listing is at its table, and whether or not it is at a place of ours.
#[test]
fn who_comes_to_places_while_all_is_listed_is_heard_of() {
    in_namespace(
        "who_comes_to_places_while_all_is_listed_is_heard_of",
        async || {
            for line in [
                "link set lo up",
                "link add home0 type veth peer name peer0",
                "link set peer0 up",
                "link set home0 up",
                "address add 192.0.2.10/24 dev home0",
                "route add 10.1.0.0/16 via 192.0.2.1 metric 50 proto 112",
                "route add 10.2.0.0/16 via 192.0.2.1 metric 50 proto 112",
            ] {
                ip(line);
            }
            let mut monitor = Monitor::open().unwrap();
            assert_eq!(monitor.next().await.unwrap(), [KernelEvent::ListingBegins]);
            monitor.hear_of(&[destination("10.1.0.0/16")]);
            for line in [
                "route append 10.1.0.0/16 via 192.0.2.3 metric 50 proto bird",
                "route prepend 10.1.0.0/16 via 192.0.2.2 metric 50 proto bird",
                "route prepend blackhole 10.1.0.0/16 metric 50 proto bird",
                "route append 10.3.0.0/16 via 192.0.2.2 metric 50 proto bird",
                "route append 10.3.0.0/16 via 192.0.2.3 metric 50 proto bird",
                "route replace 10.2.0.0/16 via 192.0.2.2 metric 50 proto bird",
            ] {
                ip(line);
            }
            let word = |event: &KernelEvent| {
                if let KernelEvent::PlaceShared { theirs, is_first } = event {
                    let via = theirs.hops.first().and_then(|hop| hop.via);
                    let via = via.map_or_else(|| "nowhere".to_owned(), |via| via.to_string());
                    return Some(format!("{} by {via}, first: {is_first}", theirs.key.to));
                }
                if let KernelEvent::PlaceTaken(theirs) = event {
                    return Some(format!("{} is taken", theirs.key.to));
                }
                (*event == KernelEvent::ListingEnds).then(|| "listed".to_owned())
            };
            let mut words = Vec::new();
            while !words.contains(&"10.2.0.0/16 is taken".to_owned()) {
                let events = tokio::time::timeout(PATIENCE, monitor.next()).await;
                let events = events.unwrap_or_else(|_| panic!("nothing comes: {words:?}"));
                words.extend(events.unwrap().iter().filter_map(word));
            }
            let expected = [
                // As they stand, the first one last of those before ours.
                "10.1.0.0/16 by 192.0.2.2, first: true",
                "10.1.0.0/16 by nowhere, first: true",
                "10.1.0.0/16 by 192.0.2.3, first: false",
                "listed",
                // As they came.
                "10.1.0.0/16 by 192.0.2.3, first: false",
                "10.1.0.0/16 by 192.0.2.2, first: true",
                "10.1.0.0/16 by nowhere, first: true",
                "10.2.0.0/16 is taken",
            ];
            assert_eq!(words, expected);
        },
    );
}

/// `NLMSG_DONE` with an `errno`.
fn done(errno: i32) -> Vec<u8> {
    let head = [20_u32.to_ne_bytes(), 3_u32.to_ne_bytes()].concat();
    [head, vec![0; 8], (-errno).to_ne_bytes().to_vec()].concat()
}

#[test]
fn a_table_that_cannot_be_listed_for_a_moment_is_listed_again() {
    let test = "a_table_that_cannot_be_listed_for_a_moment_is_listed_again";
    in_namespace(test, async || {
        let mut listing = Listing::begin().unwrap();
        let mut events = Vec::new();
        for errno in [libc::EINTR, libc::EAGAIN, libc::ENOMEM, libc::EBUSY] {
            let error = listing.take_rows(&done(errno), &mut events).unwrap_err();
            assert!(is_passing(&error), "{error}");
        }
        let error = listing.take_rows(&done(libc::EPERM), &mut events);
        assert!(!is_passing(&error.unwrap_err()));
        let absent = listing.take_rows(&done(libc::ENOENT), &mut events);
        assert_eq!(absent.unwrap(), Progress::Under, "the next table");

        // Without descriptors there is no socket for a listing.
        let mut monitor = Monitor::open().unwrap();
        let mut limit = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        // SAFETY: both calls read or write one `rlimit`, which is there for the whole call.
        let set = |limit: &libc::rlimit| unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, limit) };
        // SAFETY: as above.
        let known = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
        assert_eq!(known, 0);
        let none = libc::rlimit {
            rlim_cur: 0,
            ..limit
        };
        assert_eq!(set(&none), 0);
        let early = tokio::time::timeout(Duration::from_millis(300), monitor.next()).await;
        assert_eq!(set(&limit), 0);
        assert!(early.is_err(), "{early:?}");
        let mut watcher = Watcher::with(monitor).listed().await;
        ip("link add home0 type veth peer name peer0");
        watcher.until("home0", |_| true).await;
    });
}

#[test]
fn first_facts_come_at_once() {
    in_namespace("first_facts_come_at_once", async || {
        drop(watcher_of_home().await);
        let begun = std::time::Instant::now();
        let watcher = Watcher::open().listed().await;
        let listed = begun.elapsed();
        assert!(watcher.facts("home0").up);
        writeln!(io::stderr(), "first facts after {listed:?}").unwrap();
    });
}

/// Returns the CPU time of this process, user and system, without its children's.
fn cpu_time() -> Duration {
    // SAFETY: rusage is plain numbers, for which zero is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is writable for the call.
    let result = unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) };
    assert_eq!(result, 0);
    [usage.ru_utime, usage.ru_stime]
        .map(|time| {
            Duration::from_secs(time.tv_sec.cast_unsigned())
                + Duration::from_micros(time.tv_usec.cast_unsigned())
        })
        .into_iter()
        .sum()
}
