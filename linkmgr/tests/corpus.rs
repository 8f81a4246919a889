//! Do the clients stand packets that have broken others? Runs them over the shared corpus of DHCP, router advertisements and LLDP;
//! skipped where there is none.
//!
//! What is in a capture is given to every parser at every place where one of them could begin: it may be malformed there, and
//! must be harmless.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail at any line, and the packets are files"
)]

use std::fs;
use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use config::matcher::Mac;
use config::model::{Dhcp4Settings, Dhcp6Settings, Dhcp6When, RaSettings};
use config::time::Instant;
use linkmgr::dhcp4::{self, Checksum, Received};
use linkmgr::slaac::Secret;
use linkmgr::{dhcp6, lldp, ra};

const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
/// Behind headers of Ethernet; of IPv6; of IPv4 and UDP; of IPv6 and UDP.
const PLACES: [usize; 5] = [0, 14, 54, 42, 62];
/// Damaged copies of each packet.
const COPIES: u64 = 8;

/// All files below a folder.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        match path.is_dir() {
            true => files(&path, found),
            false => found.push(path),
        }
    }
}

/// The packets of a capture (`pcap`, either byte order); another file is one packet.
fn packets(octets: &[u8]) -> Vec<Vec<u8>> {
    let number = |at: usize, is_little: bool| {
        let four = octets.get(at..at + 4)?.first_chunk::<4>().copied()?;
        let number = match is_little {
            true => u32::from_le_bytes(four),
            false => u32::from_be_bytes(four),
        };
        usize::try_from(number).ok()
    };
    let is_little = match octets {
        [0xd4, 0xc3, 0xb2, 0xa1, ..] => true,
        [0xa1, 0xb2, 0xc3, 0xd4, ..] => false,
        _ => return vec![octets.to_vec()],
    };
    let (mut at, mut found) = (24, Vec::new());
    while let Some(length) = number(at + 8, is_little) {
        at += 16;
        let end = at.saturating_add(length).min(octets.len());
        found.push(octets.get(at..end).unwrap_or_default().to_vec());
        at = end;
    }
    found
}

fn damage(octets: &[u8], copy: u64) -> Vec<u8> {
    let mut damaged = octets.to_vec();
    let mut state = copy.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for _ in 0..copy % 4 {
        state ^= state << 13;
        state ^= state >> 7;
        let at = usize::try_from(state).unwrap() % damaged.len().max(1);
        match state % 3 {
            0 => damaged.truncate(at),
            _ => damaged
                .iter_mut()
                .skip(at)
                .take(1)
                .for_each(|byte| *byte ^= 1 << (state % 8)),
        }
    }
    damaged
}

/// A server says this to whatever is asked, by every way; the clock goes on.
fn to_dhcp4(octets: &[u8]) {
    let mut now = Instant::ZERO + Duration::from_secs(100);
    let setup = dhcp4::Setup {
        settings: Arc::new(Dhcp4Settings {
            ipv6_only: true,
            ..Dhcp4Settings::default()
        }),
        mac: MAC,
        permanent_mac: MAC,
        kind: "ethernet".into(),
        duid: Arc::new([0, 2, 1, 2, 3]),
        iaid: 9,
        addresses: Vec::new(),
        former_id: None,
        stable: [7; 16],
        wish: None,
        seed: 5,
    };
    let mut client = dhcp4::Client::new(setup, Vec::new(), now);
    client.handle_carrier(true, now);
    for _ in 0..12 {
        let mut asked = Vec::new();
        while let Some(transmit) = client.poll_transmit() {
            asked.push(transmit.octets);
        }
        for question in asked {
            let mut answer = octets.to_vec();
            let xid = question.get(32..36).unwrap_or_default();
            let to = answer.iter_mut().skip(4).take(4);
            to.zip(xid).for_each(|(to, from)| *to = *from);
            let to = answer.iter_mut().skip(28).take(6);
            to.zip(MAC.0).for_each(|(to, from)| *to = from);
            for received in [
                Received::Udp([192, 0, 2, 1].into()),
                Received::Packet(Checksum::Unfinished),
                Received::Arp,
            ] {
                client.handle_packet(&answer, received, now);
            }
        }
        while let Some(event) = client.poll_event() {
            if let dhcp4::Event::Supplied(supply) = event {
                assert!(supply.upstreams.len() <= 64 && supply.search.len() <= 64);
                assert!(supply.routes.len() <= 512, "{}", supply.routes.len());
            }
        }
        let Some(due) = client.poll_timeout() else {
            return;
        };
        assert!(due >= now, "no deadline is left behind");
        now = due;
        client.handle_timeout(now);
    }
}

