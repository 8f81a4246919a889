//! What can happen to the daemon? [`Input`], closed: everything that is not here cannot happen.
//!
//! Questions and replies are not here: they go from the driver to the resolver without a stop, in [`crate::run`].

use config::name::DomainName;
use dnssec::anchors::rollover::Observation;
use dnssec::clock::{Evidence, Reading};
use linkmgr::clients::{Heard, Port};
use linkmgr::{KernelAnswer, KernelEvent, RequestId};
use linkmgr_io::neighbours::Neighbour;
use linnet::anchor_files::AnchorText;
use linnet::api::{
    AddNegativeAnchorParameters, BrowseParameters, ClaimParameters, ExplainParameters,
    FlushParameters, LinkParameters, Notice, QueryParameters, RemoveNegativeAnchorParameters,
    Reply, StatusParameters, SubscribeParameters, WithdrawParameters,
};
use policy::LinkId;
use tokio::sync::{mpsc, oneshot};

use crate::control::Caller;
use crate::errands::Outcome;
use crate::host::HostName;
use crate::list_loader::ListRead;
use crate::making::Done;
use crate::observe::Scrape;
use crate::sleep::Sleep;
use crate::subscribers::Names;
use crate::world::Steer;

/// One thing that happened.
#[derive(Debug)]
pub(crate) enum Input {
    /// The kernel said something about links, addresses or default routes.
    Kernel(Vec<KernelEvent>),
    /// This came of a task with links that profiles make.
    Made(Done),
    /// The kernel has done what it was asked for, or not.
    Answers(Vec<(RequestId, KernelAnswer)>),
    /// These ports of clients cannot be had; told again whenever that has changed or was tried.
    Unheard(Vec<(u32, Port)>),
    /// These packets came through the ports of clients.
    Heard(Vec<Heard>),
    /// Whether all has left that was sent through ports that are closed by now.
    Sent(bool),
    /// The kernel says how routers are reached.
    Neighbours(Vec<Neighbour>),
    /// The journal of this version is kept, or could not be.
    JournalKept(u64, bool),
    /// The hosts table is this.
    Hosts(String),
    /// What is at the path of resolv.conf is this; `None` when there is nothing, or nothing that can be read.
    ResolvConf(Option<String>),
    /// An errand is done, or could not be.
    Errand(Outcome),
    /// Files of the configuration have changed, and are to be read by themselves.
    ConfigChanged,
    /// The machine is about to sleep, or has slept.
    Sleep(Sleep),
    /// The host's name is this.
    Host(HostName),
    /// A caller of the control interface asks for something.
    Control(Box<ControlCall>),
    /// A scraper wants the numbers.
    Scrape(Scrape),
    /// A connection of the control interface has ended.
    ControlGone(ConnectionId),
    /// The system, or a person, sent a signal.
    Signal(Signal),
    /// A deadline of the resolver, of a client or of the links has passed.
    Timer,
    /// The kernel says this of the time of day.
    Clock(Reading),
    /// Signatures of a trust point's own keys say this of the time of day.
    Evidence(Evidence),
    /// A trust point publishes these keys; `None` when nobody tells.
    Keys(DomainName, Option<Observation>),
    /// What is remembered of networks is this now.
    Networks(String),
    /// The configured files of trust anchors say this; `None` when none are configured.
    Anchors(Option<Vec<AnchorText>>),
    /// The file of a list was read, or could not be.
    List(Box<ListRead>),
    /// It was found out that a link reaches farther or less far.
    Reach(LinkId),
}

/// One connection of the control interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConnectionId(pub(crate) u64);

/// A call that wants an answer.
#[derive(Debug)]
pub(crate) struct ControlCall {
    /// On which connection.
    pub(crate) connection: ConnectionId,
    /// Who.
    pub(crate) caller: Caller,
    /// What.
    pub(crate) method: Method,
    /// Where the answer goes.
    pub(crate) answer: oneshot::Sender<Reply>,
}

/// The methods of the control interface, with their parameters.
#[derive(Debug)]
pub(crate) enum Method {
    /// What the daemon is doing.
    Status(StatusParameters),
    /// A question, as a client of the stub would ask it.
    Query(QueryParameters),
    /// Where a name goes.
    Explain(ExplainParameters),
    /// A claim.
    Claim(ClaimParameters),
    /// A claim's end.
    Withdraw(WithdrawParameters),
    /// Cached answers are to be forgotten.
    Flush(FlushParameters),
    /// Nothing at and below a name is to be validated for a while.
    AddNegativeAnchor(AddNegativeAnchorParameters),
    /// It is to be validated again.
    RemoveNegativeAnchor(RemoveNegativeAnchorParameters),
    /// Something is to be done with a link.
    Steer(Steer, LinkParameters),
    /// What should be in the kernel.
    Plan,
    /// The configuration is to be read again.
    Reload,
    /// What happens is to be told here.
    Subscribe(mpsc::Sender<Notice>, SubscribeParameters, Names),
    /// What neighbours have is to be told here, as it comes and goes.
    Browse(BrowseParameters, mpsc::Sender<Notice>),
}

/// A signal that means something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// SIGHUP: read the configuration again.
    Hangup,
    /// SIGTERM or SIGINT: end.
    Terminate,
}
