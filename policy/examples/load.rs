//! How long does it take to read and to plan a profile with ten thousand claimed names? Most of a start that is the core's.
//!
//! `load [ROUNDS [CLAIMS]]`: prints the time of each step; an instruction counter may run it.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench may fail at any line, prints, and looks at the clock"
)]

use std::fmt::Write as _;
use std::time::Instant;

use config::layer::{Layer, LayerKind, Origin, Rank, load};
use config::model::ProfileId;
use policy::{Facts, Plan, diff, plan};

const CLAIMS: u32 = 10_000;
const MAIN: &str = "[resolver]\nupstreams = [\"127.0.0.2\"]\ndnssec = \"off\"\n";

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut next = |usual| arguments.next().map_or(usual, |text| text.parse().unwrap());
    let (rounds, claims) = (next(20), next(CLAIMS));
    let mut profile = "[dns]\nupstreams = [\"127.0.0.3\"]\nclaims = [\n".to_owned();
    for number in 0..claims {
        writeln!(profile, "  \"c{number:05}.wild.plain\",").unwrap();
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
    let office = LayerKind::Profile(ProfileId("office".into()));
    let layers = [layer(MAIN, LayerKind::Main), layer(&profile, office)];
    let mut best = [f64::MAX; 3];
    for _ in 0..rounds {
        let begun = Instant::now();
        let loaded = load(&layers);
        let read = begun.elapsed();
        assert_eq!(loaded.diagnostics, []);
        let plan = plan(&loaded.config, &Facts::default());
        let planned = begun.elapsed() - read;
        let told = diff::changes(&Plan::default(), &plan);
        assert!(!told.is_empty());
        let told = begun.elapsed() - read - planned;
        for (best, took) in best.iter_mut().zip([read, planned, told]) {
            *best = best.min(took.as_secs_f64() * 1e6);
        }
    }
    let [read, planned, told] = best;
    println!(
        "{{\"claims\":{claims},\"read_us\":{read:.0},\"plan_us\":{planned:.0},\"tell_us\":{told:.0}}}"
    );
}
