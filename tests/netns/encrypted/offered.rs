//! Are encrypted resolvers used that nobody wrote down? What DHCP servers and routers offer (DNR, RFC 9463), what a plain upstream says of
//! itself (DDR, RFC 9462), and what there is at its port 853 (opportunistic TLS).
//!
//! kea offers by DHCPv4 and DHCPv6, a packet made by hand by router advertisement; unbound is all that is asked.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::namespace::{isolated, shell};
use tests::office::{Office, advertise, dig};
use tests::peer::{Peer, Tap, occurrences, until, until_within};

use super::{SERVER, office, unbound, unbound_with};
use crate::{LINNETD, json};

/// The server's address of IPv6.
const SERVER6: &str = "2001:db8:1::53";
/// The name that a network offers, in wire form (RFC 1035 §3.1).
const NAME: &str = "03646e73 07657861 6d706c65 00";
/// `alpn=dot` (RFC 9460 §7.1).
const BY_TLS: &str = "0001 0004 03646f74";
/// What is tried again every 30 seconds is tried by then.
const TRIED_AGAIN: Duration = Duration::from_secs(40);
/// From one router advertisement to the next.
const BETWEEN: Duration = Duration::from_secs(3);

fn hex(parts: &[&str]) -> String {
    parts.concat().replace(' ', "")
}

/// The server with `certificate`, at its address of IPv6 too.
fn server(office: &Office, certificate: &str) -> Peer {
    let more = format!(
        "  interface: {SERVER6}@53\n  interface: {SERVER6}@853\n  access-control: ::/0 allow\n"
    );
    unbound_with(office.dir(), certificate, &more)
}

/// kea for one family of addresses at the router, with these keys.
fn kea(office: &Office, version: u8, keys: &str) -> Peer {
    let dir = office.dir().display().to_string();
    let name = format!("kea{version}");
    let text = format!(
        r#"{{"Dhcp{version}": {{"lease-database": {{"type": "memfile", "persist": false}}, {keys},
           "loggers": [{{"name": "kea-dhcp{version}", "severity": "INFO", "output_options": [{{"output": "stdout"}}]}}]}}}}"#
    );
    let file = office.path(&format!("{name}.json"));
    fs::write(&file, text).unwrap();
    let command =
        format!("KEA_PIDFILE_DIR={dir} KEA_LOCKFILE_DIR={dir} exec kea-dhcp{version} -c {file}");
    let peer = Peer::start(office.dir(), &name, Some("home"), &["sh", "-c", &command]);
    until("kea serves", || {
        peer.log().contains(&format!("DHCP{version}_STARTED"))
    });
    peer
}

