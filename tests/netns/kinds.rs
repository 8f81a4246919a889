//! Does the kernel make the links that profiles name? Every kind made twice, by `ip` and by our octets, and read back with `ip`.
//!
//! What this machine's kernel has is made in a namespace, every kind in a virtual machine with Debian's.

mod served;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::Arc;

use config::kind::{Change, KINDS, LinkKind, Maker, Value};
use config::layer::{Layer, LayerKind, Origin, Rank, load};
use config::model::VirtualLink;
use linkmgr::kinds::message::{self, VlanOwner};
use linkmgr::kinds::tun::Tun;
use linkmgr::kinds::{Message, decode, encode};
use linkmgr_io::ask::{self, AskError, Asker, Part};
use serde_json::Value as Json;
use tests::machine::in_machine_with;
use tests::namespace::{isolated, shell};
use tests::say;

const CASES: &str = include_str!("../../linkmgr/testdata/kinds/cases");
const MODULES: [&str; 26] = [
    "bonding",
    "bridge",
    "dummy",
    "geneve",
    "ip_gre",
    "ip6_gre",
    "ifb",
    "ip6_tunnel",
    "ipip",
    "ipvlan",
    "macsec",
    "macvlan",
    "macvtap",
    "sit",
    "tun",
    "veth",
    "8021q",
    "vrf",
    "vxlan",
    "wireguard",
    "xfrm_interface",
    "br_netfilter",
    "tap",
    "mpls_router",
    served::MODULES[0],
    served::MODULES[1],
];
/// What this machine's kernel is known to have.
const HERE: [&str; 6] = ["bridge", "ifb", "macvlan", "macvtap", "veth", "vxlan"];

/// What changes by itself, or is the link's own: never the same twice.
const OWN: [&str; 12] = [
    "bridge_id",
    "root_id",
    "hello_timer",
    "tcn_timer",
    "topology_change_timer",
    "gc_timer",
    "sci",
    "root_path_cost",
    "group_addr",
    "ad_partner_mac",
    "bc_queue_len_used",
    "used_bcqueuelen",
];

struct Case {
    name: &'static str,
    command: &'static str,
    link: VirtualLink,
}

fn cases() -> Vec<Case> {
    let blocks = CASES.split("\n## ").skip(1);
    blocks
        .filter(|block| !block.contains("\nport up0") && !block.contains("\nbridge up0"))
        .map(|block| {
            let mut lines = block.lines();
            let name = lines.next().unwrap();
            let command = lines.next().unwrap().strip_prefix("$ ").unwrap();
            let keys: Vec<&str> = lines.filter(|line| line.contains(" = ")).collect();
            let link = profile(&format!("[link]\nname = \"x0\"\n{}\n", keys.join("\n")));
            Case {
                name,
                command,
                link,
            }
        })
        .collect()
}

fn profile(text: &str) -> VirtualLink {
    let layer = Layer {
        origin: Origin {
            rank: Rank::Admin,
            path: "profiles/x.toml".into(),
        },
        kind: LayerKind::of("profiles/x.toml").unwrap(),
        text: text.to_owned(),
    };
    let loaded = load(&[layer]);
    assert!(!loaded.has_errors(), "{text}: {:#?}", loaded.diagnostics);
    let mut profiles = loaded.config.profiles.into_values();
    profiles.next().unwrap().link.unwrap()
}

/// The kernel as the tests use it.
struct Kernel {
    asker: Asker,
    /// The last index that was chosen.
    chosen: u32,
}

impl Kernel {
    fn open() -> Self {
        Self {
            asker: Asker::open(Part::Route).unwrap(),
            chosen: 1 << 30,
        }
    }

    fn ask(&mut self, message: &Message) -> Result<Vec<Message>, AskError> {
        self.asker.ask(message)
    }

    fn find(&mut self, name: &str) -> Option<(u32, Vec<u8>)> {
        let answers = self.ask(&message::get(name)).ok()?;
        let (index, info) = message::link_of(answers.first()?)?;
        Some((index, info.to_vec()))
    }

