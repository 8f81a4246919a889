//! Who has made a route or a rule? [`Protocol`], the number that the kernel keeps of it: a name where it is registered.
//!
//! It says what its maker calls himself, and proves nothing.

use std::fmt;

use crate::kernel::OURS;

/// The number of whoever has made a route (`rtm_protocol`) or a rule (`FRA_PROTOCOL`). Shown by its name, as iproute2 does, or as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protocol(pub u8);

/// What a number says of its maker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// It is ours.
    Ours,
    /// Whoever sets links up: scripts, clients of DHCP, routers by their advertisements.
    Configurator,
    /// A routing program: whoever else has a number.
    Program,
    /// The kernel.
    Kernel,
    /// A router, by an ICMP redirect.
    Redirect,
    /// Nobody says.
    Unsaid,
}

/// `RTPROT_*` of the kernel's `linux/rtnetlink.h`, by the names that iproute2 has for them.
const NAMES: [(u8, &str); 24] = [
    (0, "unspec"),
    (1, "redirect"),
    (2, "kernel"),
    (3, "boot"),
    (4, "static"),
    (8, "gated"),
    (9, "ra"),
    (10, "mrt"),
    (11, "zebra"),
    (12, "bird"),
    (13, "dnrouted"),
    (14, "xorp"),
    (15, "ntk"),
    (16, "dhcp"),
    (17, "mrouted"),
    (18, "keepalived"),
    (42, "babel"),
    (84, "ovn"),
    (99, "openr"),
    (186, "bgp"),
    (187, "isis"),
    (188, "ospf"),
    (189, "rip"),
    (192, "eigrp"),
];

impl Protocol {
    /// `RTPROT_UNSPEC`: nobody says who it was.
    pub(crate) const UNSPECIFIED: Self = Self(0);

    /// Returns what the number says.
    pub const fn who(self) -> Who {
        match self.0 {
            0 => Who::Unsaid,
            1 => Who::Redirect,
            2 => Who::Kernel,
            // `RTPROT_BOOT` (iproute2 and scripts of DHCP clients), `RTPROT_STATIC`, `RTPROT_RA` and `RTPROT_DHCP`.
            3 | 4 | 9 | 16 => Who::Configurator,
            OURS => Who::Ours,
            _ => Who::Program,
        }
    }

    /// Whether it is a configurator's of links.
    pub(crate) fn is_configurator(self) -> bool {
        self.who() == Who::Configurator
    }

    /// Whether an adoption leaves its routes alone: they are neither ours nor a configurator's of links.
    pub(crate) fn is_left_alone(self) -> bool {
        match self.who() {
            Who::Ours | Who::Configurator => false,
            Who::Program | Who::Kernel | Who::Redirect | Who::Unsaid => true,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(number, _)| *number == self.0) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_registered_has_a_name_and_others_their_number() {
        for (number, text) in [(12, "bird"), (17, "mrouted"), (186, "bgp"), (77, "77")] {
            assert_eq!(Protocol(number).to_string(), text);
        }
    }

    #[test]
    fn an_adoption_takes_from_configurators_alone() {
        for (number, who, is_left_alone) in [
            (0, Who::Unsaid, true),
            (1, Who::Redirect, true),
            (2, Who::Kernel, true),
            (3, Who::Configurator, false),
            (12, Who::Program, true),
            (16, Who::Configurator, false),
            (OURS, Who::Ours, false),
        ] {
            let protocol = Protocol(number);
            assert_eq!(protocol.who(), who, "{number}");
            assert_eq!(protocol.is_left_alone(), is_left_alone, "{number}");
        }
    }
}
