//! A simulated world: a resolver under a real plan, clients, and upstream servers by address. Time is virtual.
//!
//! A server answers from rows of text; what it is made to do wrong is a [`Say`]. Every message that leaves the resolver is
//! kept in `sent` with the scope that it is for, and every answer in `answered`. No sockets, no clock, no chance.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use config::Config;
use config::layer::{Layer, LayerKind, Origin, Rank};
use config::model::{ProfileId, RecursionMode, Transport};
use config::name::DomainName;
use config::time::Instant;
use policy::facts::DefaultRoute;
use policy::{Facts, LinkFacts, LinkId, Plan, ScopeId};

use super::message::{Ask, Records, Seen, asked, reply};
use crate::event::{
    Channel, ClientId, ClientQuery, ExchangeId, Failure, ScopeStatus, Stub, Transmit,
};
use crate::{GroupId, Resolver, Settings};

/// The server of the link home0, which has the default route.
pub(crate) const HOME: &str = "192.0.2.53";
/// The server behind vpn0, which profile office claims corp.test for.
pub(crate) const OFFICE: &str = "10.8.0.1";
/// The server behind lab0, which profile lab claims lab.test for.
pub(crate) const LAB: &str = "10.9.0.1";

/// The profiles of most tests; `dnssec` is off where it is not the question.
pub(crate) const PLAIN: &str = "[resolver]\ndnssec = \"off\"\n";
const HOME_PROFILE: &str =
    "match = { name = \"home*\" }\n[dns]\nupstreams = [\"192.0.2.53\"]\nsearch = [\"home.test\"]\n";
const OFFICE_PROFILE: &str = "match = { name = \"vpn*\" }\n[dns]\nupstreams = [\"10.8.0.1\"]\nclaims = [\"corp.test\"]\nsearch = [\"corp.test\"]\n";
const LAB_PROFILE: &str =
    "match = { name = \"lab*\" }\n[dns]\nupstreams = [\"10.9.0.1\"]\nclaims = [\"lab.test\"]\n";

/// More than this many events in one run are a loop without end.
const EVENTS_MAX: u32 = 100_000;

/// What a server says to a question.
#[derive(Debug, Clone)]
pub(crate) enum Say {
    /// NOERROR, with these answers: `OWNER TTL TYPE VALUE`.
    Answer(Vec<String>),
    /// The rows are of the sections answer, authority, additional.
    Sections(u16, [Vec<String>; 3]),
    /// This address for every name, and no records of other types.
    Anything(&'static str),
    /// NXDOMAIN and a SOA record with this MINIMUM and TTL.
    NoName(u32, u32),
    /// NOERROR without answer, and such a SOA record.
    NoRecords(u32, u32),
    /// Nothing but a code.
    Code(u16),
    /// Code and Extended DNS Error.
    Error(u16, u16, &'static str),
    /// Nothing.
    Silence,
    /// The exchange fails.
    Fail(Failure),
    /// TC by UDP, and this by TCP.
    Truncated(Box<Self>),
    /// One by UDP, the other by TCP.
    ByStream(Box<Self>, Box<Self>),
    /// FORMERR without OPT to a query with OPT, and this to one without.
    NoEdns(Box<Self>),
    /// First that, spoiled; then this whole.
    Spoiled(fn(&mut Vec<u8>), Box<Self>),
}

/// One upstream server.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) delay: Duration,
    /// It says nothing to so many questions first.
    pub(crate) loses: u32,
    pub(crate) silent: bool,
    /// Of a hundred datagrams, so many are lost.
    pub(crate) loss: u64,
    /// What decides which.
    pub(crate) chance: u64,
    /// It puts the question in lower case.
    pub(crate) respells: bool,
    /// Its part of cookies, when it knows them.
    pub(crate) cookie: Option<[u8; 8]>,
    /// It answers only those who have its cookie.
    pub(crate) demands_cookie: bool,
    /// Messages with a cookie do not reach it.
    pub(crate) swallows_cookies: bool,
    /// Datagrams do not reach it.
    pub(crate) deaf: bool,
    /// By this transport nothing reaches it, or this is what comes of it.
    pub(crate) shut: Option<(Transport, Option<Failure>)>,
    /// Nobody listens there, or it is out of reach: this comes of it, by ICMP once in a second.
    pub(crate) closed: Option<Failure>,
    /// When ICMP said so last.
    told_at: Option<Instant>,
    /// By stream it takes up one question after the other; until when it is busy.
    pub(crate) in_turn: bool,
    busy_until: Instant,
    says: BTreeMap<(DomainName, u16), Say>,
    otherwise: Say,
}

/// A message that left the resolver.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) at: Instant,
    pub(crate) exchange: ExchangeId,
    pub(crate) scope: ScopeId,
    pub(crate) link: Option<LinkId>,
    pub(crate) server: IpAddr,
    pub(crate) transport: Transport,
    pub(crate) channel: Channel,
    pub(crate) asked: Ask,
    pub(crate) mark: u32,
    pub(crate) wire: Vec<u8>,
}

