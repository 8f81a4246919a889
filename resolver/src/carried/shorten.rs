//! How does an answer that is written already get shorter? To the octet as [`Template`](crate::template::Template) writes it for a
//! client that takes less: whole RRsets go, from the end.

use crate::reader::{Header, Passed, Reader};
use crate::wire::{HEADER, rtype};

use super::{TRUNCATED, find_opt, pass_name};

/// An OPT record without options, in octets.
const OPT_SIZE: usize = 11;
/// Labels of a name, the root's included, at most; bounds the work for names that never end.
const LABELS_MAX: usize = 128;

/// What is kept of an answer.
struct Kept {
    /// Where its records end.
    end: usize,
    /// Records of each section, without OPT.
    counts: [u16; 3],
    /// Whether an answer or authority record is missing.
    truncated: bool,
    opt_start: usize,
    /// With its options, or without when these have no room.
    opt_size: usize,
}

/// Shortens an answer of ours to `most` octets; one whose last record is not OPT stays as it is. Allocates nothing.
///
/// TC is set when an answer or authority record goes (RFC 2181 §9). Options go when they do not fit beside the question.
pub(super) fn shorten(answer: &mut Vec<u8>, most: usize) {
    if answer.len() <= most {
        return;
    }
    let Some(kept) = find_kept(answer, most) else {
        return;
    };
    answer.copy_within(kept.opt_start..kept.opt_start + kept.opt_size, kept.end);
    answer.truncate(kept.end + kept.opt_size);
    if kept.opt_size == OPT_SIZE
        && let Some(length) = answer.last_chunk_mut::<2>()
    {
        *length = [0, 0];
    }
    if kept.truncated
        && let Some(flags) = answer.get_mut(2)
    {
        *flags |= TRUNCATED;
    }
    let [answers, authority, additional] = kept.counts;
    let counts = [answers, authority, additional + 1];
    let places = answer.get_mut(6..HEADER).unwrap_or_default();
    for (place, count) in places.chunks_exact_mut(2).zip(counts) {
        place.copy_from_slice(&count.to_be_bytes());
    }
}

fn find_kept(wire: &[u8], most: usize) -> Option<Kept> {
    let (opt_start, opt) = find_opt(wire)?;
    if opt_start + OPT_SIZE + opt.rdata.len() != wire.len() {
        return None;
    }
    let mut reader = Reader::new(wire);
    let header = Header::parse(&mut reader)?;
    for _ in 0..header.questions {
        pass_name(&mut reader)?;
        reader.take(4)?;
    }
    let whole = OPT_SIZE + opt.rdata.len();
    let opt_size = match reader.at + whole <= most {
        true => whole,
        false => OPT_SIZE,
    };
    let room = most.saturating_sub(opt_size);
    let sections = [
        header.answers,
        header.authority,
        header.additional.checked_sub(1)?,
    ];
    let mut counts = [0_u16; 3];
    let mut kept = Kept {
        end: reader.at,
        counts,
        truncated: false,
        opt_start,
        opt_size,
    };
    for (section, records) in sections.into_iter().enumerate() {
        let mut before = None;
        for _ in 0..records {
            let start = reader.at;
            let record = reader.skip_record()?;
            let here = (start, record);
            // An RRset goes as a whole.
            if before.is_none_or(|before| !is_same_set(wire, before, here)) {
                (kept.end, kept.counts) = (start, counts);
            }
            if reader.at > room {
                kept.truncated = section < 2;
                return Some(kept);
            }
            before = Some(here);
            if let Some(count) = counts.get_mut(section) {
                *count += 1;
            }
        }
    }
    (kept.end, kept.counts) = (reader.at, counts);
    Some(kept)
}

/// A signature belongs to the set it covers, when it follows it (RFC 4035 §3.1.1).
fn is_same_set(wire: &[u8], before: (usize, Passed<'_>), here: (usize, Passed<'_>)) -> bool {
    let covered = |record: Passed<'_>| match record.rdata.first_chunk::<2>() {
        Some(&covered) if record.record_type == rtype::RRSIG => u16::from_be_bytes(covered),
        _ => record.record_type,
    };
    covered(before.1) == covered(here.1)
        && before.1.class == here.1.class
        && is_same_name(wire, before.0, here.0)
}

/// Whether the names at two places of a message are the same.
fn is_same_name(wire: &[u8], mut one: usize, mut other: usize) -> bool {
    for _ in 0..LABELS_MAX {
        let labels = (next_label(wire, &mut one), next_label(wire, &mut other));
        let (Some(one), Some(other)) = labels else {
            return false;
        };
        if !one.eq_ignore_ascii_case(other) {
            return false;
        }
        if one.is_empty() {
            return true;
        }
    }
    false
}

