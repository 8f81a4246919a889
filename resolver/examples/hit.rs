//! What does a cache hit cost beside sockets, with ten thousand claimed names? To be run by an instruction counter.
//!
//! `hit [ROUNDS [CLAIMS]]`: as many times 1,000 questions, each for another name, answered by a shortcut.

mod wires;

use std::error::Error;
use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use config::layer::{Layer, LayerKind, Origin, Rank};
use config::model::ProfileId;
use config::time::Instant;
use policy::Facts;
use resolver::{Channel, ClientId, ClientQuery, Resolver, Settings, Stub};
use wires::{question, reply};

const NAMES: u32 = 1000;
const CLAIMS: u32 = 10_000;
const CONFIG: &str = "[resolver]\nupstreams = [\"127.0.0.2\"]\ndnssec = \"off\"\n";

fn main() -> Result<(), Box<dyn Error>> {
    let rounds: u32 = std::env::args()
        .nth(1)
        .map_or(Ok(100), |text| text.parse())?;
    let claims: u32 = std::env::args()
        .nth(2)
        .map_or(Ok(CLAIMS), |text| text.parse())?;
    let mut profile = "[dns]\nupstreams = [\"127.0.0.3\"]\nclaims = [".to_owned();
    for number in 0..claims {
        write!(profile, "\"c{number}.corp.example\",")?;
    }
    profile.push_str("]\n");
    let layer = |text: &str, kind| Layer {
        origin: Origin {
            rank: Rank::Admin,
            path: "text".into(),
        },
        text: text.to_owned(),
        kind,
    };
    let many = LayerKind::Profile(ProfileId("many".into()));
    let layers = [layer(CONFIG, LayerKind::Main), layer(&profile, many)];
    let plan = policy::plan(&config::load(&layers).config, &Facts::default());
    let mut resolver = Resolver::new(Settings {
        cache_size: 64 << 20,
        dnssec_cache_size: 1 << 20,
        seed: [7; 32],
    });
    let now = Instant::ZERO + Duration::from_secs(1000);
    resolver.apply_plan(plan.dns, now);
    let questions: Vec<Vec<u8>> = (0..NAMES)
        .map(|number| question(&format!("h{number:06}"), 0x1234))
        .collect();
    for wire in &questions {
        let query = ClientQuery {
            client: ClientId(1),
            stub: Stub::Main,
            channel: Channel::Udp,
            origin: None,
            wire,
        };
        resolver.handle_query(query, now);
        while let Some(transmit) = resolver.poll_transmit() {
            resolver.handle_reply(transmit.exchange, &reply(&transmit.wire), now);
        }
        while resolver.poll_answer().is_some() {}
        while resolver.poll_cancel().is_some() {}
        while resolver.poll_event().is_some() {}
    }
    let mut shortcut = resolver.shortcut();
    let mut out = Vec::new();
    let mut hits = 0u64;
    for _ in 0..rounds {
        for wire in &questions {
            let answered = shortcut.answer(wire, Stub::Main, Channel::Udp, &mut out, now);
            hits += u64::from(answered);
        }
    }
    writeln!(std::io::stdout(), "{hits} hits")?;
    match hits == u64::from(rounds * NAMES) {
        true => Ok(()),
        false => Err("that is not a hit for each question".into()),
    }
}