#[derive(Debug)]
enum Arrival {
    Reply(Vec<u8>),
    Failure(Failure),
}

/// The world.
pub(crate) struct World {
    pub(crate) resolver: Resolver,
    pub(crate) config: Config,
    pub(crate) facts: Facts,
    pub(crate) plan: Plan,
    pub(crate) now: Instant,
    pub(crate) sent: Vec<Sent>,
    pub(crate) cancelled: Vec<ExchangeId>,
    pub(crate) answered: BTreeMap<ClientId, Vec<Seen>>,
    /// Where clients ask from.
    pub(crate) origin: IpAddr,
    servers: BTreeMap<IpAddr, Server>,
    /// The message that is being answered.
    sending: Option<Sent>,
    arrivals: BTreeMap<(Instant, u64), (ExchangeId, Arrival)>,
    asks: BTreeMap<ClientId, Ask>,
    births: u32,
    last: u64,
}

impl World {
    /// home0 with the default route, vpn0 and lab0, all up, each with its server; dnssec is off.
    pub(crate) fn new() -> Self {
        Self::with(PLAIN, &[])
    }

    /// As [`World::new`], with this linnet.toml, and these profiles beside or in place of the usual ones.
    pub(crate) fn with(main: &str, profiles: &[(&str, &str)]) -> Self {
        let mut texts = BTreeMap::from([
            ("home", HOME_PROFILE),
            ("office", OFFICE_PROFILE),
            ("lab", LAB_PROFILE),
        ]);
        texts.extend(profiles.iter().copied());
        let mut world = Self {
            resolver: Resolver::new(Settings {
                cache_size: 1 << 20,
                dnssec_cache_size: 1 << 20,
                seed: [7; 32],
            }),
            config: understand(main, &texts),
            facts: Facts::default(),
            plan: Plan::default(),
            now: Instant::ZERO + Duration::from_secs(1000),
            sent: Vec::new(),
            cancelled: Vec::new(),
            answered: BTreeMap::new(),
            origin: std::net::Ipv4Addr::LOCALHOST.into(),
            servers: BTreeMap::new(),
            sending: None,
            arrivals: BTreeMap::new(),
            asks: BTreeMap::new(),
            births: 0,
            last: 0,
        };
        for address in [HOME, OFFICE, LAB] {
            world.server(address);
        }
        for link in ["home0", "vpn0", "lab0"] {
            world.add_link(link);
        }
        world.apply();
        world
    }

    /// Returns a server; one that is new answers NXDOMAIN to everything, after 10 ms.
    pub(crate) fn server(&mut self, address: &str) -> &mut Server {
        let fresh = || Server {
            delay: Duration::from_millis(10),
            loses: 0,
            silent: false,
            loss: 0,
            chance: 1,
            respells: false,
            cookie: None,
            demands_cookie: false,
            swallows_cookies: false,
            deaf: false,
            shut: None,
            closed: None,
            told_at: None,
            in_turn: false,
            busy_until: Instant::ZERO,
            says: BTreeMap::new(),
            otherwise: Say::NoName(60, 60),
        };
        self.servers
            .entry(address.parse().unwrap())
            .or_insert_with(fresh)
    }

    /// Plugs a link in, up; one that was there before is another one.
    pub(crate) fn add_link(&mut self, name: &str) {
        self.births += 1;
        let index = self.births + 1;
        let route = DefaultRoute {
            metric: 100,
            gateway: None,
        };
        let link = LinkFacts {
            name: name.into(),
            kind: "veth".into(),
            up: true,
            default_route4: (name == "home0").then_some(route),
            ..LinkFacts::default()
        };
        let birth = self.births;
        self.facts.links.insert(LinkId { index, birth }, link);
    }

    /// Pulls a link out.
    pub(crate) fn remove_link(&mut self, name: &str) {
        self.facts.links.retain(|_, link| &*link.name != name);
    }

