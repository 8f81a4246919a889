//! What became of the last questions? A ring of their traces, for `explain`. Nothing here is written to disk.

use std::collections::VecDeque;

use config::name::DomainName;
use resolver::Trace;

/// How many questions are remembered.
const CAPACITY: usize = 256;

/// The traces of the last questions, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct TraceLog {
    traces: VecDeque<Box<Trace>>,
}

impl TraceLog {
    /// Remembers a trace, and forgets the oldest when there are too many.
    pub(crate) fn push(&mut self, trace: Box<Trace>) {
        if self.traces.len() == CAPACITY {
            self.traces.pop_front();
        }
        self.traces.push_back(trace);
    }

    /// Returns the last trace for a name. A question that linnet has made up itself tells nothing of what became of others'.
    pub(crate) fn last(&self, name: &DomainName) -> Option<&Trace> {
        self.traces
            .iter()
            .rev()
            .map(Box::as_ref)
            .find(|trace| trace.name == *name && !trace.is_mark)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use resolver::ClientId;

    use super::*;

    fn trace(name: &str, rcode: u16) -> Box<Trace> {
        Box::new(Trace {
            client: ClientId(0),
            name: name.parse().unwrap(),
            record_type: 1,
            steps: Vec::new(),
            rcode,
            extended_error: None,
            elapsed: Duration::ZERO,
            is_mark: false,
        })
    }

    #[test]
    fn the_last_of_a_name_is_found_and_the_oldest_is_forgotten() {
        let mut log = TraceLog::default();
        log.push(trace("a.test", 0));
        log.push(trace("b.test", 1));
        log.push(trace("b.test", 2));
        let rcode = |log: &TraceLog, name: &str| log.last(&name.parse().unwrap()).map(|t| t.rcode);
        assert_eq!(rcode(&log, "b.test"), Some(2));
        assert_eq!(rcode(&log, "a.test"), Some(0));
        for _ in 0..CAPACITY - 2 {
            log.push(trace("c.test", 3));
        }
        assert_eq!(rcode(&log, "a.test"), None);
        assert_eq!(rcode(&log, "b.test"), Some(2), "only what is too old goes");
    }

    #[test]
    fn a_mark_stands_for_no_question_of_its_name() {
        let mut log = TraceLog::default();
        let rcode = |log: &TraceLog| log.last(&"a.test".parse().unwrap()).map(|it| it.rcode);
        for (code, is_mark) in [(1, false), (2, true)] {
            let mut trace = trace("a.test", code);
            trace.is_mark = is_mark;
            log.push(trace);
        }
        assert_eq!(rcode(&log), Some(1));
    }
}
