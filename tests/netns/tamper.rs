//! Can anybody between linnet and its upstream make it say something that is not so? Every kind of answer and every link of
//! its chain, stripped, swapped, replayed and forged, with genuine records of other zones; the built linnetd judges.
//!
//! Property: a tampered reply never makes an answer with AD that differs from the genuine one, and never an answer without AD
//! where the genuine zones prove one with it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use hickory_proto::dnssec::rdata::DNSSECRData;
use hickory_proto::op::{Edns, Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, CNAME};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tests::lab::{Lab, UPSTREAM};
use tests::namespace::isolated;
use tests::office::{Office, links};

use crate::{LINNET, LINNETD};

const PROXY: &str = "127.0.0.10:53";
const LINNET_STUB: &str = "127.0.0.53:53";
/// The largest reply that the proxy sends by UDP.
const UDP_MAX: usize = 1232;
const FORGED: [u8; 4] = [203, 0, 113, 66];
/// Longer than anything in the lab is kept.
const LONG: u32 = 1_000_000;

type Asked = (Name, RecordType);

/// Which replies are tampered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Where {
    Everywhere,
    /// In answers to what a client may ask.
    Answer,
    /// In the DS of chains.
    Ds,
    /// In the keys of chains.
    Keys,
}

/// One kind of tampering.
struct Trick {
    name: &'static str,
    places: &'static [Where],
    change: fn(&mut Message, &Asked, &Upstream),
}

const ANYWHERE: &[Where] = &[Where::Everywhere, Where::Answer, Where::Ds, Where::Keys];
const ANSWERS: &[Where] = &[Where::Answer];
const CHAIN: &[Where] = &[Where::Ds, Where::Keys];

/// The names that denials and records are borrowed from, by what makes them tempting.
const DENIERS: &[&str] = &[
    "nothing.nsec.test.",
    "nothing.nsec3.test.",
    "nothing.optout.test.",
    "nothing.test.",
    "nothing.com.",
    "nothing.",
    "nothing.plain.test.",
];
const UNSIGNED: &[&str] = &[
    "plain.test.",
    "sub.optout.test.",
    "www.nsec.test.",
    "nothing.com.",
];

