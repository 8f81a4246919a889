//! What is answered or changed on this machine, by the administrator's word? Hooks into a query's way, each in a file of its own.
//!
//! ```text
//! name ─ records ─ (hosts, special names) ─ lists ─ routed ─ reply ─ lists for its aliases ─ rebinding ─ DNS64 ─► answer
//! ```
//!
//! What of it is for whom says `rewrite`: nothing of it at the bypass stub. A target of an alias takes the same way as any name, and is routed; what is
//! answered here is never authentic. Cached answers are as the upstreams gave them: what is done about them is decided anew
//! each time, and what is answered straight from the cache (`passes`) has been through all of this.

mod discovery;
mod dns64;
mod filter;
pub mod list;
mod names;
mod rebinding;
pub mod records;
mod rewrite;
mod zone;

use std::collections::BTreeMap;
use std::sync::Arc;

use config::Config;
use config::model::{ListConfig, ProfileId};
use config::name::DomainName;
use policy::explain::Rule;
use policy::{DnsPlan, Owner, Route};

use crate::Resolver;
use crate::chain::{ALIASES_MAX, End, Hop, is_claimed};
use crate::event::{ExtendedError, Step};
use crate::guest::is_withheld;
use crate::progress::{Found, Next, Outcome, Query};
use crate::record::RawRecord;
use crate::refusal::Refused;
use crate::synthesize::soa;
use crate::wire::{Question, class, rcode, rtype};
use list::List;
use records::{Records, Said};
use rewrite::{Extent, Rewritten};

pub(crate) use discovery::Discovery;
pub(crate) use dns64::{Progress, Translation, is_ipv4only};
pub(crate) use filter::told_at_end;

/// TTL of a denial that is made here, in seconds; short, so that a change shows soon.
const DENIAL_TTL: u32 = 10;

/// What is answered and changed.
#[derive(Debug, Default)]
pub(crate) struct Local {
    records: Records,
    /// Records of profiles; which of them hold is in the plan.
    records_by_profile: BTreeMap<ProfileId, Records>,
    lists: Vec<Listed>,
    /// How many questions each list has decided, by its name.
    hits_by_list: BTreeMap<String, u64>,
    /// Names that may have private addresses; `None` when any may.
    rebinding: Option<Vec<DomainName>>,
    pub(crate) discovery: Discovery,
}

/// A list in force.
#[derive(Debug, Clone)]
pub struct Listed {
    /// What it is for.
    pub config: ListConfig,
    /// Its names.
    pub list: Arc<List>,
}

/// Why a name is answered on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// `record` or `list`.
    pub kind: &'static str,
    /// In words.
    pub text: String,
}

/// An answer that is made here.
struct Made {
    rcode: u16,
    answers: Vec<RawRecord>,
    /// Where an alias among the answers leads on.
    alias: Option<DomainName>,
    extended_error: Option<ExtendedError>,
}

impl Resolver {
    /// Replaces the static records: those of the machine, and those of each profile, which hold while the plan says so.
    pub fn apply_records(&mut self, config: &Config) {
        let profiles = config.profiles.values();
        self.local.records = Records::new(&config.records);
        self.local.records_by_profile = profiles
            .filter(|profile| !profile.records.is_empty())
            .map(|profile| (profile.id.clone(), Records::new(&profile.records)))
            .collect();
        self.shortcuts.void();
    }

    /// Replaces all lists at once, in the order in which they decide; what was counted for those that stay goes on.
    pub fn apply_lists(&mut self, lists: Vec<Listed>) {
        let named = |name: &String| lists.iter().any(|listed| listed.config.name == *name);
        self.local.hits_by_list.retain(|name, _| named(name));
        self.local.lists = lists;
        self.shortcuts.void();
    }

    /// Takes whether names that nobody claims may have private addresses: `None` when they may, else those that may all the
    /// same.
    pub fn apply_rebinding_protection(&mut self, exceptions: Option<Vec<DomainName>>) {
        self.local.rebinding = exceptions;
        self.shortcuts.void();
    }

    /// Returns how many questions each list has decided.
    pub fn list_hits(&self, name: &str) -> u64 {
        self.local.hits_by_list.get(name).copied().unwrap_or(0)
    }

    /// Says why a name is answered by a static record, if it is.
    pub fn why_recorded(&self, name: &DomainName) -> Option<Reason> {
        let route = self.plan.domains.route(name);
        let (said, profile) = self.local.recorded(&any(name), &route, &self.plan)?;
        let text = match profile {
            Some(id) => format!(
                "profile {id} has a record for {}, and one of its links is up",
                said.rule
            ),
            None => format!("the configuration has a record for {}", said.rule),
        };
        Some(Reason {
            kind: "record",
            text,
        })
    }

    /// Says why a name is blocked or rewritten by a list (`list`), or answered by TCP alone (`by-stream`), if it is.
    pub fn why_listed(&self, name: &DomainName) -> Option<Reason> {
        let route = self.plan.domains.route(name);
        let (kind, text) = self.local.explain(name, &route, &self.plan)?;
        Some(Reason { kind, text })
    }

