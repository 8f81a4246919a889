//! What does the administrator say that a name is? Static records, wildcards, and the way back from addresses.
//!
//! | the name | answer |
//! |---|---|
//! | has records of the type asked for | those |
//! | has an alias (CNAME), or is below one of a subtree (DNAME) | the alias; its target is asked for where it routes |
//! | has records of other types alone | none of this type; with `pass-on` whatever is said elsewhere |
//! | is below a wildcard, and nothing closer exists (RFC 4592 §3.3) | the wildcard's records |
//! | is below a wildcard that something closer hides | it does not exist, or has nothing: the wildcard speaks for all below it |
//! | else | not answered here |
//!
//! Pure: the same question gives the same answer. Does not follow aliases.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use config::model::Record;
use config::name::{DomainName, wire_suffixes};

use crate::record::{RawRecord, cname_target, dname_target};
use crate::wire::{Question, class, rcode, rtype};

/// The most records in one answer; a file in error must not make answers that no client takes.
const MAX_ANSWERS: usize = 1024;

/// All static records.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Records {
    /// By the name's wire form.
    node_by_name: BTreeMap<Box<[u8]>, Node>,
    /// By the wire form of the name that the wildcard is below.
    wildcard_by_name: BTreeMap<Box<[u8]>, Node>,
    /// Names above those that have records: they exist, and have nothing (RFC 4592 §2.2.2).
    above: BTreeSet<Box<[u8]>>,
    /// Names that addresses point back to, by the wire form of their reverse names.
    back_by_reverse: BTreeMap<Box<[u8]>, Vec<(DomainName, u32)>>,
}

/// What a name has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Node {
    sets: Vec<Set>,
    pass_on: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Set {
    record_type: u16,
    ttl: u32,
    data: Vec<Box<[u8]>>,
}

/// What the records say of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The answer's code.
    pub rcode: u16,
    /// The answer section.
    pub answers: Vec<RawRecord>,
    /// Where an alias leads on.
    pub alias: Option<DomainName>,
    /// The name, or wildcard, that says it.
    pub rule: String,
}

impl Records {
    /// Makes the table.
    pub fn new(records: &[Record]) -> Self {
        let mut table = Self::default();
        for record in records {
            table.add(record);
        }
        table
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.node_by_name.is_empty() && self.wildcard_by_name.is_empty()
    }

    /// Returns what is said of a question; `None` when it is not answered here.
    pub fn lookup(&self, question: &Question) -> Option<Said> {
        if self.is_empty() || !matches!(question.class, class::IN | class::ANY) {
            return None;
        }
        let name = question.name.as_wire();
        if let Some(node) = self.node_by_name.get(name) {
            return self.said_by_node(question, node, question.name.to_string());
        }
        if let Some(back) = self.back_by_reverse.get(name) {
            return Some(said_by_back(question, back));
        }
        if let Some(said) = self.below_dname(question) {
            return Some(said);
        }
        self.said_by_wildcard(question)
    }

    /// Whether a name exists: it has records, a name below it has, or a wildcard gives it some (RFC 4592 §2.2.2, §3.3.1).
    pub fn has(&self, name: &DomainName) -> bool {
        let mut hidden = false;
        wire_suffixes(name.as_wire())
            .enumerate()
            .any(|(at, above)| {
                let exists = self.exists(above);
                let is_given = at > 0 && !hidden && self.wildcard_by_name.contains_key(above);
                hidden |= exists;
                at == 0 && exists || is_given
            })
    }

    fn add(&mut self, record: &Record) {
        let Record {
            name,
            wildcard,
            record_type,
            data,
            ttl,
            pass_on,
            reverse,
        } = record;
        let nodes = match wildcard {
            true => &mut self.wildcard_by_name,
            false => &mut self.node_by_name,
        };
        let node = nodes.entry(name.as_wire().into()).or_default();
        node.pass_on |= pass_on;
        let of_type = |set: &&mut Set| set.record_type == *record_type;
        match node.sets.iter_mut().find(of_type) {
            Some(set) => {
                let new = data.iter().filter(|data| !set.data.contains(data));
                let new: Vec<Box<[u8]>> = new.cloned().collect();
                set.data.extend(new);
                // RFC 2181 §5.2: one set has one TTL.
                set.ttl = set.ttl.min(*ttl);
            }
            None => node.sets.push(Set {
                record_type: *record_type,
                ttl: *ttl,
                data: data.clone(),
            }),
        }
        let skipped = usize::from(!*wildcard);
        let above = name.suffixes().skip(skipped);
        self.above.extend(above.map(Box::from));
        if *reverse && !*wildcard {
            for address in data.iter().filter_map(|data| address(data)) {
                let back = DomainName::reverse_of(address);
                let names = self
                    .back_by_reverse
                    .entry(back.as_wire().into())
                    .or_default();
                if !names.iter().any(|(other, _)| other == name) {
                    names.push((name.clone(), *ttl));
                }
            }
        }
    }

