//! What is a network card to do? `[hardware]` of a profile: how fast, what wakes the machine, what is left to the card.
//!
//! Each of these is one setting with one number as its value, so that it can be compared, remembered and given back as others are.

use std::collections::BTreeMap;
use std::fmt;

/// `[hardware]` of a profile.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HardwareSettings {
    /// What is to be so, by the numbers that stand for it.
    pub values: BTreeMap<Hardware, i32>,
}

/// One setting of a network card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hardware {
    /// Speed, duplex and autonegotiation, which go together: a [`LinkMode`].
    Mode,
    /// What wakes the machine: a bit for each of [`WAKE_WORDS`].
    Wake,
    /// Whether the card does this: 0 or 1.
    Offload(Offload),
}

impl Hardware {
    /// Returns all that there are.
    pub fn all() -> impl Iterator<Item = Self> {
        let offloads = (0..).zip(OFFLOADS);
        let offloads = offloads.map(|(at, _)| Self::Offload(Offload(at)));
        [Self::Mode, Self::Wake].into_iter().chain(offloads)
    }

    /// Returns what it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mode => "link-mode",
            Self::Wake => "wake-on-lan",
            Self::Offload(offload) => offload.name(),
        }
    }

    /// Says a value in words.
    pub fn told(self, value: i32) -> String {
        match self {
            Self::Mode => LinkMode::of_value(value).to_string(),
            Self::Wake => {
                let words = (0..).zip(WAKE_WORDS);
                let words = words.filter(|(bit, word)| !word.is_empty() && value >> bit & 1 == 1);
                let words: Vec<&str> = words.map(|(_, word)| word).collect();
                if words.is_empty() {
                    "off".to_owned()
                } else {
                    words.join(" ")
                }
            }
            Self::Offload(_) => if value == 0 { "off" } else { "on" }.to_owned(),
        }
    }
}

/// What the machine can be woken by, by the number of its bit (`ETHTOOL_A_WOL_MODES`). The one with a password is left out.
pub const WAKE_WORDS: [&str; 8] = [
    "phy",
    "unicast",
    "multicast",
    "broadcast",
    "arp",
    "magic",
    "",
    "filter",
];

/// How a link's ends agree on a speed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkMode {
    /// By themselves.
    Negotiated,
    /// Not at all.
    Fixed {
        /// In megabits a second; 0 when it is not known.
        speed: u32,
        /// Whether both may send at once.
        is_full: bool,
    },
}

const NEGOTIATED: i32 = 1 << 30;
const FULL: i32 = 1 << 29;

impl LinkMode {
    /// Returns the number that stands for it.
    pub fn value(self) -> i32 {
        match self {
            Self::Negotiated => NEGOTIATED,
            Self::Fixed { speed, is_full } => {
                let speed = i32::try_from(speed).unwrap_or(0) & (FULL - 1);
                speed | if is_full { FULL } else { 0 }
            }
        }
    }

    /// Returns what a number stands for.
    pub fn of_value(value: i32) -> Self {
        if value & NEGOTIATED != 0 {
            return Self::Negotiated;
        }
        Self::Fixed {
            speed: u32::try_from(value & (FULL - 1)).unwrap_or(0),
            is_full: value & FULL != 0,
        }
    }
}

impl fmt::Display for LinkMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Negotiated => f.write_str("negotiated"),
            Self::Fixed { speed, is_full } => {
                write!(
                    f,
                    "{speed} Mbit/s {}",
                    if *is_full { "full" } else { "half" }
                )
            }
        }
    }
}

/// Something that a card can do in the kernel's place, by its place in [`OFFLOADS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Offload(u8);

impl Offload {
    /// Finds one by the name that the kernel has for it.
    pub fn of(name: &str) -> Option<Self> {
        let at = OFFLOADS.iter().position(|offload| *offload == name)?;
        u8::try_from(at).ok().map(Self)
    }

    /// Returns the name that the kernel has for it.
    pub fn name(self) -> &'static str {
        OFFLOADS
            .get(usize::from(self.0))
            .copied()
            .unwrap_or_default()
    }
}

/// The names that the kernel has for what cards can do (`ethtool -k`), those that others hang on first.
pub const OFFLOADS: [&str; 22] = [
    "tx-scatter-gather",
    "tx-checksum-ipv4",
    "tx-checksum-ipv6",
    "tx-checksum-ip-generic",
    "tx-checksum-sctp",
    "rx-checksum",
    "tx-generic-segmentation",
    "tx-tcp-segmentation",
    "tx-tcp6-segmentation",
    "tx-tcp-ecn-segmentation",
    "tx-tcp-mangleid-segmentation",
    "tx-udp-segmentation",
    "rx-gro",
    "rx-gro-list",
    "rx-gro-hw",
    "rx-udp-gro-forwarding",
    "rx-lro",
    "rx-hashing",
    "rx-ntuple-filter",
    "rx-vlan-hw-parse",
    "tx-vlan-hw-insert",
    "rx-vlan-filter",
];
