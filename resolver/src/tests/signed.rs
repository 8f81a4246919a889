//! Signed zones for the simulated world: one key each, trusted as it is.

use std::fmt::Write as _;
use std::time::Duration;

use config::time::WallTime;
use dnssec::TrustAnchors;
use dnssec::anchors::Anchor;
use hickory_proto::dnssec::crypto::{Digest, Ed25519SigningKey};
use hickory_proto::dnssec::rdata::DNSKEY;
use hickory_proto::dnssec::{DigestType, PublicKey as _, SigningKey as _, TBS};
use hickory_proto::rr::Name;

use super::message::spelled;
use super::world::{HOME, Say, World};
use crate::event::Clock;

const NOW: u32 = 1_800_000_000;
const TTL: u32 = 300;
const DNSKEY_TYPE: u16 = 48;
const DS_TYPE: u16 = 43;
const A: u16 = 1;

/// A zone with its key.
pub(crate) struct Zone {
    apex: String,
    /// How long its signatures count, in seconds.
    pub(crate) signed_for: u32,
    key: Ed25519SigningKey,
    dnskey: Vec<u8>,
}

impl Zone {
    pub(crate) fn new(apex: &str) -> Self {
        let key = Ed25519SigningKey::generate_pkcs8().unwrap();
        let key = Ed25519SigningKey::from_pkcs8(&key).unwrap();
        let mut dnskey = vec![1, 1, 3, 15];
        dnskey.extend_from_slice(key.to_public_key().unwrap().public_bytes());
        Self {
            apex: apex.to_owned(),
            signed_for: 86_400,
            key,
            dnskey,
        }
    }

    /// Returns RDATA of RRSIG up to the signature.
    fn head(&self, owner: &str, record_type: u16) -> Vec<u8> {
        let labels = owner.split('.').filter(|label| !label.is_empty()).count();
        let mut head = record_type.to_be_bytes().to_vec();
        head.extend([15, u8::try_from(labels).unwrap()]);
        for word in [TTL, NOW + self.signed_for, NOW - 86_400] {
            head.extend(word.to_be_bytes());
        }
        head.extend(self.tag().to_be_bytes());
        head.extend(spelled(&self.apex));
        head
    }

    fn sign(&self, owner: &str, record_type: u16, rdata: &[u8]) -> Vec<u8> {
        let head = self.head(owner, record_type);
        let mut data = head.clone();
        data.extend(spelled(owner));
        data.extend(record_type.to_be_bytes());
        data.extend([0, 1]);
        data.extend(TTL.to_be_bytes());
        data.extend(u16::try_from(rdata.len()).unwrap().to_be_bytes());
        data.extend(rdata);
        let signature = self.key.sign(&TBS::from(&*data)).unwrap();
        [head, signature].concat()
    }

    /// Has the server at home answer for its keys.
    pub(crate) fn serve_keys(&self, world: &mut World) {
        self.serve_keys_at(world, HOME);
    }

    /// Has a server answer for its keys.
    pub(crate) fn serve_keys_at(&self, world: &mut World, server: &str) {
        let apex = &self.apex;
        let sig = self.sign(apex, DNSKEY_TYPE, &self.dnskey);
        let rows = [
            format!("{apex}. {TTL} DNSKEY #{}", hex(&self.dnskey)),
            format!("{apex}. {TTL} RRSIG #{}", hex(&sig)),
        ];
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        world
            .server(server)
            .answers(&format!("{apex}. DNSKEY"), &rows);
    }

    /// Has the server at home say that a zone lies below this one, signed.
    pub(crate) fn serve_delegation(&self, world: &mut World, child: &Self) {
        let apex = &child.apex;
        let parts = [&*spelled(apex), &*child.dnskey];
        let digest = Digest::from_iter(parts, DigestType::SHA256).unwrap();
        let mut ds = child.tag().to_be_bytes().to_vec();
        ds.extend([15, 2]);
        ds.extend_from_slice(digest.as_ref());
        let sig = self.sign(apex, DS_TYPE, &ds);
        let rows = [
            format!("{apex}. {TTL} DS #{}", hex(&ds)),
            format!("{apex}. {TTL} RRSIG #{}", hex(&sig)),
        ];
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        world.server(HOME).answers(&format!("{apex} DS"), &rows);
    }

