//! What goes wrong, and when? [`Faults`] of one story, and [`Coverage`]: whether all stories together have had all of it.
//!
//! Each occasion is counted: a write of the journal by its number in the daemon's life, a request by its kind. Of what came up
//! often enough every fault must have struck at least once, or the stories prove less than they seem to.

use std::collections::BTreeMap;

use linkmgr::KernelRequest;

use super::dice::Dice;

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    /// The daemon dies, and the journal is as it was before.
    DiesBeforeJournal,
    /// It dies as soon as the journal is kept.
    DiesAfterJournal,
    /// It dies before the kernel takes up a request.
    DiesBeforeRequest,
    /// It dies when a request is done, and has not heard of it.
    DiesAfterRequest,
    /// It dies before another file is written.
    DiesBeforeFile,
    /// It dies when another file is written.
    DiesAfterFile,
    /// The disk is full: the journal cannot be kept.
    FullDisk,
    /// The kernel refuses a request for a reason that passes.
    Refused,
    /// What the kernel says gets lost (`ENOBUFS`).
    Overrun,
    /// The kernel's answer takes seconds.
    LateAnswer,
}

impl Fault {
    const ALL: [Self; 10] = [
        Self::DiesBeforeJournal,
        Self::DiesAfterJournal,
        Self::DiesBeforeRequest,
        Self::DiesAfterRequest,
        Self::DiesBeforeFile,
        Self::DiesAfterFile,
        Self::FullDisk,
        Self::Refused,
        Self::Overrun,
        Self::LateAnswer,
    ];

    /// How many occasions one has at most between two of its strikes: about as many as a story has.
    const fn reach(self) -> u64 {
        match self {
            Self::DiesBeforeJournal | Self::DiesAfterJournal | Self::FullDisk => 14,
            Self::DiesBeforeRequest | Self::DiesAfterRequest | Self::Refused => 50,
            Self::DiesBeforeFile | Self::DiesAfterFile => 10,
            Self::Overrun | Self::LateAnswer => 30,
        }
    }

    const fn is_death(self) -> bool {
        match self {
            Self::DiesBeforeJournal
            | Self::DiesAfterJournal
            | Self::DiesBeforeRequest
            | Self::DiesAfterRequest
            | Self::DiesBeforeFile
            | Self::DiesAfterFile => true,
            Self::FullDisk | Self::Refused | Self::Overrun | Self::LateAnswer => false,
        }
    }
}

/// What an occasion is about: the journal's number in this life, a kind of request, or nothing in particular.
pub(super) type Subject = u64;

/// Occasions, and how often a fault struck.
#[derive(Debug, Clone, Default)]
pub(super) struct Coverage(BTreeMap<(Fault, Subject), (u64, u64)>);

impl Coverage {
    /// Adds what another story had.
    pub(super) fn add(&mut self, other: &Self) {
        for (key, (came, struck)) in &other.0 {
            let sum = self.0.entry(*key).or_default();
            *sum = (sum.0 + came, sum.1 + struck);
        }
    }

    /// Returns what came up so often that a fault should have struck, and none has.
    pub(super) fn gaps(&self, enough: u64) -> Vec<String> {
        let mut gaps: Vec<String> = Fault::ALL
            .iter()
            .filter(|fault| self.struck(**fault) == 0)
            .map(|fault| format!("{fault:?} never"))
            .collect();
        let missed = self.0.iter();
        let missed = missed.filter(|(_, (came, struck))| *came >= enough && *struck == 0);
        gaps.extend(missed.map(|((fault, subject), (came, _))| {
            format!("{fault:?} at {subject}: none of {came} occasions")
        }));
        gaps
    }

    /// Says how often each fault struck.
    pub(super) fn summary(&self) -> String {
        let faults = Fault::ALL.iter();
        let said = faults.map(|fault| format!("{fault:?} {}", self.struck(*fault)));
        said.collect::<Vec<_>>().join(", ")
    }

    fn struck(&self, fault: Fault) -> u64 {
        let of = self.0.iter().filter(|((other, _), _)| *other == fault);
        of.map(|(_, (_, struck))| struck).sum()
    }
}

/// What goes wrong in one story: one fault again and again, several at random, or nothing.
#[derive(Debug, Clone, Default)]
pub(super) struct Faults {
    /// The one fault, and how many occasions are left until it strikes.
    one: Option<(Fault, u64)>,
    /// One of so many occasions of each kind; 0 is none.
    often: u64,
    /// Whether what comes now is no occasion: all is to be well in the end.
    is_over: bool,
    pub(super) coverage: Coverage,
}

impl Faults {
    /// What goes wrong in the story of a seed.
    pub(super) fn roll(&mut self, dice: &mut Dice) {
        match dice.below(8) {
            0 => {}
            1 => self.often = dice.of(&[20, 60]),
            _ => {
                let fault = dice.of(&Fault::ALL);
                self.one = Some((fault, 1 + dice.below(fault.reach())));
            }
        }
    }

    /// Nothing goes wrong any more.
    pub(super) fn end(&mut self) {
        self.is_over = true;
    }

    /// Nobody dies any more.
    pub(super) fn spare(&mut self) {
        self.often = 0;
        self.one = self.one.filter(|(fault, _)| !fault.is_death());
    }

    /// Whether the journal cannot be kept now and then: whoever dies in such a story may leave something behind.
    pub(super) fn loses_journals(&self) -> bool {
        !self.is_over && self.fills_disk()
    }

    /// Whether the journal cannot be kept now and then, or could not be a moment ago.
    pub(super) fn fills_disk(&self) -> bool {
        matches!(self.one, Some((Fault::FullDisk, _)))
    }

    /// Whether a fault strikes at this occasion.
    pub(super) fn strikes(&mut self, fault: Fault, subject: Subject, dice: &mut Dice) -> bool {
        if self.is_over {
            return false;
        }
        let strikes = match &mut self.one {
            Some((one, left)) if *one == fault => {
                *left -= 1;
                let strikes = *left == 0;
                if strikes {
                    *left = 1 + dice.below(fault.reach());
                }
                strikes
            }
            Some(_) => false,
            // A disk that is full and a death together are for those who die at one point only.
            None => self.often > 0 && fault != Fault::FullDisk && dice.one_in(self.often),
        };
        let count = self.coverage.0.entry((fault, subject)).or_default();
        count.0 += 1;
        count.1 += u64::from(strikes);
        strikes
    }
}

/// Returns which kind of request it is.
pub(super) const fn kind(request: &KernelRequest) -> Subject {
    match request {
        KernelRequest::SetUp { .. } => 1,
        KernelRequest::SetMtu { .. } => 2,
        KernelRequest::SetMac { .. } => 3,
        KernelRequest::AddAddress(_) => 4,
        KernelRequest::ReplaceAddress(_) => 5,
        KernelRequest::DeleteAddress { .. } => 6,
        KernelRequest::AddRoute(_) => 7,
        KernelRequest::ReplaceRoute(_) => 8,
        KernelRequest::DeleteRoute(_) => 9,
        KernelRequest::AddRule(_) => 10,
        KernelRequest::DeleteRule(_) => 11,
        KernelRequest::ReadSwitch { .. } => 12,
        KernelRequest::SetSwitch { .. } => 13,
        KernelRequest::ReadPrefixRoute { .. } => 14,
    }
}
