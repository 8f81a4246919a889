//! May this be done, and doing it: [`Custody`] holds resolv.conf's journal and its own copy of the configuration.

use std::net::IpAddr;
use std::os::fd::{AsFd as _, AsRawFd as _, RawFd};
use std::path::PathBuf;

use config::Config;
use config::model::ResolvConfMode;
use config::name::DomainName;
use linnet::config_dirs::{self, Believe, ConfigText};
use resolver_io::resolv_conf::{
    GiveBackError, GivenBack, Insist, Journal, ResolvConf, State, Taken, Witness,
};

use crate::doors;
use crate::link_keys;
use crate::making::associations::{self, NUMBERS_FILE};

use super::{HelperReply, HelperRequest, ResolvConfReport};

/// The most `nameserver` lines; the C library reads three.
const MAX_NAMESERVERS: usize = 16;
/// The most search suffixes; the C library has read any number since glibc 2.26.
const MAX_SEARCH: usize = 256;

/// Where things are.
#[derive(Debug, Clone)]
pub(crate) struct Paths {
    /// `--config-dir`.
    pub(crate) config_dir: Option<PathBuf>,
    /// `--state-dir`.
    pub(crate) state_dir: PathBuf,
    /// `--resolv-conf`.
    pub(crate) resolv_conf: PathBuf,
}

impl Paths {
    /// Returns the directory of the journal, which belongs to whoever writes it.
    pub(crate) fn journal_dir(&self) -> PathBuf {
        self.state_dir.join("journal")
    }
}

/// Makes the configuration out of its files: `config::load`, what is wrong left out.
pub(crate) type Understand = fn(Vec<ConfigText>) -> Config;

/// Keeps resolv.conf.
#[derive(Debug)]
pub(crate) struct Custody {
    paths: Paths,
    believe: Believe,
    understand: Understand,
    resolv_conf: Option<ResolvConf>,
    witness: Option<Witness>,
}

impl Custody {
    /// Makes a custody that believes files as `believe` says; nothing is opened yet.
    pub(crate) fn new(paths: Paths, believe: Believe, understand: Understand) -> Self {
        Self {
            paths,
            believe,
            understand,
            resolv_conf: None,
            witness: None,
        }
    }

    /// Has a witness tell who overwrites resolv.conf.
    pub(crate) fn call_witness(&mut self, witness: Witness) {
        self.witness = Some(witness);
    }

    /// Serves one request.
    pub(crate) fn handle_request(&mut self, request: HelperRequest) -> HelperReply {
        match request {
            HelperRequest::ReadConfig => HelperReply::Config(self.texts()),
            HelperRequest::ReadKeys => {
                let config = (self.understand)(self.texts());
                let files = doors::read_files(&config, self.paths.config_dir.as_deref());
                HelperReply::Keys(files)
            }
            HelperRequest::ReadLinkKeys => {
                let config = (self.understand)(self.texts());
                HelperReply::LinkKeys(link_keys::read_files(&config))
            }
            HelperRequest::MarkLinkKeys(paths) => {
                let config = (self.understand)(self.texts());
                HelperReply::Marked(link_keys::mark(&config, &paths))
            }
            HelperRequest::TakeResolvConf {
                mode,
                nameservers,
                search,
                insist,
            } => {
                let config = (self.understand)(self.texts());
                match permit(&config, mode, &nameservers, &search) {
                    Ok(()) => self.take(&render(mode, &nameservers, &search), insist),
                    Err(why) => HelperReply::Refused(why),
                }
            }
            HelperRequest::GiveBackResolvConf | HelperRequest::Quit => self.give_back(),
            HelperRequest::ResolvConfStatus => self.status(),
        }
    }

    /// Follows that the daemon is gone without a word: nobody watches what sends.
    pub(super) fn leave_unwatched(&self) {
        associations::leave_unwatched(&self.paths.state_dir.join(NUMBERS_FILE));
    }

    pub(super) fn witness_fd(&mut self) -> Option<RawFd> {
        let witness = self.resolv_conf.as_mut()?.witness()?;
        Some(witness.as_fd().as_raw_fd())
    }

    pub(super) fn hear_witness(&mut self) {
        if let Some(witness) = self.resolv_conf.as_mut().and_then(ResolvConf::witness) {
            witness.hear();
        }
    }

    /// Reads the files of the configuration.
    pub(crate) fn texts(&self) -> Vec<ConfigText> {
        let directories = config_dirs::directories(self.paths.config_dir.as_deref());
        config_dirs::read(&directories, self.believe)
    }

    /// Returns resolv.conf's keeper, after what an earlier run left has been settled.
    fn resolv_conf(&mut self) -> Result<(&mut ResolvConf, Vec<String>, Option<PathBuf>), String> {
        let mut messages = Vec::new();
        let mut saved = None;
        if self.resolv_conf.is_none() {
            let journal = Journal::new(&self.paths.journal_dir());
            let (mut recovered, done) =
                ResolvConf::recover(&self.paths.resolv_conf, journal).map_err(|e| chain(&e))?;
            saved = tell(&done, &mut messages);
            if let Some(witness) = self.witness.take() {
                recovered.call_witness(witness);
            }
            self.resolv_conf = Some(recovered);
        }
        let keeper = self.resolv_conf.as_mut().expect("it has just been set");
        Ok((keeper, messages, saved))
    }

