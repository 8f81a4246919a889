//! Worlds of an administrator: links that are told up, down or released by command, while the daemon dies and is started again.
//! What was told holds until something else is told, whatever happens to the daemon.

use std::collections::BTreeMap;
use std::time::Duration;

use linkmgr::KernelRequest;
use linnet::api::LinkParameters;
use linnet::config_dirs::Kind;
use tokio::sync::oneshot;

use super::air::Network;
use super::host::Host;
use super::story::{file, main, tell};
use crate::control::Caller;
use crate::input::{ConnectionId, ControlCall, Input, Method};
use crate::world::Steer;

const BY_HAND: &str = "match = { name = \"eth0\" }\nautoconnect = false\naddresses = [\"192.0.2.10/24\"]\n[dns]\nupstreams = [\"192.0.2.53\"]\n[[routes]]\nto = \"0.0.0.0/0\"\nvia = \"192.0.2.1\"\n";
const BY_ITSELF: &str = "match = { name = \"eth1\" }\naddresses = [\"198.51.100.10/24\"]\n[[routes]]\nto = \"203.0.113.0/24\"\nvia = \"198.51.100.1\"\n";
/// Who claims names, by a link that is never there.
const OFFICE: &str =
    "match = { name = \"vpn0\" }\n[dns]\nupstreams = [\"10.8.0.1\"]\nclaims = [\"corp.example\"]\n";
const LINKS: [(u32, &str); 2] = [(2, "eth0"), (3, "eth1")];
const RACKS: [u8; 2] = [9, 4];
/// Longer than the kernel needs for what follows from a command.
const CARRIED_OUT: Duration = Duration::from_secs(8);

/// What holds of a link, and how many requests there were when it had been carried out.
type Holds = BTreeMap<u32, (Steer, usize)>;

fn machine(seed: u64) -> Host {
    let files = vec![
        main(seed),
        file(Kind::Profile, "profiles/by-hand.toml", BY_HAND),
        file(Kind::Profile, "profiles/by-itself.toml", BY_ITSELF),
        file(Kind::Profile, "profiles/office.toml", OFFICE),
    ];
    let mut host = Host::new(seed, files);
    let nets = [[192, 0, 2], [198, 51, 100]];
    for (((index, name), rack), net) in LINKS.into_iter().zip(RACKS).zip(nets) {
        host.add_network(Network::fixed(rack, net, 53));
        host.add_link(index, name, "ethernet");
        host.attach(index, rack);
    }
    host
}

impl Host {
    /// Somebody tells something of a link; whether it was heard.
    fn command(&mut self, steer: Steer, (index, name): (u32, &str)) -> bool {
        tell!(self, "tells {name}: {steer:?}");
        let (answer, mut answered) = oneshot::channel();
        let link = name.to_owned();
        let call = ControlCall {
            connection: ConnectionId(1),
            caller: Caller { uid: 0, pid: None },
            method: Method::Steer(steer, LinkParameters { link }),
            answer,
        };
        if self.daemon.is_some() {
            match steer {
                Steer::Release => self.rules.released(&self.kernel, index),
                Steer::Up | Steer::Down | Steer::Adopt | Steer::Renew => {
                    self.rules.taken_back(index);
                }
            }
        }
        self.feed(Input::Control(Box::new(call)));
        let reply = answered.try_recv().ok();
        reply.is_some_and(|reply| reply.error.is_none())
    }

    /// Looks at what was asked of the kernel since something held.
    fn check_told(&self, holds: &Holds) {
        for (index, (told, since)) in holds {
            for request in &self.rules.done[*since..] {
                let is_breach = match (told, request) {
                    (
                        Steer::Up | Steer::Release,
                        KernelRequest::DeleteAddress { index: of, .. },
                    )
                    | (
                        Steer::Up | Steer::Release,
                        KernelRequest::SetUp {
                            index: of,
                            up: false,
                        },
                    )
                    | (
                        Steer::Down,
                        KernelRequest::SetUp {
                            index: of,
                            up: true,
                        },
                    ) => of == index,
                    (Steer::Down | Steer::Release, KernelRequest::AddAddress(it)) => {
                        it.index == *index
                    }
                    (Steer::Up | Steer::Release, KernelRequest::DeleteRoute(route)) => {
                        route.leaves_by(*index)
                    }
                    _ => false,
                };
                assert!(
                    !is_breach,
                    "{index} was told {told:?}, and then {request:?}"
                );
            }
        }
    }

    fn has_address(&self, index: u32) -> bool {
        let mut addresses = self.kernel.addresses().iter();
        addresses.any(|(of, it)| *of == index && it.prefix.address.is_ipv4())
    }
}

