//! How does the client go from state to state? What messages and moments change, and what is told of it.

use super::*;
use crate::dhcp6::compose::rapid_commit;

/// Transitions in a row at one moment: more would be a mistake.
const TRANSITIONS_MAX: u32 = 8;

impl Client {
    pub(super) fn pause(&mut self) {
        if self.state != State::Released {
            self.state = if self.leases.is_held() {
                State::Bound
            } else {
                State::Idle
            };
        }
        self.information = Information::Idle;
        if self.notice.take().is_some() && self.state == State::Released {
            self.events.push_back(Event::Released);
        }
        self.registrations.begin_anew();
    }

    /// RFC 8415 §18.2.3, §18.2.12: addresses are confirmed; with prefixes anybody is asked to prolong all.
    pub(super) fn reattach(&mut self, now: Instant) {
        self.pause();
        self.confirmed = false;
        self.setbacks = 0;
        if self.link_local.is_none() || !self.leases.is_held() {
            return;
        }
        if self.leases.of(Sort::Prefixes).next().is_some() {
            self.rebind(now);
        } else {
            self.confirm(now);
        }
    }

    pub(super) fn confirm(&mut self, now: Instant) {
        let kind = MessageType::Confirm;
        let exchange = Exchange::new(kind, Manner::of(kind), &mut self.rng, now);
        self.state = State::Confirming(exchange.until(Some(now + CONFIRM_FOR)));
    }

    /// The delay of RFC 8415 §18.2.1 keeps hosts apart that start together; the check of their link-local addresses did (RFC
    /// 4862 §5.4.2).
    pub(super) fn solicit(&mut self, now: Instant) {
        self.forget_setbacks(now);
        let at = match self.setbacks.checked_sub(1) {
            None => now,
            Some(doublings) => now + SETBACK * 2_u32.pow(doublings.min(SETBACKS_MAX)),
        };
        let kind = MessageType::Solicit;
        let manner = Manner::of(kind).with_longest(self.sol_max_rt);
        self.state = State::Soliciting(Exchange::new(kind, manner, &mut self.rng, at), None);
    }

    fn set_back(&mut self, now: Instant) {
        self.count_setback(now);
        self.solicit(now);
    }

    pub(super) fn count_setback(&mut self, now: Instant) {
        self.forget_setbacks(now);
        self.setbacks = (self.setbacks + 1).min(SETBACKS_MAX);
    }

    fn forget_setbacks(&mut self, now: Instant) {
        if self
            .well_since
            .take()
            .is_some_and(|since| now.since(since) > WELL)
        {
            self.setbacks = 0;
        }
    }

    fn request(&mut self, server: Vec<u8>, leases: Vec<(Sort, Vec<Prefix>)>, now: Instant) {
        let kind = MessageType::Request;
        let exchange = Exchange::new(kind, Manner::of(kind), &mut self.rng, now);
        self.state = State::Requesting(exchange, server, leases);
    }

    pub(super) fn renew(&mut self, now: Instant) {
        let kind = MessageType::Renew;
        let exchange = Exchange::new(kind, Manner::of(kind), &mut self.rng, now);
        let ends_at = earlier(self.leases.rebind_at, self.leases.last_until());
        self.state = State::Renewing(exchange.until(ends_at));
    }

    pub(super) fn rebind(&mut self, now: Instant) {
        let kind = MessageType::Rebind;
        let exchange = Exchange::new(kind, Manner::of(kind), &mut self.rng, now);
        self.state = State::Rebinding(exchange.until(self.leases.last_until()));
    }

    pub(super) fn notify(
        &mut self,
        kind: MessageType,
        leases: Vec<(Sort, Vec<Prefix>)>,
        now: Instant,
    ) {
        self.notice = Some(Notice {
            exchange: Exchange::new(kind, Manner::of(kind), &mut self.rng, now),
            server: self.leases.server.clone(),
            leases,
        });
        self.keep = true;
    }

