//! Does an administrator's mistake cost anything? It is told with file, line and what to do, and nothing of the kernel is touched.

use std::fs;

use tests::namespace::{isolated, shell};
use tests::peer::until;

use super::words::{NOTHING, Words};
use super::{LINNET, LINNETD, addresses, folder, office};

/// What somebody writes, in place of the profile `server` or beside it.
struct Mistake {
    what: &'static str,
    file: &'static str,
    text: &'static str,
    /// Where it is told: line of the file.
    line: u32,
    told: &'static [&'static str],
    /// Whether it is refused; what holds all the same is told before anything is touched only.
    refused: bool,
    /// Whether the links have to be looked at: files alone do not tell.
    seen_by_links: bool,
}

const GOOD: &str = "match = { name = \"net0\" }\naddresses = [\"192.0.2.10/24\", \"2001:db8::10/64\"]\n[[routes]]\nto = \"0.0.0.0/0\"\nvia = \"192.0.2.1\"\n";

const MISTAKES: [Mistake; 7] = [
    Mistake {
        what: "a gateway that is not on the link",
        file: "server",
        text: "match = { name = \"net0\" }\naddresses = [\"192.0.2.10/24\"]\n[[routes]]\nto = \"0.0.0.0/0\"\nvia = \"198.51.100.1\"\n",
        line: 5,
        told: &[
            "198.51.100.1 is not on the link: the addresses are in 192.0.2.0/24",
            "add on-link = true if it is there all the same",
        ],
        refused: true,
        seen_by_links: false,
    },
    Mistake {
        what: "one address with two lengths",
        file: "server",
        text: "match = { name = \"net0\" }\naddresses = [\"192.0.2.10/24\", \"192.0.2.10/16\"]\n",
        line: 2,
        told: &[
            "are one address; a link has it once",
            "leave out one of the two",
        ],
        refused: true,
        seen_by_links: false,
    },
    Mistake {
        what: "a network that is another link's too",
        file: "storage",
        text: "match = { name = \"net9\" }\naddresses = [\"192.0.2.11/25\"]\n",
        line: 2,
        told: &[
            "the networks 192.0.2.0/25 and 192.0.2.0/24 of",
            "profiles/server.toml overlap",
            "give the links networks apart",
        ],
        refused: false,
        seen_by_links: false,
    },
    Mistake {
        what: "an MTU below 1280 with IPv6",
        file: "server",
        text: "match = { name = \"net0\" }\naddresses = [\"192.0.2.10/24\", \"2001:db8::10/64\"]\nmtu = 1200\n",
        line: 3,
        told: &[
            "an MTU of 1200 is too small for IPv6, and it has an IPv6 address",
            "write 1280 or more",
        ],
        refused: true,
        seen_by_links: false,
    },
    Mistake {
        what: "two default routes of one rank",
        file: "server",
        text: "match = { name = \"net0\" }\naddresses = [\"192.0.2.10/24\"]\n[[routes]]\nto = \"0.0.0.0/0\"\nvia = \"192.0.2.1\"\n[[routes]]\nto = \"0.0.0.0/0\"\nvia = \"192.0.2.2\"\n",
        line: 6,
        told: &[
            "there are two default routes of one rank",
            "or give one of them a higher metric",
        ],
        refused: true,
        seen_by_links: false,
    },
    Mistake {
        what: "a profile that matches two links",
        file: "server",
        text: "match = { name = \"net*\" }\naddresses = [\"192.0.2.77/24\"]\n",
        line: 1,
        told: &[
            "the profile matches net0 and net1, and its addresses and routes can be on one link only",
            "name the link, as match = { name = \"net0\" }",
        ],
        refused: true,
        seen_by_links: true,
    },
    Mistake {
        what: "a new profile that matches two links",
        file: "another",
        text: "# New.\nmatch = { name = \"far*\" }\naddresses = [\"10.1.1.1/24\"]\n",
        line: 2,
        told: &["the profile matches far0 and far1"],
        refused: true,
        seen_by_links: true,
    },
];

