//! What stays when the carrier goes, and what comes back with it? Each way that `[carrier]` knows, on a link whose cable is pulled.

use std::thread;
use std::time::{Duration, Instant};

use tests::namespace::{isolated, shell};
use tests::office::{Office, carries};
use tests::peer::{PATIENCE, Peer, until};

use super::{
    ANY_NETWORK, LINNET, LINNETD, Network, addresses, default_link, folder, link_status, office,
    until_answer,
};

/// What `[carrier]` of the profiles and the switch of `linnet.toml` say, and for how long what is fixed and what was supplied stay; `None` for ever.
struct Way {
    name: &'static str,
    switch: &'static str,
    carrier: &'static str,
    fixed: Option<u64>,
    supplied: Option<u64>,
}

const WAYS: [Way; 4] = [
    Way {
        name: "switched-off",
        switch: "[links]\ncarrier = false\n",
        carrier: "",
        fixed: None,
        supplied: None,
    },
    Way {
        name: "ignored",
        switch: "",
        carrier: "[carrier]\nsupplied = \"ignore\"\n",
        fixed: None,
        supplied: None,
    },
    Way {
        name: "graceful",
        switch: "",
        carrier: "[carrier]\nfixed = \"2s\"\nsupplied = \"2s\"\n",
        fixed: Some(2000),
        supplied: Some(2000),
    },
    Way {
        name: "at-once",
        switch: "",
        carrier: "[carrier]\nfixed = \"0s\"\nsupplied = \"0s\"\n",
        fixed: Some(0),
        supplied: Some(0),
    },
];

/// What is there of the link's own.
#[derive(Debug, PartialEq, Eq)]
struct There {
    fixed: bool,
    fixed_route: bool,
    leased: bool,
    advertised: bool,
    route: bool,
}

impl There {
    fn look() -> Self {
        let has = |begins: &str| {
            let mut all = addresses("net0").into_iter();
            all.any(|address| address.starts_with(begins))
        };
        let routes = shell("ip route show dev net0; ip -6 route show dev net0");
        Self {
            fixed: has("10.9.0.1"),
            fixed_route: routes.contains("10.10.0.0/16 via 10.9.0.2"),
            leased: has("192.0.2."),
            advertised: has("2001:db8:a:"),
            route: routes.contains("default via 192.0.2.1"),
        }
    }

    fn of(fixed: bool, supplied: bool) -> Self {
        Self {
            fixed,
            fixed_route: fixed,
            leased: supplied,
            advertised: supplied,
            route: supplied,
        }
    }
}

fn until_there(wanted: &There) {
    let begun = Instant::now();
    while There::look() != *wanted {
        assert!(
            begun.elapsed() < PATIENCE,
            "{:?} is not {wanted:?}",
            There::look()
        );
        wait(5);
    }
}

fn configure(office: &Office, way: &Way) {
    office.configure(
        "linnet.toml",
        &format!(
            "[resolver]\ndnssec = \"off\"\nrecursion = \"never\"\n{}",
            way.switch
        ),
    );
    office.configure(
        "profiles/any.toml",
        &format!(
            "{}metric = 400\n{}",
            ANY_NETWORK.replace("net*", "net1"),
            way.carrier
        ),
    );
    office.configure(
        "profiles/a.toml",
        &format!(
            "{}addresses = [\"10.9.0.1/24\"]\n{}[[routes]]\nto = \"10.10.0.0/16\"\nvia = \"10.9.0.2\"\n",
            ANY_NETWORK.replace("net*", "net0"),
            way.carrier
        ),
    );
    let (code, text) = office.linnet(LINNET, &["config", "reload"]);
    assert!(code == 0 && !text.contains("error"), "{text}");
}

/// Waits for a time that the profile names to pass, or to pass in vain.
fn wait(millis: u64) {
    thread::sleep(Duration::from_millis(millis));
}

