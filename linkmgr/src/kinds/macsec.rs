//! What does the kernel have to hear of MACsec's keys? Messages of the generic family `macsec`.
//!
//! The kernel tells associations with their packet numbers and the ids of their keys, never the keys. So an id is made of its
//! key: two that are equal are one key. What is received is compared here ([`receive_differences`]); what sends is never set
//! but by [`sending`], which counts its packet numbers.

pub mod ledger;
pub mod sending;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use config::model::ChannelId;
use ring::digest::{Context, SHA256};
use zeroize::{Zeroize as _, Zeroizing};

use super::Message;
use super::generic::{self, Family};
use super::tlv::{self, NESTED};

/// The family's name.
pub const FAMILY: &str = "macsec";

const GET: u8 = 0;
const ADD_CHANNEL: u8 = 1;
const REMOVE_CHANNEL: u8 = 2;
const ADD_SEND: u8 = 4;
const REMOVE_SEND: u8 = 5;
const CHANGE_SEND: u8 = 6;
const ADD_RECEIVE: u8 = 7;
const REMOVE_RECEIVE: u8 = 8;
const CHANGE_RECEIVE: u8 = 9;
/// `NLM_F_ROOT | NLM_F_MATCH`.
const DUMP: u16 = 0x300;

// MACSEC_ATTR_*
const IFINDEX: u16 = 1;
const CHANNEL: u16 = 2;
const ASSOCIATION: u16 = 3;
const SECY: u16 = 4;
const SENDS: u16 = 5;
const CHANNELS: u16 = 6;
const OFFLOAD: u16 = 9;

// MACSEC_RXSC_ATTR_*
const CHANNEL_ID: u16 = 1;
const CHANNEL_ASSOCIATIONS: u16 = 3;

// MACSEC_SA_ATTR_*
const NUMBER: u16 = 1;
const ACTIVE: u16 = 2;
const NEXT: u16 = 3;
const KEY: u16 = 4;
const KEY_ID: u16 = 5;

// MACSEC_SECY_ATTR_*
const SECY_ID: u16 = 1;
const SECY_CIPHER: u16 = 4;

const OFFLOAD_TYPE: u16 = 1;

/// The first packet number (IEEE 802.1AE §10.5.1): 0 is none.
pub(crate) const FIRST: u32 = 1;

/// A key: 16 or 32 octets that nobody is shown, and that are overwritten when they are let go of.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Zeroizing<Vec<u8>>);

impl Key {
    /// Reads 32 or 64 hexadecimal digits; `None` when it is no key. White space around it counts for nothing.
    pub fn of_hex(text: &str) -> Option<Self> {
        let digits = text.trim().as_bytes();
        if !matches!(digits.len(), 32 | 64) {
            return None;
        }
        let mut octets = Zeroizing::new(Vec::with_capacity(digits.len() / 2));
        for pair in digits.chunks(2) {
            let digit = |at: usize| char::from(*pair.get(at)?).to_digit(16);
            octets.push(u8::try_from(digit(0)? << 4 | digit(1)?).ok()?);
        }
        Some(Self(octets))
    }

    /// Returns its id: it tells equal keys, and nothing of them.
    pub fn id(&self) -> KeyId {
        let mut context = Context::new(&SHA256);
        context.update(b"linnet macsec key id 1\0");
        context.update(&self.0);
        let digest = context.finish();
        let id = digest.as_ref().first_chunk().copied();
        KeyId(id.unwrap_or_default())
    }

