//! Whose is resolv.conf, and what do its servers mean to us? [`Keeping`]: what was asked for, what came of it.
//!
//! Writes nothing and opens nothing: it says which [`Errand`] follows. While the file is linnet's, what it said before
//! still counts as the foreign one, so that a stub without upstreams of its own keeps resolving.

use std::net::SocketAddr;

use config::model::ResolvConfMode;
use linnet::api::ResolvConfStatus;
use policy::facts::ForeignResolvConf;
use policy::plan::ResolvConfPlan;
use resolver::synthesize::{BYPASS_STUB, MAIN_STUB};
use resolver_io::resolv_conf::{Insist, State};

use crate::errands::Errand;
use crate::helper::{KeeperError, ResolvConfReport};

/// What is known about resolv.conf.
#[derive(Debug)]
pub(crate) struct Keeping {
    /// What was last asked to be written; `None` when it is to be as it was.
    asked: Option<ResolvConfPlan>,
    /// Whether nothing has been asked yet: what an earlier life left is settled by the first errand.
    fresh: bool,
    insist: Insist,
    ownership: Ownership,
    /// What the path held last.
    text: Option<String>,
    /// What somebody else's file names, or named before it was taken.
    foreign: Option<ForeignResolvConf>,
    own: Vec<SocketAddr>,
}

/// Whose it is, and what is to be said about it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Ownership {
    Untouched,
    Ours,
    Overwritten(String),
    Failed(String),
}

impl Keeping {
    /// Begins; the stub listens at `own`.
    pub(crate) fn new(own: Vec<SocketAddr>) -> Self {
        Self {
            asked: None,
            fresh: true,
            insist: Insist::Yes,
            ownership: Ownership::Untouched,
            text: None,
            foreign: None,
            own,
        }
    }

    /// Returns what a resolv.conf that is not ours names.
    pub(crate) fn foreign(&self) -> Option<ForeignResolvConf> {
        self.foreign.clone()
    }

    /// Writes over what somebody else has written meanwhile, once: an administrator says so by a reload.
    pub(crate) fn insist(&mut self) {
        self.insist = Insist::Yes;
    }

    /// Returns what is to be done for a new plan.
    pub(crate) fn errand_for(&mut self, plan: Option<&ResolvConfPlan>) -> Option<Errand> {
        let settled = self.asked.as_ref() == plan && !self.fresh;
        if settled && (plan.is_none() || self.insist == Insist::No) {
            return None;
        }
        self.fresh = false;
        self.asked = plan.cloned();
        let insist = std::mem::replace(&mut self.insist, Insist::No);
        Some(match plan {
            Some(plan) => Errand::Take(plan.clone(), insist),
            None => Errand::GiveBack,
        })
    }

    /// Takes what the path holds; returns what is to be done to learn whose it is.
    pub(crate) fn handle_text(&mut self, text: Option<String>) -> Option<Errand> {
        self.text = text;
        if self.asked.is_some() {
            return Some(Errand::Look);
        }
        self.believe_text();
        None
    }

    /// Takes the outcome of a take, a return or a look.
    pub(crate) fn handle_report(&mut self, report: Result<ResolvConfReport, KeeperError>) {
        self.ownership = match report {
            Ok(report) => {
                for message in &report.messages {
                    tracing::warn!("{message}");
                }
                match report.state {
                    State::Untouched => Ownership::Untouched,
                    State::Ours => Ownership::Ours,
                    State::Overwritten(overwritten) => {
                        Ownership::Overwritten(overwritten.to_string())
                    }
                }
            }
            Err(error) => Ownership::Failed(describe(&error)),
        };
        match &self.ownership {
            Ownership::Overwritten(how) => {
                tracing::warn!("resolv.conf was {how}; it is left alone");
                self.believe_text();
            }
            Ownership::Failed(why) => {
                tracing::error!("resolv.conf is not as configured: {why}");
                self.believe_text();
            }
            // The file that is back is told by its watch.
            Ownership::Untouched | Ownership::Ours => {}
        }
    }

    /// Tells whose it is.
    pub(crate) fn status(&self, mode: ResolvConfMode) -> ResolvConfStatus {
        let (state, detail) = match &self.ownership {
            Ownership::Untouched => ("untouched", None),
            Ownership::Ours => ("ours", None),
            Ownership::Overwritten(how) => ("overwritten", Some(how.clone())),
            Ownership::Failed(why) => ("failed", Some(why.clone())),
        };
        let mode = match mode {
            ResolvConfMode::Unmanaged => "unmanaged",
            ResolvConfMode::Stub => "stub",
            ResolvConfMode::Uplink => "uplink",
        };
        ResolvConfStatus {
            mode: mode.to_owned(),
            state: state.to_owned(),
            detail,
        }
    }

