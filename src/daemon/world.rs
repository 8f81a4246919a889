//! What is the daemon's whole state, and what follows from an input? [`World`]: facts to plan, calls to answers.
//!
//! ```text
//! Input -> facts -> policy::plan -> changed? -> resolver, resolv.conf, subscribers, service manager
//!       -> call -> reply
//! ```
//!
//! What has to be done outside comes back as [`Effect`]s; nothing here opens, reads, waits or knows the time by itself.

mod browsing;
mod calls;
mod describe;
mod exposing;
mod linking;
mod lists;
mod making;
mod pacing;
mod planning;
mod reaching;
mod reloading;
mod sleeping;
mod steering;
mod telling;
#[cfg(test)]
pub(crate) mod tests;
mod trusting;
mod tunnels;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use config::Config;
use config::diagnostic::Diagnostic;
use config::model::{ListConfig, Prefix, ResolvConfMode, StopUse};
use config::observing::Observing;
use config::time::Instant;
use linkmgr::clients::{PortChanges, Transmit};
use linkmgr::{JournalText, KernelRequest, RequestId, StopLevel};
use linnet::api::{ListenStatus, Notice, Reply, SubscribeParameters};
use policy::{Facts, Plan};
use resolver::event::{LocalNames, Trace};
use resolver::hosts::Hosts;
use resolver::{Answer, ClientId, Resolver, Settings};
use resolver_io::listeners::{Board, Listener};
use tokio::sync::{mpsc, oneshot};

use crate::claims::Claims;
use crate::convert;
use crate::doors;
use crate::errands::{Errand, Outcome};
use crate::host::HostName;
use crate::input::{Input, Signal};
use crate::making::Task;
use crate::notify::Announcement;
use crate::observe::{Exposition, Scrape, Watched, watches_hits};
use crate::reload::Understood;
use crate::resolv_conf::Keeping;
use crate::subscribers::{Names, Told};
use crate::trace_log::TraceLog;
use crate::trust::Trust;
use calls::Asking;
pub(crate) use linking::LinkBeginning;
use linking::Linking;
use reloading::tell_findings;
pub(crate) use steering::Steer;

/// The daemon's whole state.
///
/// Things that happen go into [`World::on`]; between [`World::new`] and [`World::begin`] they are only taken in. Questions
/// of clients go to [`World::resolver`] directly; its answers to [`World::is_mine`] clients and its traces come back here.
#[derive(Debug)]
pub(crate) struct World {
    /// The resolver.
    pub(crate) resolver: Resolver,
    config: Config,
    diagnostics: Vec<Diagnostic>,
    facts: Facts,
    plan: Plan,
    generation: u64,
    begun: bool,
    pace: pacing::Pace,
    linking: Linking,
    telling: telling::Telling,
    making: making::Making,
    tunnels: tunnels::Tunnels,
    host: HostName,
    local_names: LocalNames,
    hosts: Hosts,
    claims: Claims,
    kept_claims: String,
    keeping: Keeping,
    trust: Trust,
    lists: lists::Lists,
    listen: Vec<ListenStatus>,
    listeners: Board,
    traces: TraceLog,
    asking_by_client: BTreeMap<ClientId, Asking>,
    browsers: browsing::Browsers,
    asked: u32,
    told: Told,
    watched: Arc<Watched>,
    reloads: Vec<oneshot::Sender<Reply>>,
    reloading: bool,
    /// What became of a reload whose anchor files are being read: whether it is in force.
    reloaded: Option<Result<bool, Reply>>,
    /// Whether the machine is asked to wait for us before it sleeps.
    delays: bool,
    started_at: Instant,
}

/// What is to be done outside.
#[derive(Debug)]
#[must_use]
pub(crate) enum Effect {
    /// Answer a call.
    Reply(oneshot::Sender<Reply>, Reply),
    /// Tell the subscribers.
    Notice(Notice),
    /// Tell what happens to this one too.
    Subscribe(mpsc::Sender<Notice>, SubscribeParameters, Names),
    /// Have this done by the keeper.
    Errand(Errand),
    /// Replace the text of the file in which something is kept.
    Keep(Kept, String),
    /// Tell the service manager.
    Announce(Announcement),
    /// Have these listeners open and no others.
    Listeners(Vec<Listener>),
    /// Give a scraper these numbers.
    Scraped(Scrape, Exposition),
    /// Follow the configuration of metrics, dnstap and query log.
    Observe,
    /// Follow the files of these lists, and no others.
    FollowLists(Vec<ListConfig>),
    /// Keep the journal of the links, and say what became of it ([`Input::JournalKept`]).
    KeepJournal(JournalText),
    /// Hear of routes of others that lead to one of these.
    HearOf(Vec<Prefix>),
    /// Ask the kernel for these, in this order.
    Requests(Vec<(RequestId, KernelRequest)>),
    /// Have this done with links that profiles make.
    Make(Task),
    /// Ask upstreams through new sockets: links and addresses that the open ones are bound to have changed.
    RenewPorts,
    /// Have these ports of clients open or closed.
    Ports(PortChanges),
    /// Send these through them.
    Send(Vec<Transmit>),
    /// Say whether all has left that was sent through ports that are closed by now ([`Input::Sent`]).
    LookWhetherSent,
    /// Read the clock, the host's name, the hosts table and the anchor files again.
    LookAgain,
    /// Have the machine wait for us before it sleeps, or not.
    Delay(bool),
    /// The machine may sleep, once everything that there is to say is said.
    MaySleep,
    /// End.
    Stop,
}