    fn take(&mut self, text: &str, insist: Insist) -> HelperReply {
        let (keeper, messages, saved) = match self.resolv_conf() {
            Ok(kept) => kept,
            Err(why) => return HelperReply::Failed(why),
        };
        let state = match keeper.take(text, insist) {
            Ok(Taken::New | Taken::Updated | Taken::Unchanged) => State::Ours,
            Ok(Taken::LeftAlone(overwritten)) => State::Overwritten(overwritten),
            Err(error) => return HelperReply::Failed(chain(&error)),
        };
        HelperReply::ResolvConf(ResolvConfReport {
            state,
            saved,
            messages,
        })
    }

    fn give_back(&mut self) -> HelperReply {
        self.settle(|keeper, messages| {
            let done = keeper.give_back()?;
            Ok((State::Untouched, tell(&done, messages)))
        })
    }

    fn status(&mut self) -> HelperReply {
        self.settle(|keeper, _| Ok((keeper.state()?, None)))
    }

    fn settle(
        &mut self,
        step: impl FnOnce(
            &mut ResolvConf,
            &mut Vec<String>,
        ) -> Result<(State, Option<PathBuf>), GiveBackError>,
    ) -> HelperReply {
        let (keeper, mut messages, recovered) = match self.resolv_conf() {
            Ok(kept) => kept,
            Err(why) => return HelperReply::Failed(why),
        };
        match step(keeper, &mut messages) {
            Ok((state, saved)) => HelperReply::ResolvConf(ResolvConfReport {
                state,
                saved: saved.or(recovered),
                messages,
            }),
            Err(error) => HelperReply::Failed(chain(&error)),
        }
    }
}

/// Puts into words what giving back did; returns where the original was kept.
fn tell(done: &GivenBack, messages: &mut Vec<String>) -> Option<PathBuf> {
    match done {
        GivenBack::Nothing => None,
        GivenBack::Restored(lost) => {
            for lost in lost {
                messages.push(format!("resolv.conf is back, but not its {lost}"));
            }
            None
        }
        GivenBack::LeftAlone { overwritten, saved } => {
            let kept = saved.as_ref().map_or(String::new(), |saved| {
                format!("; what linnet had found there is in {}", saved.display())
            });
            messages.push(format!(
                "resolv.conf was {overwritten} and is left alone{kept}"
            ));
            saved.clone()
        }
    }
}

/// Checks a request against the configuration.
fn permit(
    config: &Config,
    mode: ResolvConfMode,
    nameservers: &[IpAddr],
    search: &[DomainName],
) -> Result<(), String> {
    if mode != config.resolver.resolv_conf || !config.resolver.enabled {
        return Err(format!(
            "the configuration does not say resolv-conf = {mode:?}"
        ));
    }
    if nameservers.is_empty() && mode == ResolvConfMode::Stub {
        return Err("a resolv.conf for the stub names the stub".to_owned());
    }
    if nameservers.len() > MAX_NAMESERVERS || search.len() > MAX_SEARCH {
        return Err("there are too many nameservers or search suffixes".to_owned());
    }
    let stub = |address: &IpAddr| {
        let mut listen = config.resolver.listen.iter();
        listen.any(|at| at.ip() == *address && at.port() == config::DNS_PORT)
    };
    let stranger = match mode {
        ResolvConfMode::Unmanaged => return Err("resolv.conf is unmanaged".to_owned()),
        ResolvConfMode::Stub => nameservers.iter().find(|address| !stub(address)),
        ResolvConfMode::Uplink => nameservers
            .iter()
            .find(|address| stub(address) || address.is_unspecified() || address.is_multicast()),
    };
    match stranger {
        Some(address) => Err(format!("{address} is no nameserver for this form")),
        None => Ok(()),
    }
}

/// Writes the file.
fn render(mode: ResolvConfMode, nameservers: &[IpAddr], search: &[DomainName]) -> String {
    let form = match mode {
        ResolvConfMode::Stub => "stub",
        ResolvConfMode::Uplink => "uplink",
        ResolvConfMode::Unmanaged => "unmanaged",
    };
    let mut text = format!(
        "# Written by linnet (resolv-conf = \"{form}\"), which puts back what was here when it stops.\n"
    );
    for address in nameservers {
        text.push_str(&format!("nameserver {address}\n"));
    }
    if mode == ResolvConfMode::Stub {
        text.push_str("options edns0\n");
    }
    // Without a search line the C library appends the domain of the host's name.
    text.push_str("search");
    for suffix in search {
        text.push_str(&format!(" {suffix}"));
    }
    text.push_str(if search.is_empty() { " .\n" } else { "\n" });
    text
}

/// Writes an error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