    /// Answers a question from the static records.
    pub(crate) fn answer_recorded(
        &self,
        query: &mut Query,
        question: &Question,
        route: &Route,
    ) -> Option<Next> {
        // What is claimed is no guest's business, whoever answers for it.
        if query.stub.is_bypass() || is_withheld(query.stub, route, &self.plan) {
            return None;
        }
        let (said, profile) = self.local.recorded(question, route, &self.plan)?;
        let rule = match profile {
            Some(id) => format!("{} of profile {id}", said.rule),
            None => said.rule,
        };
        query.steps.push(Step::Local("record", rule.into()));
        let made = Made {
            rcode: said.rcode,
            answers: said.answers,
            alias: said.alias,
            extended_error: None,
        };
        Some(made.answer(query, question))
    }

    /// Takes back that a name does not exist which exists here: what it does not have here was asked for elsewhere (`pass-on`), and who is
    /// told that it does not exist takes all its types, and all names below it, for gone (RFC 8020 §2).
    fn exist_here(&self, query: &mut Query, hop: &Hop, extent: Extent) -> Rewritten {
        let has_none = self.local.records.is_empty() && self.plan.recorded.is_empty();
        if has_none || hop.rcode != rcode::NXDOMAIN || !matches!(hop.end, End::Final) {
            return Rewritten::Not;
        }
        let name = hop.aliases.last().unwrap_or(&query.chain.name);
        let route = self.plan.domains.route(name);
        let is_here = match extent {
            Extent::Nothing => false,
            Extent::Open => {
                let recorded = self.local.recorded(&any(name), &route, &self.plan);
                recorded.is_some() && !is_withheld(query.stub, &route, &self.plan)
            }
            Extent::Everything => self.local.has_recorded(name, &route, &self.plan),
        };
        if !is_here {
            return Rewritten::Not;
        }
        if !hop.aliases.is_empty() {
            // What it has here is said of it when it is looked at by itself.
            return Rewritten::There(Hop {
                rcode: rcode::NOERROR,
                authority: Vec::new(),
                end: End::Goto(name.clone()),
                ..hop.clone()
            });
        }
        let step = Step::Local("record", name.to_string().into());
        query.steps.push(step);
        // The proof is of what is not so.
        let is_soa = |record: &&RawRecord| record.record_type == rtype::SOA;
        let authority = hop.authority.iter().filter(is_soa);
        Rewritten::There(Hop {
            rcode: rcode::NOERROR,
            authority: authority.cloned().collect(),
            ..hop.clone()
        })
    }
}

impl Local {
    /// Whether a name exists by the records.
    fn has_recorded(&self, name: &DomainName, route: &Route, plan: &DnsPlan) -> bool {
        let of_profile = |id: &&ProfileId| {
            let records = self.records_by_profile.get(*id);
            may_record(id, route) && records.is_some_and(|records| records.has(name))
        };
        self.records.has(name) || plan.recorded.iter().any(|id| of_profile(&id))
    }

    /// Returns what the records say of a question: the machine's own first, then those of profiles that hold.
    fn recorded<'a>(
        &self,
        question: &Question,
        route: &Route,
        plan: &'a DnsPlan,
    ) -> Option<(Said, Option<&'a ProfileId>)> {
        if let Some(said) = self.records.lookup(question) {
            return Some((said, None));
        }
        let profiles = plan.recorded.iter().filter(|id| may_record(id, route));
        profiles.into_iter().find_map(|id| {
            let said = self.records_by_profile.get(id)?.lookup(question)?;
            Some((said, Some(id)))
        })
    }
}

/// Asks for whatever a name has.
fn any(name: &DomainName) -> Question {
    Question {
        name: name.clone(),
        record_type: rtype::ANY,
        class: class::IN,
    }
}

/// Whether a profile may have records for a name that routes like this: what another claims, or takes with all names, is not its.
fn may_record(id: &ProfileId, route: &Route) -> bool {
    let because = &route.because;
    let is_own = matches!(&because.owner, Owner::Profile(owner) if owner == id);
    match because.rule {
        Rule::LongestSuffix
        | Rule::Priority
        | Rule::LinkRank
        | Rule::OwnerName
        | Rule::SearchExpansion => is_own || !is_claimed(route),
        Rule::Exclusive => is_own,
        // The way back from addresses of a link, and what nobody claims.
        Rule::LinkPrefix | Rule::Default | Rule::NoScope => true,
    }
}

impl Made {
    /// Ends a query with what was made, or lets it follow the alias.
    fn answer(self, query: &mut Query, question: &Question) -> Next {
        let chain = &mut query.chain;
        chain.authentic = false;
        let is_empty = self.answers.is_empty();
        chain.answers.extend(self.answers);
        if let Some(alias) = self.alias {
            query.steps.push(Step::Alias(alias.clone()));
            let known = alias == chain.start || chain.aliases.contains(&alias);
            if known || chain.aliases.len() >= ALIASES_MAX {
                return Next::Done(Outcome::Refused(Refused::alias_loop(&chain.start)));
            }
            chain.aliases.push(alias.clone());
            chain.name = alias;
            chain.forged = self.extended_error.or_else(|| chain.forged.take());
            return Next::Advance;
        }
        chain.decided = true;
        let authority = match is_empty {
            true => vec![soa(&question.name, DENIAL_TTL)],
            false => Vec::new(),
        };
        Next::Done(Outcome::Found(Found {
            rcode: self.rcode,
            authority,
            extended_error: self.extended_error,
            authoritative: chain.visits.is_empty(),
            ..Found::default()
        }))
    }
}
