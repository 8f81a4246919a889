//! What stands in a line, and what must never: names while they are off, control characters, more lines than allowed.

use std::net::SocketAddr;

use config::model::Upstream;
use policy::domains::Target;
use policy::explain::{Because, Rule};
use policy::{Owner, Route, ScopeId};
use resolver::ClientId;
use resolver::event::ExtendedError;

use super::*;

const WALL: Duration = Duration::from_millis(1_793_491_200_042);

fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

fn trace(name: &str, rcode: u16, error: Option<(u16, &str)>) -> Trace {
    let upstream = Upstream::plain([10, 8, 0, 1].into());
    let scope = ScopeId("office@vpn0".into());
    let route = Route {
        target: Target::Ask(scope.clone()),
        because: Because {
            owner: Owner::Claim("my vpn".into()),
            rule: Rule::LongestSuffix,
            suffix: "corp.test".parse().unwrap(),
        }
        .into(),
    };
    Trace {
        client: ClientId(1),
        name: name.parse().unwrap(),
        record_type: 28,
        steps: vec![
            Step::Routed(name.parse().unwrap(), route),
            Step::Asked(scope, upstream.clone(), Channel::Udp),
            Step::Replied {
                upstream,
                channel: Channel::Tcp,
                rtt: Duration::from_millis(4),
                rcode,
            },
            Step::Judged(dnssec::Verdict::Insecure, Vec::new()),
        ],
        rcode,
        extended_error: error.map(|(code, text)| ExtendedError {
            code,
            text: text.to_owned(),
        }),
        elapsed: Duration::from_micros(4240),
        is_mark: false,
    }
}

fn log(queries: LoggedQueries, names: bool, lines_per_second: u32) -> QueryLog {
    let config = LogConfig {
        queries,
        names,
        file: None,
        lines_per_second,
    };
    QueryLog::new(config, true, at(0))
}

fn caller(transport: Transport, channel: Channel) -> Caller {
    Caller {
        peer: SocketAddr::from(([127, 0, 0, 1], 40_312)),
        at: SocketAddr::from(([127, 0, 0, 53], 53)),
        transport,
        channel,
    }
}

fn client() -> Caller {
    caller(Transport::Plain, Channel::Udp)
}

fn line(log: &mut QueryLog, trace: &Trace) -> String {
    log.line(trace, Some(&client()), WALL, at(0))
        .unwrap()
        .unwrap()
}

#[test]
fn a_line_says_who_asked_what_where_why_and_what_came_of_it() {
    let mut log = log(LoggedQueries::All, true, 10);
    let text = line(
        &mut log,
        &trace(
            "git.corp.test",
            2,
            Some((22, "no reply from \"10.8.0.1\"\n")),
        ),
    );
    assert_eq!(
        text,
        "2026-11-01T00:00:00.042Z client=127.0.0.1:40312 listener=127.0.0.53:53 over=udp name=git.corp.test type=AAAA scope=office@vpn0 \
         rule=longest-suffix owner=\"claim my vpn\" by=10.8.0.1 transport=tcp verdict=insecure rcode=SERVFAIL ede=22 \
         why=\"no reply from \\\"10.8.0.1\\\"\\u{a}\" ms=4.2\n"
    );
}

#[test]
fn a_line_says_by_which_transport_its_question_came() {
    let mut log = log(LoggedQueries::All, true, 10);
    for (transport, channel, over) in [
        (Transport::Plain, Channel::Udp, "udp"),
        (Transport::Plain, Channel::Tcp, "tcp"),
        (Transport::Tls, Channel::Tcp, "tls"),
        (Transport::Https, Channel::Tcp, "https"),
        (Transport::Quic, Channel::Tcp, "quic"),
    ] {
        let caller = caller(transport, channel);
        let line = log.line(&trace("a.test", 0, None), Some(&caller), WALL, at(0));
        let line = line.unwrap().unwrap();
        assert!(line.contains(&format!(" over={over} name=")), "{line}");
    }
}

#[test]
fn without_names_the_same_name_has_the_same_number_and_no_text_tells_it() {
    let mut log = log(LoggedQueries::All, false, 10);
    let error = Some((15, "git.corp.test is claimed by profile office"));
    let one = line(&mut log, &trace("git.corp.test", 5, error));
    let again = line(&mut log, &trace("GIT.corp.test", 5, error));
    let other = line(&mut log, &trace("www.corp.test", 5, error));
    for text in [&one, &again, &other] {
        assert!(!text.contains("corp"), "{text}");
        assert!(text.contains(" ede=15 ms="), "{text}");
    }
    assert_eq!(one, again);
    assert_ne!(one, other);
}

#[test]
fn a_name_cannot_break_out_of_its_line() {
    let mut log = log(LoggedQueries::All, true, 10);
    let text = line(
        &mut log,
        &trace("a\\010rcode=NOERROR\\032\\027[2J.test", 0, None),
    );
    assert_eq!(text.matches('\n').count(), 1, "{text}");
    assert!(
        text.contains(" name=a\\010rcode=noerror\\032\\027[2j.test type="),
        "{text}"
    );
}

#[test]
fn errors_are_what_a_client_has_to_take_for_one() {
    let mut log = log(LoggedQueries::Errors, true, 10);
    for (rcode, logged) in [(0, false), (3, false), (2, true), (5, true), (1, true)] {
        let line = log.line(&trace("a.test", rcode, None), None, WALL, at(0));
        assert_eq!(line.unwrap().is_some(), logged, "{rcode}");
    }
    let mut off = self::log(LoggedQueries::Off, true, 10);
    assert_eq!(
        off.line(&trace("a.test", 2, None), None, WALL, at(0)),
        Ok(None)
    );
}

#[test]
fn a_flood_has_so_many_lines_a_second_and_the_rest_is_counted() {
    let mut log = log(LoggedQueries::All, true, 100);
    let flood = trace("a.test", 0, None);
    let (mut lines, mut told) = (0, 0);
    let mut take = |line: Result<Option<String>, TooMany>| {
        let Ok(text) = line else {
            return;
        };
        lines += 1;
        let text = text.unwrap();
        if let Some((_, count)) = text.lines().next().unwrap().split_once("left-out=") {
            told += count.parse::<u32>().unwrap();
        }
    };
    for millis in 0..10_000 {
        for _ in 0..5 {
            take(log.line(&flood, Some(&client()), WALL, at(millis)));
        }
    }
    take(log.line(&flood, Some(&client()), WALL, at(11_000)));
    // One second's worth at once, and then 100 in each.
    assert!((1090..=1101).contains(&lines), "{lines}");
    assert_eq!(lines + told, 50_001);
}
