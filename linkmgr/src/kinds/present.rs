//! Which links are there, as far as kinds are concerned? [`present`], from a listing of the kernel to what `policy` compares.

use std::collections::BTreeMap;
use std::sync::Arc;

use config::model::VlanUse;
use policy::virtual_links::{LinkChange, PresentLink};

use super::decode::link_info;
use super::encode::IndexOf;
use super::message::{self, Message, Missing, VlanOwner};
use super::tlv;

const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
/// `NLM_F_ROOT | NLM_F_MATCH`.
const DUMP: u16 = 0x300;
const AF_BRIDGE: u8 = 7;
const LINK_HEADER: usize = 16;
const IFLA_IFNAME: u16 = 3;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_AF_SPEC: u16 = 26;
const IFLA_EXT_MASK: u16 = 29;
const IFLA_LINK_NETNSID: u16 = 37;
const VLAN_INFO: u16 = 2;
const VLAN_PVID: u16 = 1 << 1;
const VLAN_UNTAGGED: u16 = 1 << 2;
const VLAN_RANGE_BEGIN: u16 = 1 << 3;
const VLAN_RANGE_END: u16 = 1 << 4;
/// `RTEXT_FILTER_BRVLAN_COMPRESSED` and `RTEXT_FILTER_SKIP_STATS`.
const VLANS_IN_RANGES: u32 = 1 << 2;
const SKIP_STATISTICS: u32 = 1 << 3;
const IFF_UP: u32 = 1;

/// Asks for all links, and then for all VLANs of bridges and their ports: two listings.
pub fn listings() -> [Message; 2] {
    [(0, SKIP_STATISTICS), (AF_BRIDGE, VLANS_IN_RANGES)].map(|(family, mask)| {
        let mut body = vec![family];
        body.resize(LINK_HEADER, 0);
        tlv::put_word(&mut body, IFLA_EXT_MASK, mask);
        Message {
            kind: RTM_GETLINK,
            flags: DUMP,
            body,
        }
    })
}

/// Reads the answers to both [`listings`] together.
pub fn present(answers: &[Message]) -> BTreeMap<Arc<str>, PresentLink> {
    let links = || answers.iter().filter(|answer| answer.kind == RTM_NEWLINK);
    let name_by_index: BTreeMap<u32, Arc<str>> = links()
        .filter_map(|answer| {
            let name = tlv::find(answer.body.get(LINK_HEADER..)?, IFLA_IFNAME)?;
            let index = tlv::word(&answer.body, 4)?;
            // A name that is no UTF-8 is nobody's that is wanted here, but its link may stand on one of ours.
            let name = match tlv::text(name) {
                Some(name) => name.into(),
                None => format!("{}%{index}", String::from_utf8_lossy(name)).into(),
            };
            Some((index, name))
        })
        .collect();
    let name_of = |index: u32| name_by_index.get(&index).cloned();
    let mut present: BTreeMap<Arc<str>, PresentLink> = BTreeMap::new();
    for answer in links() {
        let Some((header, attributes)) = answer.body.split_at_checked(LINK_HEADER) else {
            continue;
        };
        let index = tlv::word(header, 4).unwrap_or_default();
        let Some(name) = name_of(index) else {
            continue;
        };
        let link = present.entry(name).or_default();
        if header.first() == Some(&AF_BRIDGE) {
            link.vlans = vlans(tlv::find(attributes, IFLA_AF_SPEC).unwrap_or_default());
            continue;
        }
        let number = |kind| tlv::word(tlv::find(attributes, kind)?, 0);
        let info = tlv::find(attributes, IFLA_LINKINFO).unwrap_or_default();
        let info = link_info(info, &name_of);
        link.index = index;
        link.up = tlv::word(header, 8).unwrap_or_default() & IFF_UP != 0;
        link.kind = info.kind;
        // In another namespace it is an index of that one, wherever it is told.
        let is_elsewhere = tlv::find(attributes, IFLA_LINK_NETNSID).is_some();
        let parent = info.parent.or_else(|| number(IFLA_LINK));
        link.parent = parent.filter(|_| !is_elsewhere).and_then(name_of);
        link.port_of = number(IFLA_MASTER).and_then(name_of);
        link.attributes = info.attributes;
        link.port_attributes = info.port_attributes;
    }
    present
}

