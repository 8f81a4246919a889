//! What needs root after privileges are dropped? The closed set of requests, and who serves them: [`Keeper`].
//!
//! As root, `linnetd` forks a helper before it drops its privileges ([`crate::privileges`]); requests go to it over a socket
//! pair. Without root the same [`Custody`] serves them in the daemon itself. The helper reads the configuration by itself
//! and refuses what that does not say; it never sees a byte from the network.
//!
//! When the daemon goes without [`HelperRequest::Quit`] (a crash), the helper gives resolv.conf back before it ends, so that
//! names resolve without linnet; the next start takes it again.

mod client;
mod custody;
mod frame;
mod serve;

pub(crate) use client::{HelperClient, KeeperError};
pub(crate) use custody::{Custody, Paths, Understand};
pub(crate) use serve::serve;

use std::net::IpAddr;
use std::path::PathBuf;

use config::model::ResolvConfMode;
use config::name::DomainName;
use linnet::config_dirs::ConfigText;
use resolver_io::resolv_conf::{Insist, State};

use crate::doors::KeyFile;
use crate::link_keys::LinkKey;

/// What the daemon may ask for.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum HelperRequest {
    /// Read all files of the configuration, root-only ones too.
    ReadConfig,
    /// Read the certificates and keys of the listeners that the configuration names.
    ReadKeys,
    /// Read the key files of the links that the configuration has made.
    ReadLinkKeys,
    /// Mark the keys in these files as used, for what has to be known when the state directory is lost.
    MarkLinkKeys(Vec<String>),
    /// Write resolv.conf.
    TakeResolvConf {
        /// Its form; the configuration must say the same.
        mode: ResolvConfMode,
        /// `nameserver` lines.
        nameservers: Vec<IpAddr>,
        /// The `search` line.
        search: Vec<DomainName>,
        /// Whether somebody else's write is written over: at a start and a reload.
        insist: Insist,
    },
    /// Put back what was there.
    GiveBackResolvConf,
    /// Tell whose resolv.conf is.
    ResolvConfStatus,
    /// Give resolv.conf back if that has not been done, and end.
    Quit,
}

/// What comes back.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum HelperReply {
    /// To [`HelperRequest::ReadConfig`].
    Config(Vec<ConfigText>),
    /// To [`HelperRequest::ReadKeys`].
    Keys(Vec<KeyFile>),
    /// To [`HelperRequest::ReadLinkKeys`].
    LinkKeys(Vec<LinkKey>),
    /// To [`HelperRequest::MarkLinkKeys`]: what could not be marked, in words.
    Marked(Vec<String>),
    /// To all other requests.
    ResolvConf(ResolvConfReport),
    /// The request is not one that the configuration allows; why.
    Refused(String),
    /// It was tried, and nothing has changed; why, and what to do.
    Failed(String),
}

/// Whose resolv.conf is, and what is to be told about it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct ResolvConfReport {
    /// Whose it is.
    pub(crate) state: State,
    /// Where the original was kept because it could not go back.
    pub(crate) saved: Option<PathBuf>,
    /// Messages for the log and `linnet status`.
    pub(crate) messages: Vec<String>,
}

/// Serves the requests: a process of its own, or this one.
#[derive(Debug)]
pub(crate) enum Keeper {
    /// The root helper.
    Helper(HelperClient),
    /// This process, which has whatever rights it has.
    Here(Box<Custody>),
}

impl Keeper {
    /// Reads the configuration's files.
    ///
    /// # Errors
    /// [`KeeperError`] when the helper is gone.
    pub(crate) async fn read_config(&mut self) -> Result<Vec<ConfigText>, KeeperError> {
        match self.call(HelperRequest::ReadConfig).await? {
            HelperReply::Config(texts) => Ok(texts),
            HelperReply::ResolvConf(_)
            | HelperReply::Keys(_)
            | HelperReply::LinkKeys(_)
            | HelperReply::Marked(_) => Err(KeeperError::Unexpected),
            HelperReply::Refused(why) => Err(KeeperError::Refused(why)),
            HelperReply::Failed(why) => Err(KeeperError::Failed(why)),
        }
    }

