//! Do connections to upstreams carry what they are given, to whom it is meant, and to nobody else?

use std::thread;
use std::time::Instant as Moment;

use config::pin::Pin;
use resolver::TlsFault;

use super::servers::*;
use super::*;

/// A message to a server by stream.
pub(super) fn by_stream(exchange: u64, to: SocketAddr, transport: Transport) -> Transmit {
    let mut transmit = transmit(exchange, to, Channel::Tcp);
    transmit.upstream.transport = transport;
    let id = u16::try_from(exchange).unwrap() ^ 0x5500;
    transmit.wire = query(id, &format!("n{exchange}.test"));
    transmit
}

pub(super) fn named(transmit: Transmit, name: Option<&str>) -> Transmit {
    let mut transmit = transmit;
    transmit.upstream.server_name = name.map(Arc::from);
    transmit
}

/// The question of a message, and its id.
pub(super) fn told(wire: &[u8]) -> (u16, &[u8]) {
    (u16::from_be_bytes([wire[0], wire[1]]), &wire[12..18])
}

pub(super) fn assert_replies(got: &[Got], sent: &[Transmit]) {
    assert_eq!(got.len(), sent.len(), "{got:?}");
    for transmit in sent {
        let reply = got.iter().find_map(|got| match got {
            Got::Reply(exchange, wire) if *exchange == transmit.exchange.0 => Some(wire),
            Got::Reply(..) | Got::Query(..) | Got::Failed(..) | Got::Gone(_) => None,
        });
        let reply = reply.unwrap_or_else(|| panic!("{:?} in {got:?}", transmit.exchange));
        assert_eq!(told(reply), told(&transmit.wire));
    }
}

pub(super) async fn ask(driver: &mut Driver, sent: &[Transmit]) -> Vec<Got> {
    for transmit in sent {
        driver.transmit(transmit.clone());
    }
    driver.finish_round();
    gather(driver, sent.len()).await
}

pub(super) fn trusting(authority: &Authority) -> Driver {
    let (mut driver, _) = driver();
    driver.set_authorities(Authorities::At(authority.file.clone()));
    driver
}

#[test]
fn many_messages_share_a_connection_and_come_back_in_any_order() {
    run(async {
        let (mut driver, _) = driver();
        let server = Server::start(None, |_, line, seen| {
            let messages: Vec<_> = (0..50).map_while(|_| line.read()).collect();
            for wire in messages.iter().rev() {
                seen.send(wire.clone()).unwrap();
                line.write(wire);
            }
            line.read();
        });
        let sent: Vec<_> = (1..=50)
            .map(|exchange| by_stream(exchange, server.address, Transport::Plain))
            .collect();
        let got = ask(&mut driver, &sent).await;
        assert_replies(&got, &sent);
        let ids: BTreeSet<u16> = server.seen.try_iter().map(|wire| told(&wire).0).collect();
        assert_eq!(ids.len(), 50, "ids are unique on a connection");
        assert_eq!(server.count(), 1);
    });
}

#[test]
fn keepalive_is_asked_once_and_nothing_is_padded_in_the_clear() {
    run(async {
        let (mut driver, _) = driver();
        let server = Server::echo(None);
        for exchange in 1..=3 {
            let sent = [by_stream(exchange, server.address, Transport::Plain)];
            ask(&mut driver, &sent).await;
            let seen = server.seen.recv().unwrap();
            let option: &[u8] = if exchange == 1 { &[0, 11, 0, 0] } else { &[] };
            assert_eq!(seen.len(), sent[0].wire.len() + option.len());
            assert!(seen.ends_with(option));
        }
    });
}

#[test]
fn connection_closed_by_an_idle_server_costs_nobody_an_answer() {
    run(async {
        let (mut driver, _) = driver();
        // Each connection serves one message, and swallows the next.
        let server = Server::start(None, |_, line, _| {
            if let Some(wire) = line.read() {
                line.write(&wire);
            }
            line.read();
        });
        for exchange in 1..=4 {
            let sent = [by_stream(exchange, server.address, Transport::Plain)];
            assert_replies(&ask(&mut driver, &sent).await, &sent);
        }
        assert!((2..=4).contains(&server.count()));
    });
}

