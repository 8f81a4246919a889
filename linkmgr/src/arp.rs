//! What does an ARP packet say? [`ArpPacket`], of Ethernet and IPv4 (RFC 826), in 28 octets.

use std::net::Ipv4Addr;

use config::matcher::Mac;

/// The length of a packet; Ethernet pads behind it.
pub const ARP_LENGTH: usize = 28;

/// Hardware type Ethernet, protocol IPv4, and the lengths of their addresses.
const ETHERNET_IPV4: [u8; 6] = [0, 1, 8, 0, 6, 4];

/// All neighbours.
pub const EVERYBODY: Mac = Mac([0xff; 6]);
/// No neighbour: the target of a request, which asks for it.
const NOBODY: Mac = Mac([0; 6]);

/// An ARP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArpPacket {
    /// What it is.
    pub operation: ArpOperation,
    /// The hardware address of its sender.
    pub sender: Mac,
    /// The address of its sender; 0.0.0.0 in a probe (RFC 5227 §1.1).
    pub sender_address: Ipv4Addr,
    /// The hardware address that it is for; nothing in a request.
    pub target: Mac,
    /// The address that is asked for.
    pub target_address: Ipv4Addr,
}

/// What an ARP packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ArpOperation {
    /// Somebody asks.
    Request,
    /// Somebody answers.
    Reply,
}

impl ArpPacket {
    /// Asks who has `address`, without saying that we have it (RFC 5227 §1.1).
    pub const fn probe(sender: Mac, address: Ipv4Addr) -> Self {
        Self {
            operation: ArpOperation::Request,
            sender,
            sender_address: Ipv4Addr::UNSPECIFIED,
            target: NOBODY,
            target_address: address,
        }
    }

    /// Says that we have `address` (RFC 5227 §1.1).
    pub const fn announcement(sender: Mac, address: Ipv4Addr) -> Self {
        Self {
            operation: ArpOperation::Request,
            sender,
            sender_address: address,
            target: NOBODY,
            target_address: address,
        }
    }

    /// Asks a neighbour for its hardware address.
    pub const fn request(sender: Mac, own: Ipv4Addr, neighbour: Ipv4Addr) -> Self {
        Self {
            operation: ArpOperation::Request,
            sender,
            sender_address: own,
            target: NOBODY,
            target_address: neighbour,
        }
    }

    /// Whether it is a probe: it asks for an address that its sender would like to have (RFC 5227 §1.1).
    pub fn is_probe(&self) -> bool {
        self.operation == ArpOperation::Request && self.sender_address.is_unspecified()
    }

    /// Reads a packet; `None` for one of other networks or protocols, or one that is cut short.
    pub fn parse(octets: &[u8]) -> Option<Self> {
        let packet = octets.first_chunk::<ARP_LENGTH>()?;
        let rest = packet.strip_prefix(&ETHERNET_IPV4)?;
        let (operation, rest) = rest.split_first_chunk::<2>()?;
        let operation = match u16::from_be_bytes(*operation) {
            1 => ArpOperation::Request,
            2 => ArpOperation::Reply,
            _ => return None,
        };
        let (sender, rest) = rest.split_first_chunk::<6>()?;
        let (sender_address, rest) = rest.split_first_chunk::<4>()?;
        let (target, rest) = rest.split_first_chunk::<6>()?;
        let target_address = rest.first_chunk::<4>()?;
        Some(Self {
            operation,
            sender: Mac(*sender),
            sender_address: Ipv4Addr::from(*sender_address),
            target: Mac(*target),
            target_address: Ipv4Addr::from(*target_address),
        })
    }

    /// Writes the packet.
    pub fn emit(&self) -> Vec<u8> {
        let mut octets = Vec::with_capacity(ARP_LENGTH);
        octets.extend(ETHERNET_IPV4);
        let operation: u16 = match self.operation {
            ArpOperation::Request => 1,
            ArpOperation::Reply => 2,
        };
        octets.extend(operation.to_be_bytes());
        octets.extend(self.sender.0);
        octets.extend(self.sender_address.octets());
        octets.extend(self.target.0);
        octets.extend(self.target_address.octets());
        octets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Mac = Mac([2, 0, 0, 0, 0, 1]);
    const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);

    #[test]
    fn what_is_written_is_read_again_padded_or_not() {
        for packet in [
            ArpPacket::probe(OWN, ADDRESS),
            ArpPacket::announcement(OWN, ADDRESS),
            ArpPacket {
                operation: ArpOperation::Reply,
                ..ArpPacket::request(OWN, ADDRESS, Ipv4Addr::new(192, 0, 2, 1))
            },
        ] {
            let mut octets = packet.emit();
            assert_eq!(octets.len(), ARP_LENGTH);
            assert_eq!(ArpPacket::parse(&octets), Some(packet));
            octets.resize(46, 0);
            assert_eq!(ArpPacket::parse(&octets), Some(packet));
        }
        assert!(ArpPacket::probe(OWN, ADDRESS).is_probe());
        assert!(!ArpPacket::announcement(OWN, ADDRESS).is_probe());
    }

    #[test]
    fn what_is_short_or_of_another_kind_is_nothing() {
        let octets = ArpPacket::probe(OWN, ADDRESS).emit();
        for length in 0..ARP_LENGTH {
            assert_eq!(ArpPacket::parse(&octets[..length]), None);
        }
        for at in 0..8 {
            let mut other = octets.clone();
            other[at] ^= 0x40;
            assert_eq!(ArpPacket::parse(&other), None, "octet {at}");
        }
    }
}
