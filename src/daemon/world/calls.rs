//! What does a caller of the control interface get? Each method's answer, at once or when the resolver has one.

use config::name::DomainName;
use config::time::Instant;
use linnet::api::{
    ClaimParameters, ExplainParameters, FlushParameters, FlushReply, QueryParameters, QueryReply,
    Reply, WithdrawParameters,
};
use resolver::event::Trace;
use resolver::present::{parse_type, rcode_name, type_name};
use resolver::record::parse_reply;
use resolver::wire::{Question, build_query, class, rtype};
use resolver::{Channel, ClientId, ClientQuery, Flush, Stub};
use serde::Serialize;
use serde_json::json;
use tokio::sync::oneshot;

use super::{Effect, World};
use crate::control::{Caller, error, invalid_parameter, to_value};
use crate::convert;
use crate::input::{ControlCall, Method};

/// The low half of the ids of callers' questions: a place that the driver never has.
const MINE: u64 = u32::MAX as u64;
/// The message id of callers' questions; nobody else sees them.
const MESSAGE_ID: u16 = 0;
/// Callers' questions at a time.
const MAX_ASKING: usize = 256;

/// Whether a client is a caller of the control interface.
pub(super) fn is_mine(client: ClientId) -> bool {
    client.0 & MINE == MINE
}

/// A caller's question on its way.
#[derive(Debug)]
pub(super) struct Asking {
    question: Question,
    caller: Caller,
    asked_at: Instant,
    answer: oneshot::Sender<Reply>,
    pub(super) wire: Option<Vec<u8>>,
    pub(super) trace: Option<Box<Trace>>,
}

impl Asking {
    /// Says who asks, as traces do.
    pub(super) fn caller(&self) -> String {
        format!("control {}", self.caller)
    }
}

impl World {
    pub(super) fn handle_call(
        &mut self,
        call: ControlCall,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        let ControlCall {
            connection,
            caller,
            method,
            answer,
        } = call;
        // Whoever looks wants to see how it is, next time at the latest.
        self.resolver.stir_reach(now);
        let only_looks = matches!(
            method,
            Method::Status(_) | Method::Explain(_) | Method::Plan
        );
        let reply = match method {
            Method::Status(parameters) => done(&self.status(parameters, now)),
            Method::Query(parameters) => {
                self.ask(&parameters, caller, answer, now, effects);
                return;
            }
            Method::Explain(ExplainParameters { name }) => match name.parse() {
                Ok(name) => done(&self.explain(&name, now)),
                Err(_) => invalid_parameter("name"),
            },
            Method::Claim(parameters) => self.claim(parameters, connection, &caller),
            Method::Withdraw(WithdrawParameters { owner }) => {
                if self.claims.withdraw(&owner) {
                    tracing::info!(%caller, "a claim is withdrawn");
                    done(&json!({}))
                } else {
                    error("NoSuchClaim", format!("there is no claim {owner}"))
                }
            }
            Method::Flush(parameters) => self.flush(&parameters),
            Method::AddNegativeAnchor(parameters) => {
                self.add_negative_anchor(&parameters, &caller, now, effects)
            }
            Method::RemoveNegativeAnchor(parameters) => {
                self.remove_negative_anchor(&parameters, &caller, effects)
            }
            Method::Steer(steer, parameters) => {
                self.steer(steer, &parameters, &caller, now, effects)
            }
            Method::Plan => self.tell_plan(now),
            Method::Reload => {
                self.reload(Some(answer), effects);
                return;
            }
            Method::Browse(parameters, notices) => {
                self.browse(&parameters, connection, notices, now)
            }
            Method::Subscribe(notices, parameters, names) => {
                effects.push(Effect::Subscribe(notices, parameters, names));
                done(&json!({}))
            }
        };
        // A claim holds before its caller hears of it.
        if !only_looks {
            self.replan(now, effects);
        }
        effects.push(Effect::Reply(answer, reply));
    }

    fn claim(
        &mut self,
        parameters: ClaimParameters,
        connection: crate::input::ConnectionId,
        caller: &Caller,
    ) -> Reply {
        match self.claims.make(parameters, connection, caller) {
            Ok(()) => {
                tracing::info!(%caller, "a claim is made");
                done(&json!({}))
            }
            Err(mistakes) => {
                let mut reply = error("InvalidClaim", mistakes.join("; "));
                if let Some(parameters) = reply.parameters.as_object_mut() {
                    parameters.insert("diagnostics".to_owned(), json!(mistakes));
                }
                reply
            }
        }
    }

