//! How is a tun or tap made? [`Tun`], the steps of ioctl at `/dev/net/tun`; the kernel refuses to make these by netlink.

use std::sync::Arc;

use config::kind::{Maker, Value};
use config::model::VirtualLink;

/// `_IOW('T', …, int)`: to say its index, to make it, to keep it, to say whose it is.
const TUNSETIFINDEX: u32 = 0x4004_54da;
const TUNSETIFF: u32 = 0x4004_54ca;
const TUNSETPERSIST: u32 = 0x4004_54cb;
const TUNSETOWNER: u32 = 0x4004_54cc;
const TUNSETGROUP: u32 = 0x4004_54ce;

const IFF_TUN: u16 = 0x0001;
const IFF_TAP: u16 = 0x0002;
const IFF_MULTI_QUEUE: u16 = 0x0100;
const IFF_NO_PI: u16 = 0x1000;
const IFF_VNET_HDR: u16 = 0x4000;
/// A link of this name must not be there already.
const IFF_TUN_EXCL: u16 = 0x8000;
/// `struct ifreq`: 16 octets of name, then the flags.
const REQUEST: usize = 40;
const NAME: usize = 16;

/// A tun or tap to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tun {
    name: Arc<str>,
    flags: u16,
    owner: Option<u32>,
    group: Option<u32>,
}

/// What goes with an ioctl.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Argument {
    /// A `struct ifreq`.
    Request([u8; REQUEST]),
    /// A number.
    Number(u32),
    /// Where a number is.
    Place(u32),
}

impl Tun {
    /// Reads what a profile says; `None` for links that are made by netlink.
    pub fn of(link: &VirtualLink) -> Option<Self> {
        if link.kind.maker != Maker::Tun {
            return None;
        }
        let is_on = |name: &str| link.attributes.get(name) == Some(&Value::Switch(true));
        let number = |name: &str| match link.attributes.get(name) {
            Some(Value::Number(number)) => u32::try_from(*number).ok(),
            Some(_) | None => None,
        };
        let mut flags = if link.kind.name == "tap" {
            IFF_TAP
        } else {
            IFF_TUN
        } | IFF_TUN_EXCL;
        for (is_set, flag) in [
            (!is_on("packet-information"), IFF_NO_PI),
            (is_on("offload-header"), IFF_VNET_HDR),
            (is_on("multi-queue"), IFF_MULTI_QUEUE),
        ] {
            if is_set {
                flags |= flag;
            }
        }
        Some(Self {
            name: link.name.clone(),
            flags,
            owner: number("owner"),
            group: number("group"),
        })
    }

    /// Returns the ioctls in their order, with their arguments; it is made with this index, or with one that the kernel chooses. It is
    /// gone again when whoever makes it does not come to the last step.
    pub fn steps(&self, index: Option<u32>) -> Vec<(u32, Argument)> {
        let mut request = [0; REQUEST];
        // The last octet of the name stays zero.
        for (to, from) in request.iter_mut().take(NAME - 1).zip(self.name.bytes()) {
            *to = from;
        }
        for (to, from) in request.iter_mut().skip(NAME).zip(self.flags.to_ne_bytes()) {
            *to = from;
        }
        let index = index.map(|index| (TUNSETIFINDEX, Argument::Place(index)));
        let mut steps: Vec<(u32, Argument)> = index.into_iter().collect();
        steps.push((TUNSETIFF, Argument::Request(request)));
        steps.extend(self.owner.map(|id| (TUNSETOWNER, Argument::Number(id))));
        steps.extend(self.group.map(|id| (TUNSETGROUP, Argument::Number(id))));
        steps.push((TUNSETPERSIST, Argument::Number(1)));
        steps
    }
}
