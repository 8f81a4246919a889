//! What does a file of blocked or rewritten names say? Lines in, a compact [`List`] out.
//!
//! | format | a line | means |
//! |---|---|---|
//! | domains | `ads.example`, `*.ads.example`, `.ads.example` | the name and all below it |
//! | hosts | `0.0.0.0 ads.example` | the name exactly; any address that is not unspecified or loopback is its address |
//! | rpz | `ads.example CNAME .`, `*.ads.example A 192.0.2.1` | the name, or all below it, as the zone says |
//!
//! A line that cannot be read is counted and told, and the rest holds. Reads lines, not files; where names lie is `names`'
//! business, what becomes of a question is `filter`'s.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;

use config::model::{BlockAction, ListConfig, ListFormat};
use config::name::DomainName;

use super::names::{Builder, Key, Names};
use super::zone::{Entry, Mistake, ZoneReader};
use crate::wire::rtype;

/// The longest line that is read, in octets; names have 255, and data some hundreds.
pub const MAX_LINE: usize = 16 << 10;
/// The most names in one list.
const MAX_NAMES: usize = 8_000_000;
/// The most different answers that a list may have of its own.
const MAX_DATA: usize = 100_000;
/// The most broken lines that are kept to be told; all are counted.
const MAX_BROKEN: usize = 20;
/// The most octets of a broken line that are kept.
const MAX_SHOWN: usize = 200;
/// TTL of an address in a file in the form of hosts(5), in seconds.
const HOSTS_TTL: u32 = 60;
/// Names in files of the form of hosts(5) that are the machine's own, and never meant.
const OWN_NAMES: [&str; 12] = [
    "localhost",
    "localhost.localdomain",
    "local",
    "broadcasthost",
    "ip6-localhost",
    "ip6-loopback",
    "ip6-localnet",
    "ip6-mcastprefix",
    "ip6-allnodes",
    "ip6-allrouters",
    "ip6-allhosts",
    "0.0.0.0",
];

/// What becomes of a listed name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Action {
    /// It does not exist.
    Nxdomain,
    /// It has no records.
    Nodata,
    /// The question is refused.
    Refuse,
    /// Its addresses are unspecified.
    ZeroAddress,
    /// It is answered as if there were no list, this one and all after it.
    Pass,
    /// By datagram its client is told to come by stream; by stream it passes.
    ByStream,
    /// It has these records.
    Data(Vec<Datum>),
}

/// A record of a listed name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Datum {
    pub(crate) record_type: u16,
    pub(crate) ttl: u32,
    pub(crate) data: Vec<u8>,
    /// Whether it is an alias to the name below this one: `CNAME *.walled.example`.
    pub(crate) below: bool,
}

/// What an entry means: for the name itself, and for all below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
struct Rule {
    exact: Option<u32>,
    below: Option<u32>,
}

/// Names, and what becomes of them.
#[derive(Debug)]
pub struct List {
    names: Names,
    rules: Vec<Rule>,
    actions: Vec<Action>,
    broken: Vec<Broken>,
    broken_lines: u64,
}

/// A line that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Which, from 1.
    pub line: u64,
    /// Its text, cut when it is long.
    pub text: String,
    /// The octets of the text that it is about.
    pub part: Range<usize>,
    /// What is wrong.
    pub why: String,
}

/// What a list says of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hit<'a> {
    pub(crate) action: &'a Action,
    /// How many labels above the name the rule stands.
    pub(crate) labels_above: usize,
    /// Whether the rule is for the name itself, not for all below another.
    pub(crate) exact: bool,
}

impl List {
    /// Returns the number of names.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the bytes that it takes.
    pub fn bytes(&self) -> usize {
        let datum = |datum: &Datum| size_of::<Datum>() + datum.data.len();
        let data = self.actions.iter().map(|action| match action {
            Action::Data(data) => data.iter().map(datum).sum(),
            Action::Nxdomain
            | Action::Nodata
            | Action::Refuse
            | Action::ZeroAddress
            | Action::Pass
            | Action::ByStream => 0usize,
        });
        let tables =
            self.rules.len() * size_of::<Rule>() + self.actions.len() * size_of::<Action>();
        self.names.bytes() + tables + data.sum::<usize>()
    }

    /// Returns the first lines that could not be read.
    pub fn broken(&self) -> &[Broken] {
        &self.broken
    }

    /// Returns the number of lines that could not be read.
    pub fn broken_lines(&self) -> u64 {
        self.broken_lines
    }