    fn index(&mut self, name: &str) -> u32 {
        self.find(name)
            .unwrap_or_else(|| panic!("{name} is there"))
            .0
    }

    /// Makes a link with an index of our choice, as linnetd does, whatever its kind: by it linnetd knows what is its own.
    fn make(&mut self, link: &VirtualLink) -> Result<(), AskError> {
        let mut indexes = self.indexes(link);
        let names = || std::iter::once(&link.name).chain(&link.peer);
        for name in names() {
            self.chosen += 1;
            indexes.insert(name.to_string(), self.chosen);
        }
        if let Some(tun) = Tun::of(link) {
            let index = indexes.get(&*link.name).copied();
            ask::make_tun(&tun, index).map_err(AskError::Socket)?;
        } else {
            let message = message::make(link, None, &|name| indexes.get(name).copied());
            let message = message.unwrap_or_else(|missing| panic!("{missing:?}"));
            self.ask(&message)?;
        }
        for name in names() {
            assert_eq!(self.index(name), indexes[&**name], "the index of {name}");
        }
        Ok(())
    }

    fn indexes(&mut self, link: &VirtualLink) -> BTreeMap<String, u32> {
        let below = link.below().map(|name| name.to_string());
        below
            .filter_map(|name| Some((name.clone(), self.find(&name)?.0)))
            .collect()
    }

    fn attributes(&mut self, link: &VirtualLink) -> BTreeMap<&'static str, Value> {
        let indexes = self.indexes(link);
        let (_, info) = self.find(&link.name).unwrap();
        let name_of = |index: u32| {
            let (name, _) = indexes.iter().find(|(_, held)| **held == index)?;
            Some(Arc::from(name.as_str()))
        };
        decode::link_info(&info, &name_of).attributes
    }
}

/// What `ip` shows of a link's kind, without what is its own.
fn shown(name: &str) -> Json {
    let text = shell(&format!("ip -d -j link show dev {name}"));
    let mut all: Json = serde_json::from_str(&text).unwrap();
    let mut info = all[0]["linkinfo"].take();
    for part in ["info_data", "info_slave_data"] {
        if let Some(data) = info.get_mut(part).and_then(Json::as_object_mut) {
            data.retain(|key, _| !OWN.contains(&key.as_str()));
        }
    }
    info
}

fn run(command: &str) -> bool {
    let output = Command::new("sh").args(["-c", command]).output().unwrap();
    output.status.success()
}

/// Makes everything that the kernel can; returns the kinds that it could.
fn make_all() -> BTreeSet<&'static str> {
    shell("ip link add up0 type veth peer name up1 && ip link set up0 up && ip link set up1 up");
    shell("ip address add 192.0.2.1/24 dev up0 && ip address add 2001:db8::1/64 dev up0 nodad");
    let mut kernel = Kernel::open();
    let mut made = BTreeSet::new();
    let mut failed = Vec::new();
    for case in cases() {
        // One that fails does not hide the others.
        let one = std::panic::AssertUnwindSafe(|| make_twice(&mut kernel, &case));
        match std::panic::catch_unwind(one) {
            Ok(true) => drop(made.insert(case.link.kind.name)),
            Ok(false) => {}
            Err(_) => {
                failed.push(case.name);
                run("ip link delete x0");
            }
        }
    }
    assert!(failed.is_empty(), "failed: {failed:?}");
    ports(&mut kernel);
    if std::path::Path::new("/dev/net/tun").exists() {
        tuns(&mut kernel);
        made.extend(["tap", "tun"]);
    }
    made
}