const TRICKS: &[Trick] = &[
    Trick {
        name: "strip signatures",
        places: ANYWHERE,
        change: |reply, _, _| {
            for section in [&mut reply.answers, &mut reply.authorities] {
                section.retain(|record| record.record_type() != RecordType::RRSIG);
            }
        },
    },
    Trick {
        name: "strip signatures of answers",
        places: ANYWHERE,
        change: |reply, _, _| {
            reply
                .answers
                .retain(|record| record.record_type() != RecordType::RRSIG);
        },
    },
    Trick {
        name: "strip signatures of the authority",
        places: ANYWHERE,
        change: |reply, _, _| {
            reply
                .authorities
                .retain(|record| record.record_type() != RecordType::RRSIG);
        },
    },
    Trick {
        name: "drop the answer",
        places: ANYWHERE,
        change: |reply, _, _| reply.answers.clear(),
    },
    Trick {
        name: "drop the authority",
        places: ANYWHERE,
        change: |reply, _, _| reply.authorities.clear(),
    },
    Trick {
        name: "drop the first set",
        places: ANYWHERE,
        change: |reply, _, _| drop_set(reply, 0),
    },
    Trick {
        name: "drop the second set",
        places: ANYWHERE,
        change: |reply, _, _| drop_set(reply, 1),
    },
    Trick {
        name: "drop the third set",
        places: ANYWHERE,
        change: |reply, _, _| drop_set(reply, 2),
    },
    Trick {
        name: "drop the fourth set",
        places: ANYWHERE,
        change: |reply, _, _| drop_set(reply, 3),
    },
    Trick {
        name: "swap the sections",
        places: ANYWHERE,
        change: |reply, _, _| {
            std::mem::swap(&mut reply.answers, &mut reply.authorities);
        },
    },
    Trick {
        name: "call it no such name",
        places: ANYWHERE,
        change: |reply, _, _| {
            reply.metadata.response_code = ResponseCode::NXDomain;
        },
    },
    Trick {
        name: "deny with nothing",
        places: ANYWHERE,
        change: |reply, _, _| {
            reply.metadata.response_code = ResponseCode::NXDomain;
            reply.answers.clear();
            reply.authorities.clear();
        },
    },
    Trick {
        name: "call it a name",
        places: ANYWHERE,
        change: |reply, _, _| {
            reply.metadata.response_code = ResponseCode::NoError;
        },
    },
    Trick {
        name: "forge the data, keep the signature",
        places: ANYWHERE,
        change: |reply, _, _| {
            for record in &mut reply.answers {
                if let RData::A(address) = &mut record.data {
                    *address = A(FORGED.into());
                }
            }
        },
    },
    Trick {
        name: "forge an answer",
        places: ANSWERS,
        change: |reply, asked, _| {
            reply.metadata.response_code = ResponseCode::NoError;
            reply.answers = vec![forged(&asked.0)];
            reply.authorities.clear();
        },
    },
    Trick {
        name: "forge beside the answer",
        places: ANSWERS,
        change: |reply, asked, _| {
            reply.answers.push(forged(&asked.0));
        },
    },
    Trick {
        name: "lead to an unsigned zone",
        places: ANSWERS,
        change: |reply, asked, upstream| {
            let target: Name = "www.plain.test.".parse().unwrap();
            let alias = RData::CNAME(CNAME(target.clone()));
            reply.metadata.response_code = ResponseCode::NoError;
            reply.answers = vec![Record::from_rdata(asked.0.clone(), 60, alias)];
            reply
                .answers
                .extend(upstream.genuine(&(target, RecordType::A)).answers);
            reply.authorities.clear();
        },
    },
    Trick {
        name: "a sibling's answer under this name",
        places: ANSWERS,
        change: |reply, asked, upstream| {
            replay(reply, asked, upstream, "www.rsa.test.", true);
        },
    },
    Trick {
        name: "a sibling's answer as it is",
        places: ANSWERS,
        change: |reply, asked, upstream| {
            replay(reply, asked, upstream, "www.rsa.test.", false);
        },
    },
    Trick {
        name: "a wildcard of the zone over this name",
        places: ANSWERS,
        change: |reply, asked, upstream| {
            let wild = match asked.0.num_labels() {
                0 => "any.wild.test.".to_owned(),
                _ => format!("any.wild.{}", asked.0.trim_to(2)),
            };
            replay(reply, asked, upstream, &wild, true);
            let spare = upstream
                .genuine(&(wild.parse().unwrap(), RecordType::A))
                .authorities;
            reply.authorities = spare;
        },
    },
    Trick {
        name: "raise the TTLs",
        places: ANYWHERE,
        change: |reply, _, _| {
            for record in reply.answers.iter_mut().chain(&mut reply.authorities) {
                record.ttl = LONG;
            }
        },
    },
    Trick {
        name: "all proofs of all zones besides",
        places: ANYWHERE,
        change: |reply, _, upstream| {
            for donor in DENIERS.iter().take(4) {
                let donor = upstream.genuine(&(donor.parse().unwrap(), RecordType::A));
                reply.authorities.extend(donor.authorities);
            }
        },
    },
    Trick {
        name: "keys of a sibling",
        places: CHAIN,
        change: |reply, asked, upstream| {
            let donor = if asked.0.to_string() == "rsa.test." {
                "p384.test."
            } else {
                "rsa.test."
            };
            let donor = upstream.genuine(&(donor.parse().unwrap(), asked.1));
            reply.answers = donor.answers;
            for record in &mut reply.answers {
                record.name = asked.0.clone();
            }
        },
    },
];

/// What one reply is denied with, and by whom: each is a trick of its own.
fn denials() -> Vec<(String, &'static str, RecordType, ResponseCode)> {
    let mut denials = Vec::new();
    for code in [ResponseCode::NoError, ResponseCode::NXDomain] {
        for donor in DENIERS {
            denials.push((
                format!("denied as {donor} is ({code})"),
                *donor,
                RecordType::A,
                code,
            ));
        }
        for donor in UNSIGNED {
            denials.push((
                format!("without DS as {donor} is ({code})"),
                *donor,
                RecordType::DS,
                code,
            ));
        }
    }
    denials
}