    /// Takes an Advertise; whether it was waited for.
    pub(super) fn advertised(&mut self, message: &Message, now: Instant) -> bool {
        let wanted = self.sorts();
        let iaid = self.setup.iaid;
        let State::Soliciting(exchange, best) = &mut self.state else {
            return false;
        };
        if exchange.transaction != message.transaction || exchange.sent == 0 {
            return false;
        }
        // RFC 8415 §18.2.9: of an advertisement without leases this counts all the same.
        if message.sol_max_rt.is_some() {
            self.sol_max_rt = message.sol_max_rt;
            exchange.set_longest(message.sol_max_rt);
        }
        self.complaint = complaint(message, &wanted, iaid).or_else(|| self.complaint.take());
        let leases: Vec<(Sort, Vec<Prefix>)> = wanted
            .iter()
            .filter_map(|sort| {
                let association = message.association(*sort, iaid)?;
                let leases = association.leases.iter();
                let leases: Vec<Prefix> = leases
                    .filter(|lease| !lease.valid.is_zero())
                    .map(|lease| lease.prefix)
                    .collect();
                (!leases.is_empty()).then_some((*sort, leases))
            })
            .collect();
        if leases.is_empty() {
            if matches!(self.information, Information::Idle) {
                self.inquire(now);
            }
            return true;
        }
        let rank = (leases.len(), message.preference);
        let is_best = rank == (wanted.len(), BEST) || exchange.is_past_first();
        if best.as_ref().is_none_or(|best| rank > best.rank) {
            *best = Some(Box::new(Offer {
                server: message.server.clone().unwrap_or_default(),
                leases,
                rank,
            }));
        }
        if is_best && let Some(offer) = best.take() {
            self.request(offer.server, offer.leases, now);
        }
        true
    }

    /// Takes a Reply; whether it was waited for.
    pub(super) fn replied(&mut self, message: &Message, octets: &[u8], now: Instant) -> bool {
        let is_its =
            |exchange: &Exchange| exchange.transaction == message.transaction && exchange.sent > 0;
        if self
            .notice
            .as_ref()
            .is_some_and(|notice| is_its(&notice.exchange))
        {
            self.end_notice();
            return true;
        }
        if let Information::Asking(exchange, server) = &self.information
            && is_its(exchange)
        {
            if server.is_some() && message.server != *server {
                return false;
            }
            self.informed(message, octets, now);
            return true;
        }
        let extent = match &self.state {
            State::Soliciting(exchange, _) if is_its(exchange) => {
                // RFC 8415 §18.2.10: without the option it answers something else.
                if !message.rapid_commit || !rapid_commit(&self.setup) {
                    return false;
                }
                Extent::Whole
            }
            State::Requesting(exchange, server, _) if is_its(exchange) => {
                if message.server.as_ref() != Some(server) {
                    return false;
                }
                Extent::Whole
            }
            State::Renewing(exchange) | State::Rebinding(exchange) if is_its(exchange) => {
                Extent::Part
            }
            State::Confirming(exchange) if is_its(exchange) => {
                self.confirmed_by(message, now);
                return true;
            }
            State::Idle
            | State::Bound
            | State::Released
            | State::Soliciting(..)
            | State::Requesting(..)
            | State::Confirming(_)
            | State::Renewing(_)
            | State::Rebinding(_) => return false,
        };
        self.take(message, octets, extent, now);
        true
    }

    fn confirmed_by(&mut self, message: &Message, now: Instant) {
        match message.status.as_ref().map(|status| status.code) {
            Some(StatusCode::NotOnLink) => {
                self.leases.lose(now);
                self.granted = <_>::default();
                self.keep = true;
                self.solicit(now);
            }
            // A Reply without a status is one of success (RFC 8415 §21.13).
            Some(StatusCode::Success) | None => {
                self.confirmed = true;
                self.state = State::Bound;
            }
            Some(
                StatusCode::UnspecFail
                | StatusCode::NoAddrsAvail
                | StatusCode::NoBinding
                | StatusCode::UseMulticast
                | StatusCode::NoPrefixAvail
                | StatusCode::Other(_),
            ) => self.complaint.clone_from(&message.status),
        }
    }