#[test]
fn message_is_sent_again_once_and_not_for_ever() {
    run(async {
        let (mut driver, _) = driver();
        let server = Server::start(None, |number, line, _| {
            if let Some(wire) = line.read()
                && number == 1
            {
                line.write(&wire);
                line.read();
            }
        });
        let sent = [by_stream(1, server.address, Transport::Plain)];
        assert_replies(&ask(&mut driver, &sent).await, &sent);
        let sent = [by_stream(2, server.address, Transport::Plain)];
        assert_eq!(
            ask(&mut driver, &sent).await,
            [Got::Failed(2, Failure::Closed)]
        );
        assert_eq!(server.count(), 2);
        // One that never served is not tried twice at all.
        let sent = [by_stream(3, server.address, Transport::Plain)];
        assert_eq!(
            ask(&mut driver, &sent).await,
            [Got::Failed(3, Failure::Closed)]
        );
        assert_eq!(server.count(), 3);
    });
}

#[test]
fn reply_that_comes_with_the_end_counts_and_the_rest_goes_elsewhere() {
    run(async {
        let (mut driver, _) = driver();
        let server = Server::start(None, |number, line, _| {
            let first = line.read().unwrap();
            if number == 1 {
                line.read();
                line.write(&first);
                return;
            }
            line.write(&first);
            line.read();
        });
        let sent = [
            by_stream(1, server.address, Transport::Plain),
            by_stream(2, server.address, Transport::Plain),
        ];
        assert_replies(&ask(&mut driver, &sent).await, &sent);
        assert_eq!(server.count(), 2);
    });
}

#[test]
fn late_reply_to_a_message_that_was_given_up_meets_no_other() {
    run(async {
        let (mut driver, _) = driver();
        let server = Server::start(None, |_, line, _| {
            let first = line.read().unwrap();
            let second = line.read().unwrap();
            line.write(&first);
            line.write(&[9; 20]);
            line.write(&second);
            line.read();
        });
        driver.transmit(by_stream(1, server.address, Transport::Plain));
        driver.finish_round();
        driver.cancel(ExchangeId(1));
        let sent = [by_stream(2, server.address, Transport::Plain)];
        assert_replies(&ask(&mut driver, &sent).await, &sent);
    });
}

#[test]
fn longest_messages_pass_and_a_stream_without_sense_fails() {
    run(async {
        let authority = Authority::new();
        let identity = authority.issue(&["127.0.0.1"], Made::Well, &[]);
        let mut driver = trusting(&authority);
        for tls in [None, Some(identity.config)] {
            let transport = if tls.is_some() {
                Transport::Tls
            } else {
                Transport::Plain
            };
            let server = Server::start(tls, |_, line, _| {
                let wire = line.read().unwrap();
                let mut long = wire.clone();
                long.resize(65_535, 7);
                line.write(&long);
                let wire = line.read().unwrap();
                line.write(&wire[..5]);
                line.read();
            });
            let sent = [by_stream(1, server.address, transport)];
            let got = ask(&mut driver, &sent).await;
            assert_replies(&got, &sent);
            assert!(matches!(&got[0], Got::Reply(1, wire) if wire.len() == 65_535));
            let sent = [by_stream(2, server.address, transport)];
            let got = ask(&mut driver, &sent).await;
            assert_eq!(got, [Got::Failed(2, Failure::Garbled)]);
        }
    });
}

#[test]
fn silent_connection_gets_no_more_messages() {
    run(async {
        let (mut driver, _) = driver();
        let server = Server::start(None, |number, line, _| {
            while let Some(wire) = line.read() {
                if number > 1 {
                    line.write(&wire);
                }
            }
        });
        driver.transmit(by_stream(1, server.address, Transport::Plain));
        driver.finish_round();
        let began = Moment::now();
        while began.elapsed() < Duration::from_millis(900) {
            let wait = Duration::from_millis(300);
            let came = tokio::time::timeout(wait, round(&mut driver)).await;
            assert_eq!(came.unwrap_or_default(), []);
        }
        let sent = [by_stream(2, server.address, Transport::Plain)];
        let got = ask(&mut driver, &sent).await;
        assert_replies(&got, &sent);
        assert_eq!(server.count(), 2);
    });
}

