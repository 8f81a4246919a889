//! What is wrong between files that are each right? Upstreams that another file makes our own stub, and rival claims.
//!
//! Links that two profiles make, or that stand on each other in a circle, are found in [`links`].

pub(crate) mod links;
pub(crate) mod network;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use foldhash::fast::FixedState;

use super::own_stubs;
use crate::diagnostic::Findings;
use crate::model::{Profile, ProfileId, ResolverConfig};
use crate::name::DomainName;
use crate::raw::Span;

/// Takes what cannot be out of the merged `[resolver]`, for who has nothing older to keep; `at` is where the last file that said something of it
/// says so.
pub(crate) fn resolver(
    resolver: &mut ResolverConfig,
    at: Option<Span>,
    findings: &mut Findings<'_>,
) {
    let own = own_stubs(resolver);
    resolver.upstreams.retain(|upstream| {
        let is_own = own.contains(&SocketAddr::new(upstream.address, upstream.port));
        if is_own {
            let message =
                format!("the upstream {upstream} is the stub itself; it would ask itself for ever");
            let help = "name another upstream, or listen elsewhere".to_owned();
            findings.error(at.clone(), message, Some(help));
        }
        !is_own
    });
    let listen = resolver.listen.clone();
    resolver.listen_bypass.retain(|place| {
        let is_taken = listen.contains(place);
        if is_taken {
            let message = format!(
                "{place} is in both `listen` and `listen-bypass`; the bypass does not listen there"
            );
            let help = "set `listen-bypass` too".to_owned();
            findings.warn(at.clone(), message, Some(help));
        }
        !is_taken
    });
}

/// Who claims a suffix with which priority, in the order of the files.
#[derive(Default)]
pub(crate) struct Claimants<'a> {
    file_by_claim: HashMap<(DomainName, i32), &'a str, FixedState>,
    /// The only profile that claims anything so far, and its file: there is nobody yet to compare it with.
    first: Option<(ProfileId, &'a str)>,
}

impl<'a> Claimants<'a> {
    /// Notes the claims of a profile, and reports those that one of `others`, which came before it, makes with equal priority.
    pub(crate) fn add(
        &mut self,
        profile: &Profile,
        claims_at: &[Span],
        file: &'a str,
        others: &BTreeMap<ProfileId, Profile>,
        findings: &mut Findings<'_>,
    ) {
        let priority = profile.dns.priority;
        let claims = &profile.dns.claims;
        if claims.is_empty() {
            return;
        }
        if self.first.is_none() && self.file_by_claim.is_empty() {
            self.first = Some((profile.id.clone(), file));
            return;
        }
        if let Some((first, file)) = self.first.take()
            && let Some(first) = others.get(&first)
        {
            let claims = first.dns.claims.iter().cloned();
            let priority = first.dns.priority;
            let claims = claims.map(|claim| ((claim, priority), file));
            self.file_by_claim.extend(claims);
        }
        for (claim, span) in claims.iter().zip(claims_at) {
            let key = (claim.clone(), priority);
            let Some(first) = self.file_by_claim.get(&key) else {
                self.file_by_claim.insert(key, file);
                continue;
            };
            let message = format!(
                "{claim} is claimed in {first} too, with equal priority; the better link wins"
            );
            let help = "give one of them a higher `priority` in [dns]".to_owned();
            findings.warn(Some(span.clone()), message, Some(help));
        }
    }
}