/// Makes a link by `ip` and by our octets, and changes it; returns whether the kernel knows the kind.
fn make_twice(kernel: &mut Kernel, case: &Case) -> bool {
    let name = case.name;
    let by_ip = run(case.command);
    let theirs = by_ip.then(|| shown("x0"));
    if by_ip {
        shell("ip link delete x0");
    }
    let ours = kernel.make(&case.link);
    assert_eq!(ours.is_ok(), by_ip, "{name}: {ours:?}");
    let Some(theirs) = theirs else {
        return false;
    };
    assert_eq!(shown("x0"), theirs, "{name}");
    if let Some(peer) = &case.link.peer {
        assert!(kernel.find(peer).is_some(), "{name}: the other end");
    }
    told_as_said(kernel, case);
    let index = kernel.index("x0");
    kernel.ask(&message::remove(index)).unwrap();
    change_what_changes(kernel, case);
    true
}

/// What our own decoder reads is what the profile says.
fn told_as_said(kernel: &mut Kernel, case: &Case) {
    let told = kernel.attributes(&case.link);
    for (key, value) in &case.link.attributes {
        let row = case.link.kind.attribute(key).unwrap();
        if row.wire == config::kind::Wire::Elsewhere || is_not_told(case.name, key) {
            continue;
        }
        assert_eq!(told.get(key), Some(value), "{}: {key}", case.name);
    }
}

/// What the kernel does not tell as it was told.
fn is_not_told(case: &str, key: &str) -> bool {
    matches!(
        (case, key),
        // No id goes with `external`; the primary is told when it is a port; macsec tells its port in its identifier.
        // Of Geneve, those of its own family are told.
        ("vxlan-external", "id")
            | (_, "primary")
            | ("macsec", "port")
            | (
                "geneve",
                "udp6-zero-checksum-send" | "udp6-zero-checksum-accept"
            )
    )
}

/// Makes the link with what needs making anew, and says the rest afterwards, with the link up where that is enough.
fn change_what_changes(kernel: &mut Kernel, case: &Case) {
    let kind = case.link.kind;
    let change_of = |key: &str| kind.attribute(key).unwrap().change;
    let late: BTreeMap<&'static str, Value> = case
        .link
        .attributes
        .iter()
        .filter(|(key, _)| change_of(key) < Change::Anew)
        .map(|(key, value)| (*key, value.clone()))
        .collect();
    if late.is_empty() {
        return;
    }
    let mut first = case.link.clone();
    // Tunnels between nobody are the kernel's own.
    let is_end = |key: &str| kind.changes_whole && matches!(key, "local" | "remote" | "key");
    first
        .attributes
        .retain(|key, _| change_of(key) == Change::Anew || is_end(key));
    kernel
        .make(&first)
        .unwrap_or_else(|error| panic!("{}: {error}", case.name));
    let index = kernel.index("x0");
    let indexes = kernel.indexes(&case.link);
    let index_of = |name: &str| indexes.get(name).copied();
    for step in [Change::Empty, Change::Down, Change::Live] {
        kernel
            .ask(&message::set_up(index, step == Change::Live))
            .unwrap();
        let mut said = late.clone();
        said.retain(|key, _| change_of(key) == step);
        if said.is_empty() {
            continue;
        }
        if kind.changes_whole {
            said = case.link.attributes.clone();
        }
        let parent = if kind.changes_whole {
            case.link.parent.as_deref()
        } else {
            None
        };
        let message = message::change(index, kind, &said, parent, &index_of).unwrap();
        if let Err(error) = kernel.ask(&message) {
            panic!("{}: {step:?} {said:?}: {error}", case.name);
        }
    }
    told_as_said(kernel, case);
    kernel.ask(&message::remove(index)).unwrap();
}

