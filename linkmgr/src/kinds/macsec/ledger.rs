//! Which packet numbers may have been used? [`Ledger`]: one line for each key that ever sent, kept where it outlives the machine's power.
//!
//! A number that is used twice with one key and one identifier is one nonce for two frames, and GCM then gives the key away to
//! whoever listens. So numbers are *reserved* in blocks: the ledger says, before any of a block is used, that all of it may be.
//! Whatever is not below the reserve was never used. What cannot be read, or was not watched, lets nothing send.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use config::matcher::Mac;
use config::model::ChannelId;

use super::KeyId;

/// One past the last packet number: the kernel stops there by itself.
pub const END: u64 = 1 << 32;
/// How many numbers are reserved at a time. A loss of power costs what is left of them.
pub const BLOCK: u64 = 1 << 26;
/// A reserve below this is renewed.
pub const LOW: u64 = BLOCK / 2;
/// The most frames that a second can bring: the kernel holds a lock and enciphers by the processor for each, and ten gigabits a
/// second hold fewer of the smallest.
pub const PER_SECOND: u64 = 1 << 24;
/// So many may be under way, on as many processors, when an association is switched off.
pub const UNDER_WAY: u64 = 1 << 12;
/// A key that has come so far does not send any more.
pub const USED_UP: u64 = END - BLOCK;
/// From here on a new key is asked for.
pub const GOES_OUT: u64 = END / 4 * 3;
/// How many keys are remembered; a forgotten one would be a new one.
const MAX_KEYS: usize = 4096;

const TITLE: &str = "linnet macsec numbers 1";
const LAST_LINE: &str = "end";

/// A key, and who sends with it: what must not meet one number twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Use {
    /// The key.
    pub key: KeyId,
    /// Who sends.
    pub channel: ChannelId,
}

/// What is known of the numbers of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Every number below may have been used, and none from here on.
    pub reserved: u64,
    /// From which number on it sends, by our word.
    pub floor: u64,
    /// The boot in whose kernel it may be, and send; none when it was switched off by us, and nothing sends.
    pub open: Option<Arc<str>>,
    /// Whether nobody watched it for a while: how far it has come is not known.
    pub unwatched: bool,
}

/// A moment of one boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// The boot.
    pub boot: Arc<str>,
    /// Since it began.
    pub at: Duration,
}

impl Moment {
    /// Reads what [`Moment::text`] writes.
    pub fn of_text(text: &str) -> Option<Self> {
        let (boot, at) = text.trim().split_once(' ')?;
        Some(Self {
            boot: boot.into(),
            at: Duration::from_nanos(at.parse().ok()?),
        })
    }

    /// Writes it in a line.
    pub fn text(&self) -> String {
        format!("{} {}", self.boot, self.at.as_nanos())
    }
}

/// What is known of all keys that ever sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ledger {
    /// When it was written.
    pub written: Moment,
    entries: BTreeMap<Use, Entry>,
}

/// Nothing is known: the text is not whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what was written down of packet numbers does not read")]
pub struct LedgerError;

impl Ledger {
    /// Begins one: no key has ever sent.
    pub const fn new(written: Moment) -> Self {
        Self {
            written,
            entries: BTreeMap::new(),
        }
    }

    /// Finds what is known of a key.
    pub fn find(&self, one: Use) -> Option<&Entry> {
        self.entries.get(&one)
    }

    /// Whether there is room for one key more.
    pub fn has_room(&self) -> bool {
        self.entries.len() < MAX_KEYS
    }

    /// Puts something down.
    pub fn put(&mut self, one: Use, entry: Entry) {
        self.entries.insert(one, entry);
    }

    /// Takes note that from this moment on nobody has watched what sends, unless somebody has written here since.
    pub fn leave_unwatched(&mut self, from: &Moment) {
        if from.boot != self.written.boot || from.at < self.written.at {
            return;
        }
        for entry in self.entries.values_mut() {
            entry.unwatched |= entry.open.as_ref() == Some(&from.boot);
        }
    }

    /// Reads a text; one that is not whole counts for nothing.
    ///
    /// # Errors
    /// [`LedgerError`]: no key may send by it.
    pub fn read(text: &str) -> Result<Self, LedgerError> {
        let mut lines = text.lines();
        let title = lines.next().filter(|title| *title == TITLE);
        let written = lines.next().and_then(Moment::of_text);
        let (Some(_), Some(written)) = (title, written) else {
            return Err(LedgerError);
        };
        let mut ledger = Self::new(written);
        loop {
            let line = lines.next().ok_or(LedgerError)?;
            if line == LAST_LINE {
                return Ok(ledger);
            }
            let (one, entry) = read_line(line).ok_or(LedgerError)?;
            if ledger.entries.insert(one, entry).is_some() {
                return Err(LedgerError);
            }
        }
    }

    /// Writes it.
    pub fn text(&self) -> String {
        let mut text = format!("{TITLE}\n{}\n", self.written.text());
        for (one, entry) in &self.entries {
            let open = entry.open.as_deref().unwrap_or("-");
            let watched = if entry.unwatched { "left" } else { "watched" };
            let _ = writeln!(
                text,
                "{} {} {} {} {} {open} {watched}",
                one.key, one.channel.mac, one.channel.port, entry.reserved, entry.floor
            );
        }
        text + LAST_LINE + "\n"
    }
}

fn read_line(line: &str) -> Option<(Use, Entry)> {
    let mut words = line.split(' ');
    let one = Use {
        key: KeyId::of_hex(words.next()?)?,
        channel: ChannelId {
            mac: words.next()?.parse::<Mac>().ok()?,
            port: words.next()?.parse().ok()?,
        },
    };
    let number = |word: &str| word.parse().ok().filter(|number| *number <= END);
    let reserved = number(words.next()?)?;
    let floor = number(words.next()?)?;
    let open = words.next()?;
    let unwatched = match words.next()? {
        "left" => true,
        "watched" => false,
        _ => return None,
    };
    let entry = Entry {
        reserved,
        floor,
        open: (open != "-").then(|| open.into()),
        unwatched,
    };
    words.next().is_none().then_some((one, entry))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_back_whole_and_not_in_part() {
        let written = Moment {
            boot: "b1".into(),
            at: Duration::from_nanos(7),
        };
        let mut ledger = Ledger::new(written);
        for (octet, open, unwatched) in [
            (1, Some("b1"), false),
            (2, Some("b0"), true),
            (3, None, false),
        ] {
            let one = Use {
                key: KeyId([octet; 16]),
                channel: ChannelId {
                    mac: Mac([2, 0, 0, 0, 0, octet]),
                    port: 1,
                },
            };
            let entry = Entry {
                reserved: END - u64::from(octet),
                floor: 1,
                open: open.map(Into::into),
                unwatched,
            };
            ledger.put(one, entry);
        }
        let text = ledger.text();
        assert_eq!(Ledger::read(&text), Ok(ledger));
        let whole = text.len() - 1;
        for cut in 0..whole {
            assert_eq!(Ledger::read(&text[..cut]), Err(LedgerError), "{cut}");
        }
        for wrong in [
            text.replace("watched", "watchedX"),
            text.replace("4294967295", "4294967297"),
            text.replace("4294967295", "-1"),
            text.replace("numbers 1", "numbers 2"),
            text.replace("02:00:00:00:00:02", "02:00:00:00:00:01")
                .replace(&"02".repeat(16), &"01".repeat(16)),
        ] {
            assert_eq!(Ledger::read(&wrong), Err(LedgerError), "{wrong}");
        }
    }
}
