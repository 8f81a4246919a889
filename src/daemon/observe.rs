//! Who watches, and what do they get? [`Observers`]: metrics, dnstap and the query log, each off until it is configured.
//!
//! The event loop calls in with what happens and never waits here. With everything off a call is one comparison, and hits stay
//! on the short way.

mod dnstap;
mod exposition;
mod frames;
mod http;
mod outlet;
mod process;
mod query_log;
mod server;
mod tap;

use std::sync::Arc;
use std::time::Duration;

use config::observing::{LoggedQueries, Observing};
use config::time::Instant;
use linnet::api::ObserverStatus;
use resolver::event::Trace;
use resolver::{Answer, ClientId, ExchangeId, Transmit};
use resolver_io::Caller;
use tokio::sync::mpsc;

use crate::input::Input;
use outlet::{Outlet, Target};
use query_log::QueryLog;
use server::Server;
use tap::Tap;

pub(crate) use exposition::Exposition;
pub(crate) use http::Scrape;
pub(crate) use outlet::OutletCounts;

/// How the observers do, for `status`; the world holds it too.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    metrics: server::State,
    dnstap: Arc<OutletCounts>,
    log: Arc<OutletCounts>,
}

impl Watched {
    /// Tells how each observer that is configured does.
    pub(crate) fn status(&self, config: &Observing) -> Vec<ObserverStatus> {
        let mut observers = Vec::new();
        if let Some(place) = &config.metrics.listen {
            let trouble = self.metrics.trouble();
            observers.push(ObserverStatus {
                what: "metrics".to_owned(),
                place: place.to_string(),
                works: trouble.is_none(),
                trouble,
                told: self.metrics.scrapes(),
                left_out: 0,
            });
        }
        let dnstap = &config.dnstap;
        let place = match (&dnstap.socket, &dnstap.file) {
            (Some(place), _) => Some(place.to_string()),
            (None, Some(path)) => Some(path.to_string()),
            (None, None) => None,
        };
        observers.extend(place.map(|place| outlet_status("dnstap", place, &self.dnstap)));
        if config.log.queries != LoggedQueries::Off {
            let place = config.log.file.as_deref().unwrap_or("stderr").to_owned();
            observers.push(outlet_status("log", place, &self.log));
        }
        observers
    }
}

fn outlet_status(what: &str, place: String, counts: &OutletCounts) -> ObserverStatus {
    ObserverStatus {
        what: what.to_owned(),
        place,
        works: counts.trouble().is_none(),
        trouble: counts.trouble(),
        told: counts.written(),
        left_out: counts.left_out(),
    }
}

/// Everybody who watches.
#[derive(Debug)]
pub(crate) struct Observers {
    config: Observing,
    watched: Arc<Watched>,
    inputs: mpsc::Sender<Input>,
    server: Option<Server>,
    tap: Option<Tap>,
    log: Option<(QueryLog, Outlet)>,
}

impl Observers {
    /// Makes observers that watch nothing; `inputs` leads to the loop.
    pub(crate) fn new(watched: Arc<Watched>, inputs: mpsc::Sender<Input>) -> Self {
        Self {
            config: Observing::default(),
            watched,
            inputs,
            server: None,
            tap: None,
            log: None,
        }
    }

    /// Follows a configuration; files that were moved away are opened anew.
    pub(crate) fn apply(&mut self, config: &Observing, now: Instant) {
        self.apply_metrics(config);
        self.apply_tap(config);
        self.apply_log(config, now);
        self.config = config.clone();
    }