    fn take(&mut self, message: &Message, octets: &[u8], extent: Extent, now: Instant) {
        let wanted = self.sorts();
        let overall = message.status.as_ref().map(|status| status.code);
        self.complaint = complaint(message, &wanted, self.setup.iaid);
        // RFC 8415 §18.2.10: what it is asked again.
        if matches!(
            overall,
            Some(StatusCode::UnspecFail | StatusCode::UseMulticast)
        ) {
            return;
        }
        let before = self.leases.is_held();
        let outcome = self
            .leases
            .take(message, &wanted, self.setup.iaid, extent, now);
        self.keep = true;
        let asked_anew = extent == Extent::Part
            && (outcome.no_binding || overall == Some(StatusCode::NoBinding));
        if outcome.not_on_link || overall == Some(StatusCode::NotOnLink) {
            self.leases.lose(now);
            self.set_back(now);
        } else if asked_anew {
            // RFC 8415 §18.2.10.1: what it does not know it may grant.
            let leases = self.asked_for();
            self.request(message.server.clone().unwrap_or_default(), leases, now);
        } else if outcome.granted {
            self.bound(message, octets, now);
        } else if extent == Extent::Whole {
            self.set_back(now);
        } else if before && !self.leases.is_held() {
            // It took back all that there was.
            self.solicit(now);
        }
    }

    fn bound(&mut self, message: &Message, octets: &[u8], now: Instant) {
        self.state = State::Bound;
        self.confirmed = true;
        self.well_since.get_or_insert(now);
        self.granted = (Offered::of(message, &self.setup.link), octets.to_vec());
        self.common(message);
    }

    /// Takes what any Reply may have.
    fn common(&mut self, message: &Message) {
        // RFC 8415 §21.24, §21.25.
        self.sol_max_rt = message.sol_max_rt.or(self.sol_max_rt);
        self.inf_max_rt = message.inf_max_rt.or(self.inf_max_rt);
        let key = message.authentication.as_deref().and_then(Key::from_reply);
        self.key = key.or(self.key);
        // RFC 9686 §4.1: where routers say nothing of DHCPv6, addresses are not registered; who has said it once need not say it
        // again.
        let may = self.setup.settings.register && !self.setup.settings.anonymous;
        let is_told = self.flags.managed || self.flags.other;
        self.registrations.wanted |= message.registration && may && is_told;
    }

    fn informed(&mut self, message: &Message, octets: &[u8], now: Instant) {
        let code = message.status.as_ref().map(|status| status.code);
        if !matches!(code, Some(StatusCode::Success) | None) {
            // RFC 8415 §18.2.10: it is asked again.
            self.complaint.clone_from(&message.status);
            return;
        }
        self.complaint = None;
        if let Information::Asking(_, Some(_)) = self.information
            && self.leases.is_held()
        {
            return self.informed_beside(message, octets);
        }
        let refresh = message.refresh.unwrap_or(REFRESH).max(REFRESH_MIN);
        // RFC 8415 §21.23: all ones say never; a day's question is no burden, and finds out what has changed.
        let refresh = if refresh == u32::MAX {
            REFRESH
        } else {
            refresh
        };
        self.information = Information::Informed {
            refresh_at: now + Duration::from_secs(refresh.into()),
        };
        self.informed = (Offered::of(message, &self.setup.link), octets.to_vec());
        if !self.leases.is_held() {
            self.confirmed = true;
        }
        self.keep = true;
        self.common(message);
    }

    /// Takes what a server that has given leases says anew of the rest: it stands in for what came with them, until the next comes with
    /// them. They stay as they are.
    fn informed_beside(&mut self, message: &Message, octets: &[u8]) {
        self.information = Information::Idle;
        self.granted = (Offered::of(message, &self.setup.link), octets.to_vec());
        self.keep = true;
        self.common(message);
    }