#[test]
fn groups_share_no_connection_and_a_group_that_ends_takes_its_own_along() {
    run(async {
        let (mut driver, _) = driver();
        let server = Server::start(None, |_, line, _| {
            let wire = line.read().unwrap();
            line.write(&wire);
            while line.read().is_some() {}
        });
        let grouped = |exchange, group| Transmit {
            group: GroupId(group),
            ..by_stream(exchange, server.address, Transport::Plain)
        };
        let sent = [grouped(1, 1), grouped(2, 2)];
        assert_replies(&ask(&mut driver, &sent).await, &sent);
        assert_eq!(server.count(), 2);
        driver.transmit(grouped(3, 1));
        driver.finish_round();
        driver.hang_up(&Hangup {
            group: GroupId(1),
            upstream: None,
        });
        assert_eq!(
            gather(&mut driver, 1).await,
            [Got::Failed(3, Failure::Closed)]
        );
        driver.hang_up(&Hangup {
            group: GroupId(2),
            upstream: Some(Upstream::plain([192, 0, 2, 1].into())),
        });
        assert!(!driver.streams.is_empty());
        let upstream = Some(sent[1].upstream.clone());
        driver.hang_up(&Hangup {
            group: GroupId(2),
            upstream,
        });
        assert!(driver.streams.is_empty());
    });
}

#[test]
fn server_is_believed_by_name_by_address_and_by_pin() {
    run(async {
        let authority = Authority::new();
        let mut driver = trusting(&authority);
        let identity = authority.issue(&["dns.example", "127.0.0.1"], Made::Well, &[]);
        let server = Server::echo(Some(identity.config.clone()));
        let mut exchange = 0;
        for name in [Some("dns.example"), None] {
            exchange += 1;
            let sent = [named(
                by_stream(exchange, server.address, Transport::Tls),
                name,
            )];
            assert_replies(&ask(&mut driver, &sent).await, &sent);
            let seen = server.seen.recv().unwrap();
            assert_eq!(seen.len() % 128, 0, "padded to whole blocks");
        }
        let odd = authority.issue(&["elsewhere.test"], Made::ByItself, &[]);
        for (identity, name) in [(identity, Some("dns.example")), (odd, None)] {
            exchange += 1;
            let server = Server::echo(Some(identity.config));
            let mut sent = named(by_stream(exchange, server.address, Transport::Tls), name);
            sent.upstream.pins = Some([Pin([1; 32]), identity.pin].into());
            let sent = [sent];
            assert_replies(&ask(&mut driver, &sent).await, &sent);
        }
    });
}

#[test]
fn every_wrong_certificate_is_refused_with_its_reason_and_hears_no_question() {
    use TlsFault as F;
    run(async {
        let authority = Authority::new();
        let mut driver = trusting(&authority);
        let name = Some("dns.example");
        let rows: [(&[&str], Made, Option<&str>, F); 7] = [
            (&["other.example"], Made::Well, name, F::WrongName),
            (&["127.0.0.1"], Made::Well, name, F::WrongName),
            (
                &["dns.example", "127.0.0.2"],
                Made::Well,
                None,
                F::WrongAddress,
            ),
            (&["dns.example"], Made::Expired, name, F::Expired),
            (&["dns.example"], Made::Early, name, F::NotYetValid),
            (
                &["dns.example"],
                Made::ByAStranger,
                name,
                F::UnknownAuthority,
            ),
            (&["dns.example"], Made::ByItself, name, F::SelfSigned),
        ];
        for (exchange, (names, made, name, fault)) in (1..).zip(rows) {
            let identity = authority.issue(names, made, &[]);
            let server = Server::echo(Some(identity.config));
            let sent = [named(
                by_stream(exchange, server.address, Transport::Tls),
                name,
            )];
            let failed = Got::Failed(exchange, Failure::Tls(fault));
            // It is not asked again at once.
            for _ in 0..2 {
                let got = ask(&mut driver, &sent).await;
                assert_eq!(got, std::slice::from_ref(&failed));
            }
            assert_eq!(server.count(), 1, "{fault:?}");
            assert!(server.seen.try_recv().is_err(), "{fault:?}");
        }
        let identity = authority.issue(&["dns.example"], Made::Well, &[]);
        let server = Server::echo(Some(identity.config));
        let mut sent = named(by_stream(20, server.address, Transport::Tls), name);
        sent.upstream.pins = Some([Pin([1; 32])].into());
        let failed = Got::Failed(20, Failure::Tls(F::WrongPin));
        assert_eq!(ask(&mut driver, &[sent]).await, [failed]);
        driver.set_authorities(Authorities::At("/nonexistent".into()));
        let sent = [named(by_stream(21, server.address, Transport::Tls), name)];
        let failed = Got::Failed(21, Failure::Tls(F::NoAuthorities));
        assert_eq!(ask(&mut driver, &sent).await, [failed]);
        assert!(server.seen.try_recv().is_err());
    });
}

