//! Which routes of others does a listing show at the places of ours? [`Row`]: those of one place follow one another there.
//!
//! Most places have one route, of which nothing is made here: of others there may be a million. What the kernel makes of several ways to one
//! IPv6 route comes as one, and is not told apart.

use linkmgr::KernelEvent;
use policy::links::RouteKey;

use super::own_route;

/// The routes of one place, up to the last one that was listed.
#[derive(Debug, Default)]
pub(crate) struct Row {
    place: Option<RouteKey>,
    first: Vec<u8>,
    others: Vec<Vec<u8>>,
}

impl Row {
    /// Takes the next route of the listing; tells of the place before, when this one has another.
    pub(crate) fn take(&mut self, body: &[u8], events: &mut Vec<KernelEvent>) {
        let place = own_route::place(body);
        if place.is_some() && place == self.place {
            self.others.push(body.to_vec());
            return;
        }
        self.end(events);
        self.place = place;
        self.first.clear();
        self.first.extend_from_slice(body);
    }

    /// Takes it that no more come; tells of the last place.
    pub(crate) fn end(&mut self, events: &mut Vec<KernelEvent>) {
        self.place = None;
        if self.others.is_empty() {
            return;
        }
        let others = std::mem::take(&mut self.others);
        let all: Vec<&[u8]> = [&self.first]
            .into_iter()
            .chain(&others)
            .map(Vec::as_slice)
            .collect();
        let ours = all.iter().position(|body| own_route::parse(body).is_some());
        let Some((before, behind)) = ours.and_then(|ours| all.split_at_checked(ours)) else {
            return;
        };
        let shared = |body: &[u8], is_first| {
            let theirs = own_route::beside(body)?;
            Some(KernelEvent::PlaceShared { theirs, is_first })
        };
        // Of those before ours the first one came last.
        events.extend(before.iter().rev().filter_map(|body| shared(body, true)));
        events.extend(behind.iter().filter_map(|body| shared(body, false)));
    }
}
