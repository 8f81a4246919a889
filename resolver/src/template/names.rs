//! Which names does a kept answer tell of? Its own, those of its records, and those that its aliases lead to.

use super::{Mark, Section, Template};
use crate::reader::Reader;
use crate::record::read_name;
use crate::wire::rtype;

/// Octets of TTL and RDLENGTH, between the type of a record and its rdata.
const TTL_AND_LENGTH: usize = 6;
/// Octets of type and class, before the TTL.
const TYPE_AND_CLASS: usize = 4;

impl Template {
    /// Whether the question, an answer record or an alias's target has a name that is meant; names come in wire form, in lower case.
    pub(crate) fn tells_of(&self, is_meant: impl Fn(&[u8]) -> bool) -> bool {
        let question = self.question();
        let own = question.len().checked_sub(TYPE_AND_CLASS);
        if own
            .and_then(|end| question.get(..end))
            .is_some_and(&is_meant)
        {
            return true;
        }
        let mut name = Vec::new();
        let mut is_meant_at = |at: usize| {
            let wire = self.octets.get(..self.wire_length.into());
            let mut reader = Reader {
                at,
                ..Reader::new(wire.unwrap_or_default())
            };
            name.clear();
            let end = reader.wire.len();
            let is_whole = read_name(&mut reader, end, &mut name).is_ok();
            name.make_ascii_lowercase();
            is_whole && is_meant(&name)
        };
        let mut begins_at = usize::from(self.question_end);
        for mark in self.marks() {
            let mark = Mark::unpack(*mark);
            if mark.section != Section::Answer {
                return false;
            }
            let ttl_at = usize::from(mark.ttl_at);
            let kind = self.octets.get(ttl_at.saturating_sub(TYPE_AND_CLASS)..);
            let kind = kind.and_then(|rest| rest.first_chunk::<2>());
            let is_alias = kind.is_some_and(|kind| {
                matches!(u16::from_be_bytes(*kind), rtype::CNAME | rtype::DNAME)
            });
            if is_meant_at(begins_at) || (is_alias && is_meant_at(ttl_at + TTL_AND_LENGTH)) {
                return true;
            }
            begins_at = mark.end.into();
        }
        false
    }
}
