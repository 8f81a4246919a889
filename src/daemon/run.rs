//! When does what happen? The one event loop: waits, hands inputs to the [`World`], does what it says.
//!
//! A question takes the short way: driver, resolver, driver. Decides nothing about names, links or files.

mod absence;
mod beginning;
mod linking;
mod nearby;
mod serving;
mod turns;
mod waits;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use linkmgr_io::Monitor;
use linnet::api::Notice;
use resolver::Event;
use resolver_io::listeners::{Board, Listeners};
use resolver_io::llmnr::Llmnr;
use resolver_io::multicast::Multicast;
use resolver_io::resolv_conf::FileWatch;
use resolver_io::visits::Visits;
use resolver_io::{BindError, Driver};
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, Sleep};

use crate::autoload::Autoload;
use crate::clock::{self, Alarm};
use crate::control::{ControlError, ControlSocket};
use crate::errands::Errands;
use crate::host;
use crate::input::Input;
use crate::kernel_clock::{KernelClock, Pretence};
use crate::list_loader::ListLoader;
use crate::memory;
use crate::notify::{self, announce, keep_alive};
use crate::observe::{Observers, Watched};
use crate::options::Options;
use crate::reload;
use crate::sleep::{Logind, Slumber};
use crate::store::{self, Writer};
use crate::subscribers::Subscribers;
use crate::trust::LOOKED;
use crate::world::{Beginning, Effect, Kept, World};
use beginning::{anchor_texts, authorities, listen_status, seed, trust};
use linking::{LinkIo, link_beginning};
use waits::{Signals, changed, passed, sleep, text, tick, watch};

pub(crate) use beginning::{Given, listen};

/// How long after the start what it needed is given back: first come the questions that have waited for us.
const SETTLING: Duration = Duration::from_millis(100);
/// How long after that the same is done once more: when leases, what lies behind links and the looks at the clock have come.
const SETTLED: Duration = LOOKED.saturating_add(Duration::from_secs(5));
/// How long after a crowd of questions its memory is given back.
const CROWD_SETTLING: Duration = Duration::from_secs(10);
/// Calls of the control interface that wait for the loop.
const WAITING_CALLS: usize = 64;

/// Why linnetd cannot start, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// The stub's port is taken.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// There is no control socket.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The kernel does not tell of links.
    #[error("cannot hear of links")]
    Monitor(#[source] io::Error),
    /// The kernel gives no timer, signal handler or random numbers.
    #[error("cannot {0}")]
    System(&'static str, #[source] io::Error),
}

/// Runs until a signal says otherwise; resolv.conf is as it was when this returns.
///
/// # Errors
/// [`RunError`]: nothing was taken, or it has been given back.
pub(crate) async fn run(options: &Options, given: Given) -> Result<(), RunError> {
    let Given {
        keeper,
        texts,
        bound,
        leavings,
        started_by,
    } = given;
    let keeper = keeper
        .keeper()
        .map_err(|error| RunError::System("reach the root helper", error))?;
    let socket = ControlSocket::prepare(&options.control_socket(), started_by)?;
    memory::gather();
    let lengths = texts.iter().filter_map(|text| text.text.as_ref().ok());
    memory::expect(lengths.map(String::len).sum());
    let understood = reload::understand(texts, None);
    memory::scatter();
    let threads = understood.config.resolver.threads;
    let places = listen(&understood.config);
    let mut driver = if bound.is(&places, threads) {
        Driver::at(bound)?
    } else {
        // Whoever was believed then is not believed now, or the other way round.
        drop(bound);
        Driver::bind_groups(&places, threads)?
    };
    driver.set_authorities(authorities(options, &understood.config));
    let now = clock::now();
    let random = |error| RunError::System("get random numbers", error);
    let board = Board::default();
    let watched = Arc::new(Watched::default());
    let (links, secret) = link_beginning(options, leavings).map_err(random)?;
    let beginning = Beginning {
        listen: driver.local_addresses().iter().map(listen_status).collect(),
        listeners: board.clone(),
        kept_claims: store::read(&options.kept_file(Kept::Claims)),
        kept_networks: store::read(&options.kept_file(Kept::Networks)),
        trust: trust(options, &understood.config),
        host: host::read(),
        watched: Arc::clone(&watched),
        seed: seed().map_err(random)?,
        links,
        understood,
    };
    let world = World::new(beginning, now);
    let shortcut = world.resolver.shortcut();
    let secret_seed = seed().map_err(random)?;
    let listeners = Listeners::new(board, shortcut, threads, clock::now, secret_seed);
    let errands = Errands::start(keeper);
    let parts = (driver, listeners);
    let mut running = Running::new(options, parts, world, errands, socket, watched)?;
    running.kept_first = secret;
    running.has_threads = threads > 0;
    let ended = match running.start().await {
        Ok(()) => running.turn().await,
        Err(error) => Err(error),
    };
    running.end().await;
    ended
}

/// Everything that the loop waits for, and what it drives.
struct Running<'a> {
    options: &'a Options,
    driver: Driver,
    listeners: Listeners,
    multicast: Multicast,
    llmnr: Llmnr,
    visits: Visits,
    world: World,
    monitor: Monitor,
    link_io: LinkIo,
    alarm: Alarm,
    kernel_clock: KernelClock,
    clock_alarm: Alarm,
    errands: Errands,
    socket: ControlSocket,
    calls: mpsc::Receiver<Input>,
    caller: mpsc::Sender<Input>,
    subscribers: Subscribers,
    observers: Observers,
    hosts: Option<FileWatch>,
    resolv_conf: Option<FileWatch>,
    lists: ListLoader,
    autoload: Autoload,
    logind: Logind,
    slumber: Slumber,
    /// Whether the machine may sleep once all is said.
    may_sleep: bool,
    writer: Writer,
    signals: Signals,
    watchdog: Option<Interval>,
    /// When what the start needed, or a crowd of questions, is given back.
    settling: Option<Pin<Box<Sleep>>>,
    /// Whether the start is still settling.
    is_starting: bool,
    /// What is to be kept once clients are served.
    kept_first: Option<(Kept, String)>,
    /// Whether listener threads are wanted.
    has_threads: bool,
    stopping: bool,
    turns: turns::Turns,
    absence: absence::Absence,
}