    /// Takes a link up or down.
    pub(crate) fn set_up(&mut self, name: &str, up: bool) {
        let links = self.facts.links.values_mut();
        for link in links.filter(|link| &*link.name == name) {
            link.up = up;
        }
    }

    /// Puts the plan for the present facts in force.
    pub(crate) fn apply(&mut self) {
        self.plan = policy::plan(&self.config, &self.facts);
        let plan = Arc::clone(&self.plan.dns);
        self.resolver.apply_plan(plan, self.now);
        self.pump();
    }

    /// Takes a link up or down and applies the plan.
    pub(crate) fn switch(&mut self, link: &str, up: bool) {
        self.set_up(link, up);
        self.apply();
    }

    /// Replaces the configuration and applies the plan.
    pub(crate) fn reconfigure(&mut self, main: &str, profiles: &[(&str, &str)]) {
        self.config = understand(main, &profiles.iter().copied().collect());
        self.apply();
    }

    /// Asks `NAME TYPE` as a new client and runs until all is quiet; returns the answer.
    pub(crate) fn ask(&mut self, text: &str) -> Seen {
        self.ask_as(&asked(text))
    }

    /// As [`World::ask`], with everything about the message chosen.
    pub(crate) fn ask_as(&mut self, ask: &Ask) -> Seen {
        let client = self.put_as(ask);
        self.run();
        self.answer(client)
    }

    /// Asks as a new client; does not let time pass.
    pub(crate) fn put(&mut self, text: &str) -> ClientId {
        self.put_as(&asked(text))
    }

    /// As [`World::put`], with everything about the message chosen.
    pub(crate) fn put_as(&mut self, ask: &Ask) -> ClientId {
        self.last += 1;
        let client = ClientId(self.last);
        self.asks.insert(client, ask.clone());
        let wire = ask.wire();
        let query = ClientQuery {
            client,
            stub: ask.stub,
            channel: ask.channel,
            origin: Some(self.origin),
            wire: &wire,
        };
        self.resolver.handle_query(query, self.now);
        self.pump();
        client
    }

    /// Asks with these octets; returns the answer if it comes at once.
    pub(crate) fn put_wire(&mut self, wire: &[u8]) -> Option<Vec<u8>> {
        self.last += 1;
        let query = ClientQuery {
            client: ClientId(self.last),
            stub: Stub::Main,
            channel: Channel::Udp,
            origin: None,
            wire,
        };
        self.resolver.handle_query(query, self.now);
        self.resolver.poll_answer().map(|answer| answer.wire)
    }

    /// Takes note of a client whose question is put by hand.
    pub(crate) fn expect(&mut self, client: ClientId, ask: Ask) {
        self.asks.insert(client, ask);
    }

    /// Returns the groups whose connections are to be closed.
    pub(crate) fn take_hangups(&mut self) -> Vec<GroupId> {
        let resolver = &mut self.resolver;
        std::iter::from_fn(|| resolver.poll_hangup())
            .map(|hangup| hangup.group)
            .collect()
    }

    /// The client goes away.
    pub(crate) fn leave(&mut self, client: ClientId) {
        self.resolver.handle_client_gone(client);
        self.pump();
    }

    /// Returns the one answer that a client got.
    pub(crate) fn answer(&self, client: ClientId) -> Seen {
        let answers = self.answered.get(&client).map_or(&[][..], Vec::as_slice);
        assert_eq!(answers.len(), 1, "{client:?}: {answers:#?}");
        answers[0].clone()
    }

    /// Whether a client was answered.
    pub(crate) fn has_answer(&self, client: ClientId) -> bool {
        self.answered.contains_key(&client)
    }

    /// Runs until nothing is under way.
    pub(crate) fn run(&mut self) {
        self.run_until(None);
    }

    /// Runs for so many milliseconds.
    pub(crate) fn run_for(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        self.run_until(Some(end));
        self.now = end;
    }

    /// Lets time pass in which nobody does anything.
    pub(crate) fn sleep(&mut self, seconds: u64) {
        self.run_for(seconds * 1000);
    }

    /// Goes on to whatever comes next, and does that alone.
    pub(crate) fn step_on(&mut self) {
        if let Some(at) = self.next_at() {
            self.now = self.now.max(at);
            self.step();
        }
    }

    fn next_at(&self) -> Option<Instant> {
        let arrival = self.arrivals.keys().next().map(|&(at, _)| at);
        let timeout = self.resolver.poll_timeout().map(|(at, _)| at);
        // Work is done while nothing arrives.
        let work = self.resolver.has_work().then_some(self.now);
        [arrival, timeout, work].into_iter().flatten().min()
    }

