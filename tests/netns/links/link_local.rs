//! Has a link an IPv4 address where nobody gives one (RFC 3927), and only there? A neighbour that hears every probe, has the address that
//! is chosen first, and begins to serve DHCP when nobody reckons with it any more.

use super::*;

/// A search for an address waits for up to seven seconds, and for as long once more when the first is somebody's; DHCP is asked three
/// times before that, and for the fifth time within the minute after.
const LONG: Duration = Duration::from_secs(75);

/// The neighbour's end is not plugged in.
fn raise() {
    shell(
        "ip netns add far && ip link add net0 address 02:00:00:00:00:10 type veth peer name far0 netns far && \
         sysctl -qw net.ipv6.conf.net0.accept_dad=0 && ip -n far link set lo up",
    );
}

fn own() -> Option<String> {
    let told = ip("-4 addr show dev net0");
    let infos = told[0]["addr_info"].as_array()?;
    let [info] = &infos[..] else { return None };
    info["local"].as_str().map(str::to_owned)
}

/// The address of the link, when it is one that it has given itself.
fn found(what: &str) -> String {
    until_within(LONG, what, || {
        own().is_some_and(|it| it.starts_with("169.254."))
    });
    let address = own().unwrap();
    let routes = shell("ip -4 route show dev net0");
    let route = routes
        .lines()
        .find(|line| line.starts_with("169.254.0.0/16"));
    let route = route.unwrap_or_else(|| panic!("{routes}"));
    assert!(
        route.contains("proto kernel scope link") && route.contains(&address),
        "{routes}"
    );
    assert!(!routes.contains("default"), "{routes}");
    address
}

/// How many probes and announcements of an address the neighbour has heard.
fn heard(listener: &Peer, address: &str) -> (usize, usize) {
    let log = listener.log();
    let count = |sender: &str| {
        let line = format!("request {sender} {address}");
        log.lines().filter(|it| *it == line).count()
    };
    (count("0.0.0.0"), count(address))
}

#[test]
fn who_is_served_by_nobody_has_an_address_that_nobody_else_has() {
    isolated(
        "links::link_local::who_is_served_by_nobody_has_an_address_that_nobody_else_has",
        || {
            let dir = folder();
            raise();
            let office = office(dir.clone());
            office.configure(
                "profiles/net.toml",
                "match = { name = \"net0\" }\nipv4ll = \"always\"\n",
            );
            let _linnetd = office.linnetd(LINNETD, &[]);
            let listener = conflicts::listen(&dir);
            shell("ip -n far link set far0 up");
            let first = found("it has given itself an address");
            assert_eq!(heard(&listener, &first).0, 3, "{}", listener.log());
            until("it is announced", || heard(&listener, &first).1 == 2);

            // Where it comes next, somebody has that address, and DHCP is asked in vain.
            shell(&format!(
                "ip -n far link set far0 down && ip -n far addr add {first}/16 dev far0"
            ));
            until("it is gone with the carrier", || own().is_none());
            office.configure(
                "profiles/net.toml",
                "match = { name = \"net0\" }\ndhcp4 = true\nipv4ll = \"fallback\"\n",
            );
            let (code, text) = office.linnet(LINNET, &["config", "reload"]);
            assert_eq!(code, 0, "{text}");
            shell("ip -n far link set far0 up");
            let second = found("it has given itself another address");
            assert_ne!(first, second);
            assert_eq!(heard(&listener, &second).0, 3, "{}", listener.log());
            let (probes, announcements) = heard(&listener, &first);
            assert!(probes > 3 && announcements == 2, "{}", listener.log());
            shell(&format!(
                "ip netns exec far busybox ping -q -c1 -W5 {second}"
            ));

            shell("ip -n far addr add 192.0.2.1/24 dev far0");
            let _served = Dnsmasq::leasing(
                "far0",
                "192.0.2.100,192.0.2.150,255.255.255.0,600",
                &dir.join("far.leases"),
                "port=0 bind-dynamic",
            )
            .start(&dir, "dnsmasq", Some("far"));
            until_within(LONG, "a lease has taken its place", || {
                own().is_some_and(|it| it.starts_with("192.0.2.1"))
            });
            let routes = shell("ip -4 route show dev net0");
            assert!(
                routes.contains("default via 192.0.2.1") && !routes.contains("169.254."),
                "{routes}"
            );
        },
    );
}
