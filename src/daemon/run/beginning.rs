//! What does the daemon begin with? Listeners, trust, and a seed, from the configuration and the files that are kept.

use std::io;

use config::Config;
use linnet::anchor_files::{self, AnchorText};
use linnet::api::ListenStatus;
use resolver::Stub;
use resolver_io::{Authorities, Listen};

use crate::kernel_clock::{BUILT_AT, Pretence};
use crate::options::Options;
use crate::store;
use crate::trust::Trust;
use crate::world::Kept;

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