    /// Takes the path's text for somebody else's.
    fn believe_text(&mut self) {
        self.foreign = self.text.as_deref().map(|text| read(text, &self.own));
    }
}

/// Reads a resolv.conf; what is at one of the `own` addresses is left out: nobody asks himself.
fn read(text: &str, own: &[SocketAddr]) -> ForeignResolvConf {
    let config::resolv_conf::ResolvConf {
        mut nameservers,
        search,
    } = config::resolv_conf::parse(text.as_bytes());
    nameservers.retain(|upstream| {
        let listens =
            |own: &SocketAddr| own.ip() == upstream.address && own.port() == upstream.port;
        !own.iter().any(listens) && upstream.address != MAIN_STUB && upstream.address != BYPASS_STUB
    });
    ForeignResolvConf {
        upstreams: nameservers,
        search,
    }
}

fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stub() -> ResolvConfPlan {
        ResolvConfPlan {
            mode: ResolvConfMode::Stub,
            nameservers: vec!["127.0.0.53".parse().unwrap()],
            search: Vec::new(),
        }
    }

    fn report(state: State) -> ResolvConfReport {
        ResolvConfReport {
            state,
            saved: None,
            messages: Vec::new(),
        }
    }

    fn servers(keeping: &Keeping) -> usize {
        keeping
            .foreign()
            .map_or(0, |foreign| foreign.upstreams.len())
    }

    #[test]
    fn the_servers_of_the_file_that_was_taken_still_count() {
        let mut keeping = Keeping::new(Vec::new());
        let original = Some("nameserver 192.0.2.53\n".to_owned());
        assert_eq!(keeping.handle_text(original), None);
        assert_eq!(
            keeping.errand_for(Some(&stub())),
            Some(Errand::Take(stub(), Insist::Yes))
        );
        assert_eq!(
            keeping.handle_text(Some("nameserver 127.0.0.53\n".to_owned())),
            Some(Errand::Look)
        );
        keeping.handle_report(Ok(report(State::Ours)));
        assert_eq!(keeping.status(ResolvConfMode::Stub).state, "ours");
        assert_eq!(servers(&keeping), 1);
        assert_eq!(keeping.errand_for(Some(&stub())), None, "it is done");
    }

    #[test]
    fn a_failure_is_told_and_the_file_is_believed() {
        let mut keeping = Keeping::new(Vec::new());
        let _asked = keeping.errand_for(Some(&stub()));
        let _looked = keeping.handle_text(Some("nameserver 192.0.2.53\n".to_owned()));
        keeping.handle_report(Err(KeeperError::Failed("it is immutable".to_owned())));
        let status = keeping.status(ResolvConfMode::Stub);
        assert_eq!(status.state, "failed");
        assert!(status.detail.unwrap().contains("immutable"));
        assert_eq!(servers(&keeping), 1);
    }

    #[test]
    fn what_an_earlier_life_left_is_given_back_once() {
        let mut keeping = Keeping::new(Vec::new());
        assert_eq!(keeping.errand_for(None), Some(Errand::GiveBack));
        assert_eq!(keeping.errand_for(None), None);
        keeping.insist();
        assert_eq!(
            keeping.errand_for(None),
            None,
            "there is nothing to insist on"
        );
    }

    #[test]
    fn our_own_stub_is_nobody_to_ask() {
        let own = [
            "10.0.0.1:53".parse().unwrap(),
            "10.0.0.2:5353".parse().unwrap(),
        ];
        let text = "nameserver 127.0.0.53\nnameserver 127.0.0.54\nnameserver 10.0.0.1\nnameserver 10.0.0.2\n";
        let addresses: Vec<String> = read(text, &own)
            .upstreams
            .iter()
            .map(|upstream| upstream.address.to_string())
            .collect();
        assert_eq!(addresses, ["10.0.0.2"], "another port is another server");
    }

    #[test]
    fn a_reload_insists_once() {
        let mut keeping = Keeping::new(Vec::new());
        let _first = keeping.errand_for(Some(&stub()));
        keeping.insist();
        assert_eq!(
            keeping.errand_for(Some(&stub())),
            Some(Errand::Take(stub(), Insist::Yes))
        );
        assert_eq!(keeping.errand_for(Some(&stub())), None);
    }
}