    /// Answers a scraper: the world's numbers, and those of the process and of the observers.
    pub(crate) fn scrape(&self, scrape: Scrape, mut out: Exposition) {
        self.watched.metrics.count_scrape();
        process::expose(&mut out);
        for (name, counts, is_on) in [
            ("dnstap", &self.watched.dnstap, self.tap.is_some()),
            ("log", &self.watched.log, self.log.is_some()),
        ] {
            let labels: [(&'static str, &str); 1] = [("to", name)];
            let help = "Messages and lines that were written.";
            out.counter("linnet_observed_written", help, &labels, counts.written());
            let help =
                "Messages and lines that were left out: too many at once, or nobody takes them.";
            out.counter("linnet_observed_left_out", help, &labels, counts.left_out());
            let help = "Whether the place where they go is open.";
            let open = u64::from(is_on && counts.is_open());
            out.amount("linnet_observed_open", help, &labels, open);
        }
        // A scraper that went away wants nothing.
        let _sent = scrape.answer.send(out.render(scrape.format));
    }

    /// Whether the questions of clients are to be kept for [`Observers::query`].
    pub(crate) fn wants_queries(&self) -> bool {
        self.tap.as_ref().is_some_and(Tap::has_clients)
    }

    /// Takes a client's question.
    pub(crate) fn query(&mut self, client: ClientId, caller: &Caller, wire: &[u8]) {
        if let Some(tap) = &mut self.tap {
            tap.query(client, caller, wire, wall());
        }
    }

    /// Takes the answer to a client.
    pub(crate) fn answer(&mut self, answer: &Answer) {
        if let Some(tap) = &mut self.tap {
            tap.answer(answer, wall());
        }
    }

    /// Takes a message to an upstream.
    pub(crate) fn transmit(&mut self, transmit: &Transmit) {
        if let Some(tap) = &mut self.tap {
            tap.transmit(transmit, wall());
        }
    }

    /// Takes what came back from an upstream.
    pub(crate) fn reply(&self, exchange: ExchangeId, wire: &[u8]) {
        if let Some(tap) = &self.tap {
            tap.reply(exchange, wire, wall());
        }
    }

    /// Forgets an exchange that has ended.
    pub(crate) fn ended(&mut self, exchange: ExchangeId) {
        if let Some(tap) = &mut self.tap {
            tap.ended(exchange);
        }
    }

    /// Forgets a client that went away.
    pub(crate) fn gone(&mut self, client: ClientId) {
        if let Some(tap) = &mut self.tap {
            tap.gone(client);
        }
    }

    /// Takes what became of a question.
    pub(crate) fn trace(&mut self, trace: &Trace, caller: Option<&Caller>, now: Instant) {
        let Some((log, outlet)) = &mut self.log else {
            return;
        };
        match log.line(trace, caller, wall(), now) {
            Ok(Some(line)) => outlet.put(line.into_bytes()),
            Ok(None) => {}
            Err(query_log::TooMany) => self.watched.log.leave_out(1),
        }
    }

    /// Ends all, and waits a moment for what is on its way.
    pub(crate) fn end(self) {
        if let Some(tap) = self.tap {
            tap.end();
        }
        if let Some((_, outlet)) = self.log {
            outlet.end();
        }
    }

    fn apply_metrics(&mut self, config: &Observing) {
        let listen = config.metrics.listen.as_ref();
        if self.server.is_some() && self.config.metrics.listen.as_ref() == listen {
            return;
        }
        // The old socket is gone before the new one is made: they may have one path.
        self.server = None;
        self.watched.metrics.set_trouble(None);
        let Some(place) = listen else {
            return;
        };
        match Server::start(place, self.inputs.clone()) {
            Ok(server) => self.server = Some(server),
            Err(error) => {
                tracing::error!(%error, %place, "metrics are not served");
                self.watched.metrics.set_trouble(Some(error.to_string()));
            }
        }
    }

    fn apply_tap(&mut self, config: &Observing) {
        if self
            .tap
            .as_ref()
            .is_some_and(|tap| tap.is_as(&config.dnstap))
        {
            return;
        }
        self.tap = None;
        let identity = crate::host::read().name;
        let identity = identity.map_or_else(String::new, |name| name.to_string());
        self.tap = Tap::open(&config.dnstap, identity, &self.watched.dnstap);
    }

    fn apply_log(&mut self, config: &Observing, now: Instant) {
        if config.log.queries == LoggedQueries::Off {
            self.log = None;
            return;
        }
        let target = match &config.log.file {
            Some(path) => Target::Lines((**path).into()),
            None => Target::Stderr,
        };
        let held = self.log.take().filter(|(_, outlet)| outlet.is_at(&target));
        let outlet = match held {
            Some((log, outlet)) if self.config.log == config.log => {
                self.log = Some((log, outlet));
                return;
            }
            Some((_, outlet)) => outlet,
            None => match Outlet::start(target, Arc::clone(&self.watched.log)) {
                Ok(outlet) => outlet,
                Err(error) => {
                    tracing::error!(%error, "no query log: there is no thread for it");
                    return;
                }
            },
        };
        let journal = config.log.file.is_none() && std::env::var_os("JOURNAL_STREAM").is_some();
        let log = QueryLog::new(config.log.clone(), !journal, now);
        self.log = Some((log, outlet));
    }
}

/// Whether hits have to leave a trace for whoever is configured to watch.
pub(crate) fn watches_hits(config: &Observing) -> bool {
    let taps = config.dnstap.socket.is_some() || config.dnstap.file.is_some();
    let tapped = taps && config.dnstap.messages.has_clients();
    tapped || config.log.queries == LoggedQueries::All
}

/// Returns the time since 1970: messages and lines carry it, nothing is decided by it.
fn wall() -> Duration {
    let now = nix::time::ClockId::CLOCK_REALTIME.now();
    now.map(Duration::from).unwrap_or_default()
}
