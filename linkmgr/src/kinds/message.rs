//! Which requests make, change and remove links? [`Message`]s of rtnetlink, whole but for the header that their sender adds.

use std::collections::BTreeMap;

use config::kind::{LinkKind, Parent, Value};
use config::matcher::Mac;
use config::model::{VirtualLink, VlanUse};

use zeroize::Zeroize as _;

use super::encode::{IndexOf, data};
use super::tlv::{self, NESTED};

/// A request, without `struct nlmsghdr`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// `nlmsg_type`.
    pub kind: u16,
    /// `nlmsg_flags` beside those that every request has.
    pub flags: u16,
    /// What follows the header.
    pub body: Vec<u8>,
}

impl Message {
    /// Overwrites what it says: it has had its answer, and there was a secret in it.
    pub fn forget(&mut self) {
        self.body.zeroize();
    }
}

/// Why there is no message for a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// A link of this name must be there first.
    Link(String),
    /// It is made by an ioctl.
    Ioctl,
}

pub(crate) const INFO_KIND: u16 = 1;
pub(crate) const INFO_DATA: u16 = 2;
pub(crate) const INFO_SLAVE_KIND: u16 = 4;
pub(crate) const INFO_SLAVE_DATA: u16 = 5;

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTM_SETLINK: u16 = 19;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_AF_SPEC: u16 = 26;
const VETH_INFO_PEER: u16 = 1;
const IFLA_BRIDGE_FLAGS: u16 = 0;
const IFLA_BRIDGE_VLAN_INFO: u16 = 2;
const BRIDGE_FLAGS_SELF: u16 = 2;
const BRIDGE_VLAN_INFO_PVID: u16 = 1 << 1;
const BRIDGE_VLAN_INFO_UNTAGGED: u16 = 1 << 2;
const BRIDGE_VLAN_INFO_RANGE_BEGIN: u16 = 1 << 3;
const BRIDGE_VLAN_INFO_RANGE_END: u16 = 1 << 4;
const AF_BRIDGE: u8 = 7;
const IFF_UP: u32 = 1;
/// `struct ifinfomsg` has this many octets.
const LINK_HEADER: usize = 16;
/// So many VLANs fit a message with room to spare.
const VLANS_IN_MESSAGE: usize = 2000;

/// Makes a link, with the index that `index_of` has for its name, if any (rtnetlink takes one since Linux 3.7). That one of its name
/// or index is there already is an error (`EEXIST`, `EBUSY`). It is down, as is the other end of a pair.
///
/// # Errors
/// [`Missing`], when it cannot be made yet, or not by a message.
pub fn make(
    link: &VirtualLink,
    mac: Option<Mac>,
    index_of: IndexOf<'_>,
) -> Result<Message, Missing> {
    if link.kind.maker == config::kind::Maker::Tun {
        return Err(Missing::Ioctl);
    }
    let new_header = |name: &str| header(0, index_of(name).unwrap_or(0));
    let mut body = new_header(&link.name);
    tlv::put_text(&mut body, IFLA_IFNAME, &link.name);
    if let Some(mac) = mac {
        tlv::put(&mut body, IFLA_ADDRESS, &mac.0);
    }
    if link.kind.parent == Parent::Link {
        let parent = link.parent.as_deref().unwrap_or_default();
        let index = index_of(parent).ok_or_else(|| Missing::Link(parent.to_owned()))?;
        tlv::put_word(&mut body, IFLA_LINK, index);
    }
    let mut info = info(
        link.kind,
        &link.attributes,
        link.parent.as_deref(),
        index_of,
    )?;
    if let Some(peer) = &link.peer {
        let mut inner = new_header(peer);
        tlv::put_text(&mut inner, IFLA_IFNAME, peer);
        tlv::put_nested(&mut info, INFO_DATA, |bytes| {
            tlv::put(bytes, VETH_INFO_PEER, &inner);
        });
    }
    tlv::put(&mut body, IFLA_LINKINFO, &info);
    Ok(Message {
        kind: RTM_NEWLINK,
        flags: NLM_F_CREATE | NLM_F_EXCL,
        body,
    })
}

