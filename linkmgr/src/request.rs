//! What is asked of the kernel, and what does it answer? [`KernelRequest`], [`KernelAnswer`]: typed, no netlink bytes.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use config::matcher::Mac;
use config::model::{AddressAttributes, PolicyRule, Prefix};
use policy::links::Switch;

use crate::journal::{Value, mac_value};
use crate::kernel::OwnRoute;
use crate::status::Setting;

/// Which request an answer belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// One thing asked of the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KernelRequest {
    /// A link is to be up, or down.
    SetUp {
        /// `ifindex`.
        index: u32,
        /// Which of both.
        up: bool,
    },
    /// A link is to carry packets of this length at most.
    SetMtu {
        /// `ifindex`.
        index: u32,
        /// In octets.
        mtu: u32,
    },
    /// A link is to have this hardware address.
    SetMac {
        /// `ifindex`.
        index: u32,
        /// The address.
        mac: Mac,
        /// Whether it has to be down meanwhile, which costs it its routes.
        while_down: bool,
    },
    /// An address is to be added; that it is there already is an error (`EEXIST`).
    AddAddress(AddressRequest),
    /// An address that is there is to be as said, without going away meanwhile.
    ReplaceAddress(AddressRequest),
    /// An address is to go, and no other one with it: where the kernel takes others of the same prefix away too, they are
    /// promoted.
    DeleteAddress {
        /// `ifindex`.
        index: u32,
        /// The address.
        address: Prefix,
        /// The other end's, where it has one.
        peer: Option<IpAddr>,
    },
    /// A route is to be added; that another one has its place is an error (`EEXIST`).
    AddRoute(OwnRoute),
    /// A route is to take the place of our own one.
    ReplaceRoute(OwnRoute),
    /// Our own route is to go.
    DeleteRoute(OwnRoute),
    /// A rule is to be added; that it is there already is an error (`EEXIST`).
    AddRule(PolicyRule),
    /// Our own rule is to go.
    DeleteRule(PolicyRule),
    /// The value of a switch is wanted.
    ReadSwitch {
        /// The link's name.
        link: Arc<str>,
        /// Which.
        switch: Switch,
    },
    /// It is wanted whether any table has a route for the network of an IPv4 address, by the link itself: 1, or 0.
    ReadPrefixRoute {
        /// `ifindex`.
        index: u32,
        /// The address.
        prefix: Prefix,
    },
    /// A switch is to have this value.
    SetSwitch {
        /// The link's name.
        link: Arc<str>,
        /// Which.
        switch: Switch,
        /// The value.
        value: i32,
    },
}

impl KernelRequest {
    /// Whether something is to go.
    pub const fn is_deletion(&self) -> bool {
        matches!(
            self,
            Self::DeleteAddress { .. } | Self::DeleteRoute(_) | Self::DeleteRule(_)
        )
    }

    /// Returns the route that is to be there.
    pub const fn route(&self) -> Option<&OwnRoute> {
        match self {
            Self::AddRoute(route) | Self::ReplaceRoute(route) => Some(route),
            Self::SetUp { .. }
            | Self::SetMtu { .. }
            | Self::SetMac { .. }
            | Self::AddAddress(_)
            | Self::ReplaceAddress(_)
            | Self::DeleteAddress { .. }
            | Self::DeleteRoute(_)
            | Self::AddRule(_)
            | Self::DeleteRule(_)
            | Self::ReadSwitch { .. }
            | Self::ReadPrefixRoute { .. }
            | Self::SetSwitch { .. } => None,
        }
    }

    /// Returns the setting that it makes, of a link's own: the link's index, which, and what that is to be. Of switches the kernel tells little, and
    /// they are named by link: they are none of these.
    pub(crate) fn setting(&self) -> Option<(u32, Setting, Value)> {
        match self {
            Self::SetUp { index, up } => Some((*index, Setting::Up, Value::from(*up))),
            Self::SetMtu { index, mtu } => Some((*index, Setting::Mtu, Value::from(*mtu))),
            Self::SetMac { index, mac, .. } => Some((*index, Setting::Mac, mac_value(*mac))),
            Self::AddAddress(_)
            | Self::ReplaceAddress(_)
            | Self::DeleteAddress { .. }
            | Self::AddRoute(_)
            | Self::ReplaceRoute(_)
            | Self::DeleteRoute(_)
            | Self::AddRule(_)
            | Self::DeleteRule(_)
            | Self::ReadSwitch { .. }
            | Self::ReadPrefixRoute { .. }
            | Self::SetSwitch { .. } => None,
        }
    }

    /// Whether it leaves everything as it is.
    pub const fn is_read(&self) -> bool {
        matches!(self, Self::ReadSwitch { .. } | Self::ReadPrefixRoute { .. })
    }
}

/// An address to add or replace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressRequest {
    /// `ifindex`.
    pub index: u32,
    /// The address.
    pub address: Prefix,
    /// How many seconds new connections may begin with it; `None` for ever.
    pub preferred: Option<u32>,
    /// How many seconds it may be used at all, at least one; `None` for ever.
    pub valid: Option<u32>,
    /// `IFA_F_MANAGETEMPADDR`.
    pub temporaries: bool,
    /// `IFA_F_NOPREFIXROUTE`.
    pub no_prefix_route: bool,
    /// The metric of the kernel's own route for the prefix (`IFA_RT_PRIORITY`); 0 leaves it to the kernel.
    pub metric: u32,
    /// What else there is to say of it.
    pub attributes: AddressAttributes,
}

/// What the kernel says to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KernelAnswer {
    /// It is done.
    Done,
    /// What was asked for has this value; a switch: it was read, or it is what became of it when it was set.
    Value(i32),
    /// The same of a switch that the link does not let be changed.
    Fixed(i32),
    /// It is not done.
    Failed(KernelFault),
}

/// Why the kernel does not do what is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelFault {
    /// `errno`.
    pub errno: i32,
    /// The kernel's own words, where it has any (`NLMSGERR_ATTR_MSG`).
    pub text: Option<Arc<str>>,
}

/// `EINTR`, `EAGAIN`, `ENOMEM`, `EBUSY`, `ENOBUFS`.
const PASSING: [i32; 5] = [4, 11, 12, 16, 105];

/// Whether the kernel is only too busy for what it refuses for this `errno`: the same request may go well a moment later, though nothing
/// is told of it.
pub fn passes(errno: i32) -> bool {
    PASSING.contains(&errno)
}

impl KernelFault {
    /// Whether the same request may go well a moment later, though nothing is told of it.
    pub fn passes(&self) -> bool {
        passes(self.errno)
    }
}

impl fmt::Display for KernelFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.text {
            Some(text) => write!(f, "{text} (error {})", self.errno),
            None => write!(f, "error {} of the kernel", self.errno),
        }
    }
}

impl std::error::Error for KernelFault {}
