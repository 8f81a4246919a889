//! What does it take to count packet numbers? [`Hands`]: a disk, the kernel, and what is said to both.

use std::collections::BTreeMap;
use std::sync::Arc;

use config::model::ChannelId;

use crate::kinds::Message;
use crate::kinds::generic::Family;
use crate::kinds::macsec::{Key, Reading, add_send, remove_send, switch_send};

/// What it takes to act.
pub trait Hands {
    /// Keeps the ledger: when this goes well, its text outlives a loss of power.
    ///
    /// # Errors
    /// Why it may not be kept.
    fn keep(&mut self, text: &str) -> Result<(), Arc<str>>;

    /// Reads all links of this kind, by index.
    ///
    /// # Errors
    /// What the kernel says against it.
    fn read(&mut self) -> Result<BTreeMap<u32, Reading>, Arc<str>>;

    /// Has the kernel do one thing.
    ///
    /// # Errors
    /// What the kernel says against it.
    fn act(&mut self, index: u32, step: Step<'_>) -> Result<(), Arc<str>>;
}

/// One thing that the kernel is to do with an association that sends.
#[derive(Debug, Clone, Copy)]
pub enum Step<'a> {
    /// Add it; it sends at once.
    Add {
        /// Its number.
        number: u8,
        /// Its key.
        key: &'a Key,
        /// Its first packet number.
        next: u32,
    },
    /// Switch it on or off.
    Switch {
        /// Its number.
        number: u8,
        /// Whether it is to send.
        is_on: bool,
        /// From which packet number on, when that is another one than it has.
        next: Option<u32>,
    },
    /// Remove it; it is off.
    Remove {
        /// Its number.
        number: u8,
    },
}

impl Step<'_> {
    /// Returns how the kernel is told.
    pub fn message(self, family: Family, index: u32) -> Message {
        match self {
            Self::Add { number, key, next } => add_send(family, index, (number, key), next),
            Self::Switch {
                number,
                is_on,
                next,
            } => switch_send(family, index, number, is_on, next),
            Self::Remove { number } => remove_send(family, index, number),
        }
    }
}

/// What is to send.
#[derive(Debug, Clone, Copy)]
pub struct Sender<'a> {
    /// The association's number.
    pub number: u8,
    /// Its key.
    pub key: &'a Key,
    /// Whether it is marked beside its file that the key was used: that outlives the ledger.
    pub is_marked: bool,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sends {
    /// It sends, as this one, with numbers below the second.
    On(ChannelId, u64),
    /// The key has to be marked as used before it may send.
    NeedsMark,
}