    fn run_until(&mut self, end: Option<Instant>) {
        for _ in 0..EVENTS_MAX {
            let Some(at) = self.next_at().filter(|&at| end.is_none_or(|end| at <= end)) else {
                return;
            };
            self.now = self.now.max(at);
            self.step();
        }
        panic!("there is no end to it");
    }

    /// Delivers what is due: one arrival, or the deadlines.
    pub(crate) fn step(&mut self) {
        let due = self
            .arrivals
            .first_entry()
            .filter(|entry| entry.key().0 <= self.now);
        match due.map(|entry| entry.remove()) {
            Some((exchange, Arrival::Reply(wire))) => {
                self.resolver.handle_reply(exchange, &wire, self.now);
            }
            Some((exchange, Arrival::Failure(failure))) => {
                self.resolver.handle_failure(exchange, failure, self.now);
            }
            None if self.resolver.has_work() => self.resolver.handle_work(self.now),
            None => {
                self.resolver.handle_timeout(self.now);
                let next = self.resolver.poll_timeout();
                assert!(
                    next.is_none_or(|(at, _)| at > self.now),
                    "{next:?} is past at {:?}",
                    self.now
                );
            }
        }
        self.pump();
    }

    /// Hands a message to the resolver as the reply to an exchange.
    pub(crate) fn inject(&mut self, exchange: ExchangeId, wire: &[u8]) {
        self.resolver.handle_reply(exchange, wire, self.now);
        self.pump();
    }

    /// Returns `SERVER NAME TYPE` of all messages that have left, and forgets them.
    pub(crate) fn take_sent(&mut self) -> Vec<String> {
        let texts = self.sent.iter().map(Sent::to_string).collect();
        self.sent.clear();
        texts
    }

    /// Returns what the resolver says of a scope.
    pub(crate) fn status(&self, scope: &str) -> ScopeStatus {
        let scopes = self.resolver.status(self.now);
        let found = scopes.into_iter().find(|status| &*status.id.0 == scope);
        found.unwrap()
    }

    pub(crate) fn pump(&mut self) {
        while let Some(answer) = self.resolver.poll_answer() {
            let ask = &self.asks[&answer.client];
            let seen = Seen::new(&answer.wire, ask, self.now);
            self.answered.entry(answer.client).or_default().push(seen);
        }
        while let Some(transmit) = self.resolver.poll_transmit() {
            self.carry(&transmit);
        }
        while let Some(exchange) = self.resolver.poll_cancel() {
            self.cancelled.push(exchange);
            self.arrivals.retain(|_, (other, _)| *other != exchange);
        }
        while self.resolver.poll_event().is_some() {}
    }

    fn carry(&mut self, transmit: &Transmit) {
        let asked = Ask::read(&transmit.wire, transmit.channel);
        let of = |scope: &policy::ScopePlan| {
            scope.link == transmit.link && scope.upstreams.contains(&transmit.upstream)
        };
        // A walk from the root down asks whom it likes, on the link of its scope.
        let on_link = |scope: &policy::ScopePlan| scope.link == transmit.link;
        let scopes = &self.plan.dns.scopes;
        let scope = scopes.iter().find(|(_, scope)| of(scope));
        let scope = scope.or_else(|| scopes.iter().find(|(_, scope)| on_link(scope)));
        let scope = scope.map(|(id, _)| id.clone());
        let sent = Sent {
            at: self.now,
            exchange: transmit.exchange,
            scope: scope.expect("a message is for a scope of the plan in force"),
            link: transmit.link.as_ref().and_then(|link| link.id),
            server: transmit.upstream.address,
            transport: transmit.upstream.transport,
            channel: transmit.channel,
            asked,
            mark: transmit.mark,
            wire: transmit.wire.clone(),
        };
        let Some(server) = self.servers.get_mut(&sent.server) else {
            self.sent.push(sent);
            return;
        };
        let say = match server.objects(&sent) {
            Some(say) => say,
            None => server.say(&sent.asked),
        };
        let delay = server.takes(&sent);
        let wire = &transmit.wire;
        self.sending = Some(sent.clone());
        self.say(&sent, wire, &say, delay);
        self.sending = None;
        self.sent.push(sent);
    }