    /// Returns how many octets it has.
    pub fn length(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What the kernel and the ledger know a key by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId(pub [u8; 16]);

impl KeyId {
    /// Reads what [`fmt::Display`] writes.
    pub fn of_hex(text: &str) -> Option<Self> {
        let is_whole = text.len() == 32 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        let number = u128::from_str_radix(text, 16).ok().filter(|_| is_whole);
        number.map(|number| Self(number.to_be_bytes()))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// An association as the kernel tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Its key.
    pub key: KeyId,
    /// The number of its next packet; 0 when there is none left.
    pub next: u64,
    /// Whether it is used.
    pub active: bool,
}

/// A link as the kernel tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// Who it sends as.
    pub channel: ChannelId,
    /// How long its keys are, in octets; 0 when its cipher is none that is known.
    pub key_length: usize,
    /// Whether a network card counts the packets, in place of the kernel.
    pub offloaded: bool,
    /// What sends, by number.
    pub sends: BTreeMap<u8, Held>,
    /// What is received, by who sends it and number.
    pub receives: BTreeMap<ChannelId, BTreeMap<u8, Held>>,
}

/// Asks for all links of this kind: the kernel tells no single one.
pub fn get(family: Family) -> Message {
    generic::message(family, GET, DUMP, &[])
}

/// Reads the answers to [`get`], by the links' indexes.
pub fn readings(answers: &[Message]) -> BTreeMap<u32, Reading> {
    let read = |answer: &Message| {
        let attributes = answer.body.get(generic::HEADER..)?;
        let index = tlv::word(tlv::find(attributes, IFINDEX)?, 0)?;
        let secy = tlv::find(attributes, SECY)?;
        let offload = tlv::find(attributes, OFFLOAD);
        let offload = offload.and_then(|nest| tlv::find(nest, OFFLOAD_TYPE)?.first());
        let mut receives = BTreeMap::new();
        for (_, channel) in tlv::attributes(tlv::find(attributes, CHANNELS).unwrap_or_default()) {
            if let Some(id) = tlv::find(channel, CHANNEL_ID).and_then(channel_of) {
                let listed = tlv::find(channel, CHANNEL_ASSOCIATIONS).unwrap_or_default();
                receives.insert(id, associations(listed));
            }
        }
        let reading = Reading {
            channel: channel_of(tlv::find(secy, SECY_ID)?)?,
            key_length: key_length(wide(tlv::find(secy, SECY_CIPHER)?)?),
            offloaded: offload.is_some_and(|offload| *offload != 0),
            sends: associations(tlv::find(attributes, SENDS).unwrap_or_default()),
            receives,
        };
        Some((index, reading))
    };
    answers.iter().filter_map(read).collect()
}

fn associations(listed: &[u8]) -> BTreeMap<u8, Held> {
    let read = |one: &[u8]| {
        let next = tlv::find(one, NEXT)?;
        let held = Held {
            key: KeyId(tlv::find(one, KEY_ID)?.try_into().ok()?),
            next: wide(next).or_else(|| tlv::word(next, 0).map(u64::from))?,
            active: tlv::find(one, ACTIVE)?.first() == Some(&1),
        };
        Some((*tlv::find(one, NUMBER)?.first()?, held))
    };
    let all = tlv::attributes(listed);
    all.filter_map(|(_, one)| read(one)).collect()
}

fn channel_of(octets: &[u8]) -> Option<ChannelId> {
    Some(ChannelId::of_octets(octets.try_into().ok()?))
}

fn wide(octets: &[u8]) -> Option<u64> {
    octets.try_into().ok().map(u64::from_ne_bytes)
}

/// `MACSEC_CIPHER_ID_GCM_AES_128` and `_256`; those with extended packet numbers have salts too, and are none of ours. The kernel
/// calls the first by the name of an earlier standard.
fn key_length(cipher: u64) -> usize {
    match cipher {
        0x0080_c200_0100_0001 | 0x0080_0200_0100_0001 => 16,
        0x0080_c200_0100_0002 => 32,
        _ => 0,
    }
}

/// Adds an association that sends.
pub(crate) fn add_send(
    family: Family,
    index: u32,
    (number, key): (u8, &Key),
    next: u32,
) -> Message {
    association(family, ADD_SEND, index, None, |bytes| {
        put_key(bytes, number, key, next);
    })
}

/// Switches an association that sends on or off; says from which number it goes on when that is to change.
pub(crate) fn switch_send(
    family: Family,
    index: u32,
    number: u8,
    is_on: bool,
    next: Option<u32>,
) -> Message {
    association(family, CHANGE_SEND, index, None, |bytes| {
        tlv::put(bytes, NUMBER, &[number]);
        if let Some(next) = next {
            tlv::put_word(bytes, NEXT, next);
        }
        tlv::put(bytes, ACTIVE, &[is_on.into()]);
    })
}

/// Removes an association that sends, and is switched off.
pub(crate) fn remove_send(family: Family, index: u32, number: u8) -> Message {
    association(family, REMOVE_SEND, index, None, |bytes| {
        tlv::put(bytes, NUMBER, &[number]);
    })
}

fn put_key(bytes: &mut Vec<u8>, number: u8, key: &Key, next: u32) {
    tlv::put(bytes, NUMBER, &[number]);
    tlv::put_word(bytes, NEXT, next);
    tlv::put(bytes, KEY_ID, &key.id().0);
    tlv::put(bytes, KEY, &key.0);
    tlv::put(bytes, ACTIVE, &[1]);
}

fn association(
    family: Family,
    command: u8,
    index: u32,
    channel: Option<ChannelId>,
    said: impl FnOnce(&mut Vec<u8>),
) -> Message {
    let mut bytes = Vec::with_capacity(MESSAGE);
    tlv::put_word(&mut bytes, IFINDEX, index);
    if let Some(channel) = channel {
        put_channel(&mut bytes, channel);
    }
    tlv::put_nested(&mut bytes, ASSOCIATION | NESTED, said);
    let message = generic::message(family, command, 0, &bytes);
    bytes.zeroize();
    message
}

/// What a message takes, at most.
const MESSAGE: usize = 160;

fn put_channel(bytes: &mut Vec<u8>, channel: ChannelId) {
    tlv::put_nested(bytes, CHANNEL | NESTED, |bytes| {
        tlv::put(bytes, CHANNEL_ID, &channel.octets());
    });
}

/// What is to be received: by who sends it and number, the key.
pub type Receives = BTreeMap<ChannelId, BTreeMap<u8, Key>>;
/// Associations and channels that we added: a channel itself has no number.
pub type OwnReceives = BTreeSet<(ChannelId, Option<u8>)>;

/// Returns what has to be said so that all that is wanted is received, in order; what others have added stays.
pub fn receive_differences(
    family: Family,
    index: u32,
    wanted: &Receives,
    held: &Reading,
    ours: &OwnReceives,
) -> Vec<Message> {
    let mut messages = Vec::new();
    let none = BTreeMap::new();
    for (channel, associations) in &held.receives {
        let keys = wanted.get(channel);
        if keys.is_none() && ours.contains(&(*channel, None)) {
            messages.push(channel_message(family, REMOVE_CHANNEL, index, *channel));
            continue;
        }
        let keys = keys.unwrap_or(&none);
        for (number, held) in associations {
            let goes = match keys.get(number) {
                Some(key) => key.id() != held.key,
                None => ours.contains(&(*channel, Some(*number))),
            };
            if goes {
                // The kernel removes none that is used.
                for (command, active) in [(CHANGE_RECEIVE, Some(0)), (REMOVE_RECEIVE, None)] {
                    let said = |bytes: &mut Vec<u8>| {
                        tlv::put(bytes, NUMBER, &[*number]);
                        if let Some(active) = active {
                            tlv::put(bytes, ACTIVE, &[active]);
                        }
                    };
                    messages.push(association(family, command, index, Some(*channel), said));
                }
            }
        }
    }
    for (channel, keys) in wanted {
        let present = held.receives.get(channel);
        if present.is_none() {
            messages.push(channel_message(family, ADD_CHANNEL, index, *channel));
        }
        for (number, key) in keys {
            let present = present.and_then(|present| present.get(number));
            if present.map(|held| held.key) != Some(key.id()) {
                messages.push(association(
                    family,
                    ADD_RECEIVE,
                    index,
                    Some(*channel),
                    |bytes| put_key(bytes, *number, key, FIRST),
                ));
            }
        }
    }
    messages
}

fn channel_message(family: Family, command: u8, index: u32, channel: ChannelId) -> Message {
    let mut bytes = Vec::new();
    tlv::put_word(&mut bytes, IFINDEX, index);
    put_channel(&mut bytes, channel);
    generic::message(family, command, 0, &bytes)
}

#[cfg(test)]
mod tests;