    fn flush(&mut self, parameters: &FlushParameters) -> Reply {
        let FlushParameters {
            name,
            suffix,
            scope,
        } = parameters;
        let mut id = None;
        if let Some(scope) = scope {
            id = self.plan.dns.scopes.keys().find(|id| *id.0 == **scope);
            if id.is_none() {
                return error("NoSuchScope", format!("there is no scope {scope}"));
            }
        }
        let id = id.cloned();
        let what = match (name, suffix) {
            (Some(_), Some(_)) => return invalid_parameter("suffix"),
            (Some(name), None) => match name.parse() {
                Ok(name) => Flush::Name(name, id),
                Err(_) => return invalid_parameter("name"),
            },
            (None, Some(suffix)) => match suffix.parse() {
                Ok(suffix) => Flush::Suffix(suffix, id),
                Err(_) => return invalid_parameter("suffix"),
            },
            (None, None) => id.map_or(Flush::All, Flush::Scope),
        };
        let dropped = u64::try_from(self.resolver.flush(&what)).unwrap_or(u64::MAX);
        done(&FlushReply { dropped })
    }

    /// Asks the resolver as a client of the stub would; the reply follows in [`World::answer_callers`].
    fn ask(
        &mut self,
        parameters: &QueryParameters,
        caller: Caller,
        answer: oneshot::Sender<Reply>,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        let question = match question(parameters) {
            Ok(question) => question,
            Err(parameter) => {
                effects.push(Effect::Reply(answer, invalid_parameter(parameter)));
                return;
            }
        };
        if self.asking_by_client.len() >= MAX_ASKING {
            let reply = error("Busy", "too many questions are on their way");
            effects.push(Effect::Reply(answer, reply));
            return;
        }
        let client = self.next_client();
        let QueryParameters {
            dnssec,
            checking_disabled,
            ..
        } = parameters;
        let wire = build_query(&question, MESSAGE_ID, *checking_disabled, *dnssec);
        let asking = Asking {
            question,
            caller,
            asked_at: now,
            answer,
            wire: None,
            trace: None,
        };
        self.asking_by_client.insert(client, asking);
        // A caller wants to see what happened, even if it is a hit.
        self.resolver.trace_hits(true);
        let query = ClientQuery {
            client,
            stub: Stub::Main,
            channel: Channel::Tcp,
            origin: None,
            wire: &wire,
        };
        self.resolver.handle_query(query, now);
        self.resolver.trace_hits(self.traces_hits());
    }

    /// Returns the id of a client of our own.
    pub(super) fn next_client(&mut self) -> ClientId {
        self.asked = self.asked.wrapping_add(1);
        ClientId(u64::from(self.asked) << u32::BITS | MINE)
    }

    /// Replies to the callers whose answers have come.
    pub(super) fn answer_callers(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let answered: Vec<ClientId> = self
            .asking_by_client
            .iter()
            .filter(|(_, asking)| asking.wire.is_some())
            .map(|(client, _)| *client)
            .collect();
        for client in answered {
            if let Some(asking) = self.asking_by_client.remove(&client) {
                let reply = self.query_reply(&asking, now);
                effects.push(Effect::Reply(asking.answer, reply));
            }
        }
    }

    fn query_reply(&self, asking: &Asking, now: Instant) -> Reply {
        let Asking {
            question,
            wire,
            trace,
            asked_at,
            ..
        } = asking;
        let wire = wire.as_deref().unwrap_or_default();
        let reply = match parse_reply(wire, MESSAGE_ID, question) {
            Ok(reply) => reply,
            Err(failure) => return error("Busy", failure.to_string()),
        };
        let extended_error = reply.extended_errors.first().map(convert::extended_error);
        let trace = match trace {
            Some(trace) => convert::trace(trace, &self.plan.dns, Some(asking.caller())),
            None => linnet::api::Trace {
                name: question.name.to_string(),
                record_type: type_name(question.record_type),
                rcode: rcode_name(reply.rcode),
                extended_error: extended_error.clone(),
                elapsed_ms: convert::milliseconds(now.since(*asked_at)),
                client: Some(asking.caller()),
                steps: Vec::new(),
            },
        };
        done(&QueryReply {
            rcode: rcode_name(reply.rcode),
            authentic: reply.authentic_data,
            answers: reply.answers.iter().map(convert::record).collect(),
            extended_error,
            trace,
        })
    }
}

/// Reads what is asked; the error is the parameter that is wrong.
fn question(parameters: &QueryParameters) -> Result<Question, &'static str> {
    let name: DomainName = parameters.name.parse().map_err(|_| "name")?;
    let record_type = match &parameters.record_type {
        Some(text) => parse_type(text).ok_or("type")?,
        None => rtype::A,
    };
    Ok(Question {
        name,
        record_type,
        class: class::IN,
    })
}

pub(super) fn done(result: &impl Serialize) -> Reply {
    Reply {
        parameters: to_value(result),
        ..Reply::default()
    }
}