/// Returns the label of the name at `at`, and goes on behind it; the empty one is the last.
fn next_label<'a>(wire: &'a [u8], at: &mut usize) -> Option<&'a [u8]> {
    loop {
        let length = *wire.get(*at)?;
        if length & 0xc0 != 0xc0 {
            let start = *at + 1;
            *at = start + usize::from(length);
            return wire.get(start..*at);
        }
        let low = *wire.get(*at + 1)?;
        let to = usize::from(length & 0x3f) << 8 | usize::from(low);
        // Only back, so that this ends.
        if to >= *at {
            return None;
        }
        *at = to;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Channel, ExtendedError};
    use crate::record::RawRecord;
    use crate::template::Template;
    use crate::wire::{ClientEdns, Envelope, Question, class};

    fn record(name: &str, record_type: u16, rdata: &[u8]) -> RawRecord {
        RawRecord::new(&name.parse().unwrap(), record_type, 300, rdata.to_vec())
    }

    fn alias(name: &str, target: &str) -> RawRecord {
        RawRecord::alias(&name.parse().unwrap(), &target.parse().unwrap(), 300)
    }

    /// Sections of different kinds: answers, authority, additional.
    fn worlds() -> Vec<[Vec<RawRecord>; 3]> {
        let text = |name: &str, length: usize| record(name, 16, &vec![b'x'; length]);
        let signature = |name: &str, covered: u8, length: usize| {
            record(
                name,
                rtype::RRSIG,
                &[vec![0, covered], vec![7; length]].concat(),
            )
        };
        let many = |name: &str, count: u8| {
            let rows = (0..count).map(|last| record(name, rtype::A, &[10, 0, 0, last]));
            rows.collect::<Vec<_>>()
        };
        // Aliases are of one type and of different names, each an RRset of its own.
        let chain: Vec<RawRecord> = (0..30)
            .map(|step| alias(&format!("a{step}.test"), &format!("a{}.test", step + 1)))
            .collect();
        vec![
            [many("a0.test", 90), vec![], vec![]],
            [chain, vec![], vec![]],
            [
                vec![text("a0.test", 200), signature("a0.test", 16, 150)],
                vec![text("ns.test", 150), signature("ns.test", 16, 150)],
                [many("x.test", 9), many("y.test", 9), many("z.test", 30)].concat(),
            ],
            // The last of one section and the first of the next are alike, and no set.
            [
                many("a0.test", 20),
                many("a0.test", 20),
                many("A0.tesT", 20),
            ],
            // More names than are remembered, so that some are written out.
            [
                (0..80)
                    .map(|number| text(&format!("n{}.of.b{number}.test", number / 2), 5))
                    .collect(),
                vec![],
                many("n.other", 5),
            ],
            [vec![], vec![text("soa.test", 300)], many("a0.test", 40)],
        ]
    }

    #[test]
    fn an_answer_is_shortened_to_what_its_writer_writes_for_a_client_that_takes_less() {
        let question = Question {
            name: "a0.test".parse().unwrap(),
            record_type: rtype::A,
            class: class::IN,
        };
        let question_wire = [question.name.as_wire(), &[0, 1, 0, 1]].concat();
        let long = ExtendedError {
            code: 3,
            text: "y".repeat(200),
        };
        let (mut cut, mut truncated) = (0, 0);
        for [answers, authority, additional] in worlds() {
            let template = Template::build(&question, 0, &answers, &authority, &additional);
            for error in [None, Some(&long)] {
                let emit = |udp_size| {
                    let envelope = Envelope {
                        id: 7,
                        checking_disabled: false,
                        understands_authentic: true,
                        question_wire: &question_wire,
                        edns: Some(ClientEdns {
                            udp_size,
                            dnssec_ok: true,
                            nsid: false,
                        }),
                        channel: Channel::Udp,
                    };
                    let mut out = Vec::new();
                    template.emit(&envelope, 0, error, &mut out);
                    out
                };
                let whole = emit(4096);
                for most in 512..1500 {
                    let mut answer = whole.clone();
                    shorten(&mut answer, usize::from(most));
                    assert_eq!(answer, emit(most), "{most}");
                    cut += u32::from(answer != whole);
                    truncated += u32::from(answer[2] & TRUNCATED != 0);
                }
            }
        }
        assert!(
            truncated > 1000 && cut > truncated + 100,
            "{cut} {truncated}"
        );
    }

    #[test]
    fn an_error_that_does_not_fit_beside_the_question_goes_and_without_opt_nothing_does() {
        let question = [0, 7, 0x81, 0x83, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 1];
        let opt = [
            0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 8, 0, 15, 0, 4, 0, 18, b'n', b'o',
        ];
        let whole = [&question[..], &opt].concat();
        let mut answer = whole.clone();
        shorten(&mut answer, whole.len());
        assert_eq!(answer, whole);
        shorten(&mut answer, whole.len() - 1);
        let mut bare = whole[..whole.len() - 8].to_vec();
        bare[27] = 0;
        assert_eq!(answer, bare, "and TC is not set");
        let mut other = [&question[..], &[0; 40]].concat();
        other[11] = 0;
        let before = other.clone();
        shorten(&mut other, 20);
        assert_eq!(other, before);
    }
}