    fn tag(&self) -> u16 {
        let sum = self.dnskey.chunks(2).fold(0_u32, |sum, pair| {
            sum + u32::from(pair[0]) * 256 + u32::from(pair.get(1).copied().unwrap_or_default())
        });
        u16::try_from((sum + (sum >> 16)) & 0xffff).unwrap()
    }

    /// Has a server answer a name with an address, signed.
    pub(crate) fn serve_at(&self, world: &mut World, server: &str, owner: &str) {
        let sig = self.sign(owner, A, &[192, 0, 2, 1]);
        let rows = [
            format!("{owner}. {TTL} A 192.0.2.1"),
            format!("{owner}. {TTL} RRSIG #{}", hex(&sig)),
        ];
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        world.server(server).answers(&format!("{owner} A"), &rows);
    }

    /// Has a server deny every name that it does not know, signed: there is nothing but the apex.
    pub(crate) fn deny_at(&self, world: &mut World, server: &str) {
        let apex = &self.apex;
        let mut soa = [spelled(apex), spelled(apex)].concat();
        for word in [1, 60, 60, 60, 60_u32] {
            soa.extend(word.to_be_bytes());
        }
        // NS, SOA, RRSIG, NSEC, DNSKEY.
        let mut nsec = spelled(apex);
        nsec.extend([0, 7, 0x22, 0, 0, 0, 0, 3, 0x80]);
        let mut rows = Vec::new();
        for (name, number, rdata) in [("SOA", 6, soa), ("NSEC", 47, nsec)] {
            let sig = self.sign(apex, number, &rdata);
            rows.push(format!("{apex}. {TTL} {name} #{}", hex(&rdata)));
            rows.push(format!("{apex}. {TTL} RRSIG #{}", hex(&sig)));
        }
        let denial = Say::Sections(3, [Vec::new(), rows, Vec::new()]);
        world.server(server).otherwise(denial);
    }

    /// Has the server at home answer a name with an address, signed as it is asked for.
    pub(crate) fn serve(&self, world: &mut World, owner: &str, fits: bool) {
        let address = [192, 0, 2, 1];
        let mut rows = vec![format!("{owner}. {TTL} A 192.0.2.1")];
        match fits {
            true => {
                let sig = self.sign(owner, A, &address);
                rows.push(format!("{owner}. {TTL} RRSIG #{}", hex(&sig)));
            }
            // As many as are tried, and none of them fits.
            false => rows.extend((0..8_u8).map(|number| {
                let sig = [self.head(owner, A), vec![number; 64]].concat();
                format!("{owner}. {TTL} RRSIG #{}", hex(&sig))
            })),
        }
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        world.server(HOME).answers(&format!("{owner} A"), &rows);
    }
}

/// Returns a world that validates, and trusts the keys of these zones and nobody else's.
pub(crate) fn world(zones: &[Zone]) -> World {
    world_in("enforce", zones)
}

/// As [`world`], in another mode.
pub(crate) fn world_in(mode: &str, zones: &[Zone]) -> World {
    world_with(mode, &[], zones)
}

/// As [`world_in`], with these profiles beside or in place of the usual ones.
pub(crate) fn world_with(mode: &str, profiles: &[(&str, &str)], zones: &[Zone]) -> World {
    let main = format!("[resolver]\ndnssec = \"{mode}\"\n");
    world_of(&main, profiles, zones)
}

/// As [`world_with`], with this main file.
pub(crate) fn world_of(main: &str, profiles: &[(&str, &str)], zones: &[Zone]) -> World {
    let mut world = World::with(main, profiles);
    let mut anchors = TrustAnchors::empty();
    for zone in zones {
        let public = zone.key.to_public_key().unwrap();
        let key = DNSKEY::with_flags(0x0101, public);
        let owner = Name::from_ascii(format!("{}.", zone.apex)).unwrap();
        anchors.add(&owner, Anchor::Key(key));
        zone.serve_keys(&mut world);
    }
    world.resolver.apply_trust(anchors);
    world.resolver.apply_clock(Clock {
        at: world.now,
        wall: WallTime(NOW.into()),
        dates_count: true,
    });
    world.now = world.now + Duration::from_secs(1);
    world
}

fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut text, octet| {
        write!(text, "{octet:02x}").unwrap();
        text
    })
}