    /// Takes a Reconfigure (RFC 8415 §18.2.11); whether it was to be believed.
    pub(super) fn reconfigured(&mut self, message: &Message, octets: &[u8], now: Instant) -> bool {
        let believed = self.key.as_mut().is_some_and(|key| key.takes(octets));
        if !believed {
            return false;
        }
        match (message.reconfigure, &self.state) {
            (Some(MessageType::Renew), State::Bound) => self.renew(now),
            (Some(MessageType::Rebind), State::Bound) => self.rebind(now),
            // Everything was given back: nobody waits for an answer.
            (_, State::Released) => return false,
            // RFC 8415 §18.2.11: while that goes on, no other one for it is heard; those for Renew and Rebind are.
            (Some(MessageType::InformationRequest), _)
                if matches!(self.information, Information::Asking(_, Some(_))) =>
            {
                return false;
            }
            (Some(MessageType::InformationRequest), _) => {
                // RFC 8415 §18.2.6: it is named.
                self.ask_for_information(message.server.clone(), now);
            }
            // It is being asked already, or has nothing of ours.
            (Some(_) | None, _) => return false,
        }
        true
    }

    pub(super) fn inquire(&mut self, now: Instant) {
        self.ask_for_information(None, now);
    }

    fn ask_for_information(&mut self, server: Option<Vec<u8>>, now: Instant) {
        let kind = MessageType::InformationRequest;
        let manner = Manner::of(kind).with_longest(self.inf_max_rt);
        let exchange = Exchange::new(kind, manner, &mut self.rng, now);
        let ends_at = server.is_some().then(|| now + TOLD_FOR);
        self.information = Information::Asking(exchange.until(ends_at), server);
    }

    pub(super) fn end_notice(&mut self) {
        self.notice = None;
        if self.state == State::Released {
            self.events.push_back(Event::Released);
        }
    }

    /// Sends what is due, and tells what has changed.
    pub(super) fn settle(&mut self, now: Instant) {
        self.leases.expire(now);
        if self.link_local.is_some() {
            for _ in 0..TRANSITIONS_MAX {
                if !self.advance(now) {
                    break;
                }
            }
            self.drive_information(now);
            self.drive_notice(now);
            let Self {
                registrations,
                setup,
                rng,
                transmits,
                ..
            } = self;
            registrations.drive(setup, rng, transmits, now);
        }
        self.tell(now);
    }

    /// Does what the state has due; whether it is another one then.
    fn advance(&mut self, now: Instant) -> bool {
        let is_held = self.leases.is_held();
        let wants = !self.sorts().is_empty();
        let step = match &mut self.state {
            State::Released => return false,
            State::Idle => {
                if wants {
                    self.solicit(now);
                }
                return wants;
            }
            State::Soliciting(..) if !wants => {
                self.state = State::Idle;
                return false;
            }
            State::Soliciting(exchange, best) => {
                // RFC 8415 §18.2.1: the first wait is over, and somebody has answered.
                if exchange.sent > 0
                    && exchange.next_at <= now
                    && let Some(offer) = best.take()
                {
                    self.request(offer.server, offer.leases, now);
                    return true;
                }
                exchange.step(&mut self.rng, now)
            }
            State::Bound | State::Confirming(_) | State::Renewing(_) | State::Rebinding(_)
                if !is_held =>
            {
                self.granted = <_>::default();
                self.keep = true;
                self.state = State::Idle;
                return true;
            }
            State::Bound => {
                let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
                if is_due(self.leases.rebind_at) {
                    self.rebind(now);
                } else if is_due(self.leases.renew_at) {
                    self.renew(now);
                } else {
                    return false;
                }
                return true;
            }
            State::Requesting(exchange, ..)
            | State::Confirming(exchange)
            | State::Renewing(exchange)
            | State::Rebinding(exchange) => exchange.step(&mut self.rng, now),
        };
        match step {
            Step::Wait => false,
            Step::Send => {
                self.send_state(now);
                false
            }
            Step::Failed => {
                match &self.state {
                    State::Requesting(..) => self.set_back(now),
                    // RFC 8415 §18.2.3: without an answer they are used as they are.
                    State::Confirming(_) => self.state = State::Bound,
                    State::Renewing(_) => self.rebind(now),
                    State::Rebinding(_) => {
                        self.leases.lose(now);
                        self.solicit(now);
                    }
                    State::Idle | State::Soliciting(..) | State::Bound | State::Released => {}
                }
                true
            }
        }
    }

