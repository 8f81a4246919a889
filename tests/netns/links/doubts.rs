//! What becomes of a lease when the carrier comes back and nobody answers? One cable, a gateway and a server that are both away.

use std::thread;
use std::time::Duration;

use tests::namespace::{isolated, shell};
use tests::office::carries;
use tests::peer::{Peer, until};

use super::{LINNETD, Network, addresses, default_link, folder, link_status, office, until_answer};

/// Longer than gateways are waited for before a lease is doubted, and than a link without a carrier keeps what was supplied.
const SILENCE: Duration = Duration::from_millis(1700);

fn blink() {
    shell("ip -n cafe link set r0 down");
    until("the carrier is gone", || !carries("net0"));
    shell("ip -n cafe link set r0 up");
    until("the carrier is back", || carries("net0"));
}

#[test]
fn a_lease_outlives_a_blink_while_gateway_and_server_are_away() {
    isolated(
        "links::doubts::a_lease_outlives_a_blink_while_gateway_and_server_are_away",
        || {
            let dir = folder();
            let cafe = Network::cafe(&dir, "net0");
            let office = office(dir.clone());
            office.configure(
                "profiles/any.toml",
                "match = { name = \"net*\" }\ndhcp4 = true\n",
            );
            let linnetd = office.linnetd(LINNETD, &[]);
            cafe.plug("up");
            until_answer(cafe.answer, "cafe");
            let leased = addresses("net0");
            assert!(leased[0].starts_with("192.0.2.1"), "{leased:?}");
            let told = || link_status(&office, "net0").to_string();
            let names = || told().contains("\"upstreams\":[\"192.0.2.1\"");
            until("its names are known", names);
            // The gateway is asked for its hardware address once.
            thread::sleep(Duration::from_millis(300));
            let monitor = Peer::start(
                &dir,
                "monitor",
                None,
                &["ip", "-4", "monitor", "address", "route"],
            );

            // Server and gateway are one box, and it starts again: the cable comes first.
            drop(cafe);
            shell("ip -n cafe -4 addr flush dev r0");
            blink();
            thread::sleep(SILENCE);
            assert_eq!(addresses("net0"), leased);
            assert_eq!(default_link("-4").as_deref(), Some("net0"));
            assert!(told().contains("neither the gateway"), "{}", told());
            assert!(!names(), "nothing of it is asked before somebody answers");

            // The gateway is back, and its server is not.
            shell("ip -n cafe addr add 192.0.2.1/24 dev r0");
            until("its names are back", names);
            assert_eq!(addresses("net0"), leased);

            // Away again, and linnetd is started again meanwhile.
            shell("ip -n cafe -4 addr flush dev r0");
            drop(linnetd);
            let _linnetd = office.linnetd(LINNETD, &[]);
            until("it is doubted", || told().contains("neither the gateway"));
            assert!(!names());
            assert_eq!(addresses("net0"), leased);
            let log = monitor.log();
            let is_lost = |line: &&str| line.starts_with("Deleted") && line.contains("net0");
            assert_eq!(log.lines().find(is_lost), None, "{log}");
        },
    );
}