impl<'a> Running<'a> {
    fn new(
        options: &'a Options,
        (driver, listeners): (Driver, Listeners),
        world: World,
        errands: Errands,
        socket: ControlSocket,
        watched: Arc<Watched>,
    ) -> Result<Self, RunError> {
        let (caller, calls) = mpsc::channel(WAITING_CALLS);
        Ok(Self {
            options,
            driver,
            listeners,
            multicast: Multicast::default(),
            llmnr: Llmnr::default(),
            visits: Visits::default(),
            world,
            monitor: Monitor::open().map_err(RunError::Monitor)?,
            link_io: LinkIo::open(options)
                .map_err(|error| RunError::System("reach links", error))?,
            alarm: Alarm::open().map_err(|error| RunError::System("get a timer", error))?,
            kernel_clock: KernelClock::open(options.clock.clone())
                .map_err(|error| RunError::System("watch the clock", error))?,
            clock_alarm: Alarm::open().map_err(|error| RunError::System("get a timer", error))?,
            errands,
            socket,
            calls,
            observers: Observers::new(watched, caller.clone()),
            lists: ListLoader::new(options.config_dir.clone(), caller.clone()),
            autoload: Autoload::new(options.config_dir.as_deref(), caller.clone()),
            logind: Logind::start(options.system_bus.clone(), caller.clone()),
            slumber: Slumber::new(clock::asleep()),
            may_sleep: false,
            caller,
            subscribers: Subscribers::default(),
            hosts: watch(&options.hosts),
            resolv_conf: watch(&options.resolv_conf),
            writer: Writer::default(),
            signals: Signals::open().map_err(|error| RunError::System("handle signals", error))?,
            watchdog: notify::watchdog_period().map(|period| {
                let mut interval = tokio::time::interval(period);
                interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
                interval
            }),
            settling: Some(Box::pin(tokio::time::sleep(SETTLING))),
            is_starting: true,
            kept_first: None,
            has_threads: false,
            stopping: false,
            turns: turns::Turns::default(),
            absence: absence::Absence::new(clock::now()),
        })
    }

