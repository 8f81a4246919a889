//! Which lists are in force, and how are they? What is configured, what was read, and what is told of it.
//!
//! A list comes into force when its file has been read, and stays as it was when the file cannot be read later: a download
//! that failed must not open the door. Its order, exceptions and scopes follow the configuration at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use config::diagnostic::{Diagnostic, Severity};
use config::model::{ListConfig, ListFormat};
use linnet::api::ListStatus;
use resolver::Resolver;
use resolver::local::Listed;
use resolver::local::list::List;

use super::{Effect, World};
use crate::list_loader::ListRead;

/// The lists.
#[derive(Debug, Default)]
pub(super) struct Lists {
    configured: Vec<ListConfig>,
    read_by_name: BTreeMap<String, Read>,
}

/// What was read of a list.
#[derive(Debug)]
struct Read {
    /// As what the file was read.
    config: ListConfig,
    list: Option<Arc<List>>,
    error: Option<String>,
    findings: Vec<Diagnostic>,
    took: Duration,
}

impl Lists {
    /// Takes which lists are configured.
    fn configure(&mut self, lists: &[ListConfig]) {
        self.read_by_name.retain(|name, read| {
            let named = lists.iter().find(|list| list.name == *name);
            named.is_some_and(|list| says_the_same(list, &read.config))
        });
        self.configured = lists.to_vec();
    }

    /// Takes what was read; `false` when it is of no use any more.
    fn take(&mut self, read: ListRead) -> bool {
        let ListRead {
            config,
            outcome,
            findings,
            took,
        } = read;
        let configured = self.configured.iter().find(|list| list.name == config.name);
        if !configured.is_some_and(|list| says_the_same(list, &config)) {
            return false;
        }
        let name = config.name.clone();
        let before = self.read_by_name.remove(&name).and_then(|read| read.list);
        let (list, error) = match outcome {
            Ok(list) => {
                tracing::info!(
                    list = name,
                    names = list.len(),
                    bytes = list.bytes(),
                    broken_lines = list.broken_lines(),
                    ?took,
                    "a list is in force"
                );
                (Some(list), None)
            }
            Err(error) => {
                tracing::error!(list = name, error, "a list cannot be read");
                (before, Some(error))
            }
        };
        let read = Read {
            config,
            list,
            error,
            findings,
            took,
        };
        self.read_by_name.insert(name, read);
        true
    }

    /// Returns the lists in force, in the order of the configuration.
    fn in_force(&self) -> Vec<Listed> {
        let configured = self.configured.iter();
        configured
            .filter_map(|config| {
                let read = self.read_by_name.get(&config.name)?;
                Some(Listed {
                    config: config.clone(),
                    list: Arc::clone(read.list.as_ref()?),
                })
            })
            .collect()
    }

    /// Tells how the lists are.
    pub(super) fn status(&self, resolver: &Resolver) -> Vec<ListStatus> {
        let one = |config: &ListConfig| {
            let read = self.read_by_name.get(&config.name);
            let list = read.and_then(|read| read.list.as_deref());
            let number = |pick: fn(&List) -> usize| {
                list.map_or(0, |list| u64::try_from(pick(list)).unwrap_or(u64::MAX))
            };
            ListStatus {
                name: config.name.clone(),
                path: config.path.clone(),
                format: match config.format {
                    ListFormat::Domains => "domains",
                    ListFormat::Hosts => "hosts",
                    ListFormat::Rpz => "rpz",
                }
                .to_owned(),
                state: match read {
                    None => "loading",
                    Some(Read { error: Some(_), .. }) => "broken",
                    Some(Read { error: None, .. }) => "in-force",
                }
                .to_owned(),
                error: read.and_then(|read| read.error.clone()),
                names: number(List::len),
                bytes: number(List::bytes),
                broken_lines: list.map_or(0, List::broken_lines),
                load_ms: read.map_or(0.0, |read| crate::convert::milliseconds(read.took)),
                hits: resolver.list_hits(&config.name),
            }
        };
        self.configured.iter().map(one).collect()
    }

    /// Tells what is wrong with the files: of many broken lines the first.
    pub(super) fn findings(&self) -> impl Iterator<Item = Diagnostic> {
        self.read_by_name.values().filter_map(|read| {
            let mut first = read.findings.first()?.clone();
            let lines = read.list.as_ref().map_or(0, |list| list.broken_lines());
            if lines > 1 && first.severity == Severity::Warning {
                first.message = format!(
                    "{lines} lines of list {} cannot be read; here: {}",
                    read.config.name, first.message
                );
            }
            Some(first)
        })
    }
}

/// Whether a file means the same under both.
fn says_the_same(one: &ListConfig, other: &ListConfig) -> bool {
    let form = |list: &ListConfig| {
        let ListConfig {
            name,
            path,
            format,
            action,
            subdomains,
            ..
        } = list;
        (name.clone(), path.clone(), *format, *action, *subdomains)
    };
    form(one) == form(other)
}

impl World {
    /// Puts what the configuration says of local data in force, and has the lists read.
    pub(super) fn apply_local(&mut self, effects: &mut Vec<Effect>) {
        let resolver = &self.config.resolver;
        let protects = resolver.rebinding_protection;
        let exceptions = protects.then(|| resolver.rebinding_exceptions.clone());
        self.resolver.apply_rebinding_protection(exceptions);
        self.resolver.apply_records(&self.config);
        let had_any = !self.lists.configured.is_empty();
        self.lists.configure(&self.config.lists);
        self.resolver.apply_lists(self.lists.in_force());
        if had_any || !self.config.lists.is_empty() {
            effects.push(Effect::FollowLists(self.config.lists.clone()));
        }
    }

    /// Takes a list that was read.
    pub(super) fn handle_list(&mut self, read: ListRead) {
        if self.lists.take(read) {
            self.resolver.apply_lists(self.lists.in_force());
        }
    }
}
