//! Is a link that was left to others and taken back as it was before? What its networks supply is linnet's again, and default routes move
//! with the cables.

use std::fs;
use std::path::Path;

use tests::namespace::{isolated, shell};
use tests::office::Office;
use tests::peer::{Peer, until};

use super::{ANY_NETWORK, LINNET, LINNETD, default_link, folder, office};

/// A network with leases and router advertisements at the other end of `net0` or `net1`.
fn network(dir: &Path, number: u8) -> Peer {
    let name = format!("r{number}");
    shell(&format!(
        "ip netns add {name} && ip link add net{number} type veth peer name r0 netns {name} && \
         sysctl -qw net.ipv6.conf.net{number}.accept_dad=0 net.ipv6.conf.net{number}.accept_ra=0 && \
         ip netns exec {name} sysctl -qw net.ipv6.conf.all.forwarding=1 net.ipv6.conf.r0.accept_dad=0 && \
         ip -n {name} addr add 198.51.{number}.1/24 dev r0 && ip -n {name} addr add 2001:db8:{number}::1/64 dev r0 nodad && \
         ip -n {name} link set r0 up && ip link set net{number} up"
    ));
    let command = [
        "dnsmasq".to_owned(),
        "--keep-in-foreground".to_owned(),
        "--conf-file=/dev/null".to_owned(),
        "--pid-file=".to_owned(),
        "--port=0".to_owned(),
        "--user=root".to_owned(),
        "--no-ping".to_owned(),
        "--bind-dynamic".to_owned(),
        "--interface=r0".to_owned(),
        "--enable-ra".to_owned(),
        format!("--dhcp-range=198.51.{number}.100,198.51.{number}.150,10m"),
        format!("--dhcp-range=2001:db8:{number}::,ra-only,64,600"),
        format!("--dhcp-leasefile={}", dir.join(&name).display()),
    ];
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    Peer::start(dir, &name, Some(&name), &command)
}

/// Whether a link has one default route of each family, and both are linnet's by the number.
fn has_both(link: &str) -> bool {
    ["-4", "-6"].iter().all(|family| {
        let routes = shell(&format!("ip {family} route show default dev {link}"));
        routes.lines().count() == 1 && routes.contains("proto 112")
    })
}

/// Whether the journal names the default routes with these metrics, of both families.
fn are_written_down(office: &Office, metrics: &[u32]) -> bool {
    let journal = fs::read_to_string(office.dir().join("state/links.journal")).unwrap_or_default();
    metrics.iter().all(|metric| {
        let has = |to: &str| journal.contains(&format!("route 254 {to}/0 {metric} "));
        has("0.0.0.0") && has("::")
    })
}

#[test]
fn a_link_that_was_released_and_adopted_has_its_default_routes_and_costs_no_other_link_its_own() {
    isolated(
        "links::released::a_link_that_was_released_and_adopted_has_its_default_routes_and_costs_no_other_link_its_own",
        || {
            let dir = folder();
            let _first = network(&dir, 0);
            let office = office(dir.clone());
            office.configure("profiles/any.toml", ANY_NETWORK);
            let mut linnetd = office.linnetd(LINNETD, &[]);
            until("the first link has default routes", || has_both("net0"));
            let _second = network(&dir, 1);
            until("both links have default routes", || {
                has_both("net0") && has_both("net1") && are_written_down(&office, &[100, 101])
            });
            for is_killed in [false, true] {
                assert_eq!(default_link("-6").as_deref(), Some("net0"));
                for verb in ["release", "adopt"] {
                    let (code, text) = office.linnet(LINNET, &[verb, "net0"]);
                    assert_eq!(code, 0, "{text}");
                }
                if is_killed {
                    linnetd.signal(libc::SIGKILL);
                    linnetd.wait();
                    linnetd = office.linnetd(LINNETD, &[]);
                }
                until("what is supplied again is linnet's again", || {
                    has_both("net0") && are_written_down(&office, &[100, 101])
                });
                shell("ip -n r0 link set r0 down");
                until("the other link has the default routes", || {
                    ["-4", "-6"].map(default_link) == ["net1", "net1"].map(|link| Some(link.into()))
                });
                shell("ip -n r0 link set r0 up");
                until("each link has its own", || {
                    has_both("net0") && has_both("net1")
                });
                // The next round begins as this one did.
                shell("ip -n r1 link set r0 down");
                until("the first link has them again", || {
                    ["-4", "-6"].map(default_link) == ["net0", "net0"].map(|link| Some(link.into()))
                });
                shell("ip -n r1 link set r0 up");
                until("each link has its own again", || {
                    has_both("net0") && has_both("net1")
                });
            }
            linnetd.signal(libc::SIGTERM);
            linnetd.wait();
        },
    );
}