#[test]
fn what_stays_without_a_carrier_is_as_the_profile_says() {
    isolated(
        "links::carrier::what_stays_without_a_carrier_is_as_the_profile_says",
        || {
            let dir = folder();
            let (cafe, work) = Network::two(&dir);
            let office = office(dir.clone());
            office.configure("profiles/any.toml", ANY_NETWORK);
            let _linnetd = office.linnetd(LINNETD, &[]);
            work.plug("up");
            cafe.plug("up");
            for way in &WAYS {
                let name = way.name;
                configure(&office, way);
                until_there(&There::of(true, true));
                until("the cafe has the default routes", || {
                    ["-4", "-6"]
                        .iter()
                        .all(|family| default_link(family).as_deref() == Some("net0"))
                });
                let monitor = Peer::start(
                    &dir,
                    "monitor",
                    None,
                    &["ip", "monitor", "address", "route"],
                );
                cafe.plug("down");
                // The kernel takes its time, and on a busy machine more.
                until("the carrier is gone", || !carries("net0"));
                // Names and packets go elsewhere at once, whatever stays.
                let took = until_answer(work.answer, &format!("out.{name}"));
                assert!(took < Duration::from_secs(2), "{name}: {took:?}");
                assert!(!cafe.heard(&format!(".out.{name}.test")), "{name}");
                for family in ["-4", "-6"] {
                    until("the default route is work's", || {
                        default_link(family).as_deref() == Some("net1")
                    });
                }
                match (way.fixed, way.supplied) {
                    (None, None) => {
                        // Longer than the usual grace.
                        wait(3300);
                        assert_eq!(There::look(), There::of(true, true), "{name}");
                    }
                    (Some(0), Some(0)) => {
                        until_there(&There::of(false, false));
                    }
                    (Some(grace), Some(_)) => {
                        assert_eq!(There::look(), There::of(true, true), "{name}");
                        // Back within its time it was never away.
                        cafe.plug("up");
                        wait(grace + 300);
                        let log = monitor.log();
                        let is_lost = |line: &&str| {
                            line.starts_with("Deleted")
                                && line.contains("net0")
                                && line.contains(" inet")
                        };
                        assert_eq!(log.lines().find(is_lost), None, "{log}");
                        cafe.plug("down");
                        wait(grace / 2);
                        assert_eq!(There::look(), There::of(true, true), "{name}");
                        until_there(&There::of(false, false));
                    }
                    _ => unreachable!("no way has both"),
                }
                cafe.plug("up");
                until_answer(cafe.answer, &format!("again.{name}"));
                until_there(&There::of(true, true));
                assert!(!work.heard(&format!(".again.{name}.test")), "{name}");
                let told = link_status(&office, "net0");
                assert!(told.to_string().contains("192.0.2.1"), "{told}");
            }
        },
    );
}

#[test]
fn what_is_fixed_is_set_without_a_carrier_unless_it_hangs_on_it() {
    isolated(
        "links::carrier::what_is_fixed_is_set_without_a_carrier_unless_it_hangs_on_it",
        || {
            shell(
                "ip link add net0 type veth peer name far0 && ip link add net1 type veth peer name far1",
            );
            let office = office(folder());
            let profile = |link: &str, number: u8, more: &str| {
                office.configure(
                    &format!("profiles/{link}.toml"),
                    &format!("match = {{ name = \"{link}\" }}\naddresses = [\"10.9.{number}.1/24\"]\n{more}"),
                );
            };
            profile("net0", 0, "");
            profile("net1", 1, "[carrier]\nfixed = \"1s\"\n");
            let _linnetd = office.linnetd(LINNETD, &[]);
            until("the address is there", || addresses("net0") == ["10.9.0.1"]);
            wait(200);
            assert!(
                addresses("net1").is_empty(),
                "no grace for what was never up"
            );
            shell("ip link set far1 up");
            until("the address is there", || addresses("net1") == ["10.9.1.1"]);
        },
    );
}