#[test]
fn server_without_tls_is_told_apart_and_hears_no_question() {
    run(async {
        let authority = Authority::new();
        let mut driver = trusting(&authority);
        let server = Server::start(None, |_, line, seen| {
            line.write(&[7; 40]);
            while let Some(wire) = line.read() {
                seen.send(wire).unwrap();
            }
        });
        let sent = [by_stream(1, server.address, Transport::Tls)];
        let failed = Got::Failed(1, Failure::Tls(TlsFault::NotTls));
        assert_eq!(ask(&mut driver, &sent).await, [failed]);
        for seen in server.seen.try_iter() {
            assert!(!seen.windows(2).any(|octets| octets == b"n1"));
        }
    });
}

#[test]
fn sessions_are_resumed_within_a_group_and_never_across() {
    run(async {
        let authority = Authority::new();
        let mut driver = trusting(&authority);
        let identity = authority.issue(&["127.0.0.1"], Made::Well, &[]);
        let server = Server::start(Some(identity.config), |_, line, seen| {
            if let Some(wire) = line.read() {
                seen.send(vec![u8::from(line.resumed)]).unwrap();
                line.write(&wire);
            }
        });
        for (exchange, group, resumed) in [(1, 1, 0), (2, 1, 1), (3, 2, 0)] {
            let sent = [Transmit {
                group: GroupId(group),
                ..by_stream(exchange, server.address, Transport::Tls)
            }];
            assert_replies(&ask(&mut driver, &sent).await, &sent);
            assert_eq!(server.seen.recv().unwrap(), [resumed], "{exchange}");
            // Lets the end of the connection come in.
            let _ended = tokio::time::timeout(Duration::from_millis(50), round(&mut driver)).await;
        }
    });
}

#[test]
fn dates_of_certificates_count_once_the_clock_is_believed() {
    run(async {
        let authority = Authority::new();
        let mut driver = trusting(&authority);
        let identity = authority.issue(&["127.0.0.1"], Made::Expired, &[]);
        let server = Server::echo(Some(identity.config));
        let clock = |wall, dates_count| Clock {
            wall: config::time::WallTime(wall),
            dates_count,
            ..Clock::default()
        };
        driver.set_clock(clock(0, false));
        let sent = [by_stream(1, server.address, Transport::Tls)];
        assert_replies(&ask(&mut driver, &sent).await, &sent);
        // Someone else's certificate is no better for that.
        let wrong = authority.issue(&["127.0.0.1"], Made::ByAStranger, &[]);
        let stranger = Server::echo(Some(wrong.config));
        let failed = Got::Failed(2, Failure::Tls(TlsFault::UnknownAuthority));
        let sent = [by_stream(2, stranger.address, Transport::Tls)];
        assert_eq!(ask(&mut driver, &sent).await, [failed]);
        // 2026: whoever was believed without dates has to show himself again.
        driver.set_clock(clock(1_790_000_000, true));
        let sent = [by_stream(3, server.address, Transport::Tls)];
        let failed = Got::Failed(3, Failure::Tls(TlsFault::Expired));
        assert_eq!(ask(&mut driver, &sent).await, [failed]);
        assert_eq!(server.count(), 2);
    });
}

#[test]
fn server_that_wants_no_idle_connections_gets_none() {
    run(async {
        let (mut driver, _) = driver();
        let server = Server::start(None, |_, line, seen| {
            let mut wire = line.read().unwrap();
            // The message that asks for it is overtaken.
            let other = line.read().unwrap();
            line.write(&other);
            // Its keepalive option, with a timeout of 0.
            let at = wire.len() - 4;
            wire[at - 1] = 6;
            wire[at + 3] = 2;
            wire.extend_from_slice(&[0, 0]);
            line.write(&wire);
            let began = Moment::now();
            assert!(line.read().is_none());
            seen.send(vec![u8::from(began.elapsed() < Duration::from_secs(5))])
                .unwrap();
        });
        let sent = [1, 2].map(|exchange| by_stream(exchange, server.address, Transport::Plain));
        assert_replies(&ask(&mut driver, &sent).await, &sent);
        let _swept = tokio::time::timeout(Duration::from_secs(3), driver.ready()).await;
        assert!(driver.streams.is_empty());
        thread::yield_now();
        assert_eq!(server.seen.recv().unwrap(), [1]);
    });
}
