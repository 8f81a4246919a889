//! What do callers see of the neighbours? Browses, each tied to its connection; and what multicast DNS is doing.

use std::collections::BTreeMap;

use config::name::DomainName;
use config::time::Instant;
use linnet::api::{
    BrowseParameters, Explanation, LlmnrStatus, MulticastStatus, Notice, Reply, Sight, Target,
};
use policy::Owner;
use resolver::Stub;
use resolver::mdns::BrowseId;
use resolver::present::{parse_type, rdata_text, type_name};
use resolver::synthesize::synthesize;
use resolver::wire::{Question, class, rtype};
use serde_json::json;
use tokio::sync::mpsc;

use super::World;
use super::calls::done;
use crate::control::{error, invalid_parameter};
use crate::convert;
use crate::input::ConnectionId;

/// The name whose pointers are the types of services that there are (RFC 6763 §9).
const SERVICE_TYPES: &str = "_services._dns-sd._udp.local";

/// Who browses, by connection.
#[derive(Debug, Default)]
pub(super) struct Browsers {
    notices_by_browse: BTreeMap<BrowseId, mpsc::Sender<Notice>>,
}

const fn browse_id(connection: ConnectionId) -> BrowseId {
    BrowseId(connection.0)
}

impl World {
    /// Begins to tell a caller what neighbours have.
    pub(super) fn browse(
        &mut self,
        parameters: &BrowseParameters,
        connection: ConnectionId,
        notices: mpsc::Sender<Notice>,
        now: Instant,
    ) -> Reply {
        let name = parameters.name.as_deref().unwrap_or(SERVICE_TYPES);
        let Ok(name) = name.parse::<DomainName>() else {
            return invalid_parameter("name");
        };
        // What somebody claims is asked by unicast, and browsing would tell the link about it.
        let is_claimed = self.plan.dns.domains.is_claimed(name.as_wire());
        if is_claimed || !policy::multicast::is_for_neighbours(&name) {
            return invalid_parameter("name");
        }
        let record_type = match parameters.record_type.as_deref().map(parse_type) {
            None => rtype::PTR,
            Some(Some(record_type)) => record_type,
            Some(None) => return invalid_parameter("type"),
        };
        let links = &self.plan.dns.multicast.links;
        let mut on = links
            .iter()
            .filter(|link| link.mdns != config::model::MdnsMode::Off);
        let link = match &parameters.link {
            None if on.next().is_none() => {
                let message = "multicast DNS is off on all links: see mdns in linnet.toml";
                return error("NoSuchLink", message);
            }
            None => None,
            Some(wanted) => match on.find(|link| *link.name == **wanted) {
                Some(link) => Some(link.id),
                None => {
                    let message = format!("multicast DNS is not on for a link {wanted}");
                    return error("NoSuchLink", message);
                }
            },
        };
        let question = Question {
            name,
            record_type,
            class: class::IN,
        };
        let id = browse_id(connection);
        self.browsers.notices_by_browse.insert(id, notices);
        if !self.resolver.begin_browse(id, &question, link, now) {
            self.browsers.notices_by_browse.remove(&id);
            return error("Busy", "too many browse already");
        }
        done(&json!({}))
    }

    /// A connection has ended, and what it watched with it.
    pub(super) fn end_browse(&mut self, connection: ConnectionId, now: Instant) {
        let id = browse_id(connection);
        if self.browsers.notices_by_browse.remove(&id).is_some() {
            self.resolver.end_browse(id, now);
        }
    }

    /// Tells callers what was seen; one that does not keep up is cut off rather than told half.
    pub(crate) fn take_sights(&mut self, now: Instant) {
        while let Some(sight) = self.resolver.poll_sight() {
            let Some(notices) = self.browsers.notices_by_browse.get(&sight.browse) else {
                continue;
            };
            let told = Sight {
                present: sight.is_there,
                link: sight.link.to_string(),
                name: sight.record.owner().to_string(),
                record_type: type_name(sight.record.record_type),
                data: rdata_text(&sight.record),
            };
            if notices.try_send(Notice::Seen { sight: told }).is_err() {
                self.browsers.notices_by_browse.remove(&sight.browse);
                self.resolver.end_browse(sight.browse, now);
            }
        }
    }