    fn say(&mut self, sent: &Sent, query: &[u8], say: &Say, delay: Duration) {
        let whole = |code, rows: &Records<'_>| Arrival::Reply(reply(query, code, rows));
        let soa = |ttl: u32, minimum: u32| {
            let zone = sent.asked.name.rsplit('.').next().unwrap_or_default();
            [format!("{zone}. {ttl} SOA {minimum}")]
        };
        let arrival = match say {
            Say::Answer(rows) => whole(0, &Records::answers(rows)),
            Say::Sections(code, [answers, authority, additional]) => {
                let records = Records {
                    authority,
                    additional,
                    ..Records::answers(answers)
                };
                whole(*code, &records)
            }
            Say::Anything(address) if sent.asked.record_type == 1 => {
                let name = sent.asked.name.trim_end_matches('.');
                whole(0, &Records::answers(&[format!("{name}. 60 A {address}")]))
            }
            Say::Anything(_) => whole(0, &Records::default()),
            Say::NoName(minimum, ttl) => whole(3, &Records::authority(&soa(*ttl, *minimum))),
            Say::NoRecords(minimum, ttl) => whole(0, &Records::authority(&soa(*ttl, *minimum))),
            Say::Code(code) => whole(*code, &Records::default()),
            Say::Error(rcode, code, text) => {
                let records = Records {
                    error: Some((*code, text)),
                    ..Records::default()
                };
                whole(*rcode, &records)
            }
            Say::Silence => return,
            Say::Fail(failure) => Arrival::Failure(*failure),
            Say::Truncated(rest) if sent.channel == Channel::Tcp => {
                self.say(sent, query, rest, delay);
                return;
            }
            Say::Truncated(_) => {
                let mut wire = reply(query, 0, &Records::default());
                wire[2] |= 0x02;
                Arrival::Reply(wire)
            }
            Say::ByStream(udp, tcp) => {
                let which = match sent.channel {
                    Channel::Udp => udp,
                    Channel::Tcp => tcp,
                };
                self.say(sent, query, which, delay);
                return;
            }
            Say::NoEdns(rest) if !sent.asked.edns => {
                self.say(sent, query, rest, delay);
                return;
            }
            Say::NoEdns(_) => {
                let mut wire = query[..12].to_vec();
                wire[2] |= 0x80;
                wire[3] = 1;
                wire[4..].fill(0);
                Arrival::Reply(wire)
            }
            Say::Spoiled(spoil, rest) => {
                let before = self.last;
                self.say(sent, query, rest, delay);
                let made = self.arrivals.iter().find(|((_, id), _)| *id > before);
                let Some((_, (_, Arrival::Reply(wire)))) = made else {
                    return;
                };
                let mut wire = wire.clone();
                spoil(&mut wire);
                self.arrive(sent.exchange, Arrival::Reply(wire), delay / 2);
                return;
            }
        };
        self.arrive(sent.exchange, arrival, delay);
    }

    fn arrive(&mut self, exchange: ExchangeId, mut arrival: Arrival, delay: Duration) {
        let asked = self.sending.as_ref();
        let server = asked.and_then(|sent| Some((sent, self.servers.get(&sent.server)?)));
        if let (Arrival::Reply(wire), Some((sent, server))) = (&mut arrival, server) {
            server.dress(sent, wire);
        }
        self.last += 1;
        let key = (self.now + delay, self.last);
        self.arrivals.insert(key, (exchange, arrival));
    }
}

impl Server {
    /// Answers a question, `NAME TYPE`, with rows.
    pub(crate) fn answers(&mut self, question: &str, rows: &[&str]) -> &mut Self {
        let rows = rows.iter().map(|&row| row.to_owned()).collect();
        self.says(question, Say::Answer(rows))
    }

    /// Says this to a question, `NAME TYPE`.
    pub(crate) fn says(&mut self, question: &str, say: Say) -> &mut Self {
        let asked = asked(question);
        let name = asked.name.parse().unwrap();
        self.says.insert((name, asked.record_type), say);
        self
    }

    /// Says this to all other questions.
    pub(crate) fn otherwise(&mut self, say: Say) -> &mut Self {
        self.otherwise = say;
        self
    }

    /// How long it takes to answer a message.
    fn takes(&mut self, sent: &Sent) -> Duration {
        if !self.in_turn || sent.channel == Channel::Udp {
            return self.delay;
        }
        self.busy_until = self.busy_until.max(sent.at) + self.delay;
        self.busy_until.since(sent.at)
    }

