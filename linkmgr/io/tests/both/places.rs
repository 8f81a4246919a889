//! What becomes of others' routes that stand at the places of ours, before them, behind them, or instead of them? Each of
//! these is left by the real kernel, whatever ours is asked to do.

use std::process::Stdio;

use super::*;

/// The number that `ip` gives when nobody says another.
const BOOT: &str = "boot";

/// Longer than the kernel's word may take.
const LONG: Duration = Duration::from_secs(15);

/// A link with a way into each family, and what is asked of it.
struct Place {
    machine: Machine<Real>,
    id: LinkId,
}

impl Place {
    async fn start() -> Self {
        for line in [
            "link set lo up",
            "link add home0 type veth peer name peer0",
            "link set peer0 up",
            "link set home0 addrgenmode none up",
            "address add 192.0.2.10/24 dev home0",
            "address add 2001:db8::10/64 dev home0 nodad",
        ] {
            ip(line);
        }
        let real = Real {
            monitor: Monitor::open().unwrap(),
            performer: Performer::open().unwrap(),
        };
        let machine = Machine::start(real, boot().unwrap()).await;
        let id = machine.id("home0");
        Self { machine, id }
    }

    async fn want(&mut self, routes: &[(RouteKey, RoutePlan)]) {
        let plan = LinkPlan {
            addresses: BTreeMap::new(),
            routes: routes.iter().cloned().collect(),
            switches: BTreeMap::new(),
            mtu: None,
            ..full()
        };
        let plan = LinksPlan {
            links: [(self.id, plan)].into(),
            ..LinksPlan::default()
        };
        self.machine.apply(plan).await;
    }

    /// Asks for a deletion, whatever is there.
    fn delete(&mut self, key: RouteKey, kind: RouteKind, via: Option<&str>) -> KernelAnswer {
        let deletion = self.deletion(key, kind, via);
        self.machine.kernel.ask(&deletion)
    }

    fn deletion(&self, key: RouteKey, kind: RouteKind, via: Option<&str>) -> KernelRequest {
        let via = via.map(|via| via.parse().unwrap());
        KernelRequest::DeleteRoute(OwnRoute {
            key,
            kind,
            hops: match kind == RouteKind::Unicast {
                true => vec![NextHop::only(self.id.index, via)],
                false => Vec::new(),
            },
            on_link: false,
            source: None,
            mtu: None,
            preference: Preference::Medium,
            tuning: RouteTuning::default(),
            valid: None,
        })
    }
}

fn one(via: &str) -> RoutePlan {
    RoutePlan {
        via: vec![HopPlan::through(via.parse().unwrap())],
        ..through(&[])
    }
}

/// A destination of a family, neighbours that lead there, and the least metric that its routes have.
struct Row {
    to: &'static str,
    ours: &'static str,
    later: &'static str,
    theirs: &'static str,
    least: u32,
}

const ROWS: [Row; 2] = [
    Row {
        to: "10.77.0.0/16",
        ours: "192.0.2.1",
        later: "192.0.2.2",
        theirs: "192.0.2.3",
        least: 0,
    },
    Row {
        to: "2001:db8:77::/48",
        ours: "2001:db8::1",
        later: "2001:db8::2",
        theirs: "2001:db8::3",
        least: 1024,
    },
];

fn routes(row: &Row, table: u32) -> String {
    let family = if row.to.contains(':') { "-6" } else { "-4" };
    let mut shown = shown(&format!("{family} -d route show table all {}", row.to));
    shown.retain(|letter| letter != '\t');
    let is_here = |line: &&str| line.contains(&format!("table {table} "));
    shown
        .lines()
        .filter(is_here)
        .map(|line| format!("{line}\n"))
        .collect()
}

/// Takes away what is left; of a family that has no such table `ip` complains.
fn clear() {
    for table in ["1001", "1002"] {
        for family in ["-4", "-6"] {
            let flush = [family, "route", "flush", "table", table];
            let mut flush = Command::new("ip").args(flush).stderr(Stdio::null()).spawn();
            let _had_any = flush.as_mut().unwrap().wait().unwrap();
        }
    }
}