/// What outlives the daemon, each in a file of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// The persistent claims.
    Claims,
    /// The negative anchors.
    NegativeAnchors,
    /// The last time that was believed.
    Time,
    /// The trust points, as their keys are followed.
    TrustPoints,
    /// What was found out about the upstreams of networks.
    Networks,
    /// What clients want to know again of networks.
    Leases,
    /// What was changed of links, and how it was before.
    LinkJournal,
    /// Which links were made.
    MadeLinks,
    /// What was told of links by command.
    Told,
    /// What this machine's stable addresses are made of.
    Secret,
}

impl Kept {
    /// Whether it is void after a loss of power, and has to be there before anything follows from it.
    pub(crate) fn is_for_this_boot(self) -> bool {
        self == Self::Told
    }

    /// Whether somebody who asked for it is told that it is kept.
    pub(crate) fn is_asked_for(self) -> bool {
        match self {
            Self::Claims | Self::NegativeAnchors => true,
            Self::Told
            | Self::Time
            | Self::TrustPoints
            | Self::Networks
            | Self::Leases
            | Self::LinkJournal
            | Self::MadeLinks
            | Self::Secret => false,
        }
    }
}

/// What a world begins with.
#[derive(Debug)]
pub(crate) struct Beginning {
    /// The configuration and what is wrong with it.
    pub(crate) understood: Understood,
    /// Where the stub listens.
    pub(crate) listen: Vec<ListenStatus>,
    /// How the listeners for others are doing.
    pub(crate) listeners: Board,
    /// The text of the file of persistent claims, when there is one.
    pub(crate) kept_claims: Option<String>,
    /// The text of the file of networks, when there is one.
    pub(crate) kept_networks: Option<String>,
    /// What is trusted.
    pub(crate) trust: Trust,
    /// The host's name.
    pub(crate) host: HostName,
    /// How the observers do.
    pub(crate) watched: Arc<Watched>,
    /// Seed of the resolver's random numbers.
    pub(crate) seed: [u8; 32],
    /// What the links begin with.
    pub(crate) links: LinkBeginning,
}

impl World {
    /// Makes a world that refuses every question until it begins.
    pub(crate) fn new(beginning: Beginning, now: Instant) -> Self {
        let Beginning {
            understood,
            listen,
            listeners,
            kept_claims,
            kept_networks,
            trust,
            host,
            watched,
            seed,
            links,
        } = beginning;
        let Understood {
            config,
            diagnostics,
            applied: _,
        } = understood;
        let mut claims = Claims::default();
        if let Some(text) = &kept_claims
            && let Err(mistakes) = claims.restore(text)
        {
            for mistake in mistakes {
                tracing::error!("a persistent claim is lost: {mistake}");
            }
        }
        let bytes = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
        let settings = Settings {
            cache_size: bytes(config.resolver.cache_size),
            dnssec_cache_size: bytes(config.resolver.dnssec_cache_size),
            seed,
        };
        let own = config
            .resolver
            .listen
            .iter()
            .chain(&config.resolver.listen_bypass);
        let keeping = Keeping::new(own.copied().collect());
        tell_findings(&diagnostics);
        let mut resolver = Resolver::new(settings);
        resolver.apply_trust(trust.anchors().clone());
        resolver.apply_root_servers(&config.resolver.root_servers);
        resolver.apply_aggressive_nsec(config.resolver.aggressive_nsec);
        resolver.apply_keeping(config.resolver.serve_stale, config.resolver.prefetch);
        resolver.apply_sha1(config.resolver.dnssec_sha1);
        if let Some(text) = &kept_networks
            && !resolver.apply_networks(text)
        {
            tracing::warn!("what was remembered of networks cannot be read: they are tried anew");
        }
        let mut world = Self {
            resolver,
            config,
            diagnostics,
            facts: Facts::default(),
            plan: Plan::default(),
            generation: 0,
            begun: false,
            pace: pacing::Pace::default(),
            making: making::Making::new(links.was_made),
            telling: telling::Telling::new(links.told.as_deref(), &links.boot),
            linking: Linking::new(links),
            tunnels: tunnels::Tunnels::default(),
            host,
            local_names: LocalNames::default(),
            hosts: Hosts::default(),
            kept_claims: claims.to_file(),
            claims,
            keeping,
            trust,
            lists: lists::Lists::default(),
            listen,
            listeners,
            traces: TraceLog::default(),
            asking_by_client: BTreeMap::new(),
            browsers: browsing::Browsers::default(),
            asked: 0,
            told: Told::Nothing,
            watched,
            reloads: Vec::new(),
            reloading: false,
            reloaded: None,
            delays: false,
            started_at: now,
        };
        world.apply_interest(now);
        world
    }