    /// Looks for a name: itself first, then the closest above it that means all below.
    pub(crate) fn find(&self, key: &Key) -> Option<Hit<'_>> {
        for above in 0..key.labels() {
            let Some(number) = self.names.find(key.above(above)) else {
                continue;
            };
            let rule = self.rules.get(number as usize)?;
            let exact = rule.exact.filter(|_| above == 0);
            let action = exact.or_else(|| rule.below.filter(|_| above > 0));
            if let Some(action) = action.and_then(|at| self.actions.get(at as usize)) {
                return Some(Hit {
                    action,
                    labels_above: above,
                    exact: exact.is_some(),
                });
            }
        }
        None
    }
}

/// Makes a list of lines.
pub struct ListReader {
    format: ListFormat,
    action: Option<BlockAction>,
    subdomains: bool,
    builder: Builder,
    tables: Tables,
    zone: ZoneReader,
    apex: DomainName,
    names: usize,
    line: u64,
    broken: Vec<Broken>,
    broken_lines: u64,
}

/// Rules and actions, each once.
#[derive(Debug, Default)]
struct Tables {
    rules: Vec<Rule>,
    number_by_rule: BTreeMap<Rule, u32>,
    actions: Vec<Action>,
    number_by_action: BTreeMap<Action, u32>,
}

impl ListReader {
    /// Begins a list.
    pub fn new(config: &ListConfig) -> Self {
        Self {
            format: config.format,
            action: config.action,
            subdomains: config
                .subdomains
                .unwrap_or(config.format == ListFormat::Domains),
            builder: Builder::default(),
            tables: Tables::default(),
            zone: ZoneReader::new(),
            apex: DomainName::root(),
            names: 0,
            line: 0,
            broken: Vec::new(),
            broken_lines: 0,
        }
    }

