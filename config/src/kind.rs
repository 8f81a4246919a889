//! Which kinds of links can linnet make, and what can be said of each? [`KINDS`], one table as data.
//!
//! A row says how an attribute is called in a profile and how the kernel calls it, what values it takes, and what it costs
//! to change it. Checks, reference, the plan and the encoder of netlink read the same rows; none of them knows a kind by name.

mod bond;
mod bridge;
mod overlays;
mod stacked;
mod tunnels;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use crate::matcher::Mac;
use crate::reference::{Form, Key, Section, Syntax};
use crate::units;

/// All kinds, by their names.
pub static KINDS: [Kind; 23] = [
    bond::BOND,
    bridge::BRIDGE,
    stacked::DUMMY,
    overlays::GENEVE,
    tunnels::GRE,
    tunnels::GRETAP,
    stacked::IFB,
    tunnels::IP6GRE,
    tunnels::IP6TNL,
    tunnels::IPIP,
    stacked::IPVLAN,
    stacked::MACSEC,
    stacked::MACVLAN,
    stacked::MACVTAP,
    tunnels::SIT,
    stacked::TAP,
    stacked::TUN,
    stacked::VETH,
    stacked::VLAN,
    stacked::VRF,
    overlays::VXLAN,
    overlays::WIREGUARD,
    tunnels::XFRM,
];

/// A kind of link.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// Its name in a profile.
    pub name: &'static str,
    /// `IFLA_INFO_KIND`.
    pub info: &'static str,
    /// What it is, in one sentence.
    pub doc: &'static str,
    /// How it is made.
    pub maker: Maker,
    /// The link that it stands on.
    pub parent: Parent,
    /// Whether the kernel takes it away with the link that it stands on.
    pub goes_with_parent: bool,
    /// Whether it has another end, which is a link too.
    pub has_peer: bool,
    /// What can be said of its ports; `None` when it has none.
    pub ports: Option<&'static [Attribute]>,
    /// Whether a link must be down to become its port.
    pub joins_down: bool,
    /// Whether a change names all attributes, because the kernel takes those that are left out for their defaults.
    pub changes_whole: bool,
    /// What can be said of it.
    pub attributes: &'static [Attribute],
}

/// How a link is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maker {
    /// By a message of rtnetlink.
    Netlink,
    /// By an ioctl at `/dev/net/tun`: the kernel refuses it by netlink.
    Tun,
}

/// The link that a link stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parent {
    /// None.
    None,
    /// `IFLA_LINK`, and it must be there.
    Link,
    /// An attribute of the kind with its index; it may be left out.
    Attribute(u16),
}

/// What can be said of a kind of link.
#[derive(Debug, Clone, Copy)]
pub struct Attribute {
    /// Name, shape, default and meaning in a profile.
    pub key: Key,
    /// How the kernel numbers it: the same value goes to each.
    pub numbers: &'static [u16],
    /// How its value is written.
    pub wire: Wire,
    /// Bits that are set elsewhere where it is said.
    pub implied: &'static [Bit],
    /// What it takes to change it.
    pub change: Change,
    /// Whether a link cannot do without.
    pub required: bool,
    /// Whether a link that is made has it said though its profile does not, because the kernel's own default is another one.
    pub always: bool,
}

/// A bit of an attribute of flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bit {
    /// The attribute.
    pub number: u16,
    /// How wide that is.
    pub width: Width,
    /// The bit.
    pub bit: u32,
}

/// What it takes to change an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Nothing.
    Live,
    /// The link must be down.
    Down,
    /// The link must be down and without ports.
    Empty,
    /// The link must be made anew.
    Anew,
}

/// How wide a number is, and in which order its octets go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// One octet.
    U8,
    /// Two octets in the machine's order.
    U16,
    /// Four.
    U32,
    /// Eight.
    U64,
    /// Two octets in network order.
    Be16,
    /// Four.
    Be32,
}

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// A number; negative ones as their two's complement.
    Number(Width),
    /// A number 0 or 1.
    Switch(Width),
    /// An attribute without a value: it is there or not.
    Flag,
    /// The number of a word.
    Word(Width, &'static [(&'static str, u64)]),
    /// A length of time in so many parts of a second.
    Time(Width, u32),
    /// A bit of a number.
    Bit(Width, u32),
    /// A bit of a number in 32 bits, with a mask of the same width behind it.
    MaskedBit(u32),
    /// An IPv4 address.
    Address4,
    /// An IPv6 address.
    Address6,
    /// An address of either family: IPv6 ones have a number of their own.
    Address {
        /// The number for IPv6.
        number6: u16,
    },
    /// Addresses of one family in a list.
    Addresses {
        /// Whether they are IPv6.
        is_ipv6: bool,
    },
    /// A hardware address.
    Mac,
    /// The index of a link.
    Link,
    /// Pairs of numbers, each `struct ifla_vlan_qos_mapping` in a list.
    Pairs,
    /// Two ports in network order.
    PortRange,
    /// Nothing of rtnetlink: an ioctl, or generic netlink.
    Elsewhere,
}