    /// Goes round until something says stop.
    async fn turn(&mut self) -> Result<(), RunError> {
        while !self.stopping {
            let deadline = self.world.poll_timeout();
            // Biased: questions first, but for turns of the others.
            let first = self.turns.begin();
            let input = tokio::select! {
                biased;
                () = self.driver.ready(), if first => None,
                (client, asked) = self.listeners.next(), if first => {
                    self.ask(client, &asked);
                    None
                }
                rung = sleep(&mut self.alarm, deadline), if first => {
                    rung.map_err(|error| RunError::System("wait for a deadline", error))?;
                    Some(Input::Timer)
                }
                events = self.monitor.next() => Some(Input::Kernel(events.map_err(RunError::Monitor)?)),
                heard = self.link_io.ports.next() => Some(Input::Heard(heard)),
                done = self.link_io.maker.next() => Some(Input::Made(done)),
                answers = self.link_io.requester.next() => {
                    let broken = |error| RunError::System("ask the kernel", error);
                    Some(Input::Answers(answers.map_err(broken)?))
                }
                routers = self.link_io.neighbours.next() => {
                    let routers = routers.map_err(|error| RunError::System("hear of routers", error))?;
                    Some(Input::Neighbours(routers))
                }
                () = self.multicast.ready() => {
                    self.hear();
                    self.drain().await;
                    continue;
                }
                heard = self.llmnr.next() => {
                    self.world.resolver.handle_overheard(&heard, clock::now());
                    None
                }
                (visit, outcome) = self.visits.next() => {
                    self.world.resolver.handle_visit(visit, outcome, clock::now());
                    None
                }
                signal = self.signals.next() => Some(Input::Signal(signal)),
                outcome = self.errands.next() => Some(Input::Errand(outcome)),
                Some(call) = self.calls.recv() => Some(call),
                () = self.socket.accept(&self.caller) => continue,
                contents = changed(&mut self.resolv_conf) => Some(Input::ResolvConf(text(contents))),
                contents = changed(&mut self.hosts) => Some(Input::Hosts(text(contents).unwrap_or_default())),
                rung = self.clock_alarm.sleep_until(self.world.look_at()) => {
                    rung.map_err(|error| RunError::System("wait for a deadline", error))?;
                    Some(Input::Clock(self.kernel_clock.read()))
                }
                set = self.kernel_clock.set() => {
                    set.map_err(|error| RunError::System("watch the clock", error))?;
                    if self.slumber.look(clock::asleep()) {
                        self.wake().await;
                    }
                    // The kernel says so after a sleep too.
                    self.world.resolver.judge_again(clock::now());
                    Some(Input::Clock(self.kernel_clock.read()))
                }
                () = tick(&mut self.watchdog) => {
                    keep_alive();
                    continue;
                }
                () = passed(&mut self.settling) => {
                    memory::trim();
                    memory::let_go_of_program();
                    if std::mem::take(&mut self.is_starting) {
                        self.settling = Some(Box::pin(tokio::time::sleep(SETTLED)));
                    }
                    continue;
                }
                () = std::future::ready(()), if !first => { self.turns.pass().await; continue; }
                // Last: whatever comes in is served between the slices of a dear computation.
                () = std::future::ready(()), if self.world.resolver.has_work() => {
                    self.world.resolver.handle_work(clock::now());
                    None
                }
            };
            let now = clock::now();
            if self.absence.ends(deadline, now) {
                self.catch_up(now).await;
            }
            let is_asked = matches!(input, None | Some(Input::Control(_)));
            if is_asked && self.world.wants_look(now) {
                self.feed(Input::Clock(self.kernel_clock.read())).await;
            }
            match input {
                Some(Input::Sleep(said)) => self.hear_of_sleep(said).await,
                Some(input) => self.feed(input).await,
                None => self.pump(),
            }
            self.drain().await;
            if self.settling.is_none() && self.world.resolver.take_crowd() {
                self.settling = Some(Box::pin(tokio::time::sleep(CROWD_SETTLING)));
            }
            if std::mem::take(&mut self.may_sleep) {
                self.logind.ready().await;
            }
        }
        Ok(())
    }

    /// Hands on what the resolver has to say.
    async fn drain(&mut self) {
        self.send();
        let mut again = false;
        while let Some(event) = self.world.resolver.poll_event() {
            match event {
                Event::Answered(trace) => {
                    let caller = self.driver.caller_of(trace.client);
                    let caller = caller.or_else(|| self.listeners.caller_of(trace.client));
                    self.observers.trace(&trace, caller.as_ref(), clock::now());
                    let client = caller.map(|caller| caller.peer);
                    if let Some(notice) = self.world.take_trace(trace, client) {
                        self.tell(&notice);
                    }
                }
                Event::Evidence(evidence) => self.feed(Input::Evidence(evidence)).await,
                Event::Keys(owner, keys) => self.feed(Input::Keys(owner, keys)).await,
                Event::Networks(text) => self.feed(Input::Networks(text)).await,
                Event::Reach(link) => (again, ()) = (true, self.feed(Input::Reach(link)).await),
            }
        }
        if again {
            // What follows from it is sent at once.
            Box::pin(self.drain()).await;
            return;
        }
        self.speak();
        self.driver.finish_round();
        let mut effects = Vec::new();
        self.world.settle(clock::now(), &mut effects);
        if !effects.is_empty() {
            self.execute(effects).await;
        }
    }