/// Changes attributes of a link that is there; only those in `said` change, unless its kind is changed as a whole.
///
/// # Errors
/// [`Missing`], when a link that is named is not there.
pub fn change(
    index: u32,
    kind: LinkKind,
    said: &BTreeMap<&'static str, Value>,
    parent: Option<&str>,
    index_of: IndexOf<'_>,
) -> Result<Message, Missing> {
    let mut body = header(0, index);
    let info = info(kind, said, parent, index_of)?;
    tlv::put(&mut body, IFLA_LINKINFO, &info);
    Ok(Message {
        kind: RTM_NEWLINK,
        flags: 0,
        body,
    })
}

/// Removes a link. With one end of a pair goes the other.
pub fn remove(index: u32) -> Message {
    Message {
        kind: RTM_DELLINK,
        flags: 0,
        body: header(0, index),
    }
}

/// Makes a link a port of another one; `None` of none.
pub fn set_master(index: u32, master: Option<u32>) -> Message {
    let mut body = header(0, index);
    tlv::put_word(&mut body, IFLA_MASTER, master.unwrap_or(0));
    Message {
        kind: RTM_NEWLINK,
        flags: 0,
        body,
    }
}

/// Changes attributes of a port; `kind` is that of the link that it is a port of.
///
/// # Errors
/// [`Missing`], when a link that is named is not there.
pub fn change_port(
    index: u32,
    kind: LinkKind,
    said: &BTreeMap<&'static str, Value>,
    index_of: IndexOf<'_>,
) -> Result<Message, Missing> {
    let data = data(kind.ports.unwrap_or_default(), said, index_of).map_err(Missing::Link)?;
    let mut body = header(0, index);
    tlv::put_nested(&mut body, IFLA_LINKINFO, |bytes| {
        tlv::put_text(bytes, INFO_SLAVE_KIND, kind.info);
        tlv::put(bytes, INFO_SLAVE_DATA, &data);
    });
    Ok(Message {
        kind: RTM_NEWLINK,
        flags: 0,
        body,
    })
}

/// Whose VLANs are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VlanOwner {
    /// A port of a bridge.
    Port,
    /// A bridge itself.
    Bridge,
}

/// Adds VLANs to a port or a bridge, or changes how it is a member of them.
pub fn add_vlans(index: u32, owner: VlanOwner, vlans: &BTreeMap<u16, VlanUse>) -> Vec<Message> {
    vlan_messages(RTM_SETLINK, index, owner, vlans)
}

/// Takes VLANs away from a port or a bridge.
pub fn remove_vlans(index: u32, owner: VlanOwner, vlans: &[u16]) -> Vec<Message> {
    let vlans = vlans.iter().map(|vlan| (*vlan, VlanUse::default()));
    vlan_messages(RTM_DELLINK, index, owner, &vlans.collect())
}

fn vlan_messages(
    kind: u16,
    index: u32,
    owner: VlanOwner,
    vlans: &BTreeMap<u16, VlanUse>,
) -> Vec<Message> {
    let ranges = ranges(vlans);
    let message = |ranges: &[(u16, u16, VlanUse)]| {
        let mut body = header(AF_BRIDGE, index);
        tlv::put_nested(&mut body, IFLA_AF_SPEC | NESTED, |bytes| {
            if owner == VlanOwner::Bridge {
                tlv::put(bytes, IFLA_BRIDGE_FLAGS, &BRIDGE_FLAGS_SELF.to_ne_bytes());
            }
            for (first, last, how) in ranges {
                let flags = flags_of(*how);
                if first == last {
                    put_vlan(bytes, *first, flags);
                } else {
                    put_vlan(bytes, *first, flags | BRIDGE_VLAN_INFO_RANGE_BEGIN);
                    put_vlan(bytes, *last, flags | BRIDGE_VLAN_INFO_RANGE_END);
                }
            }
        });
        Message {
            kind,
            flags: 0,
            body,
        }
    };
    ranges.chunks(VLANS_IN_MESSAGE).map(message).collect()
}