/// kea, which leases addresses, offers `dns.example` by TLS (RFC 9463 §5.1), and a plain resolver besides or not.
fn kea4(office: &Office, with_plain: bool) -> Peer {
    let offered = hex(&["001d", "0001", "0d", NAME, "04", "c0000235", BY_TLS]);
    let plain = match with_plain {
        true => format!(r#"{{"name": "domain-name-servers", "data": "{SERVER}"}},"#),
        false => String::new(),
    };
    let keys = format!(
        r#""interfaces-config": {{"interfaces": ["p0"], "dhcp-socket-type": "raw"}}, "authoritative": true,
           "option-def": [{{"name": "dnr", "code": 162, "type": "binary"}}],
           "subnet4": [{{"subnet": "192.0.2.0/24", "pools": [{{"pool": "192.0.2.100 - 192.0.2.110"}}], "option-data": [
             {{"name": "routers", "data": "{SERVER}"}}, {plain}
             {{"code": 162, "data": "{offered}", "csv-format": false, "always-send": true}}]}}]"#
    );
    kea(office, 4, &keys)
}

/// Has linnet take all from the network, with these lines of its main file.
fn take_all(office: &Office, main: &str, profile: &str) {
    shell("ip -4 addr flush dev home0; ip route flush dev home0");
    let roots = office.path("authority.pem");
    office.configure(
        "linnet.toml",
        &format!(
            "[resolver]\ntls-roots = \"{roots}\"\ndnssec = \"off\"\nrecursion = \"never\"\n{main}\n"
        ),
    );
    office.configure(
        "profiles/home.toml",
        &format!("match = {{ name = \"home0\" }}\n{profile}\n"),
    );
}

/// What the status says of upstreams: each, and why it fails.
fn upstreams(office: &Office) -> Vec<(String, Option<String>)> {
    let status = json(office, &["status"]);
    let scopes = status["scopes"].as_array().cloned().unwrap_or_default();
    let all = scopes
        .iter()
        .filter_map(|scope| scope["upstreams"].as_array())
        .flatten();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    all.map(|one| {
        (
            text(&one["upstream"]).unwrap_or_default(),
            text(&one["failing"]),
        )
    })
    .collect()
}

fn shows(office: &Office, upstream: &str) -> bool {
    upstreams(office).iter().any(|(shown, _)| shown == upstream)
}

/// Asks for a name of its own, which must be answered, and returns how often it passed the link in the clear.
fn in_the_clear(office: &Office, name: &str) -> usize {
    let tap = Tap::start(office.dir(), "home0");
    let answer = dig(name);
    assert!(answer.contains("192.0.2.83"), "{name}: {answer}");
    occurrences(&tap.stop(), name)
}

#[test]
fn resolver_that_dhcp_offers_is_asked_by_tls_under_its_name() {
    isolated(
        "encrypted::offered::resolver_that_dhcp_offers_is_asked_by_tls_under_its_name",
        || {
            let office = office();
            let offered = format!("tls://{SERVER}#dns.example");
            let shown = |office: &Office| -> Vec<String> {
                upstreams(office).into_iter().map(|(one, _)| one).collect()
            };
            let right = unbound(office.dir(), "right");
            let alone = kea4(&office, false);
            take_all(&office, "", "dhcp4 = true");
            let linnetd = office.linnetd(LINNETD, &[]);
            until("the network is entered", || shows(&office, &offered));
            assert_eq!(shown(&office), [offered.as_str()]);
            assert_eq!(in_the_clear(&office, "one.many.test"), 0);
            drop(right);

            // Somebody else's certificate: nobody is asked, and the client hears why.
            let wrong = unbound(office.dir(), "other");
            let tap = Tap::start(office.dir(), "home0");
            until("the wrong one is noticed", || {
                dig("two.many.test").contains("for another name")
            });
            let answer = dig("three.many.test");
            assert!(answer.contains("SERVFAIL"), "{answer}");
            assert!(answer.contains("EDE: 23"), "{answer}");
            assert!(answer.contains("for another name"), "{answer}");
            let failing = upstreams(&office)[0].1.clone().unwrap_or_default();
            assert!(failing.contains("for another name"), "{failing}");
            assert_eq!(occurrences(&tap.stop(), "many.test"), 0, "in the clear");
            drop((linnetd, alone));

            // The plain one that the network brings comes after it, and is asked while it is not believed.
            let _both = kea4(&office, true);
            take_all(&office, "", "dhcp4 = true");
            let linnetd = office.linnetd(LINNETD, &[]);
            // What is remembered of the network goes before, without the plain one.
            until("the network is entered anew", || {
                shown(&office) == [offered.as_str(), SERVER]
            });
            assert!(in_the_clear(&office, "four.many.test") > 0);
            until("the status says why", || {
                let failing = upstreams(&office)[0].1.clone().unwrap_or_default();
                assert!(dig("again.many.test").contains("192.0.2.83"));
                failing.contains("for another name")
            });
            drop(linnetd);

            // But where all is to be encrypted it is not among those that are asked at all; nor is it, believed again.
            take_all(&office, "transport = \"encrypted\"", "dhcp4 = true");
            let tap = Tap::start(office.dir(), "home0");
            let _linnetd = office.linnetd(LINNETD, &[]);
            until("the network is entered", || {
                shown(&office) == [offered.as_str()]
            });
            until("the client hears why", || {
                dig("five.many.test").contains("for another name")
            });
            drop(wrong);
            let _right = unbound(office.dir(), "right");
            until("it is believed again", || {
                dig("six.many.test").contains("192.0.2.83")
            });
            assert_eq!(occurrences(&tap.stop(), "many.test"), 0, "in the clear");
        },
    );
}

/// Addresses and all else are to be had by DHCPv6 (RFC 4861 §4.2).
const MANAGED: &str = "80";

/// Advertises until the offered one is among the upstreams.
fn until_offered(office: &Office, flags: &str, options: &str, upstream: &str) {
    let mut advertised: Option<Instant> = None;
    until("the network is entered", || {
        if advertised.is_none_or(|at| at.elapsed() > BETWEEN) {
            advertised = Some(Instant::now());
            advertise(flags, options);
        }
        shows(office, upstream)
    });
}

#[test]
fn resolver_that_dhcpv6_or_a_router_offers_is_asked_by_tls_under_its_name() {
    isolated(
        "encrypted::offered::resolver_that_dhcpv6_or_a_router_offers_is_asked_by_tls_under_its_name",
        || {
            let office = office();
            shell(&format!(
                "ip -n home addr add {SERVER6}/64 dev p0 nodad && ip netns exec home sysctl -qw net.ipv6.conf.all.forwarding=1"
            ));
            until("the router has its own address", || {
                let shown = shell("ip -n home -6 addr show dev p0 scope link");
                shown.contains("fe80::") && !shown.contains("tentative")
            });
            let address = "20010db8 00010000 00000000 00000053";
            let offered = format!("tls://[{SERVER6}]#dns.example");
            let profile = "dhcp4 = false\nra = true\ndhcp6 = true";
            for by_dhcp in [true, false] {
                let right = server(&office, "right");
                let option = hex(&["0001", "000d", NAME, "0010", address, BY_TLS]);
                let _kea = by_dhcp.then(|| {
                    let keys = format!(
                        r#""interfaces-config": {{"interfaces": ["p0"]}}, "server-id": {{"type": "EN", "enterprise-id": 32473, "identifier": "010203", "persist": false}},
                           "option-def": [{{"name": "dnr", "code": 144, "space": "dhcp6", "type": "binary"}}],
                           "subnet6": [{{"subnet": "2001:db8:1::/64", "interface": "p0", "pools": [{{"pool": "2001:db8:1::1000 - 2001:db8:1::1fff"}}]}}], "option-data": [
                             {{"name": "dns-servers", "data": "{SERVER6}"}},
                             {{"code": 144, "data": "{option}", "csv-format": false, "always-send": true}}]"#
                    );
                    kea(&office, 6, &keys)
                });
                // RFC 9463 §6.1: with a lifetime, a length of the parameters, and octets to a multiple of eight; RFC 8106 §5.1 beside it.
                let rdnss = hex(&["19030000", "00000708", address]);
                let dnr = hex(&[
                    "90070001",
                    "00000708",
                    "000d",
                    NAME,
                    "0010",
                    address,
                    "0008",
                    BY_TLS,
                    "0000000000",
                ]);
                let (flags, options) = match by_dhcp {
                    true => (MANAGED, String::new()),
                    false => ("00", dnr + &rdnss),
                };
                take_all(&office, "", profile);
                let linnetd = office.linnetd(LINNETD, &[]);
                until_offered(&office, flags, &options, &offered);
                let shown: Vec<String> =
                    upstreams(&office).into_iter().map(|(one, _)| one).collect();
                assert_eq!(shown, [offered.as_str(), SERVER6], "{by_dhcp}");
                // Asked besides where the first connection takes its time, the plain one is not asked once that is made.
                until_goes(&office, &format!("one{by_dhcp}"), false);
                drop(right);
                let _wrong = server(&office, "other");
                assert!(in_the_clear(&office, &format!("two{by_dhcp}.many.test")) > 0);
                let failing = upstreams(&office)[0].1.clone().unwrap_or_default();
                assert!(failing.contains("for another name"), "{by_dhcp}: {failing}");
                drop(linnetd);
            }
        },
    );
}

/// Has the server's TLS closed, or open again.
fn close_tls(is_closed: bool) {
    shell("ip netns exec home nft flush ruleset");
    if is_closed {
        shell(
            "ip netns exec home nft 'add table ip f; add chain ip f in { type filter hook input priority 0; }; \
             add rule ip f in tcp dport 853 reject with tcp reset'",
        );
    }
}

/// Asks for names until one goes as it should.
fn until_goes(office: &Office, tag: &str, is_clear: bool) {
    let mut turn = 0;
    until_within(
        TRIED_AGAIN,
        &format!("{tag}: in the clear is {is_clear}"),
        || {
            turn += 1;
            let count = in_the_clear(office, &format!("{tag}{turn}.many.test"));
            (count > 0) == is_clear
        },
    );
}

#[test]
fn tls_that_nobody_vouches_for_is_used_while_it_is_there() {
    isolated(
        "encrypted::offered::tls_that_nobody_vouches_for_is_used_while_it_is_there",
        || {
            let office = office();
            let _itself = unbound(office.dir(), "itself");
            office.configure(
                "linnet.toml",
                "[resolver]\ndnssec = \"off\"\ntransport = \"opportunistic\"\n",
            );
            office.configure(
                "profiles/home.toml",
                &format!("match = {{ name = \"home*\" }}\n[dns]\nupstreams = [\"{SERVER}\"]\n"),
            );
            close_tls(true);
            let _linnetd = office.linnetd(LINNETD, &[]);
            for name in ["a.many.test", "b.many.test"] {
                assert!(in_the_clear(&office, name) > 0, "{name}");
            }
            close_tls(false);
            until_goes(&office, "later", false);
            assert!(shows(&office, &format!("tls://{SERVER}?pin=any")));
            // Gone again, and the question that finds out is answered all the same.
            close_tls(true);
            assert!(in_the_clear(&office, "c.many.test") > 0);
        },
    );
}

#[test]
fn form_that_an_upstream_has_of_itself_is_used_while_its_certificate_is_for_its_address() {
    isolated(
        "encrypted::offered::form_that_an_upstream_has_of_itself_is_used_while_its_certificate_is_for_its_address",
        || {
            let office = office();
            let says = "  local-zone: \"resolver.arpa.\" static\n  \
                        local-data: '_dns.resolver.arpa. 300 IN SVCB 1 dns.example. alpn=\"dot\" port=853 ipv4hint=192.0.2.53'\n";
            let right = unbound_with(office.dir(), "right", says);
            let roots = office.path("authority.pem");
            office.configure(
                "linnet.toml",
                &format!("[resolver]\ntls-roots = \"{roots}\"\ndnssec = \"off\"\ndiscover-encrypted = true\n"),
            );
            office.configure(
                "profiles/home.toml",
                &format!("match = {{ name = \"home*\" }}\n[dns]\nupstreams = [\"{SERVER}\"]\n"),
            );
            let linnetd = office.linnetd(LINNETD, &[]);
            until_goes(&office, "found", false);
            let form = format!("tls://{SERVER}");
            assert!(shows(&office, &form), "{:?}", upstreams(&office));
            drop((linnetd, right));

            let _wrong = unbound_with(office.dir(), "other", says);
            let _linnetd = office.linnetd(LINNETD, &[]);
            let failing = || {
                let shown = upstreams(&office);
                let form = shown.into_iter().find(|(one, _)| *one == form);
                form.and_then(|(_, failing)| failing).unwrap_or_default()
            };
            until("the wrong one is noticed", || {
                assert!(in_the_clear(&office, "wrong.many.test") < 10);
                failing().contains("not for its address")
            });
            assert!(in_the_clear(&office, "after.many.test") > 0);
        },
    );
}