fn forged(name: &Name) -> Record {
    Record::from_rdata(name.clone(), 60, RData::A(A(FORGED.into())))
}

fn replay(reply: &mut Message, asked: &Asked, upstream: &Upstream, donor: &str, renamed: bool) {
    let donor = upstream.genuine(&(donor.parse().unwrap(), RecordType::A));
    reply.metadata.response_code = ResponseCode::NoError;
    reply.answers = donor.answers;
    if renamed {
        for record in &mut reply.answers {
            record.name = asked.0.clone();
        }
    }
}

/// Which set a record or its signature belongs to.
fn set_of(record: &Record) -> Asked {
    let covered = if let RData::DNSSEC(DNSSECRData::RRSIG(sig)) = &record.data {
        sig.input().type_covered
    } else {
        record.record_type()
    };
    (record.name.clone(), covered)
}

fn drop_set(reply: &mut Message, number: usize) {
    let records = reply.answers.iter().chain(&reply.authorities);
    let mut sets: Vec<Asked> = Vec::new();
    for record in records {
        let set = set_of(record);
        if !sets.contains(&set) {
            sets.push(set);
        }
    }
    let Some(gone) = sets.get(number) else {
        return;
    };
    reply.answers.retain(|record| set_of(record) != *gone);
    reply.authorities.retain(|record| set_of(record) != *gone);
}

/// What is done to a reply.
type Change = Box<dyn Fn(&mut Message, &Asked, &Upstream) + Send>;

/// The upstream, as somebody sees it who sits before it.
#[derive(Default)]
struct Upstream {
    genuine_by_question: Mutex<BTreeMap<Asked, Message>>,
    trick: Mutex<Option<Change>>,
}

impl Upstream {
    fn genuine(&self, asked: &Asked) -> Message {
        let known = self.genuine_by_question.lock().unwrap().get(asked).cloned();
        known.unwrap_or_else(|| {
            let reply = ask_by_tcp(asked);
            let mut kept = self.genuine_by_question.lock().unwrap();
            kept.insert(asked.clone(), reply.clone());
            reply
        })
    }

    fn reply(&self, query: &[u8]) -> Vec<u8> {
        let query = Message::from_vec(query).unwrap();
        let asked = (
            query.queries[0].name().clone(),
            query.queries[0].query_type(),
        );
        let lower = (asked.0.to_lowercase(), asked.1);
        let mut reply = self.genuine(&lower);
        if let Some(trick) = &*self.trick.lock().unwrap() {
            trick(&mut reply, &lower, self);
        }
        reply.metadata.id = query.metadata.id;
        reply.queries.clone_from(&query.queries);
        reply.to_vec().unwrap()
    }

    fn play(&self, place: Where, change: impl Fn(&mut Message, &Asked, &Self) + Send + 'static) {
        *self.trick.lock().unwrap() = Some(Box::new(move |reply, asked, upstream| {
            let meant = match (place, asked.1) {
                (Where::Everywhere, _)
                | (Where::Ds, RecordType::DS)
                | (Where::Keys, RecordType::DNSKEY) => true,
                (Where::Answer, RecordType::DS | RecordType::DNSKEY)
                | (Where::Ds | Where::Keys, _) => false,
                (Where::Answer, _) => true,
            };
            if meant {
                change(reply, asked, upstream);
            }
        }));
    }