/// Puts neighbouring VLANs of one use together; a PVID stands alone, as the kernel wants it.
fn ranges(vlans: &BTreeMap<u16, VlanUse>) -> Vec<(u16, u16, VlanUse)> {
    let mut ranges: Vec<(u16, u16, VlanUse)> = Vec::new();
    for (vlan, how) in vlans {
        if let Some((_, last, held)) = ranges.last_mut()
            && *held == *how
            && !how.pvid
            && last.checked_add(1) == Some(*vlan)
        {
            *last = *vlan;
        } else {
            ranges.push((*vlan, *vlan, *how));
        }
    }
    ranges
}

const fn flags_of(how: VlanUse) -> u16 {
    let untagged = if how.untagged {
        BRIDGE_VLAN_INFO_UNTAGGED
    } else {
        0
    };
    let pvid = if how.pvid { BRIDGE_VLAN_INFO_PVID } else { 0 };
    untagged | pvid
}

/// `struct bridge_vlan_info`.
fn put_vlan(bytes: &mut Vec<u8>, vlan: u16, flags: u16) {
    let info = [flags.to_ne_bytes(), vlan.to_ne_bytes()].concat();
    tlv::put(bytes, IFLA_BRIDGE_VLAN_INFO, &info);
}

/// What stands in `IFLA_LINKINFO`.
fn info(
    kind: LinkKind,
    said: &BTreeMap<&'static str, Value>,
    parent: Option<&str>,
    index_of: IndexOf<'_>,
) -> Result<Vec<u8>, Missing> {
    let mut info = Vec::new();
    tlv::put_text(&mut info, INFO_KIND, kind.info);
    let mut octets = Vec::new();
    if let (Parent::Attribute(number), Some(parent)) = (kind.parent, parent) {
        let index = index_of(parent).ok_or_else(|| Missing::Link(parent.to_owned()))?;
        tlv::put_word(&mut octets, number, index);
    }
    octets.extend(data(kind.attributes, said, index_of).map_err(Missing::Link)?);
    if !octets.is_empty() {
        tlv::put(&mut info, INFO_DATA, &octets);
    }
    Ok(info)
}

/// `struct ifinfomsg`.
fn header(family: u8, index: u32) -> Vec<u8> {
    let mut header = vec![family, 0, 0, 0];
    header.extend(index.to_ne_bytes());
    header.resize(LINK_HEADER, 0);
    header
}

/// Takes a link up or down.
pub fn set_up(index: u32, up: bool) -> Message {
    let mut body = vec![0; 4];
    body.extend(index.to_ne_bytes());
    body.extend((if up { IFF_UP } else { 0 }).to_ne_bytes());
    body.extend(IFF_UP.to_ne_bytes());
    Message {
        kind: RTM_NEWLINK,
        flags: 0,
        body,
    }
}

/// Asks for one link by its name; the answer is of the kind of [`make`].
pub fn get(name: &str) -> Message {
    let mut body = header(0, 0);
    tlv::put_text(&mut body, IFLA_IFNAME, name);
    Message {
        kind: RTM_GETLINK,
        flags: 0,
        body,
    }
}

/// Reads the index and `IFLA_LINKINFO` out of an answer to [`get`].
pub fn link_of(answer: &Message) -> Option<(u32, &[u8])> {
    let index = tlv::word(&answer.body, 4)?;
    let attributes = answer.body.get(LINK_HEADER..)?;
    let info = tlv::find(attributes, IFLA_LINKINFO).unwrap_or_default();
    (answer.kind == RTM_NEWLINK).then_some((index, info))
}