/// All that is there, but the marks of `words` and their link.
fn kernel() -> String {
    shell(
        "{ ip -o link; ip -o addr; ip route show table all; ip -6 route show table all; ip rule; ip -6 rule; } | \
         grep -v -e mark -e '127[.]99[.]' -e '10[.]99[.]99[.]'",
    )
}

#[test]
fn a_mistake_is_told_before_anything_is_touched() {
    isolated(
        "links::mistakes::a_mistake_is_told_before_anything_is_touched",
        || {
            shell(
                "ip link add net0 type veth peer name far0 && ip link add net1 type veth peer name far1 && \
                 for link in net0 far0 net1 far1; do sysctl -qw net.ipv6.conf.$link.accept_dad=0; ip link set $link up; done",
            );
            let dir = folder();
            let office = office(dir.clone());
            office.configure("profiles/server.toml", GOOD);
            let linnetd = office.linnetd(LINNETD, &[]);
            until("the addresses are there", || {
                addresses("net0").len() == 2 && shell("ip route").contains("default via 192.0.2.1")
            });
            let words = Words::from_now(&office, "monitor link address route rule");
            assert_eq!(words.when_all_is_written(), NOTHING);
            let before = kernel();
            let reload = || {
                let (_, text) = office.linnet(LINNET, &["config", "reload"]);
                text
            };
            for mistake in &MISTAKES {
                let what = mistake.what;
                let file = format!("profiles/{}.toml", mistake.file);
                office.configure(&file, mistake.text);
                let path = office.path(&format!("etc/{file}"));
                let (code, checked) =
                    office.linnet(LINNET, &["config", "check", &office.path("etc")]);
                if mistake.seen_by_links {
                    assert_eq!(code, 0, "{what}: {checked}");
                } else {
                    assert_eq!(code != 0, mistake.refused, "{what}: {checked}");
                    assert!(
                        checked.contains(&format!("{path}:{}:", mistake.line)),
                        "{what}: {checked}"
                    );
                    for told in mistake.told {
                        assert!(checked.contains(told), "{what}: {told}: {checked}");
                    }
                }
                if mistake.refused {
                    let text = reload();
                    assert!(
                        text.contains(&format!("error: {path}:{}:", mistake.line)),
                        "{what}: {text}"
                    );
                    for told in mistake.told {
                        assert!(text.contains(told), "{what}: {told}: {text}");
                    }
                    // The second time it is no better.
                    assert!(reload().contains(&format!("error: {path}")), "{what}");
                    let (_, status) = office.linnet(LINNET, &["status"]);
                    assert!(
                        status.contains("server.toml") || status.contains("another.toml"),
                        "{what}: {status}"
                    );
                }
                if !mistake.refused {
                    // It may be meant, and is told all the same; the link that it is for is not there.
                    let text = reload();
                    assert!(
                        text.contains(&format!("warning: {path}:{}:", mistake.line)),
                        "{what}: {text}"
                    );
                    for told in mistake.told {
                        assert!(text.contains(told), "{what}: {told}: {text}");
                    }
                }
                fs::remove_file(&path).unwrap();
                office.configure("profiles/server.toml", GOOD);
                let text = reload();
                assert!(!text.contains("error"), "{what}: {text}");
                assert_eq!(words.when_all_is_written(), NOTHING, "{what}");
                assert_eq!(kernel(), before, "{what}");
            }
            // At the start, what is there stays as it is.
            let mut linnetd = linnetd;
            for mistake in MISTAKES.iter().filter(|it| it.refused && !it.seen_by_links) {
                linnetd.signal(libc::SIGTERM);
                linnetd.wait();
                office.configure("profiles/server.toml", mistake.text);
                linnetd = office.linnetd(LINNETD, &[]);
                // What it has made of the mistake comes before what it makes of this.
                office.configure("profiles/server.toml", GOOD);
                let written = words.when_all_is_written();
                assert_eq!(written, NOTHING, "{}", mistake.what);
                assert_eq!(kernel(), before, "{}", mistake.what);
            }
        },
    );
}
