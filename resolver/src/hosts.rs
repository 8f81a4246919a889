//! What does hosts(5) say? Names and addresses that the administrator wrote down.
//!
//! Reads text, not files. Does not decide whether hosts comes before a scope's claim (`synthesize` and its caller do),
//! and does not treat `localhost` in any special way.

use std::collections::BTreeMap;
use std::net::IpAddr;

use config::name::DomainName;

use crate::record::RawRecord;
use crate::wire::{Question, class, rtype};

/// TTL of records from hosts, in seconds: none, as the file may change at any time.
const HOSTS_TTL: u32 = 0;
/// The most addresses that one name may have; a file in error must not make answers that no client takes.
const MAX_ADDRESSES: usize = 256;

/// A hosts table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hosts {
    /// By the name's wire form.
    addresses_by_name: BTreeMap<Box<[u8]>, Vec<IpAddr>>,
    /// By the wire form of the address's reverse name; the first name of the first line that has the address.
    canonical_by_reverse: BTreeMap<Box<[u8]>, DomainName>,
}

impl Hosts {
    /// Reads a table; lines and names that cannot be read are left out.
    ///
    /// A line is an address, a canonical name and aliases; `#` begins a comment. A zone id (`fe80::1%eth0`) is ignored.
    /// `0.0.0.0` and `::` are answered like any address, but have no canonical name.
    pub fn parse(text: &str) -> Self {
        let mut table = Self::default();
        for line in text.trim_start_matches('\u{feff}').lines() {
            table.add_line(line);
        }
        table
    }

    /// Returns the records for a question, none of them when the name is known and the type is not (NODATA); `None`
    /// when the name is not in the table.
    pub fn lookup(&self, question: &Question) -> Option<Vec<RawRecord>> {
        if !matches!(question.class, class::IN | class::ANY) {
            return None;
        }
        let name = question.name.as_wire();
        let addresses = self.addresses_by_name.get(name);
        let canonical = self.canonical_by_reverse.get(name);
        if addresses.is_none() && canonical.is_none() {
            return None;
        }
        let any = question.record_type == rtype::ANY;
        let mut records: Vec<RawRecord> = addresses
            .into_iter()
            .flatten()
            .map(|&address| RawRecord::address(&question.name, address, HOSTS_TTL))
            .filter(|record| any || record.record_type == question.record_type)
            .collect();
        if let Some(canonical) = canonical
            && (any || question.record_type == rtype::PTR)
        {
            records.push(RawRecord::pointer(&question.name, canonical, HOSTS_TTL));
        }
        Some(records)
    }

    /// Returns the number of names.
    pub fn len(&self) -> usize {
        self.addresses_by_name.len()
    }

    /// Whether the table has no names.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn add_line(&mut self, line: &str) {
        let content = line.split('#').next().unwrap_or_default();
        let mut words = content.split_ascii_whitespace();
        let Some(address) = words.next().and_then(parse_address) else {
            return;
        };
        let mut names = words.filter_map(|word| word.parse::<DomainName>().ok());
        let Some(canonical) = names.next() else {
            return;
        };
        self.add_name(&canonical, address);
        names.for_each(|alias| self.add_name(&alias, address));
        if !address.is_unspecified() {
            let reverse = DomainName::reverse_of(address);
            self.canonical_by_reverse
                .entry(reverse.as_wire().into())
                .or_insert(canonical);
        }
    }

    fn add_name(&mut self, name: &DomainName, address: IpAddr) {
        if name.is_root() {
            return;
        }
        let addresses = self
            .addresses_by_name
            .entry(name.as_wire().into())
            .or_default();
        if addresses.len() < MAX_ADDRESSES && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
}

fn parse_address(word: &str) -> Option<IpAddr> {
    let address = word.split('%').next()?;
    address.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::cname_target;

    const TABLE: &str = "\u{feff}127.0.0.1 first.test
127.0.0.1 localhost
# 10.0.0.9 commented
10.0.0.1\tDB.corp.test db   # the database
10.0.0.2 db
2001:db8::1 db.corp.test other.corp.test.
fe80::1%eth0 router
0.0.0.0 ads.test tracker.test
:: ads.test
10.0.0.3
not-an-address x.test
10.0.0.4 bad..name good.test
10.0.0.1 second.test\r
";

    fn ask(name: &str, record_type: u16) -> Option<Vec<Vec<u8>>> {
        let question = Question {
            name: name.parse().unwrap(),
            record_type,
            class: class::IN,
        };
        let records = Hosts::parse(TABLE).lookup(&question)?;
        assert!(records.iter().all(|record| record.is_at(&question.name)));
        assert!(records.iter().all(|record| cname_target(record).is_none()));
        Some(records.into_iter().map(|record| record.rdata).collect())
    }

    #[test]
    fn names_and_aliases_have_the_addresses_of_their_lines() {
        assert_eq!(ask("db.corp.test", rtype::A), Some(vec![vec![10, 0, 0, 1]]));
        assert_eq!(
            ask("db", rtype::A),
            Some(vec![vec![10, 0, 0, 1], vec![10, 0, 0, 2]])
        );
        assert_eq!(ask("other.corp.test", rtype::AAAA).unwrap().len(), 1);
        assert_eq!(ask("db.corp.test", rtype::ANY).unwrap().len(), 2);
        assert_eq!(ask("router", rtype::AAAA).unwrap().len(), 1);
        assert_eq!(ask("second.test", rtype::A), Some(vec![vec![10, 0, 0, 1]]));
        assert_eq!(ask("first.test", rtype::A).unwrap().len(), 1);
    }

    #[test]
    fn other_types_of_a_known_name_are_nodata() {
        assert_eq!(ask("db.corp.test", rtype::MX), Some(vec![]));
        assert_eq!(ask("router", rtype::A), Some(vec![]));
        assert_eq!(ask("corp.test", rtype::A), None);
    }

    #[test]
    fn blocked_names_are_answered_with_the_unspecified_address() {
        assert_eq!(ask("tracker.test", rtype::A), Some(vec![vec![0; 4]]));
        assert_eq!(ask("tracker.test", rtype::AAAA), Some(vec![]));
        assert_eq!(ask("ads.test", rtype::AAAA), Some(vec![vec![0; 16]]));
        assert_eq!(ask("0.0.0.0.in-addr.arpa", rtype::PTR), None);
    }

    #[test]
    fn an_address_points_to_the_first_name_of_its_first_line() {
        let name: DomainName = "db.corp.test".parse().unwrap();
        assert_eq!(
            ask("1.0.0.10.in-addr.arpa", rtype::PTR),
            Some(vec![name.as_wire().to_vec()])
        );
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        assert_eq!(ask("commented", rtype::A), None);
        assert_eq!(ask("x.test", rtype::A), None);
        assert_eq!(ask("good.test", rtype::A), Some(vec![vec![10, 0, 0, 4]]));
        assert!(Hosts::parse("#\n\n  \n10.0.0.1\n").is_empty());
    }
}