    /// Makes the first plan from what was taken in.
    pub(crate) fn begin(&mut self, now: Instant) -> Vec<Effect> {
        self.begun = true;
        let mut effects = Vec::new();
        self.apply_local(&mut effects);
        self.tell_again();
        self.replan(now, &mut effects);
        effects.push(self.open_listeners());
        self.observe(&mut effects);
        self.order_links(now, &mut effects);
        self.drive_links(now, &mut effects);
        effects
    }

    /// Takes what happened; returns what is to be done.
    pub(crate) fn on(&mut self, input: Input, now: Instant) -> Vec<Effect> {
        let mut effects = Vec::new();
        match input {
            Input::Kernel(events) => self.handle_kernel(events, now, &mut effects),
            Input::Made(done) => self.handle_done(done, now, &mut effects),
            Input::Answers(answers) => self.handle_answers(answers, now),
            Input::Heard(heard) => self.handle_heard(&heard, now),
            Input::Unheard(ports) => self.handle_unheard(&ports, now),
            Input::Sent(is_sent) => self.handle_sent(is_sent, now),
            Input::Neighbours(routers) => self.handle_neighbours(&routers, now),
            Input::JournalKept(version, is_kept) => {
                let was_kept = self.is_journal_kept();
                self.linking.links.handle_journal(version, is_kept, now);
                if is_kept && !was_kept {
                    tracing::info!("the journal of links is kept again");
                }
            }
            Input::Hosts(text) => {
                let text = if self.config.resolver.hosts {
                    text.as_str()
                } else {
                    ""
                };
                self.resolver.apply_hosts(text);
                self.hosts = Hosts::parse(text);
            }
            Input::ResolvConf(text) => {
                let errand = self.keeping.handle_text(text);
                effects.extend(errand.map(Effect::Errand));
                self.replan(now, &mut effects);
            }
            Input::Errand(outcome) => self.handle_outcome(outcome, now, &mut effects),
            Input::Host(host) => {
                if self.host != host {
                    self.host = host;
                    self.replan(now, &mut effects);
                }
            }
            Input::Control(call) => self.handle_call(*call, now, &mut effects),
            Input::Scrape(scrape) => effects.push(Effect::Scraped(scrape, self.expose(now))),
            Input::ControlGone(connection) => {
                self.end_browse(connection, now);
                if self.claims.withdraw_connection(connection) {
                    self.replan(now, &mut effects);
                }
            }
            Input::Signal(Signal::Hangup) | Input::ConfigChanged => {
                self.reload(None, &mut effects);
            }
            Input::Signal(Signal::Terminate) => {
                effects.push(Effect::Announce(Announcement::Stopping));
                let level = match self.config.links.stop {
                    StopUse::Release => StopLevel::Release,
                    StopUse::Detach => StopLevel::Detach,
                    StopUse::Clean => StopLevel::Clean,
                };
                self.stop_links(level, now);
                self.remove_made_links(&mut effects);
            }
            Input::Timer => {
                self.resolver.handle_timeout(now);
                self.handle_link_timeout(now, &mut effects);
                self.handle_tunnel_timeout(now);
            }
            Input::Clock(reading) => {
                self.linking.read_clock(reading.wall, now);
                self.handle_reading(reading, now, &mut effects);
            }
            Input::Evidence(evidence) => self.handle_evidence(evidence, &mut effects),
            Input::Sleep(sleep) => self.handle_sleep(sleep, now, &mut effects),
            Input::Networks(text) => effects.push(Effect::Keep(Kept::Networks, text)),
            Input::Keys(owner, observation) => {
                self.handle_keys(&owner, observation.as_ref(), now, &mut effects);
            }
            Input::Anchors(texts) => self.handle_anchors(texts.as_deref(), &mut effects),
            Input::List(read) => self.handle_list(*read),
            Input::Reach(link) => self.handle_reach(link, now, &mut effects),
        }
        self.drive_links(now, &mut effects);
        self.order_told(now, &mut effects);
        self.drive_tunnels(now, &mut effects);
        if self.has_stopped(now) {
            effects.push(Effect::Stop);
        }
        effects
    }

