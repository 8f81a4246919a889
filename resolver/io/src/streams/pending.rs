//! Which messages are on their way on a connection? Their ids there, which are ours, and what to do with a reply.
//!
//! An id is taken until its reply has come, also when nobody waits any more: a late reply never meets a younger message.

use std::time::Instant;

use resolver::ExchangeId;

/// Messages on their way on one connection at most, given-up ones included.
pub(super) const PENDING_MAX: usize = 256;
/// Bits of an id that say which place; the others change each time the place is taken.
const PLACE_BITS: u32 = PENDING_MAX.trailing_zeros();

/// A message whose reply is waited for.
#[derive(Debug)]
pub(super) struct Message {
    /// On whose behalf; `None` when it was given up.
    pub(super) exchange: Option<ExchangeId>,
    /// As the core made it, for the case that it must be sent again.
    pub(super) wire: Vec<u8>,
    /// Whether it was sent before, on a connection that broke.
    pub(super) replayed: bool,
    /// When the core has forgotten it for certain.
    pub(super) expires_at: Instant,
}

/// The messages on their way.
#[derive(Debug, Default)]
pub(super) struct Pending {
    places: Vec<Place>,
    free: Vec<u16>,
    live: usize,
}

#[derive(Debug)]
struct Place {
    id: u16,
    message: Option<Message>,
}

impl Pending {
    /// Takes a message; returns its id on this connection and its octets.
    ///
    /// # Errors
    /// The message, when there is no room.
    pub(super) fn insert(&mut self, message: Message) -> Result<(u16, &[u8]), Message> {
        let at = match self.free.pop() {
            Some(at) => at,
            None => match u16::try_from(self.places.len()) {
                Ok(at) if self.places.len() < PENDING_MAX => {
                    // The first use makes it this place's own number.
                    let id = at.wrapping_sub(1 << PLACE_BITS);
                    self.places.push(Place { id, message: None });
                    at
                }
                Ok(_) | Err(_) => return Err(message),
            },
        };
        let Some(place) = self.places.get_mut(usize::from(at)) else {
            return Err(message);
        };
        self.live += usize::from(message.exchange.is_some());
        place.id = place.id.wrapping_add(1 << PLACE_BITS);
        Ok((place.id, &place.message.insert(message).wire))
    }

    /// Takes the message with this id out.
    pub(super) fn remove(&mut self, id: u16) -> Option<Message> {
        let at = id & ((1 << PLACE_BITS) - 1);
        let place = self.places.get_mut(usize::from(at))?;
        if place.id != id {
            return None;
        }
        let message = place.message.take()?;
        self.free.push(at);
        self.live -= usize::from(message.exchange.is_some());
        Some(message)
    }

    /// Lets nobody wait for a message any more; its id stays taken.
    pub(super) fn give_up(&mut self, id: u16) {
        let at = id & ((1 << PLACE_BITS) - 1);
        if let Some(place) = self.places.get_mut(usize::from(at))
            && place.id == id
            && let Some(message) = &mut place.message
            && message.exchange.take().is_some()
        {
            message.wire = Vec::new();
            self.live -= 1;
        }
    }

    /// Returns how many messages somebody waits for.
    pub(super) fn live(&self) -> usize {
        self.live
    }

    /// Whether there is no room for another.
    pub(super) fn is_full(&self) -> bool {
        self.free.is_empty() && self.places.len() >= PENDING_MAX
    }

    /// Returns the exchanges that the core has forgotten.
    pub(super) fn expired(&self, now: Instant) -> impl Iterator<Item = ExchangeId> {
        self.places
            .iter()
            .filter_map(|place| place.message.as_ref())
            .filter(move |message| message.expires_at <= now)
            .filter_map(|message| message.exchange)
    }

    /// Takes all messages out that somebody waits for.
    pub(super) fn drain(&mut self) -> Vec<Message> {
        let places = std::mem::take(&mut self.places);
        self.free.clear();
        self.live = 0;
        places
            .into_iter()
            .filter_map(|place| place.message)
            .filter(|message| message.exchange.is_some())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn message(exchange: u64) -> Message {
        Message {
            exchange: Some(ExchangeId(exchange)),
            wire: vec![0; 12],
            replayed: false,
            expires_at: Instant::now(),
        }
    }

    #[test]
    fn ids_are_unique_and_an_old_one_finds_nothing() {
        let mut pending = Pending::default();
        let ids: BTreeSet<u16> = (0..256)
            .map(|number| pending.insert(message(number)).unwrap().0)
            .collect();
        assert_eq!((ids.len(), pending.live()), (256, 256));
        assert!(pending.is_full() && pending.insert(message(999)).is_err());
        let first = *ids.first().unwrap();
        assert_eq!(pending.remove(first).unwrap().exchange, Some(ExchangeId(0)));
        let (again, _) = pending.insert(message(1000)).unwrap();
        assert_ne!(again, first);
        assert!(pending.remove(first).is_none());
        assert_eq!(
            pending.remove(again).unwrap().exchange,
            Some(ExchangeId(1000))
        );
    }

    #[test]
    fn id_of_a_message_that_was_given_up_stays_taken_until_its_reply() {
        let mut pending = Pending::default();
        let (id, _) = pending.insert(message(1)).unwrap();
        pending.give_up(id);
        pending.give_up(id);
        assert_eq!(pending.live(), 0);
        for number in 0..255 {
            assert_ne!(pending.insert(message(number)).unwrap().0 & 0xff, id);
        }
        assert!(pending.is_full());
        assert_eq!(pending.remove(id).unwrap().exchange, None);
        assert!(!pending.is_full());
        assert_eq!(pending.drain().len(), 255);
        assert!(!pending.is_full());
    }
}