/// Ports of a bridge: attributes, VLANs, and coming and going.
fn ports(kernel: &mut Kernel) {
    let port_case = |name: &str| {
        let block = CASES
            .split("\n## ")
            .find(|block| block.lines().next() == Some(name))
            .unwrap();
        let command = block.lines().nth(1).unwrap().strip_prefix("$ ").unwrap();
        let keys: Vec<&str> = block.lines().filter(|line| line.contains(" = ")).collect();
        let (of_link, of_port) = keys.split_at(1);
        let text = format!(
            "[link]\nname = \"x0\"\n{}\n[[ports]]\nname = \"up0\"\n{}\n",
            of_link
                .join("\n")
                .replace("\"bond\"", "\"bond\"\nmode = \"active-backup\""),
            of_port.join("\n")
        );
        (profile(&text), command)
    };
    for (name, kind) in [("bridge-port", "bridge"), ("bond-port", "bond")] {
        let (link, command) = port_case(name);
        if kernel.make(&link).is_err() {
            assert!(!HERE.contains(&kind), "{kind} is here");
            continue;
        }
        let (master, port) = (kernel.index("x0"), kernel.index("up0"));
        kernel.ask(&message::set_up(port, false)).unwrap();
        let said = &link.ports["up0"].attributes;
        let change = message::change_port(port, link.kind, said, &|_| None).unwrap();
        let mut seen = Vec::new();
        for ours in [false, true] {
            kernel
                .ask(&message::set_master(port, Some(master)))
                .unwrap();
            if ours {
                kernel
                    .ask(&change)
                    .unwrap_or_else(|error| panic!("{name}: {error}"));
            } else {
                shell(command);
            }
            let mut info = shown("up0");
            // The port's own numbers.
            if let Some(data) = info
                .get_mut("info_slave_data")
                .and_then(Json::as_object_mut)
            {
                data.retain(|key, _| {
                    ![
                        "hold_timer",
                        "message_age_timer",
                        "forward_delay_timer",
                        "no",
                        "id",
                        "designated_port",
                        "link_failure_count",
                    ]
                    .contains(&key.as_str())
                });
            }
            seen.push(info);
            let (_, info) = kernel.find("up0").unwrap();
            let told = decode::link_info(&info, &|_| None);
            assert_eq!(told.port_of, Some(link.kind), "{name}");
            if ours {
                for (key, value) in said {
                    assert_eq!(told.port_attributes.get(key), Some(value), "{name}: {key}");
                }
            }
            kernel.ask(&message::set_master(port, None)).unwrap();
        }
        assert_eq!(seen[0], seen[1], "{name}");
        kernel.ask(&message::remove(master)).unwrap();
        kernel.ask(&message::set_up(port, true)).unwrap();
    }
    vlans(kernel);
}

/// VLANs of a bridge and its port, as `bridge vlan` shows them.
fn vlans(kernel: &mut Kernel) {
    let link = profile(
        "[link]\nname = \"x0\"\nkind = \"bridge\"\nvlan-filtering = true\nvlans = [\"5\"]\nports = [\"up0\"]\n\
         [[ports]]\nname = \"up0\"\npvid = 30\nvlans = [\"20-29\"]\nuntagged-vlans = [\"40\"]\n",
    );
    if kernel.make(&link).is_err() {
        return;
    }
    let (master, port) = (kernel.index("x0"), kernel.index("up0"));
    kernel
        .ask(&message::set_master(port, Some(master)))
        .unwrap();
    let mut messages = message::add_vlans(port, VlanOwner::Port, &link.ports["up0"].vlans);
    messages.extend(message::add_vlans(master, VlanOwner::Bridge, &link.vlans));
    messages.extend(message::remove_vlans(port, VlanOwner::Port, &[22, 23, 24]));
    for message in &messages {
        kernel.ask(message).unwrap();
    }
    let text = shell("bridge -j vlan show");
    let all: Json = serde_json::from_str(&text).unwrap();
    let of = |name: &str| {
        let link = all
            .as_array()
            .unwrap()
            .iter()
            .find(|link| link["ifname"] == name);
        let vlans = link.unwrap()["vlans"].as_array().unwrap().iter();
        vlans
            .map(|vlan| {
                let flags: Vec<&str> = vlan["flags"]
                    .as_array()
                    .map(|flags| flags.iter().filter_map(Json::as_str).collect())
                    .unwrap_or_default();
                format!(
                    "{}{} {}",
                    vlan["vlan"],
                    vlan.get("vlanEnd")
                        .map(|end| format!("-{end}"))
                        .unwrap_or_default(),
                    flags.join(" ")
                )
            })
            .collect::<Vec<String>>()
    };
    assert_eq!(
        of("up0"),
        [
            "1 Egress Untagged",
            "20 ",
            "21 ",
            "25 ",
            "26 ",
            "27 ",
            "28 ",
            "29 ",
            "30 PVID Egress Untagged",
            "40 Egress Untagged"
        ]
    );
    assert_eq!(of("x0"), ["1 PVID Egress Untagged", "5 "]);
    kernel.ask(&message::remove(master)).unwrap();
}