    fn serve(self: &Arc<Self>) {
        let socket = UdpSocket::bind(PROXY).unwrap();
        let listener = TcpListener::bind(PROXY).unwrap();
        let by_udp = Arc::clone(self);
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok((length, client)) = socket.recv_from(&mut buffer) {
                let mut wire = by_udp.reply(&buffer[..length]);
                if wire.len() > UDP_MAX {
                    let whole = Message::from_vec(&wire).unwrap();
                    wire = whole.truncate().to_vec().unwrap();
                }
                let _gone = socket.send_to(&wire, client);
            }
        });
        let by_tcp = Arc::clone(self);
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let served = Arc::clone(&by_tcp);
                thread::spawn(move || {
                    while let Some(query) = read_frame(&mut stream) {
                        let reply = served.reply(&query);
                        if write_frame(&mut stream, &reply).is_err() {
                            return;
                        }
                    }
                });
            }
        });
    }
}

fn read_frame(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).ok()?;
    let mut wire = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut wire).ok()?;
    Some(wire)
}

fn write_frame(stream: &mut TcpStream, wire: &[u8]) -> std::io::Result<()> {
    let length = u16::try_from(wire.len()).unwrap_or(u16::MAX).to_be_bytes();
    stream.write_all(&[&length, wire].concat())
}

fn query(asked: &Asked, checking_disabled: bool) -> Message {
    let mut query = Message::query();
    query.metadata.op_code = OpCode::Query;
    query.metadata.recursion_desired = true;
    query.metadata.checking_disabled = checking_disabled;
    query.add_query(Query::query(asked.0.clone(), asked.1));
    let mut edns = Edns::new();
    edns.set_dnssec_ok(true);
    edns.set_max_payload(4096);
    query.set_edns(edns);
    query
}

fn ask_by_tcp(asked: &Asked) -> Message {
    let mut stream = TcpStream::connect((UPSTREAM, 53)).unwrap();
    write_frame(&mut stream, &query(asked, true).to_vec().unwrap()).unwrap();
    Message::from_vec(&read_frame(&mut stream).unwrap()).unwrap()
}

/// What a client sees of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    code: ResponseCode,
    authentic: bool,
    answers: BTreeSet<String>,
    ttl: u32,
}

fn ask_linnet(asked: &Asked) -> Seen {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(8)))
        .unwrap();
    let stub: SocketAddr = LINNET_STUB.parse().unwrap();
    socket
        .send_to(&query(asked, false).to_vec().unwrap(), stub)
        .unwrap();
    let mut buffer = [0; 65_536];
    let length = socket.recv(&mut buffer).unwrap();
    let reply = Message::from_vec(&buffer[..length]).unwrap();
    let records = reply.answers.iter();
    let records = records.filter(|record| record.record_type() != RecordType::RRSIG);
    Seen {
        code: reply.metadata.response_code,
        authentic: reply.metadata.authentic_data,
        answers: records
            .map(|record| format!("{} {} {}", record.name, record.record_type(), record.data))
            .collect(),
        ttl: reply
            .answers
            .iter()
            .map(|record| record.ttl)
            .max()
            .unwrap_or(0),
    }
}

fn questions() -> Vec<Asked> {
    let mut questions = Vec::new();
    for zone in ["nsec", "nsec3", "optout", "rsa"] {
        for (name, record_type) in [
            ("www", RecordType::A),
            ("www", RecordType::TXT),
            ("nothing", RecordType::A),
            ("any.wild", RecordType::A),
            ("b.ent", RecordType::A),
            ("alias", RecordType::A),
        ] {
            questions.push((format!("{name}.{zone}.test."), record_type));
        }
    }
    for name in ["out.nsec.test.", "www.old.nsec.test.", "plain.nsec.test."] {
        questions.push((name.to_owned(), RecordType::A));
    }
    for name in ["www.plain.test.", "www.sub.optout.test."] {
        questions.push((name.to_owned(), RecordType::A));
    }
    let parse = |(name, record_type): (String, RecordType)| (name.parse().unwrap(), record_type);
    questions.into_iter().map(parse).collect()
}

/// What came of all questions under one trick.
#[derive(Debug, Default)]
struct Tally {
    refused: usize,
    same: usize,
    other: usize,
}