    fn send_state(&mut self, now: Instant) {
        let (exchange, server, associations) = match &self.state {
            State::Soliciting(exchange, _) => (exchange, None, self.asked_for()),
            State::Requesting(exchange, server, leases) => {
                (exchange, Some(server.as_slice()), leases.clone())
            }
            State::Confirming(exchange) => (exchange, None, self.held()),
            State::Renewing(exchange) => (
                exchange,
                Some(self.leases.server.as_slice()),
                self.asked_for(),
            ),
            State::Rebinding(exchange) => (exchange, None, self.asked_for()),
            State::Idle | State::Bound | State::Released => return,
        };
        let about = About {
            server,
            associations: &associations,
        };
        let octets = compose(&self.setup, exchange, about, now);
        self.send(octets);
    }

    fn send(&mut self, octets: Vec<u8>) {
        self.transmits.push_back(Transmit {
            to: ALL_SERVERS,
            from: None,
            octets,
        });
    }

    fn drive_information(&mut self, now: Instant) {
        let wants = self.wants_information();
        match &self.information {
            // Who has told of it waits, whatever is held.
            Information::Asking(_, Some(_)) => {}
            Information::Idle if wants => self.inquire(now),
            Information::Informed { refresh_at } if wants && *refresh_at <= now => {
                self.inquire(now);
            }
            // Nobody says any more that there is anything.
            Information::Informed { .. } | Information::Asking(_, None)
                if !wants && self.sorts().is_empty() =>
            {
                self.information = Information::Idle;
                self.informed = <_>::default();
            }
            // Leases have come, and with them the rest.
            Information::Informed { .. } | Information::Asking(_, None)
                if !wants && self.state == State::Bound =>
            {
                self.information = Information::Idle;
            }
            Information::Idle | Information::Informed { .. } | Information::Asking(_, None) => {}
        }
        let Information::Asking(exchange, server) = &mut self.information else {
            return;
        };
        match exchange.step(&mut self.rng, now) {
            Step::Wait => {}
            Step::Send => {
                let about = About {
                    server: server.as_deref(),
                    associations: &[],
                };
                let octets = compose(&self.setup, exchange, about, now);
                self.send(octets);
            }
            Step::Failed => {
                self.information = Information::Idle;
                if wants {
                    self.drive_information(now);
                } else if self.sorts().is_empty() {
                    // Nobody says any more that there is anything; what waited for an answer kept it.
                    self.informed = <_>::default();
                }
            }
        }
    }

    fn drive_notice(&mut self, now: Instant) {
        let Some(notice) = &mut self.notice else {
            return;
        };
        match notice.exchange.step(&mut self.rng, now) {
            Step::Wait => {}
            Step::Send => {
                let about = About {
                    server: Some(&notice.server),
                    associations: &notice.leases,
                };
                let octets = compose(&self.setup, &notice.exchange, about, now);
                self.send(octets);
            }
            Step::Failed => self.end_notice(),
        }
    }
}

/// Returns the first complaint of a message.
fn complaint(message: &Message, wanted: &[Sort], iaid: u32) -> Option<Status> {
    let associations = wanted
        .iter()
        .filter_map(|sort| message.association(*sort, iaid)?.status.as_ref());
    let mut all = message.status.iter().chain(associations);
    all.find(|status| status.code != StatusCode::Success)
        .cloned()
}