fn act(host: &mut Host) {
    host.faults.roll(&mut host.dice);
    host.start();
    let mut holds = Holds::new();
    for _ in 0..12 {
        match host.dice.below(8) {
            0..=3 => {
                let link = host.dice.of(&LINKS);
                let told = host.dice.of(&[Steer::Up, Steer::Down, Steer::Release]);
                if host.command(told, link) {
                    holds.remove(&link.0);
                    host.run_for(CARRIED_OUT);
                    holds.insert(link.0, (told, host.rules.done.len()));
                }
            }
            4 | 5 => host.crash(),
            6 => {
                let at = usize::from(host.dice.one_in(2));
                host.detach(LINKS[at].0);
                host.wait();
                host.attach(LINKS[at].0, RACKS[at]);
            }
            _ => host.ask_on(),
        }
        host.run_for(Duration::from_millis(500));
        host.check_told(&holds);
    }
    host.calm_down();
    host.check_told(&holds);
    for (index, told) in [(2, None), (3, Some(Steer::Up))] {
        let told = holds.get(&index).map(|(told, _)| *told).or(told);
        match told {
            Some(Steer::Up) => assert!(host.has_address(index), "{index} is not set up"),
            Some(Steer::Down) | None => {
                let ours = host.ours();
                let is_here = |it: &&String| it.ends_with(&format!(" on {index}"));
                assert_eq!(ours.iter().find(is_here), None, "{index} is down: {told:?}");
            }
            // It is as it was.
            Some(Steer::Release | Steer::Adopt | Steer::Renew) => {}
        }
    }
    host.check_rest();
    host.end();
}

#[test]
fn what_was_told_of_a_link_holds_whatever_happens_to_the_daemon() {
    tell("told", 300, act, machine);
}

#[test]
fn a_lease_is_given_back_before_its_link_goes_down_but_the_link_does_not_wait_for_ever() {
    for (leaves_within, waits) in [(0, 0), (40, 40), (60_000, 500)] {
        let profile = "match = { name = \"eth0\" }\ndhcp4 = true\nra = true\ndhcp6 = true\n";
        let files = vec![main(1), file(Kind::Profile, "profiles/a.toml", profile)];
        let mut host = Host::new(1, files);
        host.leaves_within = Duration::from_millis(leaves_within);
        host.add_network(Network::new(4).with_dhcp6());
        host.add_link(2, "eth0", "ethernet");
        host.attach(2, 4);
        host.start();
        host.run_for(Duration::from_secs(30));
        assert!(host.has_address(2));
        let told_at = host.now;
        assert!(host.command(Steer::Down, (2, "eth0")));
        while host.kernel.links()[&2].admin_up {
            host.run_for(Duration::from_millis(1));
            assert!(host.now.since(told_at) < CARRIED_OUT);
        }
        let took = host.now.since(told_at).as_millis();
        assert!(
            (waits..waits + 30).contains(&took),
            "{leaves_within}: {took}"
        );
    }
}

#[test]
fn a_link_that_is_known_by_the_address_it_had_gets_another_one_once() {
    const ANOTHER: &str = "02:00:00:00:00:99";
    let profile = format!(
        "match = {{ mac = \"02:00:00:01:00:02\" }}\nmac = \"{ANOTHER}\"\naddresses = [\"192.0.2.10/24\"]\n"
    );
    let mut host = Host::new(
        1,
        vec![main(0), file(Kind::Profile, "profiles/a.toml", &profile)],
    );
    host.add_network(Network::fixed(RACKS[0], [192, 0, 2], 53));
    host.add_link(2, "eth0", "veth");
    host.attach(2, RACKS[0]);
    host.start();
    host.run_for(Duration::from_secs(600));
    let changes = |host: &Host| {
        let done = host.rules.done.iter();
        done.filter(|it| matches!(it, KernelRequest::SetMac { .. }))
            .count()
    };
    let mac = |host: &Host| host.kernel.links()[&2].mac.map(|mac| mac.to_string());
    assert_eq!((changes(&host), mac(&host).as_deref()), (1, Some(ANOTHER)));
    assert!(host.has_address(2));
    host.crash();
    host.run_for(Duration::from_secs(600));
    assert!(host.daemon.is_some() && host.has_address(2));
    assert_eq!(changes(&host), 1, "the next daemon knows it by that too");
    host.files.truncate(1);
    host.reload();
    host.run_for(Duration::from_secs(10));
    assert_eq!(mac(&host).as_deref(), Some("02:00:00:01:00:02"));
    assert!(!host.has_address(2));
}

/// What another name, another boot or another machine makes of it is looked at in `linkmgr::macs`.
#[test]
fn a_link_keeps_the_address_that_was_made_up_for_it_when_the_daemon_dies_and_gets_its_own_back() {
    let profile = "match = { name = \"eth*\" }\nmac = \"random\"\ndhcp4 = true\n";
    let mut host = Host::new(
        1,
        vec![main(0), file(Kind::Profile, "profiles/a.toml", profile)],
    );
    for ((index, name), rack) in LINKS.into_iter().zip(RACKS) {
        host.add_link(index, name, "ethernet");
        host.attach(index, rack);
    }
    let macs = |host: &Host| LINKS.map(|(index, _)| host.kernel.links()[&index].mac);
    let found = macs(&host);
    host.start();
    host.run_for(Duration::from_secs(600));
    let made = macs(&host);
    assert!(made.iter().flatten().all(|mac| mac.0[0] & 0b11 == 0b10));
    assert!(made[0] != made[1] && made[0] != found[0] && made[1] != found[1]);
    let requests = host.rules.done.len();
    host.crash();
    host.run_for(Duration::from_secs(600));
    assert!(host.daemon.is_some());
    assert_eq!(
        macs(&host),
        made,
        "nothing was remembered, and it is the same"
    );
    assert_eq!(host.rules.done.len(), requests, "and nothing was written");
    host.files.truncate(1);
    host.reload();
    host.run_for(Duration::from_secs(10));
    assert_eq!(macs(&host), found);
}