    /// Takes the next line, with or without its end.
    pub fn line(&mut self, line: &[u8]) {
        self.line += 1;
        if line.len() > MAX_LINE {
            let shown = line.get(..MAX_SHOWN).unwrap_or_default();
            let text = String::from_utf8_lossy(shown);
            self.note(&text, Mistake::new(0..0, "the line is too long"));
            return;
        }
        let line = match self.line {
            1 => line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line),
            _ => line,
        };
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        // Comments may be in any encoding; names are checked.
        let text = String::from_utf8_lossy(line);
        let read = match self.format {
            ListFormat::Domains => self.domain(&text),
            ListFormat::Hosts => self.hosts(&text),
            ListFormat::Rpz => self.policy(&text),
        };
        if let Err(mistake) = read {
            self.note(&text, mistake);
        }
    }

    /// Makes the list.
    pub fn finish(mut self) -> List {
        if self.zone.is_open() {
            self.line += 1;
            self.note("", Mistake::new(0..0, "a parenthesis is never closed"));
        }
        let tables = &mut self.tables;
        let names = self
            .builder
            .finish(&mut |one, other| tables.merge(one, other));
        List {
            names,
            rules: self.tables.rules,
            actions: self.tables.actions,
            broken: self.broken,
            broken_lines: self.broken_lines,
        }
    }

    fn note(&mut self, text: &str, mistake: Mistake) {
        self.broken_lines += 1;
        if self.broken.len() >= MAX_BROKEN {
            return;
        }
        let mut end = text.len().min(MAX_SHOWN);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let part = mistake.part.start.min(end)..mistake.part.end.min(end);
        self.broken.push(Broken {
            line: self.line,
            text: text.get(..end).unwrap_or_default().to_owned(),
            part,
            why: mistake.why,
        });
    }

    fn domain(&mut self, line: &str) -> Result<(), Mistake> {
        let content = line.split('#').next().unwrap_or_default();
        let mut words = words(content);
        let Some(first) = words.next() else {
            return Ok(());
        };
        if let Some(second) = words.next() {
            let why = "there is more than a name; is the file in the form of hosts(5)?";
            return Err(Mistake::new(second, why));
        }
        let word = content.get(first.clone()).unwrap_or_default();
        let bare = ["*.", "."]
            .iter()
            .find_map(|start| word.strip_prefix(start).filter(|bare| !bare.is_empty()));
        let name = plain_name(bare.unwrap_or(word)).map_err(|why| Mistake::new(first, why))?;
        let action = self.blocks();
        self.add(&name, action, true, self.subdomains)
    }

    fn hosts(&mut self, line: &str) -> Result<(), Mistake> {
        let content = line.split('#').next().unwrap_or_default();
        let mut words = words(content);
        let Some(first) = words.next() else {
            return Ok(());
        };
        let word = content.get(first.clone()).unwrap_or_default();
        let bare = word.split('%').next().unwrap_or_default();
        let Ok(address) = bare.parse::<IpAddr>() else {
            let why = "this is not an address; is the file a list of names?";
            return Err(Mistake::new(first, why));
        };
        let blocks = address.is_unspecified() || address.is_loopback();
        let mut first_mistake = None;
        let mut any = false;
        for at in words {
            any = true;
            let word = content.get(at.clone()).unwrap_or_default();
            if OWN_NAMES.contains(&word) {
                continue;
            }
            let action = match blocks {
                true => self.blocks(),
                false => Action::Data(vec![Datum::address(address)]),
            };
            let added = plain_name(word)
                .map_err(|why| Mistake::new(at, why))
                .and_then(|name| self.add(&name, action, true, self.subdomains));
            first_mistake = first_mistake.or_else(|| added.err());
        }
        match (first_mistake, any) {
            (Some(mistake), _) => Err(mistake),
            (None, false) => Err(Mistake::new(first, "the address has no name")),
            (None, true) => Ok(()),
        }
    }

    fn policy(&mut self, line: &str) -> Result<(), Mistake> {
        let Some(entry) = self.zone.line(line)? else {
            return Ok(());
        };
        let Entry {
            owner,
            ttl,
            record_type,
            data,
            owner_at,
        } = entry;
        if record_type == rtype::SOA {
            self.apex = owner;
            return Ok(());
        }
        if owner == self.apex {
            return Ok(());
        }
        let Some(trigger) = owner.strip_suffix(&self.apex) else {
            let why = format!("the name is not in the zone {}", self.apex);
            return Err(Mistake::new(owner_at, why));
        };
        if let Some(kind) = trigger.labels().last().and_then(other_trigger) {
            let why =
                format!("triggers of the kind {kind} are not known here: the rule does nothing");
            return Err(Mistake::new(owner_at, why));
        }
        let below = trigger.labels().next() == Some(b"*");
        let name = match below {
            true => trigger.parent().unwrap_or_else(DomainName::root),
            false => trigger.clone(),
        };
        let action = self.policy_action(&trigger, ttl, record_type, data);
        let action = action.map_err(|why| Mistake::new(0..line.len(), why))?;
        self.add(&name, action, !below, below)
    }

    fn policy_action(
        &self,
        trigger: &DomainName,
        ttl: u32,
        record_type: u16,
        data: Vec<u8>,
    ) -> Result<Action, &'static str> {
        let said = match (record_type, data.as_slice()) {
            (rtype::CNAME, [0]) => Action::Nxdomain,
            (rtype::CNAME, b"\x01*\0") => Action::Nodata,
            (rtype::CNAME, b"\x0crpz-passthru\0") => return Ok(Action::Pass),
            // The old form of the same.
            (rtype::CNAME, target) if target == trigger.as_wire() => return Ok(Action::Pass),
            // Silence costs a client of ours its patience, and no attacker anything.
            (rtype::CNAME, b"\x08rpz-drop\0") => Action::Refuse,
            (rtype::CNAME, b"\x0crpz-tcp-only\0") => Action::ByStream,
            (rtype::NS | rtype::DNAME | rtype::DS | rtype::DNSKEY, _) => {
                return Err("records of this type do nothing in a policy zone");
            }
            (record_type, data) => {
                let below = data.starts_with(b"\x01*") && record_type == rtype::CNAME;
                let data = match below {
                    true => data.get(2..).unwrap_or_default().to_vec(),
                    false => data.to_vec(),
                };
                Action::Data(vec![Datum {
                    record_type,
                    ttl,
                    data,
                    below,
                }])
            }
        };
        Ok(match self.action {
            Some(_) => self.blocks(),
            None => said,
        })
    }

    fn blocks(&self) -> Action {
        match self.action.unwrap_or_default() {
            BlockAction::Nxdomain => Action::Nxdomain,
            BlockAction::Nodata => Action::Nodata,
            BlockAction::Refuse => Action::Refuse,
            BlockAction::ZeroAddress => Action::ZeroAddress,
        }
    }

    fn add(
        &mut self,
        name: &DomainName,
        action: Action,
        exact: bool,
        below: bool,
    ) -> Result<(), Mistake> {
        let Some(key) = Key::new(name.as_wire()).filter(|key| key.labels() > 0) else {
            return Err(Mistake::new(0..0, "the root cannot be listed"));
        };
        if self.names >= MAX_NAMES {
            return Err(Mistake::new(0..0, "the list has too many names"));
        }
        let Some(action) = self.tables.action(action) else {
            return Err(Mistake::new(
                0..0,
                "the list has too many different answers",
            ));
        };
        let rule = Rule {
            exact: exact.then_some(action),
            below: below.then_some(action),
        };
        let number = self.tables.rule(rule);
        self.names += 1;
        let tables = &mut self.tables;
        self.builder.add(key.octets(), number, &mut |one, other| {
            tables.merge(one, other)
        });
        Ok(())
    }
}