    /// Returns when [`Input::Timer`] is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let resolver = self.resolver.poll_timeout().map(|(at, _)| at);
        // What is to be made waits for goodbyes, which wake us.
        let making = self.making.poll_timeout();
        let links = [
            self.plan.links.review_at,
            self.linking.poll_timeout(),
            self.tunnels.poll_timeout(),
            self.pace.due_at(),
            making.filter(|_| !self.linking.is_leaving()),
        ];
        let links = links.into_iter().flatten();
        resolver.into_iter().chain(links).min()
    }

    /// Returns the configuration in force.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Whether an answer of the resolver is for a caller of the control interface: give it to [`World::take_answer`].
    pub(crate) fn is_mine(client: ClientId) -> bool {
        calls::is_mine(client)
    }

    /// Takes an answer to a caller's question.
    pub(crate) fn take_answer(&mut self, answer: &Answer) {
        if self.tunnels.takes(answer) {
            return;
        }
        if let Some(asking) = self.asking_by_client.get_mut(&answer.client) {
            asking.wire = Some(answer.wire.clone());
        }
    }

    /// Takes what became of a question; `client` says who asked, when that is known.
    pub(crate) fn take_trace(
        &mut self,
        trace: Box<Trace>,
        client: Option<SocketAddr>,
    ) -> Option<Notice> {
        let mut caller = None;
        if let Some(asking) = self.asking_by_client.get_mut(&trace.client) {
            caller = Some(asking.caller());
            asking.trace = Some(trace.clone());
        }
        let notice = self.told.takes(&trace).then(|| {
            let client = caller.or_else(|| client.map(|peer| peer.to_string()));
            Notice::Answered {
                trace: convert::trace(&trace, &self.plan.dns, client),
            }
        });
        self.traces.push(trace);
        notice
    }

    /// Returns the replies to callers whose questions have been answered.
    pub(crate) fn settle(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if !self.asking_by_client.is_empty() {
            self.answer_callers(now, effects);
        }
        self.settle_endpoints(now, effects);
    }

    /// Says whether anybody subscribes: traces of cache hits are made for them only.
    pub(crate) fn watch(&mut self, told: Told) {
        self.told = told;
        self.resolver.trace_hits(self.traces_hits());
    }

    /// Returns what the configuration says of metrics, dnstap and query log.
    pub(crate) fn observing(&self) -> &Observing {
        &self.config.observing
    }

    /// Has the observers follow the configuration, and hits leave the traces that they need.
    fn observe(&mut self, effects: &mut Vec<Effect>) {
        self.resolver.trace_hits(self.traces_hits());
        effects.push(Effect::Observe);
    }

    fn traces_hits(&self) -> bool {
        self.told == Told::Everything || watches_hits(&self.config.observing)
    }

    fn handle_outcome(&mut self, outcome: Outcome, now: Instant, effects: &mut Vec<Effect>) {
        match outcome {
            Outcome::Config(texts) => {
                self.apply_config(texts);
                self.observe(effects);
                self.apply_local(effects);
                self.replan(now, effects);
                self.linking.links.look_anew(now);
                self.making.order_anew();
                self.order_links(now, effects);
                // Where the old configuration stays, its listeners do, with their certificates.
                if matches!(self.reloaded, Some(Ok(true))) {
                    effects.push(self.open_listeners());
                }
                effects.push(Effect::LookAgain);
            }
            Outcome::Keys(files) => {
                effects.push(Effect::Listeners(doors::wanted(&self.config, &files)));
            }
            Outcome::LinkKeys(files) => self.handle_link_keys(files, effects),
            Outcome::Marked(marked) => self.handle_marked(marked, now, effects),
            Outcome::ResolvConf(report) => {
                let foreign = self.keeping.foreign();
                let before = self.keeping.status(self.mode());
                self.keeping.handle_report(report);
                let status = self.keeping.status(self.mode());
                if status != before {
                    effects.push(Effect::Notice(Notice::ResolvConf { status }));
                }
                // Whose the file is means nothing to the plan, what it says does.
                if self.keeping.foreign() == foreign {
                    self.keep_resolv_conf(effects);
                } else {
                    self.replan(now, effects);
                }
            }
        }
    }

    /// Has the listeners opened, when their files have been read.
    fn open_listeners(&self) -> Effect {
        match doors::needs_files(&self.config) {
            true => Effect::Errand(Errand::ReadKeys),
            false => Effect::Listeners(doors::wanted(&self.config, &Ok(Vec::new()))),
        }
    }

    /// What the configuration says of resolv.conf.
    fn mode(&self) -> ResolvConfMode {
        self.config.resolver.resolv_conf
    }
}