/// What an attribute is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// A number.
    Number(i64),
    /// On or off.
    Switch(bool),
    /// A word of the attribute's.
    Word(&'static str),
    /// A length of time.
    Time(Duration),
    /// An address.
    Address(IpAddr),
    /// Addresses, in order.
    Addresses(Vec<IpAddr>),
    /// A hardware address.
    Mac(Mac),
    /// A link, by name.
    Link(Arc<str>),
    /// Pairs of numbers.
    Pairs(BTreeMap<u32, u32>),
    /// The first and last port.
    PortRange(u16, u16),
}

/// A kind, known by its row; two are equal when their names are.
#[derive(Clone, Copy)]
pub struct LinkKind(&'static Kind);

impl LinkKind {
    /// Finds a kind by its name in a profile.
    pub fn of(name: &str) -> Option<Self> {
        KINDS.iter().find(|kind| kind.name == name).map(Self)
    }

    /// Finds a kind by `IFLA_INFO_KIND`; a tap tells there that it is a tun.
    pub fn of_info(info: &str) -> Option<Self> {
        KINDS
            .iter()
            .find(|kind| kind.info == info && kind.maker == Maker::Netlink)
            .map(Self)
    }
}

impl Deref for LinkKind {
    type Target = Kind;

    fn deref(&self) -> &Kind {
        self.0
    }
}

impl Kind {
    /// Finds what can be said of the kind.
    pub fn attribute(&self, name: &str) -> Option<&'static Attribute> {
        self.attributes
            .iter()
            .find(|attribute| attribute.key.name == name)
    }

    /// Finds what can be said of its ports.
    pub fn port_attribute(&self, name: &str) -> Option<&'static Attribute> {
        self.ports?
            .iter()
            .find(|attribute| attribute.key.name == name)
    }
}

impl PartialEq for LinkKind {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for LinkKind {}

impl fmt::Debug for LinkKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name)
    }
}

impl fmt::Display for LinkKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name)
    }
}

/// `true` and `false` as the table writes them.
const ON: Option<&str> = Some("true");
const OFF: Option<&str> = Some("false");

/// Makes a row that changes live, implies nothing and may be left out.
const fn row(
    name: &'static str,
    syntax: Syntax,
    numbers: &'static [u16],
    wire: Wire,
    default: Option<&'static str>,
    doc: &'static str,
) -> Attribute {
    Attribute {
        key: Key {
            section: Section::Link,
            name,
            syntax,
            default,
            doc,
            secret: false,
            since: "0.1",
        },
        numbers,
        wire,
        implied: &[],
        change: Change::Live,
        required: false,
        always: false,
    }
}

const fn number(min: i64, max: i64) -> Syntax {
    Syntax::Integer { min, max }
}

const fn time(min: u64, max: u64) -> Syntax {
    Syntax::Time { min, max }
}

impl Attribute {
    /// Returns what holds where nothing is said; `None` when that hangs on more than this table.
    pub fn default(&self) -> Option<Value> {
        let text = self.key.default?;
        let bare = text.trim_matches('"');
        match self.key.syntax {
            Syntax::Boolean => text.parse().ok().map(Value::Switch),
            Syntax::Integer { .. } => text.parse().ok().map(Value::Number),
            Syntax::Choice(words) => {
                let word = words.iter().find(|word| **word == bare)?;
                Some(Value::Word(word))
            }
            Syntax::Time { .. } | Syntax::Text(Form::Interval) => {
                let millis = units::parse_interval(bare).ok()?;
                Some(Value::Time(Duration::from_millis(millis)))
            }
            Syntax::Size { .. }
            | Syntax::Text(_)
            | Syntax::List(_)
            | Syntax::OneOrMore(_)
            | Syntax::Numbers { .. }
            | Syntax::Numbered { .. }
            | Syntax::Mixed(..)
            | Syntax::Table(_)
            | Syntax::Tables(_) => None,
        }
    }

    /// Says what it takes to change it.
    const fn changes(mut self, change: Change) -> Self {
        self.change = change;
        self
    }

    /// Says that a link cannot do without.
    const fn needed(mut self) -> Self {
        self.required = true;
        self
    }

    /// Says that it is said in any case.
    const fn always(mut self) -> Self {
        self.always = true;
        self
    }

    const fn implies(mut self, bits: &'static [Bit]) -> Self {
        self.implied = bits;
        self
    }

    const fn of_port(mut self) -> Self {
        self.key.section = Section::Ports;
        self
    }

    const fn secret(mut self) -> Self {
        self.key.secret = true;
        self
    }
}
#[cfg(test)]
mod tests;