/// Somebody puts a route in the place of ours, of which the kernel tells as of one that is there. What is planned changes, and
/// ends: theirs stays, and it is told that the place is taken.
async fn replaced(place: &mut Place) {
    for row in &ROWS {
        for table in [1001, 1002] {
            for metric in [row.least, 50] {
                let key = key(table, row.to, metric);
                place.want(&[(key, one(row.ours))]).await;
                ip(&format!(
                    "route replace {} table {table} metric {metric} via {} dev home0 proto {BOOT}",
                    row.to, row.theirs
                ));
                let theirs = routes(row, table);
                assert_eq!(theirs.lines().count(), 1, "{theirs}");
                assert!(theirs.contains(row.theirs), "{theirs}");
                place.machine.drive().await;
                place.machine.wait(LONG).await;
                let state = |place: &Place| {
                    let items = place.machine.links.items(Some(place.id));
                    let mut routes = items
                        .into_iter()
                        .filter(|(item, _)| *item == Item::Route(key));
                    routes.next().map(|(_, state)| state)
                };
                assert_eq!(state(place), Some(ItemState::Foreign), "{theirs}");
                place.want(&[(key, one(row.later))]).await;
                assert_eq!(routes(row, table), theirs);
                assert_eq!(state(place), Some(ItemState::Foreign), "{theirs}");
                place.want(&[]).await;
                assert_eq!(routes(row, table), theirs);
                clear();
            }
        }
    }
}

/// Others have routes to the same destination by the same neighbour: with another metric, in another table, of another
/// type, for a type of service or some sources only. Ours goes, whoever came first, and when it is gone nothing goes for it.
async fn beside(place: &mut Place) {
    for row in &ROWS {
        let is_ipv4 = row.least == 0;
        let to = row.to;
        let by = format!("via {} dev home0", row.ours);
        let theirs = [
            format!("{to} table 1001 metric 2000 {by} proto {BOOT}"),
            format!("{to} table 1002 {by} proto {BOOT}"),
            format!("{to} table 1002 metric 2000 {by} proto 112"),
            // Who has our number by mistake is not us.
            format!("{to} table 1001 metric 2001 {by} proto 112"),
            match is_ipv4 {
                true => format!("{to} table 1001 tos 0x10 {by} proto 112"),
                false => format!("{to} table 1001 from 2001:db8:9::/64 {by} proto 112"),
            },
            match is_ipv4 {
                true => format!("blackhole {to} table 1001 metric 2002 proto 112"),
                false => format!("unreachable {to} table 1001 metric 2002 proto 112"),
            },
        ];
        let key = key(1001, to, row.least);
        let is_ours = |line: &&str| {
            line.contains(row.ours)
                && line.contains("proto 112")
                && !line.contains("metric 200")
                && !line.contains("tos")
                && !line.contains("from")
        };
        for are_first in [true, false] {
            if !are_first {
                place.want(&[(key, one(row.ours))]).await;
            }
            for theirs in &theirs {
                ip(&format!("route add {theirs}"));
            }
            place.want(&[(key, one(row.ours))]).await;
            let all = routes(row, 1001) + &routes(row, 1002);
            let ours: Vec<&str> = all.lines().filter(is_ours).collect();
            assert_eq!(ours.len(), 1, "{all}");
            let left: Vec<&str> = all.lines().filter(|line| !is_ours(line)).collect();
            assert_eq!(left.len(), theirs.len(), "{all}");
            place.want(&[]).await;
            let now = routes(row, 1001) + &routes(row, 1002);
            assert_eq!(now.lines().collect::<Vec<_>>(), left, "{all}");

            for (kind, via) in [
                (RouteKind::Unicast, Some(row.ours)),
                (RouteKind::Unicast, None),
                (RouteKind::Blackhole, None),
                (RouteKind::Unreachable, None),
            ] {
                let answer = place.delete(key, kind, via);
                let now = routes(row, 1001) + &routes(row, 1002);
                assert_eq!(
                    now.lines().collect::<Vec<_>>(),
                    left,
                    "{kind:?} {via:?} {answer:?}"
                );
                assert!(
                    matches!(&answer, KernelAnswer::Failed(fault) if fault.errno == libc::ESRCH),
                    "{answer:?}"
                );
            }
            clear();
            place.machine.wait(LONG).await;
        }
    }
}

