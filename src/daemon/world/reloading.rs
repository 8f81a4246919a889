//! How is the configuration read anew while the daemon runs, and who hears what came of it?

use config::Config;
use config::diagnostic::Diagnostic;
use linnet::api::{ReloadReply, Reply};
use policy::Facts;
use tokio::sync::oneshot;

use super::{Effect, World};
use crate::control::{error, to_value};
use crate::errands::Errand;
use crate::helper::KeeperError;
use crate::memory;
use crate::notify::Announcement;
use crate::reload;

impl World {
    /// Begins to read the configuration anew.
    pub(super) fn reload(
        &mut self,
        caller: Option<oneshot::Sender<Reply>>,
        effects: &mut Vec<Effect>,
    ) {
        self.reloads.extend(caller);
        if self.reloading {
            return;
        }
        self.reloading = true;
        effects.push(Effect::Announce(Announcement::Reloading));
        effects.push(Effect::Errand(Errand::ReadConfig));
    }

    /// Puts a configuration in force; the reload ends when the anchor files that it names have been read too.
    pub(super) fn apply_config(
        &mut self,
        texts: Result<Vec<linnet::config_dirs::ConfigText>, KeeperError>,
    ) {
        self.reloading = false;
        self.reloaded = Some(match texts {
            Ok(texts) => {
                let files = reload::Files::of(texts);
                let mut understood = reload::understand_files(&files, Some(&self.config));
                // There are no facts of links that nobody meant before.
                let seen = Facts {
                    links: self.linking.links.all_links().collect(),
                    ..Facts::default()
                };
                reload::refuse_ambiguous(&mut understood, &files, &self.config, &seen);
                tell_findings(&understood.diagnostics);
                tracing::info!(applied = understood.applied, "the configuration was read");
                if understood.applied {
                    self.note_restart(&understood.config);
                    self.keeping.insist();
                }
                let (old, new) = (&self.config.resolver, &understood.config.resolver);
                if old.root_servers != new.root_servers {
                    self.resolver.apply_root_servers(&new.root_servers);
                }
                if old.aggressive_nsec != new.aggressive_nsec {
                    self.resolver.apply_aggressive_nsec(new.aggressive_nsec);
                }
                if (old.serve_stale, old.prefetch) != (new.serve_stale, new.prefetch) {
                    self.resolver.apply_keeping(new.serve_stale, new.prefetch);
                }
                if old.dnssec_sha1 != new.dnssec_sha1 {
                    self.resolver.apply_sha1(new.dnssec_sha1);
                }
                self.config = understood.config;
                self.pace.renew_interest();
                self.diagnostics = understood.diagnostics;
                Ok(understood.applied)
            }
            Err(failure) => {
                tracing::error!(
                    error = &failure as &dyn std::error::Error,
                    "the configuration is not read"
                );
                Err(error("Busy", failure.to_string()))
            }
        });
    }

    /// Tells everybody who waits for it what a reload came to.
    pub(super) fn finish_reload(&mut self, effects: &mut Vec<Effect>) {
        let Some(outcome) = self.reloaded.take() else {
            return;
        };
        let reply = outcome.map_or_else(
            |failure| failure,
            |applied| Reply {
                parameters: to_value(&ReloadReply {
                    applied,
                    diagnostics: self.findings(),
                }),
                ..Reply::default()
            },
        );
        let callers = std::mem::take(&mut self.reloads);
        effects.extend(
            callers
                .into_iter()
                .map(|caller| Effect::Reply(caller, reply.clone())),
        );
        memory::trim();
        effects.push(Effect::Announce(Announcement::Ready));
    }

    /// Says which changes wait for the next start.
    fn note_restart(&self, new: &Config) {
        let (old, new) = (&self.config.resolver, &new.resolver);
        let places = |resolver: &config::model::ResolverConfig| {
            let listen = (resolver.listen.clone(), resolver.listen_bypass.clone());
            resolver.enabled.then_some((listen, resolver.threads))
        };
        let sizes = |resolver: &config::model::ResolverConfig| {
            (resolver.cache_size, resolver.dnssec_cache_size)
        };
        if places(old) != places(new) || sizes(old) != sizes(new) {
            tracing::warn!(
                "enabled, listen, listen-bypass, threads and the sizes of caches take effect when linnetd is restarted"
            );
        }
    }
}

/// Logs what is wrong with the configuration; file and line only below debug, as messages may quote names.
pub(super) fn tell_findings(diagnostics: &[Diagnostic]) {
    for found in diagnostics {
        let Diagnostic {
            severity,
            file,
            line,
            message,
            ..
        } = found;
        let severity = severity.as_str();
        tracing::warn!(%file, line, severity, "the configuration has a mistake: see linnet config check");
        tracing::debug!(%file, line, %message);
    }
}
