//! What may neighbours say to a question of LLMNR? Anything.

use std::net::SocketAddr;
use std::time::Duration;

use config::time::Instant;
use policy::multicast::{LlmnrLink, MulticastPlan};
use resolver::llmnr::{Llmnr, LlmnrFinding, Order, Overheard};
use resolver::mdns::{Family, PlaceId};
use resolver::wire::{Question, class, rtype};

/// Records of one finding: sixteen neighbours, with 64 records each.
const RECORDS_MAX: usize = 1024;

/// Messages, each with an octet that says how it comes and its length before it, as neighbours say them to a question for `host`.
/// Their first two octets are replaced by the ID that was asked with where the octet says so.
pub(super) fn llmnr(bytes: &[u8]) {
    let link = policy::LinkId { index: 1, birth: 1 };
    let place = PlaceId {
        link,
        family: Family::V4,
    };
    let plan = MulticastPlan {
        llmnr: vec![LlmnrLink {
            id: link,
            name: "lan0".into(),
            owner: policy::Owner::Resolver,
            addresses: vec![config::model::Prefix {
                address: [192, 0, 2, 1].into(),
                length: 24,
            }],
        }],
        ..MulticastPlan::default()
    };
    let question = Question {
        name: "host".parse().expect("a name"),
        record_type: rtype::A,
        class: class::IN,
    };
    let mut now = Instant::ZERO + Duration::from_secs(1000);
    let mut llmnr = Llmnr::new([1; 32]);
    llmnr.apply(&plan, now);
    let mut asked = llmnr.inquire(&question, now).ok();
    let (mut message, mut orders, mut inquiries) = ([0, 0], 0_usize, 1_usize);
    let mut rest = bytes;
    while let Some(([how, high, low], after)) = rest.split_first_chunk::<3>() {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (wire, after) = after.split_at(length.min(after.len()));
        rest = after;
        now = now + Duration::from_millis(u64::from(*how));
        llmnr.handle_timeout(now);
        while let Some(order) = llmnr.poll_order() {
            orders += 1;
            if let Order::Say { wire, .. } | Order::Dial { wire, .. } = order {
                message = *wire.first_chunk().expect("a header");
            }
        }
        if let Some(id) = asked {
            let mut wire = wire.to_vec();
            if let (true, Some(first)) = (how & 1 != 0, wire.first_chunk_mut::<2>()) {
                *first = message;
            }
            let heard = Overheard {
                id,
                place,
                source: SocketAddr::from(([192, 0, 2, how >> 3], 5355)),
                by_tcp: how & 2 != 0,
                wire: (how & 4 == 0).then_some(wire),
            };
            llmnr.handle_overheard(&heard, now);
        }
        while let Some((_, finding)) = llmnr.poll_finding() {
            if let LlmnrFinding::Records { records, .. } = finding {
                assert!(records.len() <= RECORDS_MAX, "what is taken is bounded");
                assert!(
                    records.iter().all(|record| record.owner() == question.name),
                    "nobody answers for another name"
                );
            }
            asked = None;
        }
        if asked.is_none() {
            asked = llmnr.inquire(&question, now).ok();
            inquiries += usize::from(asked.is_some());
        }
    }
    // Said three times, three by TCP, a conflict, the end.
    assert!(orders <= 8 * inquiries, "nobody makes us talk without end");
}