/// At the very place of ours others stand before or behind it: theirs stay when ours changes, or goes.
async fn at_one_place(place: &mut Place) {
    for row in &ROWS {
        let is_ipv4 = row.least == 0;
        for metric in [row.least, 50] {
            let key = key(1001, row.to, metric);
            for verb in ["append", "prepend"] {
                let at = format!("{} table 1001 metric {metric}", row.to);
                let by = match is_ipv4 {
                    true => format!("via {} dev home0", row.ours),
                    // Of those with a neighbour the kernel would make one with several ways.
                    false => "dev home0".to_owned(),
                };
                place.want(&[(key, one(row.ours))]).await;
                ip(&format!("route {verb} {at} {by} proto {BOOT}"));
                ip(&format!("route {verb} blackhole {at} proto 4"));
                place.machine.drive().await;
                let before = routes(row, 1001);
                place.want(&[(key, one(row.later))]).await;
                place.machine.wait(LONG).await;
                assert_eq!(routes(row, 1001), before, "the kernel would replace theirs");
                place.want(&[]).await;
                let left = routes(row, 1001);
                assert_eq!(left.lines().count(), 2, "{left}");
                assert!(!left.contains("proto 112"), "{left}");
                // When they have left, ours comes as it is wanted.
                place.want(&[(key, one(row.ours))]).await;
                clear();
                place.machine.drive().await;
                let alone = routes(row, 1001);
                assert!(alone.contains(row.ours), "{alone}");
                assert_eq!(alone.lines().count(), 1, "{alone}");
                place.want(&[]).await;
                place.machine.wait(LONG).await;
            }
        }
    }
}

/// Of default routes too: one that somebody has replaced before ours takes nothing from us, and ours changes when theirs have left.
async fn defaults(place: &mut Place) {
    for (to, row) in ["0.0.0.0/0", "::/0"].into_iter().zip(&ROWS) {
        let is_ipv4 = row.least == 0;
        let family = if is_ipv4 { "-4" } else { "-6" };
        let all = || shown(&format!("{family} route show table main default"));
        let key = key(254, to, 100);
        let by = |via: &str| format!("default via {via} dev home0 metric 100 proto {BOOT}");
        let mut theirs = by(row.theirs);
        for verb in ["append", "prepend"] {
            place.want(&[(key, one(row.ours))]).await;
            ip(&format!("{family} route {verb} {theirs}"));
            if is_ipv4 && verb == "prepend" {
                theirs = by("192.0.2.4");
                ip(&format!("{family} route replace {theirs}"));
            }
            place.machine.drive().await;
            let before = all();
            assert!(before.contains(row.ours), "{before}");
            place.want(&[(key, one(row.later))]).await;
            place.machine.wait(LONG).await;
            assert_eq!(all(), before, "the kernel would replace theirs");
            ip(&format!("{family} route del {theirs}"));
            place.machine.drive().await;
            place.machine.wait(LONG).await;
            let alone = all();
            assert!(alone.contains(row.later), "{alone}");
            assert_eq!(alone.lines().count(), 1, "{alone}");
            theirs = by(row.theirs);
            ip(&format!("{family} route {verb} {theirs}"));
            place.machine.drive().await;
            place.want(&[]).await;
            let left = all();
            assert!(left.contains(row.theirs), "{left}");
            assert_eq!(left.lines().count(), 1, "{left}");
            ip(&format!("{family} route del {theirs}"));
            place.machine.drive().await;
            place.machine.wait(LONG).await;
        }
    }
}

/// Many routes of the least metric go at once: those that are there, and no others like them.
async fn many(place: &mut Place) {
    const MANY: u8 = 200;
    let of = |number: u8, metric| key(1001, &format!("10.88.{number}.0/24"), metric);
    let wanted = |metric: u32| (0..MANY).map(move |number| (of(number, metric), one("192.0.2.1")));
    let all: Vec<_> = wanted(0).chain(wanted(50)).collect();
    place.want(&all).await;
    let left = || shown("-4 route show table 1001");
    assert_eq!(left().lines().count(), all.len(), "{}", left());
    let is_taken = |number: u8| number.is_multiple_of(3);
    for number in (0..MANY).filter(|number| is_taken(*number)) {
        let answer = place.delete(of(number, 0), RouteKind::Unicast, Some("192.0.2.1"));
        assert_eq!(answer, KernelAnswer::Done);
    }
    let requests = (0..MANY).map(|number| {
        let id = linkmgr::RequestId(number.into());
        (
            id,
            place.deletion(of(number, 0), RouteKind::Unicast, Some("192.0.2.1")),
        )
    });
    let requests: Vec<_> = requests.collect();
    for (id, answer) in place.machine.kernel.performer.perform(&requests) {
        let number = u8::try_from(id.0).unwrap();
        let is_gone = matches!(&answer, KernelAnswer::Failed(fault) if fault.errno == libc::ESRCH);
        assert_eq!(is_gone, is_taken(number), "{number}: {answer:?}");
        assert!(
            is_gone || answer == KernelAnswer::Done,
            "{number}: {answer:?}"
        );
    }
    assert_eq!(left().lines().count(), usize::from(MANY), "{}", left());
    let is_later = |line: &str| line.contains("metric 50");
    assert!(left().lines().all(is_later), "{}", left());
    clear();
}

