//! What does the daemon begin with, and in which order? Listeners, trust, and a seed, from the configuration and the files that are kept; then the
//! first plan, the first answers, and all that no answer needs.

use std::io;

use config::Config;
use config::observing::Observing;
use linkmgr::KernelEvent;
use linnet::anchor_files::{self, AnchorText};
use linnet::api::ListenStatus;
use linnet::config_dirs::ConfigText;
use resolver::Stub;
use resolver_io::{Authorities, Bound, Listen};

use super::waits::text;
use super::{RunError, Running};
use crate::input::Input;
use crate::kernel_clock::{BUILT_AT, Pretence};
use crate::leavings::Leavings;
use crate::notify::{Announcement, announce};
use crate::options::Options;
use crate::privileges::KeeperSeed;
use crate::trust::Trust;
use crate::world::Kept;
use crate::{clock, memory, store};

/// What was opened and read while there was root.
#[derive(Debug)]
pub(crate) struct Given {
    pub(crate) keeper: KeeperSeed,
    /// The files of the configuration.
    pub(crate) texts: Vec<ConfigText>,
    /// The stub's sockets.
    pub(crate) bound: Bound,
    /// What other DHCP clients have left in files.
    pub(crate) leavings: Leavings,
    /// The user that started linnetd.
    pub(crate) started_by: u32,
}

impl Running<'_> {
    /// Takes in what there is, makes the first plan, and says that we are ready.
    pub(super) async fn start(&mut self) -> Result<(), RunError> {
        // What is to be done for all this is done after the first answers.
        let reading = self.kernel_clock.read();
        let mut effects = self.world.on(Input::Clock(reading), clock::now());
        if let Some(watch) = &mut self.hosts
            && let Some(text) = text(watch.contents())
        {
            effects.extend(self.world.on(Input::Hosts(text), clock::now()));
        }
        if let Some(watch) = &mut self.resolv_conf {
            let text = text(watch.contents());
            effects.extend(self.world.on(Input::ResolvConf(text), clock::now()));
        }
        loop {
            let events = self.monitor.next().await.map_err(RunError::Monitor)?;
            let complete = events.contains(&KernelEvent::ListingEnds);
            effects.extend(self.world.on(Input::Kernel(events), clock::now()));
            if complete {
                break;
            }
        }
        memory::gather();
        effects.extend(self.world.begin(clock::now()));
        memory::scatter();
        self.serve_first().await?;
        self.execute(effects).await;
        // Also what replies have said of scopes meanwhile.
        self.pump();
        self.drain().await;
        if let Some((kept, text)) = self.kept_first.take() {
            self.writer.write(self.options.kept_file(kept), text);
        }
        self.autoload.switch(self.world.config().autoload);
        self.socket.publish()?;
        announce(&Announcement::Ready);
        tracing::info!(version = env!("CARGO_PKG_VERSION"), "linnetd is ready");
        Ok(())
    }

    /// Answers what has waited since the sockets were opened, as the first plan is in force, and has threads answer from then on.
    /// Whoever is to see every question has to be there first.
    async fn serve_first(&mut self) -> Result<(), RunError> {
        let is_unseen = *self.world.observing() == Observing::default();
        if is_unseen {
            self.pump();
            self.drain().await;
        }
        if self.has_threads {
            let resolver = &self.world.resolver;
            let started = self
                .driver
                .start_threads(|| resolver.shortcut(), clock::now);
            started.map_err(|error| RunError::System("start listener threads", error))?;
        }
        if is_unseen {
            // An upstream may have replied by now, and its client need not wait for all that the plan asks for.
            self.attend();
        }
        Ok(())
    }
}

/// Returns where the configuration has us listen.
pub(crate) fn listen(config: &Config) -> Vec<Listen> {
    let resolver = &config.resolver;
    if !resolver.enabled {
        return Vec::new();
    }
    let place = |stub| {
        move |address: &std::net::SocketAddr| Listen {
            address: *address,
            stub,
        }
    };
    let main = resolver.listen.iter().map(place(Stub::Main));
    let bypass = resolver.listen_bypass.iter().map(place(Stub::Bypass));
    main.chain(bypass).collect()
}

/// Returns what is trusted at the start.
pub(super) fn trust(options: &Options, config: &Config) -> Trust {
    let saved = store::read(&options.kept_file(Kept::Time));
    let saved = saved.and_then(|text| text.trim().parse().ok());
    // A pretended time may be any.
    let clock = match options.clock {
        Some(Pretence::At(_)) => dnssec::clock::Clock::new(0, None),
        Some(Pretence::From(_)) | None => dnssec::clock::Clock::new(BUILT_AT, saved),
    };
    let negatives = store::read(&options.kept_file(Kept::NegativeAnchors));
    let points = store::read(&options.kept_file(Kept::TrustPoints));
    let mut trust = Trust::new(clock, negatives.as_deref(), points.as_deref());
    let texts = anchor_texts(options, config.resolver.trust_anchors.as_deref());
    trust.handle_texts(texts.as_deref(), config.resolver.trust_anchor_rollover);
    trust
}

/// Returns where the configuration has the certificates of authorities.
pub(super) fn authorities(options: &Options, config: &Config) -> Authorities {
    match &config.resolver.tls_roots {
        Some(path) => Authorities::At(anchor_files::place(options.config_dir.as_deref(), path)),
        None => Authorities::System,
    }
}

/// Reads the anchor files that the configuration names.
pub(super) fn anchor_texts(options: &Options, path: Option<&str>) -> Option<Vec<AnchorText>> {
    path.map(|path| anchor_files::read(options.config_dir.as_deref(), path))
}

/// Returns a listener as `status` tells it.
pub(super) fn listen_status(listen: &Listen) -> ListenStatus {
    ListenStatus {
        address: listen.address.to_string(),
        stub: listen.stub.as_str().to_owned(),
    }
}

/// Returns a seed from the operating system.
pub(super) fn seed() -> io::Result<[u8; 32]> {
    use rand::TryRng as _;
    let mut seed = [0; 32];
    rand::rngs::SysRng
        .try_fill_bytes(&mut seed)
        .map_err(io::Error::other)?;
    Ok(seed)
}
