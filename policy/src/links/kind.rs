//! Which metric does a link have when nobody says? One table by kind, the most wanted first.
//!
//! Steps are wide enough for two dozen links of a kind between two kinds. docs/links.md shows the table to users.

/// The table: words of [`crate::LinkFacts::kind`], and their metric.
const TABLE: [(&[&str], u32); 10] = [
    // Somebody set up a tunnel so that packets take it.
    (&["wireguard", "tun", "xfrm", "vti", "vti6"], 50),
    (&["ethernet", "veth", "netdevsim"], 100),
    (&["bond", "team"], 150),
    (&["bridge"], 200),
    (&["vlan"], 250),
    (&["macvlan", "macvtap", "ipvlan", "ipvtap"], 300),
    (&["ipoib", "infiniband", "vrf", "macsec"], 350),
    (
        &[
            "vxlan",
            "geneve",
            "gre",
            "gretap",
            "ip6gre",
            "ip6gretap",
            "ipip",
            "sit",
            "ip6tnl",
        ],
        400,
    ),
    (&["wifi"], 600),
    (&["ppp", "wwan"], 700),
];
/// The metric of every other kind: dummies, and what is not known yet.
const OTHERS: u32 = 500;

/// Returns the metric of routes by a link of this kind where neither profile nor route names one.
pub fn usual_metric(kind: &str) -> u32 {
    let found = TABLE.iter().find(|(kinds, _)| kinds.contains(&kind));
    found.map_or(OTHERS, |(_, metric)| *metric)
}