#[test]
fn what_others_put_at_the_places_of_ours_stays() {
    in_namespace(
        "places::what_others_put_at_the_places_of_ours_stays",
        async || {
            let mut place = Place::start().await;
            beside(&mut place).await;
            at_one_place(&mut place).await;
            replaced(&mut place).await;
            defaults(&mut place).await;
            many(&mut place).await;
        },
    );
}

/// Somebody else has the very rule that is planned: there is no second one, also not of the next daemon, until his has gone.
#[test]
fn a_rule_of_others_gets_none_of_ours_beside_it() {
    in_namespace(
        "places::a_rule_of_others_gets_none_of_ours_beside_it",
        async || {
            let mut place = Place::start().await;
            let theirs = "rule add from 192.0.2.0/24 table 1000 priority 100";
            let gone = "rule del from 192.0.2.0/24 table 1000 priority 100 protocol";
            let [rule, ..] = rules();
            let plan = |rules: &[&PolicyRule]| LinksPlan {
                rules: rules.iter().copied().cloned().collect(),
                ..LinksPlan::default()
            };
            let there = || {
                let shown = shown("rule show priority 100");
                let numbers = shown.lines().map(|line| line.rsplit(' ').next());
                numbers.map(|it| it.unwrap().to_owned()).collect::<Vec<_>>()
            };
            for number in ["3", "12"] {
                ip(&format!("{theirs} protocol {number}"));
            }
            let names = there();
            assert_eq!(names.len(), 2, "{names:?}");
            for _ in 0..2 {
                place.machine.restart().await;
                place.machine.apply(plan(&[&rule])).await;
                assert_eq!(there(), names);
                let state = place.machine.links.items(None)[0].1.clone();
                assert_eq!(state, ItemState::Adopted);
            }
            ip(&format!("{gone} 3"));
            place.machine.drive().await;
            assert_eq!(there(), names[1..]);
            ip(&format!("{gone} 12"));
            place.machine.drive().await;
            assert_eq!(there(), ["112"]);
            ip(&format!("{theirs} protocol 3"));
            place.machine.apply(plan(&[])).await;
            assert_eq!(there(), names[..1], "ours goes alone");
        },
    );
}

/// Whether the network of an address has a route by the link itself is told of any table and number, and of no gateway.
#[test]
fn it_is_told_whether_a_network_has_a_route_by_the_link_itself() {
    in_namespace(
        "places::it_is_told_whether_a_network_has_a_route_by_the_link_itself",
        async || {
            let mut place = Place::start().await;
            let index = place.id.index;
            for line in [
                "route add 10.1.0.0/16 dev home0 proto dhcp metric 1002",
                "route add 10.2.0.0/16 dev home0 table 1001 proto 16",
                "route add 10.3.0.0/16 via 192.0.2.1 dev home0",
                "route add 10.4.0.0/16 dev peer0",
                "route add 10.5.0.0/17 dev home0",
                "route add blackhole 10.6.0.0/16",
            ] {
                ip(line);
            }
            let rows = [
                ("192.0.2.10/24", 1),
                ("192.0.2.10/25", 0),
                ("10.1.2.3/16", 1),
                ("10.2.2.3/16", 1),
                ("10.3.2.3/16", 0),
                ("10.4.2.3/16", 0),
                ("10.5.2.3/16", 0),
                ("10.6.2.3/16", 0),
                ("10.7.2.3/16", 0),
            ];
            for (of, expected) in rows {
                let request = KernelRequest::ReadPrefixRoute {
                    index,
                    prefix: prefix(of),
                };
                let answer = place.machine.kernel.ask(&request);
                assert_eq!(answer, KernelAnswer::Value(expected), "{of}");
            }
        },
    );
}