fn vlans(spec: &[u8]) -> BTreeMap<u16, VlanUse> {
    let mut use_by_vlan = BTreeMap::new();
    let mut begun = None;
    for (_, info) in tlv::attributes(spec).filter(|(kind, _)| *kind == VLAN_INFO) {
        let (Some(flags), Some(vlan)) = (tlv::half(info, 0), tlv::half(info, 2)) else {
            continue;
        };
        let how = VlanUse {
            untagged: flags & VLAN_UNTAGGED != 0,
            pvid: flags & VLAN_PVID != 0,
        };
        if flags & VLAN_RANGE_BEGIN != 0 {
            begun = Some(vlan);
            continue;
        }
        let first = begun.take().filter(|_| flags & VLAN_RANGE_END != 0);
        for vlan in first.unwrap_or(vlan)..=vlan.min(4094) {
            use_by_vlan.insert(vlan, how);
        }
    }
    use_by_vlan
}

/// Returns the messages that do one change; `is_bridge` tells whether a link is a bridge itself, not a port of one.
///
/// # Errors
/// [`Missing`], when a link that is named is not there, or is made by an ioctl.
pub fn messages(
    change: &LinkChange,
    index_of: IndexOf<'_>,
    is_bridge: &dyn Fn(&str) -> bool,
) -> Result<Vec<Message>, Missing> {
    let index = |name: &Arc<str>| index_of(name).ok_or_else(|| Missing::Link(name.to_string()));
    let owner = |name: &Arc<str>| {
        if is_bridge(name) {
            VlanOwner::Bridge
        } else {
            VlanOwner::Port
        }
    };
    Ok(match change {
        LinkChange::Make(wanted) => vec![message::make(&wanted.link, wanted.mac, index_of)?],
        LinkChange::Remove(name) => vec![message::remove(index(name)?)],
        LinkChange::SetUp(name, up) => vec![message::set_up(index(name)?, *up)],
        LinkChange::Set {
            name,
            kind,
            attributes,
            parent,
        } => {
            let parent = parent.as_deref();
            vec![message::change(
                index(name)?,
                *kind,
                attributes,
                parent,
                index_of,
            )?]
        }
        LinkChange::Join { port, of } | LinkChange::Rejoin { port, of } => {
            vec![message::set_master(index(port)?, Some(index(of)?))]
        }
        LinkChange::Leave(port) => vec![message::set_master(index(port)?, None)],
        LinkChange::SetPort {
            port,
            kind,
            attributes,
        } => vec![message::change_port(
            index(port)?,
            *kind,
            attributes,
            index_of,
        )?],
        LinkChange::AddVlans(name, vlans) => message::add_vlans(index(name)?, owner(name), vlans),
        LinkChange::RemoveVlans(name, vlans) => {
            message::remove_vlans(index(name)?, owner(name), vlans)
        }
    })
}

#[cfg(test)]
mod tests {
    use config::kind::LinkKind;

    use super::*;
    use crate::kinds::message::{INFO_DATA, INFO_KIND};

    fn told(index: u32, name: &str, put: impl FnOnce(&mut Vec<u8>)) -> Message {
        let mut body = vec![0; LINK_HEADER];
        body.splice(4..8, index.to_ne_bytes());
        tlv::put_text(&mut body, IFLA_IFNAME, name);
        put(&mut body);
        Message {
            kind: RTM_NEWLINK,
            flags: 0,
            body,
        }
    }

    /// A container has a macvlan and a vxlan, whose parents have by chance the index of a link that is here.
    #[test]
    fn a_parent_in_another_namespace_is_no_link_of_this_one() {
        let vxlan = |body: &mut Vec<u8>| {
            tlv::put_nested(body, IFLA_LINKINFO, |info| {
                tlv::put_text(info, INFO_KIND, "vxlan");
                tlv::put_nested(info, INFO_DATA, |data| tlv::put_word(data, 3, 7));
            });
        };
        let parents = |is_elsewhere: bool| {
            let put_place = |body: &mut Vec<u8>| {
                if is_elsewhere {
                    tlv::put_word(body, IFLA_LINK_NETNSID, 0);
                }
            };
            let answers = [
                told(7, "br0", |_| {}),
                told(8, "macvlan0", |body| {
                    tlv::put_word(body, IFLA_LINK, 7);
                    put_place(body);
                }),
                told(9, "vxlan0", |body| {
                    vxlan(body);
                    put_place(body);
                }),
            ];
            let present = present(&answers);
            assert_eq!(present["vxlan0"].kind, LinkKind::of("vxlan"));
            ["macvlan0", "vxlan0"].map(|name| present[name].parent.clone())
        };
        let here: Option<Arc<str>> = Some("br0".into());
        assert_eq!(parents(false), [here.clone(), here]);
        assert_eq!(parents(true), [None, None]);
    }
}
