//! How do questions come from listener threads to the loop? Through one bounded queue, and an event that wakes the loop.
//!
//! Datagrams lie one after another in one buffer, which goes back and forth between both sides. Nothing is read here.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Mutex, PoisonError};

use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::batch::DATAGRAM_MAX;

/// Datagrams that wait at most; what comes beyond is lost, as in a socket whose buffer is full.
const WAITING_MAX: usize = 4096;
/// Bytes of datagrams that wait at most.
const BYTES_MAX: usize = WAITING_MAX * 256;

/// Datagrams, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Datagrams {
    bytes: Vec<u8>,
    places: Vec<Place>,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    stub: usize,
    peer: SocketAddr,
    start: usize,
    end: usize,
}

/// A client's datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Datagram<'a> {
    /// The place of the UDP stub that it came to.
    pub(crate) stub: usize,
    /// Who sent it.
    pub(crate) peer: SocketAddr,
    /// What it says.
    pub(crate) wire: &'a [u8],
}

impl Datagrams {
    /// Returns how many there are.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// Appends one; false when there are too many.
    pub(crate) fn push(&mut self, datagram: Datagram<'_>) -> bool {
        let Datagram { stub, peer, wire } = datagram;
        if self.places.len() >= WAITING_MAX || self.bytes.len() > BYTES_MAX - DATAGRAM_MAX {
            return false;
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(wire);
        let end = self.bytes.len();
        self.places.push(Place {
            stub,
            peer,
            start,
            end,
        });
        true
    }

    /// Returns one of them.
    pub(crate) fn get(&self, place: usize) -> Option<Datagram<'_>> {
        let place = self.places.get(place)?;
        Some(Datagram {
            stub: place.stub,
            peer: place.peer,
            wire: self.bytes.get(place.start..place.end)?,
        })
    }

    /// Forgets all; the buffers stay, unless a flood has made them large.
    pub(crate) fn clear(&mut self) {
        if self.bytes.capacity() > BYTES_MAX / 16 {
            *self = Self::default();
        }
        self.bytes.clear();
        self.places.clear();
    }
}

/// The queue between listener threads and the loop.
#[derive(Debug)]
pub(crate) struct Handover {
    waiting: Mutex<Datagrams>,
    event: EventFd,
}

impl Handover {
    /// Makes an empty one.
    ///
    /// # Errors
    /// What `eventfd(2)` says.
    pub(crate) fn new() -> io::Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        Ok(Self {
            waiting: Mutex::default(),
            event: EventFd::from_flags(flags)?,
        })
    }

    /// Hands datagrams over; returns how many there was no room for.
    pub(crate) fn give<'a>(&self, datagrams: impl Iterator<Item = Datagram<'a>>) -> usize {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let asleep = waiting.len() == 0;
        let lost = datagrams
            .map(|datagram| waiting.push(datagram))
            .filter(|taken| !taken)
            .count();
        let wake = asleep && waiting.len() > 0;
        drop(waiting);
        if wake && let Err(error) = self.event.write(1) {
            tracing::error!(%error, "cannot wake the loop");
        }
        lost
    }

    /// Takes all that wait, in exchange for what was taken before.
    pub(crate) fn take(&self, taken: &mut Datagrams) {
        // First, so that whoever finds the queue empty from here on wakes the loop again.
        let _woken = self.event.read();
        taken.clear();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut *waiting, taken);
    }
}

impl AsFd for Handover {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(stub: usize, wire: &[u8]) -> Datagram<'_> {
        Datagram {
            stub,
            peer: SocketAddr::from(([127, 0, 0, 1], 5300)),
            wire,
        }
    }

    #[test]
    fn datagrams_come_out_as_they_went_in() {
        let handover = Handover::new().unwrap();
        let mut taken = Datagrams::default();
        for round in 0..3u8 {
            let wires: Vec<Vec<u8>> = (0..50).map(|at| vec![round; at]).collect();
            let all = wires.iter().enumerate();
            assert_eq!(handover.give(all.map(|(at, wire)| datagram(at, wire))), 0);
            handover.take(&mut taken);
            assert_eq!(taken.len(), 50);
            for (at, wire) in wires.iter().enumerate() {
                assert_eq!(taken.get(at), Some(datagram(at, wire)));
            }
            assert_eq!(taken.get(50), None);
            handover.take(&mut taken);
            assert_eq!(taken.len(), 0);
        }
    }

    #[test]
    fn a_flood_is_bounded_and_leaves_nothing_behind() {
        let handover = Handover::new().unwrap();
        let wire = [7; DATAGRAM_MAX];
        let mut lost = 0;
        for _ in 0..10_000 {
            lost += handover.give(std::iter::once(datagram(0, &wire)));
        }
        let mut taken = Datagrams::default();
        handover.take(&mut taken);
        assert_eq!(taken.len() + lost, 10_000);
        assert!(taken.bytes.len() <= BYTES_MAX);
        taken.clear();
        assert_eq!(taken.bytes.capacity(), 0);
    }
}