    pub(super) fn multicast_status(&self) -> Vec<MulticastStatus> {
        let wide = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let status = self.resolver.multicast_status().into_iter();
        status
            .map(|status| MulticastStatus {
                link: status.link.to_string(),
                mode: status.mode.as_str().to_owned(),
                listens: status.listens,
                voice: status.voice,
                services: status.services,
                records: wide(status.records),
                heard: status.heard,
                ignored: status.ignored,
            })
            .collect()
    }

    /// Whether a name is asked of the neighbours.
    pub(super) fn is_for_neighbours(&self, name: &DomainName) -> bool {
        let plan = &self.plan.dns;
        plan.multicast.covers(name) && !plan.domains.is_claimed(name.as_wire())
    }

    /// Returns the rule by which this machine itself knows a name: those come before the neighbours.
    pub(super) fn local_host(&self, name: &DomainName) -> Option<&'static str> {
        let question = Question {
            name: name.clone(),
            record_type: rtype::A,
            class: class::IN,
        };
        let made = synthesize(&question, &self.local_names, &self.hosts, Stub::Main, true)?;
        Some(made.kind)
    }

    /// Tells that a name goes to the neighbours, on which links, and who says so.
    pub(super) fn explain_neighbours(&self, name: &DomainName) -> Explanation {
        let multicast = &self.plan.dns.multicast;
        let link = multicast.links.first().map(|link| link.name.to_string());
        let detail = "a default does not take names that only neighbours know";
        self.explain_nearby(name, link, multicast.told(), detail)
    }

    /// Tells that a label is asked by LLMNR and of nobody else.
    pub(super) fn explain_called_out(&self, name: &DomainName, text: String) -> Explanation {
        let links = &self.plan.dns.multicast.llmnr;
        let link = links.first().map(|link| link.name.to_string());
        let detail = "a default does not take names of one label";
        self.explain_nearby(name, link, text, detail)
    }

    /// Says where a label is asked by LLMNR when no search suffix completes it; `None` when it never is.
    pub(super) fn called_out(&self, name: &DomainName) -> Option<String> {
        let plan = &self.plan.dns;
        let links = &plan.multicast.llmnr;
        if name.label_count() != 1
            || links.is_empty()
            || resolver::is_never_called_out(name)
            || plan.domains.is_claimed(name.as_wire())
        {
            return None;
        }
        let links: Vec<String> = links
            .iter()
            .map(|link| format!("{} ({}: llmnr = resolve)", link.name, link.owner))
            .collect();
        Some(format!(
            "where no search suffix has it, the neighbours are asked by LLMNR on {}",
            links.join(", ")
        ))
    }

    fn explain_nearby(
        &self,
        name: &DomainName,
        link: Option<String>,
        text: String,
        detail: &str,
    ) -> Explanation {
        let plan = &self.plan.dns;
        let mut told = convert::explanation(&plan.domains.explain(name), plan);
        told.target = Target {
            action: "multicast".to_owned(),
            link,
            ..Target::default()
        };
        told.because.owner = Owner::Builtin.to_string();
        told.because.profile = None;
        "multicast".clone_into(&mut told.because.rule);
        told.because.text = text;
        for candidate in &mut told.candidates {
            "lost".clone_into(&mut candidate.outcome);
            detail.clone_into(&mut candidate.detail);
        }
        told.last = self
            .traces
            .last(name)
            .map(|trace| convert::trace(trace, plan, None));
        told
    }

    pub(super) fn llmnr_status(&self) -> Vec<LlmnrStatus> {
        let status = self.resolver.llmnr_status().into_iter();
        status
            .map(|status| LlmnrStatus {
                link: status.link.to_string(),
                owner: status.owner,
                said: status.said,
                heard: status.heard,
                ignored: status.ignored,
                conflicts: status.conflicts,
            })
            .collect()
    }
}
