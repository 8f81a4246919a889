//! Who is told what happens, and what becomes of a slow reader? [`Subscribers`], each with a bounded queue.

use linnet::api::Notice;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

/// Everybody who subscribes.
#[derive(Debug, Default)]
pub(crate) struct Subscribers {
    subscribers: Vec<Subscriber>,
}

#[derive(Debug)]
struct Subscriber {
    notices: mpsc::Sender<Notice>,
    /// Notices left out since the last that found room.
    lost: u64,
}

impl Subscribers {
    /// Adds one.
    pub(crate) fn add(&mut self, notices: mpsc::Sender<Notice>) {
        self.subscribers.push(Subscriber { notices, lost: 0 });
    }

    /// Whether nobody subscribes.
    pub(crate) fn is_empty(&self) -> bool {
        self.subscribers.is_empty()
    }

    /// Tells everybody; who has gone is forgotten, and who is too slow hears how much was left out.
    pub(crate) fn tell(&mut self, notice: &Notice) {
        self.subscribers
            .retain_mut(|subscriber| subscriber.tell(notice));
    }
}

impl Subscriber {
    /// Returns whether the subscriber is still there.
    fn tell(&mut self, notice: &Notice) -> bool {
        if self.lost > 0 {
            match self.notices.try_send(Notice::Lost { count: self.lost }) {
                Ok(()) => self.lost = 0,
                Err(TrySendError::Full(_)) => {
                    self.lost += 1;
                    return true;
                }
                Err(TrySendError::Closed(_)) => return false,
            }
        }
        match self.notices.try_send(notice.clone()) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                self.lost += 1;
                true
            }
            Err(TrySendError::Closed(_)) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_reader_hears_how_much_was_left_out() {
        let (sender, mut reader) = mpsc::channel(2);
        let mut subscribers = Subscribers::default();
        subscribers.add(sender);
        for _ in 0..5 {
            subscribers.tell(&Notice::Ready);
        }
        assert_eq!(reader.try_recv().unwrap(), Notice::Ready);
        assert_eq!(reader.try_recv().unwrap(), Notice::Ready);
        subscribers.tell(&Notice::Ready);
        assert_eq!(reader.try_recv().unwrap(), Notice::Lost { count: 3 });
        assert_eq!(reader.try_recv().unwrap(), Notice::Ready);
    }

    #[test]
    fn a_reader_that_went_away_is_forgotten() {
        let (sender, reader) = mpsc::channel(2);
        let mut subscribers = Subscribers::default();
        subscribers.add(sender);
        drop(reader);
        subscribers.tell(&Notice::Ready);
        assert!(subscribers.is_empty());
    }
}
