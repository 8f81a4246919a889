//! A router advertisement, built option by option.

use std::net::Ipv6Addr;

/// A router advertisement.
#[derive(Debug, Clone)]
pub(in crate::ra) struct Ra(Vec<u8>);

impl Ra {
    pub(in crate::ra) fn new(lifetime: u16) -> Self {
        let mut octets = vec![134, 0, 0, 0, 64, 0];
        octets.extend(lifetime.to_be_bytes());
        octets.extend([0; 8]);
        Self(octets)
    }

    pub(in crate::ra) fn octets(&self) -> Vec<u8> {
        self.0.clone()
    }

    pub(in crate::ra) fn times(mut self, hop_limit: u8, reachable: u32, retransmit: u32) -> Self {
        self.0[4] = hop_limit;
        self.0[8..12].copy_from_slice(&reachable.to_be_bytes());
        self.0[12..16].copy_from_slice(&retransmit.to_be_bytes());
        self
    }

    pub(in crate::ra) fn flags(mut self, flags: u8) -> Self {
        self.0[5] = flags;
        self
    }

    /// Pads to eight octets.
    pub(in crate::ra) fn option(mut self, number: u8, value: &[u8]) -> Self {
        let length = (value.len() + 2).div_ceil(8);
        self.0.extend([number, u8::try_from(length).unwrap()]);
        self.0.extend(value);
        self.0
            .resize(self.0.len() + length * 8 - value.len() - 2, 0);
        self
    }

    pub(in crate::ra) fn prefix(
        self,
        prefix: &str,
        length: u8,
        flags: u8,
        valid: u32,
        preferred: u32,
    ) -> Self {
        let mut value = vec![length, flags];
        value.extend(valid.to_be_bytes());
        value.extend(preferred.to_be_bytes());
        value.extend([0; 4]);
        value.extend(prefix.parse::<Ipv6Addr>().unwrap().octets());
        self.option(3, &value)
    }

    pub(in crate::ra) fn route(self, to: &str, length: u8, preference: u8, lifetime: u32) -> Self {
        let mut value = vec![length, preference << 3];
        value.extend(lifetime.to_be_bytes());
        let octets = usize::from(length.div_ceil(64)) * 8;
        value.extend(&to.parse::<Ipv6Addr>().unwrap().octets()[..octets]);
        self.option(24, &value)
    }

    pub(in crate::ra) fn rdnss(self, lifetime: u32, addresses: &[&str]) -> Self {
        let mut value = vec![0, 0];
        value.extend(lifetime.to_be_bytes());
        for address in addresses {
            value.extend(address.parse::<Ipv6Addr>().unwrap().octets());
        }
        self.option(25, &value)
    }

    pub(in crate::ra) fn dnssl(self, lifetime: u32, names: &[u8]) -> Self {
        let mut value = vec![0, 0];
        value.extend(lifetime.to_be_bytes());
        value.extend(names);
        self.option(31, &value)
    }

    pub(in crate::ra) fn dnr(
        self,
        priority: u16,
        lifetime: u32,
        name: &str,
        addresses: &[&str],
        parameters: &[u8],
    ) -> Self {
        let count = |length: usize| u16::try_from(length).unwrap().to_be_bytes();
        let mut value = priority.to_be_bytes().to_vec();
        value.extend(lifetime.to_be_bytes());
        value.extend(count(name.len() + 2));
        for label in name.split('.') {
            value.push(u8::try_from(label.len()).unwrap());
            value.extend(label.as_bytes());
        }
        value.push(0);
        value.extend(count(addresses.len() * 16));
        for address in addresses {
            value.extend(address.parse::<Ipv6Addr>().unwrap().octets());
        }
        value.extend(count(parameters.len()));
        value.extend(parameters);
        self.option(144, &value)
    }
}
