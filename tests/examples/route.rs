//! How long does it take to say where a name goes, among a hundred thousand claimed suffixes?
//!
//! Names of three to five labels, half of them claimed, in an order that no cache foresees. Prints the time of one routing and fails
//! when it is over the figure that linnet promises; `tests/bench/run` runs it.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench may fail at any line, and prints"
)]

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

use config::Config;
use config::model::{
    DefaultUse, DnsSettings, NetworkSettings, Profile, ProfileId, ResolverConfig, Upstream,
};
use config::name::DomainName;
use policy::{Facts, Target, plan};

/// Claimed suffixes.
const SUFFIXES: u32 = 100_000;
/// Names that are asked for, more than a processor's caches hold.
const NAMES: u32 = 200_000;
const PASSES: usize = 9;
/// What linnet promises, in nanoseconds.
const PROMISED: f64 = 300.0;

fn main() -> ExitCode {
    let claims: Vec<DomainName> = (0..SUFFIXES).map(suffix).collect();
    let office = Profile {
        id: ProfileId("office".into()),
        matches: None,
        dns: DnsSettings {
            upstreams: vec![Upstream::plain("10.8.0.1".parse().unwrap())],
            claims,
            default: DefaultUse::No,
            ..DnsSettings::default()
        },
        network: NetworkSettings::default(),
        link: None,
        records: Vec::new(),
    };
    let config = Config {
        resolver: ResolverConfig {
            upstreams: vec![Upstream::plain("192.0.2.53".parse().unwrap())],
            ..ResolverConfig::default()
        },
        profiles: [(office.id.clone(), office)].into(),
        ..Config::default()
    };
    let begun = Instant::now();
    let plan = plan(&config, &Facts::default());
    let planned = begun.elapsed();
    let domains = &plan.dns.domains;
    let mut luck = 0x2545_f491_4f6c_dd1d_u64;
    let names: Vec<DomainName> = (0..NAMES)
        .map(|number| {
            luck ^= luck << 13;
            luck ^= luck >> 7;
            luck ^= luck << 17;
            let at = u32::try_from(luck % u64::from(SUFFIXES)).unwrap();
            match number % 4 {
                0 => format!("www.{}", suffix(at)),
                1 => format!("a.b.{}", suffix(at)),
                2 => format!("www.d{at}.public.example"),
                _ => format!("cdn{at}.example.org"),
            }
            .parse()
            .unwrap()
        })
        .collect();
    let mut times = Vec::new();
    for _ in 0..PASSES {
        let begun = Instant::now();
        let claimed = names.iter().filter(|name| {
            let route = domains.route_wire(black_box(name.as_wire()));
            matches!(&route.target, Target::Ask(scope) if scope.0.len() > 100)
        });
        assert_eq!(claimed.count(), 0, "no scope has so long a name");
        times.push(begun.elapsed().as_secs_f64() * 1e9 / f64::from(NAMES));
    }
    // What was measured is right as well.
    let asked = |name: &DomainName| domains.route(name).target.scope().map(ToString::to_string);
    let (office, others) = (asked(&names[0]), asked(&names[2]));
    assert!(
        office.is_some() && others.is_some() && office != others,
        "{office:?} {others:?}"
    );
    times.sort_by(f64::total_cmp);
    let (median, best) = (times[PASSES / 2], times[0]);
    println!(
        "{{\"ns\":{median:.0},\"best_ns\":{best:.0},\"suffixes\":{SUFFIXES},\"plan_ms\":{:.0}}}",
        planned.as_secs_f64() * 1e3
    );
    if median > PROMISED {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn suffix(number: u32) -> DomainName {
    let zone = ["corp", "lab", "office"][number as usize % 3];
    format!("d{number}.{zone}.test").parse().unwrap()
}