/// Asks all that was asked before, and compares.
fn compare(office: &Office, what: &str, genuine: &[(Asked, Seen)], tally: &mut Tally) {
    office.linnet(LINNET, &["flush"]);
    for (asked, truth) in genuine {
        let seen = ask_linnet(asked);
        let what = format!("{what}: {} {}", asked.0, asked.1);
        if seen.code == ResponseCode::ServFail {
            tally.refused += 1;
            continue;
        }
        if seen.authentic {
            assert!(truth.authentic, "{what}: {seen:?} instead of {truth:?}");
            assert_eq!(seen.code, truth.code, "{what}");
            assert_eq!(seen.answers, truth.answers, "{what}");
            assert!(
                seen.ttl <= truth.ttl.max(3600),
                "{what}: kept for {} s",
                seen.ttl
            );
        } else {
            assert!(
                !truth.authentic,
                "{what}: {seen:?} without AD instead of {truth:?}"
            );
        }
        match (seen.code == truth.code, seen.answers == truth.answers) {
            (true, true) => tally.same += 1,
            _ => tally.other += 1,
        }
    }
}

#[test]
fn nothing_that_was_tampered_with_is_believed() {
    isolated("tamper::nothing_that_was_tampered_with_is_believed", || {
        let dir = links();
        let lab = Lab::raise(&dir);
        let office = Office::bare(dir);
        let upstream = Arc::new(Upstream::default());
        upstream.serve();
        let configure = |mode: &str| {
            office.configure(
                "linnet.toml",
                &format!(
                    "[resolver]\nupstreams = [\"127.0.0.10\"]\ndnssec = \"{mode}\"\nrecursion = \"never\"\n\
                     trust-anchors = \"{}\"\n",
                    lab.anchor.display()
                ),
            );
        };
        configure("enforce");
        let _linnetd = office.linnetd(LINNETD, &["--clock", &crate::dnssec::clock()]);
        let genuine: Vec<(Asked, Seen)> = questions()
            .into_iter()
            .map(|asked| (asked.clone(), ask_linnet(&asked)))
            .collect();
        let authentic = genuine.iter().filter(|(_, seen)| seen.authentic).count();
        assert!(authentic >= 22, "{genuine:?}");
        let refused = genuine
            .iter()
            .find(|(_, seen)| seen.code == ResponseCode::ServFail);
        assert!(refused.is_none(), "{refused:?}");

        let mut tally = Tally::default();
        for trick in TRICKS {
            for place in trick.places {
                upstream.play(*place, trick.change);
                compare(
                    &office,
                    &format!("{} ({place:?})", trick.name),
                    &genuine,
                    &mut tally,
                );
            }
        }
        for (name, donor, record_type, code) in denials() {
            for place in [Where::Answer, Where::Ds] {
                let donor: Asked = (donor.parse().unwrap(), record_type);
                upstream.play(place, move |reply, asked, upstream| {
                    // An anchor's own zone has no DS; a name that is denied truly is no trick.
                    if *asked != donor {
                        reply.metadata.response_code = code;
                        reply.answers.clear();
                        reply.authorities = upstream.genuine(&donor).authorities;
                    }
                });
                compare(
                    &office,
                    &format!("{name} ({place:?})"),
                    &genuine,
                    &mut tally,
                );
            }
        }
        assert!(
            tally.refused > 1000 && tally.same > 300,
            "the tricks reach linnet: {tally:?}"
        );

        // Without validation they work: so it is validation that keeps them away.
        configure("off");
        office.linnet(LINNET, &["config", "reload"]);
        let mut fooled = 0;
        upstream.play(Where::Answer, |reply, asked, _| {
            reply.metadata.response_code = ResponseCode::NoError;
            reply.answers = vec![forged(&asked.0)];
            reply.authorities.clear();
        });
        office.linnet(LINNET, &["flush"]);
        for (asked, _) in genuine.iter().filter(|(asked, _)| asked.1 == RecordType::A) {
            let seen = ask_linnet(asked);
            assert!(!seen.authentic, "{asked:?}");
            fooled += usize::from(
                seen.answers
                    .iter()
                    .any(|text| text.contains("203.0.113.66")),
            );
        }
        assert!(fooled > 20, "{fooled}");
    });
}