    /// Reads the certificates and keys of the listeners.
    ///
    /// # Errors
    /// [`KeeperError`] when the helper is gone.
    pub(crate) async fn read_keys(&mut self) -> Result<Vec<KeyFile>, KeeperError> {
        match self.call(HelperRequest::ReadKeys).await? {
            HelperReply::Keys(files) => Ok(files),
            HelperReply::ResolvConf(_)
            | HelperReply::Config(_)
            | HelperReply::LinkKeys(_)
            | HelperReply::Marked(_) => Err(KeeperError::Unexpected),
            HelperReply::Refused(why) => Err(KeeperError::Refused(why)),
            HelperReply::Failed(why) => Err(KeeperError::Failed(why)),
        }
    }

    /// Reads the key files of links.
    ///
    /// # Errors
    /// [`KeeperError`] when the helper is gone.
    pub(crate) async fn read_link_keys(&mut self) -> Result<Vec<LinkKey>, KeeperError> {
        match self.call(HelperRequest::ReadLinkKeys).await? {
            HelperReply::LinkKeys(files) => Ok(files),
            HelperReply::ResolvConf(_)
            | HelperReply::Config(_)
            | HelperReply::Keys(_)
            | HelperReply::Marked(_) => Err(KeeperError::Unexpected),
            HelperReply::Refused(why) => Err(KeeperError::Refused(why)),
            HelperReply::Failed(why) => Err(KeeperError::Failed(why)),
        }
    }

    /// Marks the keys in these files as used; returns what could not be marked, in words.
    ///
    /// # Errors
    /// [`KeeperError`] when the helper is gone.
    pub(crate) async fn mark_link_keys(
        &mut self,
        paths: Vec<String>,
    ) -> Result<Vec<String>, KeeperError> {
        match self.call(HelperRequest::MarkLinkKeys(paths)).await? {
            HelperReply::Marked(troubles) => Ok(troubles),
            HelperReply::ResolvConf(_)
            | HelperReply::Config(_)
            | HelperReply::Keys(_)
            | HelperReply::LinkKeys(_) => Err(KeeperError::Unexpected),
            HelperReply::Refused(why) => Err(KeeperError::Refused(why)),
            HelperReply::Failed(why) => Err(KeeperError::Failed(why)),
        }
    }

    /// Writes resolv.conf, unless somebody else has overwritten it and `insist` is [`Insist::No`].
    ///
    /// # Errors
    /// [`KeeperError`]; the file is as it was.
    pub(crate) async fn take_resolv_conf(
        &mut self,
        mode: ResolvConfMode,
        nameservers: Vec<IpAddr>,
        search: Vec<DomainName>,
        insist: Insist,
    ) -> Result<ResolvConfReport, KeeperError> {
        self.report(HelperRequest::TakeResolvConf {
            mode,
            nameservers,
            search,
            insist,
        })
        .await
    }

    /// Puts back what was there; doing it again does nothing.
    ///
    /// # Errors
    /// [`KeeperError`]; the journal keeps the original.
    pub(crate) async fn give_back_resolv_conf(&mut self) -> Result<ResolvConfReport, KeeperError> {
        self.report(HelperRequest::GiveBackResolvConf).await
    }

    /// Tells whose resolv.conf is; to be asked whenever a `FileWatch` on it fires.
    ///
    /// # Errors
    /// [`KeeperError`].
    pub(crate) async fn resolv_conf_status(&mut self) -> Result<ResolvConfReport, KeeperError> {
        self.report(HelperRequest::ResolvConfStatus).await
    }

    /// Gives resolv.conf back and ends the helper.
    ///
    /// # Errors
    /// [`KeeperError`]; the helper ends all the same when its socket closes.
    pub(crate) async fn quit(mut self) -> Result<ResolvConfReport, KeeperError> {
        self.report(HelperRequest::Quit).await
    }

    async fn report(&mut self, request: HelperRequest) -> Result<ResolvConfReport, KeeperError> {
        match self.call(request).await? {
            HelperReply::ResolvConf(report) => Ok(report),
            HelperReply::Config(_)
            | HelperReply::Keys(_)
            | HelperReply::LinkKeys(_)
            | HelperReply::Marked(_) => Err(KeeperError::Unexpected),
            HelperReply::Refused(why) => Err(KeeperError::Refused(why)),
            HelperReply::Failed(why) => Err(KeeperError::Failed(why)),
        }
    }

    /// Has one request served. Cancel-safe: the reply to a call that was dropped is passed over.
    async fn call(&mut self, request: HelperRequest) -> Result<HelperReply, KeeperError> {
        match self {
            Self::Helper(client) => client.call(&request).await,
            Self::Here(custody) => Ok(custody.handle_request(request)),
        }
    }
}

#[cfg(test)]
mod tests;
