//! What of one place is believed in the next? One cable, pulled from a network with IPv6 and plugged into one without.

use std::time::{Duration, Instant};

use tests::dnsmasq::Dnsmasq;
use tests::namespace::{isolated, shell};
use tests::office::carries;
use tests::peer::until;

use super::{ANY_NETWORK, LINNETD, Network, addresses, default_link, folder, office, until_answer};

/// Three solicitations of RFC 4861, and what a busy machine adds.
const SILENCE: Duration = Duration::from_secs(22);

#[test]
fn nothing_of_a_network_with_ipv6_outlasts_the_way_to_one_without() {
    isolated(
        "links::places::nothing_of_a_network_with_ipv6_outlasts_the_way_to_one_without",
        || {
            let dir = folder();
            let cafe = Network::cafe(&dir, "net0");
            let office = office(dir.clone());
            office.configure("profiles/any.toml", ANY_NETWORK);
            let _linnetd = office.linnetd(LINNETD, &[]);
            cafe.plug("up");
            until_answer(cafe.answer, "cafe");
            until("the cafe has the default routes", || {
                ["-4", "-6"]
                    .iter()
                    .all(|family| default_link(family).as_deref() == Some("net0"))
            });
            let told = || shell("ip -6 addr show dev net0");
            until("there is an address of its prefix", || {
                told().contains("2001:db8:a:")
            });
            cafe.plug("down");
            until("the carrier is gone", || !carries("net0"));

            // The other place: another gateway, no router, and somebody with the address of the cafe's resolver who hears all.
            drop(cafe);
            shell(
                "ip -n cafe addr flush dev r0 && ip -n cafe link set r0 address 02:00:00:00:03:01 && ip -n cafe addr add 10.3.0.1/24 dev r0",
            );
            let plain = Dnsmasq::leasing(
                "r0",
                "10.3.0.100,10.3.0.150,255.255.255.0,600",
                &dir.join("plain.leases"),
                "log-queries bind-dynamic address=/test/10.3.0.80",
            )
            .start(&dir, "plain", Some("cafe"));
            shell("ip -n cafe link set r0 up && ip -n cafe addr add 2001:db8:a::1/64 dev r0 nodad");
            let begun = Instant::now();
            until_answer("10.3.0.80", "plain");
            while default_link("-6").is_some() {
                assert!(begun.elapsed() < SILENCE, "{}", shell("ip -6 route"));
                std::thread::sleep(Duration::from_millis(100));
            }
            assert_eq!(default_link("-4").as_deref(), Some("net0"));
            assert!(addresses("net0").iter().any(|at| at.starts_with("10.3.0.")));
            assert!(
                told().contains("deprecated"),
                "nothing begins with the old address: {}",
                told()
            );
            until_answer("10.3.0.80", "later");
            let log = plain.log();
            let by_ipv6 = log.lines().find(|line| line.contains(" from 2001:db8:a:"));
            assert_eq!(by_ipv6, None, "a name was sent to the cafe's resolver");
        },
    );
}
