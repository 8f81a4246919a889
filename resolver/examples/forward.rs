//! What does a forwarded question cost in the core, without sockets? To be run by an instruction counter.
//!
//! `forward [ROUNDS]`: as many times 64 questions, each for another name, forwarded and answered.

mod wires;

use std::error::Error;
use std::io::Write as _;
use std::time::Duration;

use config::layer::{Layer, LayerKind, Origin, Rank};
use config::time::Instant;
use policy::Facts;
use resolver::{Channel, ClientId, ClientQuery, Resolver, Settings, Stub};
use wires::{question, reply};

/// Questions that are under way at once.
const TOGETHER: u32 = 64;

const CONFIG: &str = "[resolver]\nupstreams = [\"127.0.0.2\"]\ndnssec = \"off\"\n";

fn main() -> Result<(), Box<dyn Error>> {
    let rounds: u32 = std::env::args()
        .nth(1)
        .map_or(Ok(100), |text| text.parse())?;
    let layer = Layer {
        origin: Origin {
            rank: Rank::Admin,
            path: "linnet.toml".into(),
        },
        text: CONFIG.to_owned(),
        kind: LayerKind::Main,
    };
    let config = config::load(&[layer]).config;
    let plan = policy::plan(&config, &Facts::default());
    let mut resolver = Resolver::new(Settings {
        cache_size: 64 << 20,
        dnssec_cache_size: 1 << 20,
        seed: [7; 32],
    });
    let mut now = Instant::ZERO + Duration::from_secs(1000);
    resolver.apply_plan(plan.dns, now);
    let mut answered = 0u64;
    for round in 0..rounds {
        now = now + Duration::from_millis(1);
        for number in 0..TOGETHER {
            let name = format!("h{:07}", round * TOGETHER + number);
            let wire = question(&name, u16::try_from(number)?);
            resolver.handle_query(
                ClientQuery {
                    client: ClientId(number.into()),
                    stub: Stub::Main,
                    channel: Channel::Udp,
                    origin: None,
                    wire: &wire,
                },
                now,
            );
        }
        let mut replies = Vec::new();
        while let Some(transmit) = resolver.poll_transmit() {
            replies.push((transmit.exchange, reply(&transmit.wire)));
        }
        for (exchange, wire) in replies {
            resolver.handle_reply(exchange, &wire, now);
        }
        while resolver.poll_answer().is_some() {
            answered += 1;
        }
        while resolver.poll_cancel().is_some() {}
        while resolver.poll_event().is_some() {}
    }
    let sent = resolver.counters().exchanges;
    writeln!(std::io::stdout(), "{answered} answered, {sent} sent")?;
    match u64::from(rounds * TOGETHER) == answered && answered == sent {
        true => Ok(()),
        false => Err("that is not one message for each question".into()),
    }
}
