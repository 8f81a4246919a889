//! When the shell was away, as in a machine that is halted: what upstreams have sent meanwhile is read before it is too late for it.

use super::calls::{by_h3, by_https, h3, https, quic};
use super::servers::*;
use super::streams::{ask, assert_replies, by_stream, named, trusting};
use super::*;

async fn catch_up(driver: &mut Driver) -> Vec<Got> {
    let mut got = Vec::new();
    let take = |input: Input<'_>| match input {
        Input::Reply { exchange, wire } => got.push(Got::Reply(exchange.0, wire.to_vec())),
        other @ (Input::Query { .. } | Input::Failed { .. } | Input::ClientGone(_)) => {
            panic!("{other:?}")
        }
    };
    driver.catch_up(take).await;
    got
}

#[test]
fn who_was_away_gets_all_replies_at_once_and_no_question() {
    run(async {
        let (mut driver, at) = driver();
        let (upstream, address) = peer();
        let (client, _) = peer();
        driver.transmit(transmit(1, address, Channel::Udp));
        let (_, from) = upstream.recv_from(&mut [0; 512]).unwrap();
        client.send_to(&message(3), at).unwrap();
        // More than a round takes.
        for number in 100..300 {
            upstream.send_to(&message(number), from).unwrap();
        }
        let sent = (100..300).map(|number| Got::Reply(1, message(number)));
        assert_eq!(catch_up(&mut driver).await, sent.collect::<Vec<_>>());
        let rest = gather(&mut driver, 1).await;
        assert_eq!(query_of(&rest[0]).1, message(3));
        assert_eq!(rest.len(), 1);
    });
}

#[test]
fn who_was_away_gets_replies_before_what_is_too_old_for_any_is_closed() {
    run(async {
        let (mut driver, _) = driver();
        let (upstream, address) = peer();
        let listener = TcpListener::bind(loopback()).unwrap();
        let stream_address = listener.local_addr().unwrap();
        // A connection that is there.
        driver.transmit(transmit(1, stream_address, Channel::Tcp));
        driver.finish_round();
        let (mut stream, _) = listener.accept().unwrap();
        round(&mut driver).await;
        let wire = read_frame(&mut stream);
        stream.write_all(&framed(&wire)).unwrap();
        gather(&mut driver, 1).await;

        let long_ago = Instant::now().checked_sub(Duration::from_secs(12)).unwrap();
        let Driver {
            ports,
            streams,
            tls,
            poller,
            found,
            ..
        } = &mut driver;
        let by_datagram = transmit(2, address, Channel::Udp);
        ports.send(poller, &by_datagram, found, long_ago).unwrap();
        let by_stream = transmit(3, stream_address, Channel::Tcp);
        streams
            .start(poller, tls, by_stream, long_ago, found)
            .unwrap();
        driver.finish_round();
        let (_, from) = upstream.recv_from(&mut [0; 512]).unwrap();
        let wire = read_frame(&mut stream);

        // It begins to wait, and is away when it should look for what is too old.
        driver.sweep_at = None;
        let waits = tokio::time::timeout(Duration::from_millis(1), driver.ready());
        assert!(waits.await.is_err());
        upstream.send_to(&message(7), from).unwrap();
        stream.write_all(&framed(&wire)).unwrap();
        std::thread::sleep(Duration::from_millis(1400));
        driver.ready().await;
        let mut got = catch_up(&mut driver).await;
        got.sort_by_key(|got| matches!(got, Got::Reply(3, _)));
        assert_eq!(got, [2, 3].map(|exchange| Got::Reply(exchange, message(7))));
        driver.finish_round();

        // It is closed soon after.
        for _ in 0..100 {
            let waits = tokio::time::timeout(Duration::from_millis(50), driver.ready());
            let _looked = waits.await;
            take(&mut driver);
            if holder::find(from, Channel::Udp).is_none() {
                return;
            }
        }
        panic!("it is never closed");
    });
}

#[test]
fn who_was_away_gets_replies_to_calls_too() {
    run(async {
        let authority = Authority::new();
        let name = Some("dns.example");
        for transport in [Transport::Https, Transport::H3, Transport::Quic] {
            let issue = |alpn: &[u8]| {
                authority
                    .issue(&["dns.example"], Made::Well, &[alpn])
                    .config
            };
            let server = match transport {
                Transport::Https => https(issue(b"h2"), calls::Manner::Well),
                Transport::H3 => h3(issue(b"h3"), calls::Manner::Well),
                Transport::Quic | Transport::Plain | Transport::Tcp | Transport::Tls => {
                    quic(issue(b"doq"), 9)
                }
            };
            let asked = |exchange| match transport {
                Transport::Https => by_https(exchange, server.address, name),
                Transport::H3 => by_h3(exchange, server.address, name),
                Transport::Quic | Transport::Plain | Transport::Tcp | Transport::Tls => {
                    named(by_stream(exchange, server.address, transport), name)
                }
            };
            let mut driver = trusting(&authority);
            let first = [asked(1)];
            assert_replies(&ask(&mut driver, &first).await, &first);
            server.seen.recv().unwrap();

            let second = [asked(2)];
            driver.transmit(second[0].clone());
            driver.finish_round();
            while server.seen.try_recv().is_err() {
                tokio::task::yield_now().await;
            }
            let mut got = Vec::new();
            for _ in 0..50 {
                if got.is_empty() {
                    std::thread::sleep(Duration::from_millis(100));
                    got = catch_up(&mut driver).await;
                }
            }
            assert_replies(&got, &second);
        }
    });
}