/// Returns whether anything was supplied.
fn to_dhcp6(octets: &[u8]) -> bool {
    let mut now = Instant::ZERO + Duration::from_secs(100);
    let duid = dhcp6::Duid::from_mac(MAC);
    let setup = dhcp6::Setup {
        settings: Arc::new(Dhcp6Settings {
            when: Dhcp6When::Always,
            delegate: Some(56),
            ..Dhcp6Settings::default()
        }),
        link: "eth0".into(),
        duid,
        iaid: 7,
        seed: 1,
        remembered: None,
    };
    let mut client = dhcp6::Client::new(setup, now);
    client.handle_link_local(Some(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1)), now);
    let from = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);
    let mut is_supplied = false;
    for _ in 0..12 {
        let mut asked = Vec::new();
        while let Some(transmit) = client.poll_transmit() {
            asked.push(transmit.octets);
        }
        for question in asked {
            let mut answer = octets.to_vec();
            let transaction = question.get(1..4).unwrap_or_default();
            let to = answer.iter_mut().skip(1).take(3);
            to.zip(transaction).for_each(|(to, from)| *to = *from);
            client.handle_packet(&answer, from, now);
        }
        while let Some(event) = client.poll_event() {
            is_supplied |= matches!(event, dhcp6::Event::Supplied(_));
        }
        let Some(due) = client.poll_timeout() else {
            break;
        };
        assert!(due >= now, "no deadline is left behind");
        now = due;
        client.handle_timeout(now);
    }
    is_supplied
}

/// Returns whether anything was supplied.
fn to_ra(octets: &[u8]) -> bool {
    let now = Instant::ZERO + Duration::from_secs(100);
    let setup = ra::Setup {
        settings: RaSettings::default(),
        link: "eth0".into(),
        mac: Some(MAC),
        secret: Secret([1; 32]),
        network: Arc::new([]),
        addresses: Vec::new(),
        seed: 1,
        remembered: None,
    };
    let mut client = ra::Client::new(setup, now);
    let from = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);
    client.handle_packet(octets, from, 255, now);
    let events = std::iter::from_fn(|| client.poll_event());
    let mut is_supplied = false;
    for event in events {
        if let ra::Event::Supplied(supply) = event {
            is_supplied = true;
            assert!(supply.addresses.len() <= 16 && supply.upstreams.len() <= 16);
        }
    }
    is_supplied
}

#[test]
#[expect(clippy::print_stdout, reason = "the runner reads it")]
fn packets_that_broke_others_are_harmless() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpora/dhcp-ra");
    let mut found = Vec::new();
    files(&root, &mut found);
    if found.is_empty() {
        println!(
            "SKIP packets_that_broke_others_are_harmless: there is no {}",
            root.display()
        );
        return;
    }
    let (mut count, mut advertised, mut leased, mut read) = (0, 0, 0, 0);
    for path in found {
        for packet in packets(&fs::read(&path).unwrap()) {
            for place in PLACES {
                let Some(octets) = packet.get(place..).filter(|octets| octets.len() < 9000) else {
                    continue;
                };
                for copy in 0..COPIES {
                    let octets = damage(octets, copy);
                    to_dhcp4(&octets);
                    leased += u32::from(to_dhcp6(&octets));
                    advertised += u32::from(to_ra(&octets));
                    let mut neighbours = lldp::Neighbours::default();
                    read += u32::from(neighbours.handle_packet(&octets, Instant::ZERO));
                    count += 1;
                }
            }
        }
    }
    // Some of them are good, so that it is known that they are read at all.
    assert!(
        advertised > 10 && read > 10,
        "{count} packets: {advertised} advertise, {leased} lease, {read} switches"
    );
}
