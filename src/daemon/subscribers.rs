//! Who is told what happens, and what becomes of a slow reader? [`Subscribers`], each with a bounded queue.

use std::time::Duration;

use linnet::api::{Notice, Step, SubscribeParameters};
use resolver::Trace;
use resolver::ledger::Trouble;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

/// How long a question takes that is notable for that alone.
const SLOW: Duration = Duration::from_millis(200);

/// Of which questions somebody is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Told {
    /// Of none.
    Nothing,
    /// Of those that were slow or failed.
    Notable,
    /// Of all, hits included.
    Everything,
}

impl Told {
    /// Whether somebody is told of this question.
    pub(crate) fn takes(self, trace: &Trace) -> bool {
        match self {
            Self::Nothing => false,
            Self::Notable => is_notable(trace),
            Self::Everything => true,
        }
    }
}

fn is_notable(trace: &Trace) -> bool {
    let told = trace.extended_error.as_ref();
    trace.elapsed >= SLOW || Trouble::of(trace.rcode, told, &trace.steps).is_some()
}

/// Whether somebody hears which names others ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    /// Yes: an administrator.
    Told,
    /// No: what one user asks for is no other user's business.
    Withheld,
}

/// What stands for a name that is withheld.
const WITHHELD: &str = "***";

/// Everybody who subscribes.
#[derive(Debug, Default)]
pub(crate) struct Subscribers {
    subscribers: Vec<Subscriber>,
}

#[derive(Debug)]
struct Subscriber {
    notices: mpsc::Sender<Notice>,
    told: Told,
    names: Names,
    /// Notices left out since the last that found room.
    lost: u64,
}

impl Subscribers {
    /// Adds one.
    pub(crate) fn add(
        &mut self,
        notices: mpsc::Sender<Notice>,
        wanted: SubscribeParameters,
        names: Names,
    ) {
        let told = if wanted.notable {
            Told::Notable
        } else {
            Told::Everything
        };
        self.subscribers.push(Subscriber {
            notices,
            told,
            names,
            lost: 0,
        });
    }

    /// Returns of which questions somebody is told.
    pub(crate) fn told(&self) -> Told {
        let told = self.subscribers.iter().map(|subscriber| subscriber.told);
        told.max().unwrap_or(Told::Nothing)
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
        if self.told == Told::Notable
            && let Notice::Answered { trace } = notice
            && !is_told_notable(trace)
        {
            return !self.notices.is_closed();
        }
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
        let notice = match self.names {
            Names::Told => notice.clone(),
            Names::Withheld => without_names(notice),
        };
        match self.notices.try_send(notice) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                self.lost += 1;
                true
            }
            Err(TrySendError::Closed(_)) => false,
        }
    }
}

/// What everybody may know of a notice: that something was asked, how it went, and how long it took.
fn without_names(notice: &Notice) -> Notice {
    let Notice::Answered { trace } = notice else {
        return notice.clone();
    };
    let code = |text: &String| text.split([' ', ':']).next().map(str::to_owned);
    let steps = trace.steps.iter().map(|step| Step {
        name: None,
        links: Vec::new(),
        detail: None,
        ..step.clone()
    });
    Notice::Answered {
        trace: linnet::api::Trace {
            name: WITHHELD.to_owned(),
            extended_error: trace.extended_error.as_ref().and_then(code),
            client: None,
            steps: steps.collect(),
            ..trace.clone()
        },
    }
}

/// As [`is_notable`], of a question as it is told.
fn is_told_notable(trace: &linnet::api::Trace) -> bool {
    trace.elapsed_ms >= SLOW.as_secs_f64() * 1000.0
        || !matches!(trace.rcode.as_str(), "NOERROR" | "NXDOMAIN" | "YXDOMAIN")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_reader_hears_how_much_was_left_out() {
        let (sender, mut reader) = mpsc::channel(2);
        let mut subscribers = Subscribers::default();
        subscribers.add(sender, SubscribeParameters::default(), Names::Told);
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
        subscribers.add(sender, SubscribeParameters::default(), Names::Told);
        drop(reader);
        subscribers.tell(&Notice::Ready);
        assert!(subscribers.is_empty());
    }

    #[test]
    fn whoever_is_no_administrator_hears_no_names() {
        let (sender, mut reader) = mpsc::channel(2);
        let mut subscribers = Subscribers::default();
        subscribers.add(sender, SubscribeParameters::default(), Names::Withheld);
        let said = || Some("git.corp.test".to_owned());
        subscribers.tell(&Notice::Answered {
            trace: linnet::api::Trace {
                name: "git.corp.test".to_owned(),
                rcode: "SERVFAIL".to_owned(),
                extended_error: Some("22 No Reachable Authority: git.corp.test".to_owned()),
                client: Some("udp 127.0.0.1:40312 of git.corp.test".to_owned()),
                steps: vec![Step {
                    what: "asked".to_owned(),
                    name: said(),
                    detail: said(),
                    links: vec!["git.corp.test".to_owned()],
                    ..Step::default()
                }],
                ..linnet::api::Trace::default()
            },
        });
        let told = format!("{:?}", reader.try_recv().unwrap());
        assert!(!told.contains("corp"), "{told}");
        assert!(told.contains("SERVFAIL") && told.contains("asked") && told.contains("\"22\""));
    }

    #[test]
    fn whoever_wants_what_is_notable_hears_of_nothing_else() {
        let (sender, mut reader) = mpsc::channel(8);
        let mut subscribers = Subscribers::default();
        assert_eq!(subscribers.told(), Told::Nothing);
        subscribers.add(sender, SubscribeParameters { notable: true }, Names::Told);
        assert_eq!(subscribers.told(), Told::Notable);
        let answered = |rcode: &str, elapsed_ms| Notice::Answered {
            trace: linnet::api::Trace {
                rcode: rcode.to_owned(),
                elapsed_ms,
                ..linnet::api::Trace::default()
            },
        };
        for notice in [answered("NOERROR", 1.0), answered("NXDOMAIN", 1.0)] {
            subscribers.tell(&notice);
            assert!(reader.try_recv().is_err(), "{notice:?}");
        }
        for notice in [answered("NOERROR", 200.0), answered("SERVFAIL", 1.0)] {
            subscribers.tell(&notice);
            assert_eq!(reader.try_recv().unwrap(), notice);
        }
        drop(reader);
        subscribers.tell(&answered("NOERROR", 1.0));
        assert_eq!(
            subscribers.told(),
            Told::Nothing,
            "who went is forgotten by any notice"
        );
    }
}