    async fn feed(&mut self, input: Input) {
        let effects = self.world.on(input, clock::now());
        self.execute(effects).await;
    }

    async fn execute(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Reply(caller, reply) => {
                    // A caller that went away hears nothing.
                    let _heard = caller.send(reply);
                }
                Effect::Notice(notice) => self.tell(&notice),
                Effect::Subscribe(notices, parameters, names) => {
                    self.subscribers.add(notices, parameters, names);
                    self.world.watch(self.subscribers.told());
                }
                Effect::Errand(errand) => self.errands.send(errand).await,
                // What is pretended is not kept.
                Effect::Keep(Kept::Time, _)
                    if matches!(self.options.clock, Some(Pretence::At(_))) => {}
                Effect::Keep(kept, text) => {
                    let path = self.options.kept_file(kept);
                    if kept.is_for_this_boot() {
                        store::replace_for_this_boot(&path, &text);
                    } else if kept.is_asked_for() {
                        store::replace(&path, &text);
                    } else {
                        self.writer.write(path, text);
                    }
                }
                Effect::KeepJournal(journal) => {
                    let is_kept = self.keep_journal(&journal.text);
                    let kept = Input::JournalKept(journal.version, is_kept);
                    let then = self.world.on(kept, clock::now());
                    Box::pin(self.execute(then)).await;
                }
                Effect::HearOf(destinations) => self.monitor.hear_of(&destinations),
                Effect::Requests(requests) => self.link_io.requester.send(requests),
                Effect::Make(task) => self.link_io.make(task),
                Effect::RenewPorts => self.driver.renew_ports(),
                Effect::Ports(changes) => self.open_ports(changes).await,
                Effect::Send(transmits) => {
                    for transmit in transmits {
                        self.link_io.ports.send(&transmit);
                    }
                    // What comes back is for the kernel.
                    self.link_io.requester.prepare();
                }
                Effect::LookWhetherSent => {
                    let sent = Input::Sent(self.link_io.ports.is_sent());
                    let then = self.world.on(sent, clock::now());
                    Box::pin(self.execute(then)).await;
                }
                Effect::Announce(announcement) => announce(&announcement),
                Effect::Listeners(listeners) => {
                    if let Err(error) = self.listeners.apply(listeners) {
                        tracing::error!(%error, "no listeners for others");
                    }
                }
                Effect::Scraped(scrape, numbers) => self.observers.scrape(scrape, numbers),
                Effect::Observe => self.observers.apply(self.world.observing(), clock::now()),
                Effect::FollowLists(lists) => self.lists.follow(lists),
                Effect::Delay(is_needed) => self.logind.delay(is_needed).await,
                Effect::MaySleep => self.may_sleep = true,
                Effect::LookAgain => {
                    self.autoload.switch(self.world.config().autoload);
                    let reading = self.kernel_clock.read();
                    let mut again = self.world.on(Input::Clock(reading), clock::now());
                    again.extend(self.world.on(Input::Host(host::read()), clock::now()));
                    if let Some(hosts) =
                        self.hosts.as_mut().and_then(|watch| text(watch.contents()))
                    {
                        again.extend(self.world.on(Input::Hosts(hosts), clock::now()));
                    }
                    let authorities = authorities(self.options, self.world.config());
                    self.driver.set_authorities(authorities);
                    let texts = anchor_texts(self.options, self.world.anchors_path());
                    again.extend(self.world.on(Input::Anchors(texts), clock::now()));
                    Box::pin(self.execute(again)).await;
                }
                Effect::Stop => self.stopping = true,
            }
        }
    }

    fn tell(&mut self, notice: &Notice) {
        if self.subscribers.is_empty() {
            return;
        }
        let before = self.subscribers.told();
        self.subscribers.tell(notice);
        let told = self.subscribers.told();
        if told != before {
            self.world.watch(told);
        }
    }

    /// Gives back what was taken.
    async fn end(mut self) {
        self.world.resolver.fall_silent();
        self.speak();
        let Self {
            errands,
            socket,
            driver,
            observers,
            link_io,
            ..
        } = self;
        link_io.maker.finish();
        drop(socket);
        match errands.quit().await {
            Ok(report) => {
                for message in report.messages {
                    tracing::warn!("{message}");
                }
            }
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "resolv.conf is not given back"
                );
            }
        }
        // Last, so that names resolve until programs are told to ask elsewhere.
        drop(driver);
        observers.end();
        tracing::info!("linnetd ends");
    }
}