impl std::fmt::Debug for ListReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ListReader")
            .field("format", &self.format)
            .field("line", &self.line)
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

impl Datum {
    fn address(address: IpAddr) -> Self {
        let (record_type, data) = match address {
            IpAddr::V4(v4) => (rtype::A, v4.octets().to_vec()),
            IpAddr::V6(v6) => (rtype::AAAA, v6.octets().to_vec()),
        };
        Self {
            record_type,
            ttl: HOSTS_TTL,
            data,
            below: false,
        }
    }
}

impl Tables {
    /// Returns the number of an action; `None` when there are too many.
    fn action(&mut self, action: Action) -> Option<u32> {
        if let Some(number) = self.number_by_action.get(&action) {
            return Some(*number);
        }
        let number = u32::try_from(self.actions.len()).ok()?;
        if self.actions.len() >= MAX_DATA {
            return None;
        }
        self.actions.push(action.clone());
        self.number_by_action.insert(action, number);
        Some(number)
    }

    fn rule(&mut self, rule: Rule) -> u32 {
        if let Some(number) = self.number_by_rule.get(&rule) {
            return *number;
        }
        // There are no more rules than pairs of actions, and no more of them than names.
        let number = u32::try_from(self.rules.len()).unwrap_or(u32::MAX);
        self.rules.push(rule);
        self.number_by_rule.insert(rule, number);
        number
    }

    /// Puts two rules for one name together: records add up, of anything else the first holds.
    fn merge(&mut self, one: u32, other: u32) -> u32 {
        if one == other {
            return one;
        }
        let rule = |at: u32| self.rules.get(at as usize).copied().unwrap_or_default();
        let (one, other) = (rule(one), rule(other));
        let rule = Rule {
            exact: self.merge_actions(one.exact, other.exact),
            below: self.merge_actions(one.below, other.below),
        };
        self.rule(rule)
    }

    fn merge_actions(&mut self, one: Option<u32>, other: Option<u32>) -> Option<u32> {
        let (Some(first), Some(second)) = (one, other) else {
            return one.or(other);
        };
        let data = |at: u32| match self.actions.get(at as usize) {
            Some(Action::Data(data)) => Some(data),
            Some(_) | None => None,
        };
        if let (true, Some(own), Some(more)) = (first != second, data(first), data(second)) {
            let mut all = own.clone();
            all.extend(more.iter().filter(|datum| !own.contains(datum)).cloned());
            return self.action(Action::Data(all)).or(one);
        }
        one
    }
}

/// The last label of triggers that are not about the name asked for.
fn other_trigger(label: &[u8]) -> Option<&'static str> {
    ["rpz-ip", "rpz-client-ip", "rpz-nsip", "rpz-nsdname"]
        .into_iter()
        .find(|kind| kind.as_bytes() == label)
}

/// Returns where the words of a line are.
fn words(text: &str) -> impl Iterator<Item = Range<usize>> {
    let start = text.as_ptr() as usize;
    text.split_ascii_whitespace().map(move |word| {
        let at = word.as_ptr() as usize - start;
        at..at + word.len()
    })
}

/// Reads a name as files of names have it: no escapes, no wildcard, no address.
fn plain_name(word: &str) -> Result<DomainName, String> {
    let usual =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') || !c.is_ascii();
    if let Some(strange) = word.chars().find(|c| !usual(*c)) {
        return Err(format!(
            "no name of such a file has the character {strange:?}"
        ));
    }
    let parsed = word.parse::<DomainName>();
    let name = parsed.map_err(|error| format!("this is not a domain name: {error}"))?;
    let is_number = |label: &[u8]| label.iter().all(u8::is_ascii_digit);
    if name.labels().last().is_some_and(is_number) {
        return Err("this is an address, not a name".to_owned());
    }
    Ok(name)
}

#[cfg(test)]
mod tests;