fn tuns(kernel: &mut Kernel) {
    for (kind, flags) in [
        ("tun", ""),
        ("tap", "multi-queue = true\noffload-header = true\n"),
    ] {
        let text = format!("[link]\nname = \"x0\"\nkind = \"{kind}\"\nowner = 65534\n{flags}");
        let link = profile(&text);
        kernel.make(&link).unwrap();
        let info = shown("x0");
        assert_eq!(info["info_kind"], "tun", "{info}");
        let data = &info["info_data"];
        assert_eq!(data["type"], kind);
        assert_eq!(data["persist"], true, "it stays when nobody has it open");
        assert_eq!(data["pi"], false);
        assert_eq!(data["vnet_hdr"], !flags.is_empty());
        assert_eq!(data["multi_queue"], !flags.is_empty());
        assert!(
            data["user"] == "nobody" || data["user"] == "65534",
            "{data}"
        );
        assert!(kernel.make(&link).is_err(), "one of its name is there");
        let index = kernel.index("x0");
        kernel.ask(&message::remove(index)).unwrap();
    }
}

#[test]
fn kinds_of_this_kernel_are_made_as_ip_makes_them() {
    isolated(
        "kinds::kinds_of_this_kernel_are_made_as_ip_makes_them",
        || {
            let made = make_all();
            for kind in HERE {
                assert!(made.contains(kind), "{kind} is not among {made:?}");
            }
            say(&format!("made: {made:?}"));
        },
    );
}

#[test]
fn every_kind_is_made_by_debians_kernel_as_ip_makes_it() {
    in_machine_with(
        "kinds::every_kind_is_made_by_debians_kernel_as_ip_makes_it",
        &MODULES,
        served::DEVICES,
        || {
            let made = make_all();
            let all: BTreeSet<&str> = KINDS.iter().map(|kind| kind.name).collect();
            assert_eq!(made, all);
            served::links_and_cards();
            crate::stacked::mtu_follows("kind = \"vlan\"\nid = 5");
        },
    );
}

#[test]
fn the_kernel_says_why_it_makes_no_link() {
    isolated("kinds::the_kernel_says_why_it_makes_no_link", || {
        let mut kernel = Kernel::open();
        let link = profile("[link]\nname = \"x0\"\nkind = \"veth\"\npeer = \"y0\"");
        kernel.make(&link).unwrap();
        assert_eq!(kernel.make(&link).unwrap_err().errno(), Some(17), "EEXIST");
        let text = "[link]\nname = \"x1\"\nkind = \"vxlan\"\nid = 1\nparent = \"x0\"\nremote = \"239.1.1.1\"\nlocal = \"192.0.2.1\"";
        let mut group = profile(text);
        group.parent = None;
        let error = kernel.make(&group).unwrap_err();
        assert!(error.to_string().contains("interface"), "{error}");
        assert!(
            encode::data(
                LinkKind::of("bond").unwrap().attributes,
                &BTreeMap::new(),
                &|_| None
            )
            .unwrap()
            .is_empty()
        );
        assert_eq!(LinkKind::of("tun").unwrap().maker, Maker::Tun);
    });
}
