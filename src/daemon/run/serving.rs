//! What becomes of a question in the loop? From sockets and listeners to the resolver, and from there to clients and upstreams.

use config::time::Instant;
use resolver::{ClientId, ClientQuery, Resolver};
use resolver_io::Input as Wire;
use resolver_io::listeners::Asked;

use super::Running;
use crate::clock;
use crate::observe::Observers;
use crate::world::World;

/// Questions of listeners that are taken before others have their turn.
const ASKED_MAX: usize = 31;

impl Running<'_> {
    /// Hands the resolver what the listeners brought.
    pub(super) fn ask(&mut self, client: ClientId, asked: &Asked) {
        let now = clock::now();
        let resolver = &mut self.world.resolver;
        let mut ask = |client, asked: &Asked| {
            let query = ClientQuery {
                client,
                stub: asked.stub,
                channel: asked.caller.channel,
                origin: Some(asked.caller.peer.ip()),
                wire: &asked.wire,
            };
            resolver.handle_query(query, now);
            if self.observers.wants_queries() {
                self.observers.query(client, &asked.caller, &asked.wire);
            }
        };
        ask(client, asked);
        for _ in 0..ASKED_MAX {
            let Some((client, asked)) = self.listeners.try_next() else {
                break;
            };
            ask(client, &asked);
        }
    }

    /// Hands the resolver what the sockets brought.
    pub(super) fn pump(&mut self) {
        let now = clock::now();
        let resolver = &mut self.world.resolver;
        while let Some(input) = self.driver.poll_input() {
            match input {
                Wire::Query {
                    client,
                    stub,
                    channel,
                    origin,
                    wire,
                } => {
                    let query = ClientQuery {
                        client,
                        stub,
                        channel,
                        origin,
                        wire,
                    };
                    let tapped = self.observers.wants_queries().then(|| wire.to_vec());
                    resolver.handle_query(query, now);
                    if let Some(wire) = tapped
                        && let Some(caller) = self.driver.caller_of(client)
                    {
                        self.observers.query(client, &caller, &wire);
                    }
                }
                Wire::Reply { .. } | Wire::Failed { .. } | Wire::ClientGone(_) => {
                    hand_over(input, resolver, &mut self.observers, now);
                }
            }
        }
    }

    /// Hands the resolver what came from upstreams while the loop was away, before anything is called late.
    pub(super) async fn catch_up(&mut self, now: Instant) {
        let resolver = &mut self.world.resolver;
        resolver.handle_absence(now);
        let observers = &mut self.observers;
        self.driver
            .catch_up(|input| hand_over(input, resolver, observers, now))
            .await;
    }

    /// Takes what sockets have brought, and sends what follows from it, but nothing else: whoever is in the midst of something that
    /// has an order may call it.
    pub(super) fn attend(&mut self) {
        self.pump();
        self.send();
        self.driver.finish_round();
    }

    /// Hands on the resolver's answers, and what it has for upstreams.
    pub(super) fn send(&mut self) {
        while let Some(answer) = self.world.resolver.poll_answer() {
            if World::is_mine(answer.client) {
                self.world.take_answer(&answer);
            } else {
                self.observers.answer(&answer);
                let Some(answer) = self.listeners.answer(answer) else {
                    continue;
                };
                self.driver.answer(answer);
            }
        }
        while let Some(transmit) = self.world.resolver.poll_transmit() {
            self.observers.transmit(&transmit);
            self.driver.transmit(transmit);
        }
        while let Some(exchange) = self.world.resolver.poll_cancel() {
            self.observers.ended(exchange);
            self.driver.cancel(exchange);
        }
        while let Some(hangup) = self.world.resolver.poll_hangup() {
            self.driver.hang_up(&hangup);
        }
        self.world.resolver.note_unread(self.driver.lost());
        self.driver.set_clock(self.world.resolver.clock());
        while let Some(visit) = self.world.resolver.poll_visit() {
            self.visits.begin(&mut self.driver, visit);
        }
    }
}

/// Hands the resolver what is no question.
fn hand_over(input: Wire<'_>, resolver: &mut Resolver, observers: &mut Observers, now: Instant) {
    match input {
        // They stay with the driver until they are asked for.
        Wire::Query { .. } => {}
        Wire::Reply { exchange, wire } => {
            observers.reply(exchange, wire);
            resolver.handle_reply(exchange, wire, now);
        }
        Wire::Failed { exchange, failure } => {
            observers.ended(exchange);
            resolver.handle_failure(exchange, failure, now);
        }
        Wire::ClientGone(client) => {
            observers.gone(client);
            resolver.handle_client_gone(client);
        }
    }
}