    fn said_by_node(&self, question: &Question, node: &Node, rule: String) -> Option<Said> {
        let asked = question.record_type;
        let owner = &question.name;
        let any = asked == rtype::ANY;
        let wanted = |set: &&Set| any || set.record_type == asked;
        let answers: Vec<RawRecord> = node
            .sets
            .iter()
            .filter(wanted)
            .flat_map(|set| set.records(owner))
            .take(MAX_ANSWERS)
            .collect();
        let said = |answers, alias| Said {
            rcode: rcode::NOERROR,
            answers,
            alias,
            rule: rule.clone(),
        };
        if !answers.is_empty() {
            return Some(said(answers, None));
        }
        let alias = node.sets.iter().find(|set| set.record_type == rtype::CNAME);
        if let Some(cname) = alias.and_then(|set| set.records(owner).next()) {
            let target = cname_target(&cname);
            return Some(said(vec![cname], target));
        }
        match node.pass_on {
            true => None,
            false => Some(said(Vec::new(), None)),
        }
    }

    /// RFC 6672 §3.2: a DNAME moves all below it, itself not.
    fn below_dname(&self, question: &Question) -> Option<Said> {
        let (above, dname) = question.name.suffixes().skip(1).find_map(|above| {
            let sets = &self.node_by_name.get(above)?.sets;
            let dname = sets.iter().find(|set| set.record_type == rtype::DNAME)?;
            Some((above, dname))
        })?;
        let above = DomainName::from_wire(above).ok()?;
        let dname = dname.records(&above).next()?;
        let target = dname_target(&dname)?;
        let rule = format!("{above} DNAME");
        let moved = question.name.strip_suffix(&above)?.join(&target);
        let Ok(moved) = moved else {
            // RFC 6672 §2.2: the name would be too long.
            const YXDOMAIN: u16 = 6;
            return Some(Said {
                rcode: YXDOMAIN,
                answers: vec![dname],
                alias: None,
                rule,
            });
        };
        let alias = RawRecord::alias(&question.name, &moved, dname.ttl);
        Some(Said {
            rcode: rcode::NOERROR,
            answers: vec![dname, alias],
            alias: Some(moved),
            rule,
        })
    }

    /// RFC 4592 §3.3.1: only the wildcard right below the closest name that exists is a source.
    fn said_by_wildcard(&self, question: &Question) -> Option<Said> {
        let name = question.name.as_wire();
        let mut hidden = false;
        for (at, above) in wire_suffixes(name).enumerate() {
            // The wildcard itself is no closer name than the one that it is below.
            let Some(node) = self.wildcard_by_name.get(above).filter(|_| at > 0) else {
                hidden |= self.exists(above);
                continue;
            };
            let rule = format!("*.{}", DomainName::from_wire(above).ok()?);
            if !hidden {
                return self.said_by_node(question, node, rule);
            }
            if node.pass_on {
                return None;
            }
            let code = match self.exists(name) {
                true => rcode::NOERROR,
                false => rcode::NXDOMAIN,
            };
            return Some(Said {
                rcode: code,
                answers: Vec::new(),
                alias: None,
                rule,
            });
        }
        None
    }

    fn exists(&self, name: &[u8]) -> bool {
        self.node_by_name.contains_key(name) || self.above.contains(name)
    }
}

impl Set {
    fn records(&self, owner: &DomainName) -> impl Iterator<Item = RawRecord> {
        let data = self.data.iter();
        data.map(|data| RawRecord::new(owner, self.record_type, self.ttl, data.to_vec()))
    }
}

fn said_by_back(question: &Question, back: &[(DomainName, u32)]) -> Said {
    let wanted = matches!(question.record_type, rtype::PTR | rtype::ANY);
    let answers = back
        .iter()
        .filter(|_| wanted)
        .map(|(target, ttl)| RawRecord::pointer(&question.name, target, *ttl));
    Said {
        rcode: rcode::NOERROR,
        answers: answers.take(MAX_ANSWERS).collect(),
        alias: None,
        rule: question.name.to_string(),
    }
}

fn address(data: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(data) {
        return Some(Ipv4Addr::from(octets).into());
    }
    let octets = <[u8; 16]>::try_from(data).ok()?;
    Some(Ipv6Addr::from(octets).into())
}

#[cfg(test)]
mod tests;
