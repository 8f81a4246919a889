//! What does a resolv.conf say, and what do we write into ours? Text to servers and suffixes, and back.
//!
//! Reads what the C library reads (resolv.conf(5)); options and `sortlist` are passed over. Touches no file.

use std::fmt::Write as _;
use std::net::IpAddr;

use crate::model::{Transport, Upstream};
use crate::name::DomainName;

/// The first lines of what we write.
const HEADER: &str = "# Written by linnet; do not edit.\n# To switch this off: resolv-conf = \"unmanaged\" in [resolver] of /etc/linnet/linnet.toml, then `linnet config reload`.\n";

/// So many servers the C library asks (`MAXNS`).
const MAX_ASKED: usize = 3;

/// What a resolv.conf says, as far as it concerns us.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResolvConf {
    /// The servers, in order.
    pub nameservers: Vec<Upstream>,
    /// The search suffixes, in order.
    pub search: Vec<DomainName>,
}

/// Reads a resolv.conf; lines that make no sense are passed over, as the C library does.
///
/// Of several `search` and `domain` lines the last wins.
pub fn parse(text: &[u8]) -> ResolvConf {
    let mut found = ResolvConf::default();
    for line in text.split(|byte| *byte == b'\n') {
        let line = String::from_utf8_lossy(line);
        let mut words = line
            .split_whitespace()
            .take_while(|word| !word.starts_with(['#', ';']));
        match words.next() {
            Some("nameserver") => {
                let server = words.next().and_then(nameserver);
                found.nameservers.extend(server);
            }
            Some("search") => found.search = suffixes(words),
            Some("domain") => found.search = suffixes(words.take(1)),
            Some(_) | None => {}
        }
    }
    found
}

fn nameserver(word: &str) -> Option<Upstream> {
    let (address, zone) = match word.split_once('%') {
        Some((address, zone)) => (address, Some(zone)),
        None => (word, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let mut server = Upstream::plain(address);
    server.zone = zone.filter(|zone| !zone.is_empty()).map(Into::into);
    Some(server)
}

/// Reads suffixes; `.` is none, as it says "no search".
fn suffixes<'a>(words: impl Iterator<Item = &'a str>) -> Vec<DomainName> {
    words
        .filter_map(|word| word.parse::<DomainName>().ok())
        .filter(|name| !name.is_root())
        .collect()
}

/// Writes a resolv.conf that names the stub, at port 53 of `listen`.
pub fn emit_stub(listen: &[IpAddr], search: &[DomainName]) -> String {
    let mut text = HEADER.to_owned();
    for address in listen {
        let _ = writeln!(text, "nameserver {address}");
    }
    // trust-ad: the C library passes AD on only from servers that it is told to trust, and this one is the host itself.
    text.push_str("options edns0 trust-ad\n");
    push_search(&mut text, search);
    text
}

/// Writes a resolv.conf that names upstreams; those that the C library cannot ask (encrypted, another port) are left out.
pub fn emit_uplink(upstreams: &[Upstream], search: &[DomainName]) -> String {
    let mut text = HEADER.to_owned();
    let plain = upstreams.iter().filter(|upstream| {
        upstream.transport == Transport::Plain && upstream.port == crate::DNS_PORT
    });
    let mut count = 0;
    for upstream in plain {
        if count == MAX_ASKED {
            text.push_str("# The C library asks the first three only.\n");
        }
        let _ = writeln!(text, "nameserver {upstream}");
        count += 1;
    }
    if count == 0 {
        text.push_str("# No server is known.\n");
    }
    push_search(&mut text, search);
    text
}

/// Without a `search` line the C library makes one up from the host's name.
fn push_search(text: &mut String, search: &[DomainName]) {
    text.push_str("search");
    for name in search {
        let _ = write!(text, " {name}");
    }
    text.push_str(if search.is_empty() { " .\n" } else { "\n" });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(text: &str) -> (String, String) {
        let found = parse(text.as_bytes());
        let join = |words: Vec<String>| words.join(" ");
        (
            join(found.nameservers.iter().map(ToString::to_string).collect()),
            join(found.search.iter().map(ToString::to_string).collect()),
        )
    }

    #[test]
    fn what_the_c_library_reads_is_read() {
        for (text, nameservers, search) in [
            ("", "", ""),
            ("nameserver 192.0.2.1\n", "192.0.2.1", ""),
            (
                "nameserver\t192.0.2.1 # mine\r\n;nameserver 192.0.2.2\n#nameserver 192.0.2.3",
                "192.0.2.1",
                "",
            ),
            (
                "nameserver fe80::1%eth0\nnameserver 2001:db8::1",
                "fe80::1%eth0 2001:db8::1",
                "",
            ),
            ("nameserver fe80::1%", "fe80::1", ""),
            (
                "nameserver\nnameserver dns.example\nnameserver 192.0.2.1:53\nnameservers 192.0.2.1",
                "",
                "",
            ),
            ("search a.test B.test.\n", "", "a.test b.test"),
            ("search a.test\ndomain b.test c.test", "", "b.test"),
            ("domain b.test\nsearch a.test", "", "a.test"),
            ("search a.test\nsearch .", "", ""),
            ("search a.test\nsearch", "", ""),
            ("search a.test # b.test", "", "a.test"),
            ("options ndots:5 edns0\nsortlist 192.0.2.0/24", "", ""),
        ] {
            assert_eq!(
                row(text),
                (nameservers.to_owned(), search.to_owned()),
                "{text:?}"
            );
        }
        assert_eq!(
            parse(b"search \xff\xfe\nnameserver 192.0.2.1")
                .nameservers
                .len(),
            1
        );
    }

    #[test]
    fn what_we_write_reads_back() {
        let search = ["a.test".parse().unwrap(), "b.test".parse().unwrap()];
        let stub = emit_stub(&["127.0.0.53".parse().unwrap()], &search);
        assert!(stub.starts_with("# Written by linnet; do not edit.\n"));
        assert!(
            stub.ends_with(
                "\nnameserver 127.0.0.53\noptions edns0 trust-ad\nsearch a.test b.test\n"
            )
        );
        assert_eq!(
            row(&stub),
            ("127.0.0.53".to_owned(), "a.test b.test".to_owned())
        );
        assert!(stub.contains("unmanaged"));
    }

    #[test]
    fn an_uplink_file_has_what_the_c_library_can_ask() {
        let upstreams: Vec<Upstream> = [
            "192.0.2.1",
            "192.0.2.9:5353",
            "tls://192.0.2.8#dns.example",
            "fe80::1%eth0",
            "192.0.2.2",
            "2001:db8::1",
        ]
        .iter()
        .map(|text| text.parse().unwrap())
        .collect();
        let text = emit_uplink(&upstreams, &[]);
        assert!(
            text.ends_with(
                "\nnameserver 192.0.2.1\nnameserver fe80::1%eth0\nnameserver 192.0.2.2\n\
                 # The C library asks the first three only.\nnameserver 2001:db8::1\nsearch .\n"
            ),
            "{text}"
        );
        assert!(!text.contains("trust-ad"));
        assert!(!emit_uplink(&upstreams[..1], &[]).contains("three"));
        assert!(emit_uplink(&[], &[]).ends_with("# No server is known.\nsearch .\n"));
    }
}