    /// What it says of a message before it looks at the question.
    fn objects(&mut self, sent: &Sent) -> Option<Say> {
        if let Some(failure) = self.closed {
            let resets = failure == Failure::Refused && sent.channel == Channel::Tcp;
            let is_due = |at: Instant| sent.at.since(at) >= Duration::from_secs(1);
            let tells = self.told_at.is_none_or(is_due);
            if tells && !resets {
                self.told_at = Some(sent.at);
            }
            return Some(match tells || resets {
                true => Say::Fail(failure),
                false => Say::Silence,
            });
        }
        let cookie = sent.cookie();
        if let Some((_, failure)) = self.shut.filter(|(shut, _)| *shut == sent.transport) {
            return Some(failure.map_or(Say::Silence, Say::Fail));
        }
        if self.deaf && sent.channel == Channel::Udp {
            return Some(Say::Silence);
        }
        if self.swallows_cookies && cookie.is_some() {
            return Some(Say::Silence);
        }
        let right = cookie
            .is_some_and(|(_, server)| Some(&*server) == self.cookie.as_ref().map(|own| &own[..]));
        let demands = self.demands_cookie && sent.channel == Channel::Udp;
        (demands && !right).then_some(Say::Code(crate::wire::rcode::BADCOOKIE))
    }

    /// Gives a reply what it does to all of them.
    fn dress(&self, sent: &Sent, wire: &mut Vec<u8>) {
        if self.respells && sent.channel == Channel::Udp {
            let end = 12 + sent.asked.name.len() + 1;
            wire[12..end].make_ascii_lowercase();
        }
        if let (Some(own), Some((client, _))) = (self.cookie, sent.cookie()) {
            let at = wire.len() - 2;
            wire[at..].copy_from_slice(&20u16.to_be_bytes());
            wire.extend_from_slice(&[0, 10, 0, 16]);
            wire.extend_from_slice(&client);
            wire.extend_from_slice(&own);
        }
    }

    fn say(&mut self, asked: &Ask) -> Say {
        if self.silent {
            return Say::Silence;
        }
        if self.loses > 0 {
            self.loses -= 1;
            return Say::Silence;
        }
        // xorshift64, so that the seed tells the whole story.
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        // What is lost of a stream is sent again by the kernel.
        if self.chance % 100 < self.loss && asked.channel == Channel::Udp {
            return Say::Silence;
        }
        let key = (asked.name.parse().unwrap(), asked.record_type);
        self.says.get(&key).unwrap_or(&self.otherwise).clone()
    }
}

impl Sent {
    /// Returns the cookie of the client and that of the server, when the message has a cookie; it is the only option.
    pub(crate) fn cookie(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        let opt = 12 + self.asked.name.len() + 2 + 4 + 11;
        let option = self.wire.get(opt + 4..)?;
        let (client, server) = option.split_at_checked(8)?;
        Some((client.to_vec(), server.to_vec()))
    }
}

impl std::fmt::Display for Sent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tcp = match self.channel {
            Channel::Udp => "",
            Channel::Tcp => " by tcp",
        };
        let kind = crate::present::type_name(self.asked.record_type);
        write!(f, "{} {} {kind}{tcp}", self.server, self.asked.name)
    }
}

impl Default for Ask {
    fn default() -> Self {
        Self {
            id: 4711,
            name: String::new(),
            record_type: 1,
            class: 1,
            flags: 0x0100,
            edns: true,
            version: 0,
            dnssec_ok: false,
            udp_size: 4096,
            questions: 1,
            stub: Stub::Main,
            channel: Channel::Udp,
        }
    }
}

fn understand(main: &str, profiles: &BTreeMap<&str, &str>) -> Config {
    let layer = |path: String, kind, text: &str| Layer {
        origin: Origin {
            rank: Rank::Admin,
            path: path.into(),
        },
        text: text.to_owned(),
        kind,
    };
    let mut layers = vec![layer("linnet.toml".into(), LayerKind::Main, main)];
    for (id, text) in profiles {
        let kind = LayerKind::Profile(ProfileId((*id).into()));
        layers.push(layer(format!("profiles/{id}.toml"), kind, text));
    }
    let loaded = config::load(&layers);
    assert!(!loaded.has_errors(), "{:#?}", loaded.diagnostics);
    let mut config = loaded.config;
    // Where upstreams are silent, nobody else is asked, unless a story is about that.
    if !main.contains("recursion") {
        config.resolver.recursion = RecursionMode::Never;
    }
    // Nor is a network asked whether it translates, unless the story says so.
    if !main.contains("dns64") {
        config.resolver.dns64 = config::model::Dns64::Off;
    }
    config
}
