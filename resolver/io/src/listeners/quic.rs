//! How are questions asked by QUIC? One to a stream (RFC 9250).
//!
//! The library speaks QUIC and keeps what it sends below three times what an unproven address sent; whoever comes while
//! connections are scarce, or has many, must prove its address first. Here is what DNS makes of a stream, and how long one may last.
//! A connection that has ended is kept by the library for a while, and is its client's for as long.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn::{
    Connection, Endpoint, EndpointConfig, Incoming, ReadToEndError, RecvStream, SendStream,
    TransportConfig, VarInt,
};
use resolver::Channel;
use resolver::carried::{Carried, pad};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::house::{Delivery, Door, House, IDLE_TIME, IN_FLIGHT_MAX, SLOWEST, Taken};
use super::stream::End;
use crate::Caller;
use crate::frame::{self, Frame};

/// The longest question with its length, in octets.
const QUESTION_MAX: usize = 2 + 4096;
/// Octets of a connection that its client sends before it is heard.
const RECEIVE_WINDOW: u32 = 64 << 10;
/// Octets of a connection that its client has not acknowledged.
const SEND_WINDOW: u64 = 128 << 10;
/// Clients whose first packet waits to be looked at.
const INCOMING_MAX: usize = 128;
/// Octets that those sent meanwhile.
const INCOMING_BUFFER_MAX: u64 = 1 << 20;
/// Probe timeouts for which a connection that has ended is kept (RFC 9000 §10.2).
const PROBES_KEPT: u32 = 3;
/// The probe timeout before anything is measured (RFC 9002 §6.2.2). Afterwards it is three times the round trip at most, as long as
/// that varies no more than at its first measurement, and the delay of acknowledgements.
const FIRST_PROBE: Duration = Duration::from_secs(1);
/// How long one that has ended counts against its client at most: the round trip is what the client makes of it.
const KEPT_MAX: Duration = Duration::from_secs(PROBES_KEPT as u64 * FIRST_PROBE.as_secs());
/// How long a client may hold an acknowledgement back (RFC 9000 §18.2).
const ACK_DELAY: Duration = Duration::from_millis(25);
/// Error codes of DNS over QUIC (RFC 9250 §8.4).
mod code {
    pub(super) const NO_ERROR: u32 = 0;
    pub(super) const INTERNAL_ERROR: u32 = 1;
    pub(super) const PROTOCOL_ERROR: u32 = 2;
    pub(super) const EXCESSIVE_LOAD: u32 = 4;
}

/// Serves a bound socket, until it is dropped.
pub(super) async fn serve(
    socket: UdpSocket,
    house: &Arc<House>,
    door: &watch::Receiver<Arc<Door>>,
) -> io::Result<()> {
    let mut door = door.clone();
    let server = server_config(&door.borrow_and_update())?;
    let runtime = Arc::new(quinn::TokioRuntime);
    let endpoint = Endpoint::new(EndpointConfig::default(), Some(server), socket, runtime)?;
    // Ended with the listener.
    let mut guests = JoinSet::new();
    loop {
        tokio::select! {
            incoming = endpoint.accept() => {
                let Some(incoming) = incoming else {
                    return Err(io::ErrorKind::NotConnected.into());
                };
                let door = Arc::clone(&door.borrow());
                admit(incoming, house, &door, &mut guests);
            }
            Some(_) = guests.join_next() => {}
            changed = door.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                let server = server_config(&door.borrow_and_update())?;
                endpoint.set_server_config(Some(server));
            }
        }
    }
}

fn server_config(door: &Door) -> io::Result<quinn::ServerConfig> {
    let tls = door.tls.clone().ok_or(io::ErrorKind::NotFound)?;
    let crypto =
        quinn::crypto::rustls::QuicServerConfig::try_from(tls).map_err(io::Error::other)?;
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    let mut transport = TransportConfig::default();
    let streams = u32::try_from(IN_FLIGHT_MAX).unwrap_or(1);
    transport
        .max_concurrent_bidi_streams(streams.into())
        .max_concurrent_uni_streams(0_u32.into())
        .stream_receive_window(u32::try_from(QUESTION_MAX).unwrap_or(1).into())
        .receive_window(RECEIVE_WINDOW.into())
        .send_window(SEND_WINDOW)
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(IDLE_TIME.try_into().ok());
    config.transport_config(Arc::new(transport));
    config
        .max_incoming(INCOMING_MAX)
        .incoming_buffer_size(RECEIVE_WINDOW.into())
        .incoming_buffer_size_total(INCOMING_BUFFER_MAX);
    // A client that moves was not asked whether it is on the list where it moved to.
    config.migration(false);
    Ok(config)
}

fn admit(incoming: Incoming, house: &Arc<House>, door: &Arc<Door>, guests: &mut JoinSet<()>) {
    let peer = incoming.remote_address();
    if !door.allow.admits(peer.ip()) {
        door.counts.strangers.up();
        incoming.ignore();
        return;
    }
    let is_dear = house.connections.is_scarce() || house.connections.has_half(peer.ip());
    if is_dear && !incoming.remote_address_validated() && incoming.may_retry() {
        // One that cannot be sent is one more lost datagram.
        let _sent = incoming.retry();
        return;
    }
    let Some(share) = house.connections.take(peer.ip()) else {
        door.counts.limited.up();
        incoming.refuse();
        return;
    };
    let (house, door) = (Arc::clone(house), Arc::clone(door));
    guests.spawn(async move {
        door.counts.connections.up();
        let (end, kept_for) = converse(incoming, peer, &house, &door).await;
        if end == End::Bad {
            door.counts.malformed.up();
        }
        door.counts.connections.down();
        tokio::time::sleep(kept_for).await;
        drop(share);
    });
}

/// Serves one connection; returns how it ended, and how long the library keeps what is left of it.
async fn converse(
    incoming: Incoming,
    peer: SocketAddr,
    house: &Arc<House>,
    door: &Arc<Door>,
) -> (End, Duration) {
    let Ok(connecting) = incoming.accept() else {
        return (End::Bad, Duration::ZERO);
    };
    let Ok(Ok(connection)) = tokio::time::timeout(SLOWEST, connecting).await else {
        return (End::Bad, KEPT_MAX);
    };
    let caller = door.caller(peer, connection.local_ip(), Channel::Tcp);
    let end = serve_streams(&connection, caller, house, door).await;
    (end, kept_for(connection.rtt()))
}

/// Returns how long the library keeps a connection that has ended, with this round trip, as far as that counts.
fn kept_for(rtt: Duration) -> Duration {
    let probe = rtt.saturating_mul(3).saturating_add(ACK_DELAY);
    probe.saturating_mul(PROBES_KEPT).min(KEPT_MAX)
}

async fn serve_streams(
    connection: &Connection,
    caller: Caller,
    house: &Arc<House>,
    door: &Arc<Door>,
) -> End {
    // Ended with the connection.
    let mut streams = JoinSet::new();
    loop {
        let quiet_since = Instant::now();
        let accepted = tokio::select! {
            accepted = connection.accept_bi() => accepted,
            Some(asked) = streams.join_next() => {
                match asked {
                    Ok(Err(Wrong)) => {
                        connection.close(code::PROTOCOL_ERROR.into(), b"");
                        return End::Bad;
                    }
                    Ok(Ok(())) | Err(_) => continue,
                }
            }
            // Packets that ask nothing keep no connection open.
            () = house.until_idle_too_long(quiet_since), if streams.is_empty() => {
                connection.close(code::NO_ERROR.into(), b"");
                return End::Done;
            }
        };
        let Ok((sender, receiver)) = accepted else {
            return End::Done;
        };
        let (house, door) = (Arc::clone(house), Arc::clone(door));
        streams.spawn(async move { answer(sender, receiver, caller, &house, &door).await });
    }
}

/// The client does not speak DNS over QUIC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wrong;

async fn answer(
    mut sender: SendStream,
    mut receiver: RecvStream,
    caller: Caller,
    house: &House,
    door: &Door,
) -> Result<(), Wrong> {
    let read = tokio::time::timeout(SLOWEST, receiver.read_to_end(QUESTION_MAX)).await;
    let Ok(bytes) = read else {
        reset(&mut sender, code::EXCESSIVE_LOAD);
        door.counts.malformed.up();
        return Ok(());
    };
    let wire = match bytes {
        Ok(wire) => question(&wire).ok_or(Wrong)?.to_vec(),
        Err(ReadToEndError::TooLong) => return Err(Wrong),
        // Taken back by its client, which is no error (RFC 9250 §4.3.3), or gone with its connection.
        Err(ReadToEndError::Read(_)) => return Ok(()),
    };
    let carried = Carried::parse(&wire);
    // RFC 9250 §5.5.2.
    if carried.keepalive {
        return Err(Wrong);
    }
    let padded = carried.padded;
    let (back, mut answers) = mpsc::channel(1);
    let delivery = match house.take(door, caller, wire, (&back, 0)) {
        Taken::Asked => tokio::select! {
            answered = answers.recv() => answered.map(|(_, delivery)| delivery),
            // Its client wants no answer any more (RFC 9250 §4.3.1).
            _ = sender.stopped() => return Ok(()),
        },
        Taken::Answered(wire) => Some(Delivery { wire, share: None }),
        Taken::Silence => return Err(Wrong),
    };
    let delivery = delivery.filter(|delivery| !delivery.wire.is_empty());
    // The share is held until the client has the answer, or wants none.
    let Some(Delivery {
        wire: mut answer,
        share: _share,
    }) = delivery
    else {
        reset(&mut sender, code::INTERNAL_ERROR);
        return Ok(());
    };
    if padded {
        pad(&mut answer);
    }
    let mut unsent = house.unsent();
    let mut framed = Vec::with_capacity(answer.len() + 2);
    if !frame::emit(&answer, &mut framed) || !unsent.grow(framed.len()) {
        reset(&mut sender, code::EXCESSIVE_LOAD);
        door.counts.limited.up();
        return Ok(());
    }
    let taken = tokio::time::timeout(SLOWEST, async {
        // A client that is gone, or wants no answer any more, gets none.
        if sender.write_all(&framed).await.is_ok() && sender.finish().is_ok() {
            let _acknowledged = sender.stopped().await;
        }
    })
    .await;
    if taken.is_err() {
        reset(&mut sender, code::EXCESSIVE_LOAD);
        door.counts.malformed.up();
    }
    Ok(())
}

/// Takes the question out of what a stream brought: one, whole, with the id 0 (RFC 9250 §4.2, §4.2.1).
fn question(bytes: &[u8]) -> Option<&[u8]> {
    let Frame::Whole(range) = frame::parse(bytes) else {
        return None;
    };
    let wire = bytes.get(range.clone())?;
    (range.end == bytes.len() && wire.starts_with(&[0, 0])).then_some(wire)
}

fn reset(sender: &mut SendStream, code: u32) {
    // Nothing to be done about one that is closed.
    let _closed = sender.reset(VarInt::from_u32(code));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_stretches_the_round_trip_holds_its_share_no_longer() {
        let rows = [(0, 75), (10, 165), (300, 2775), (400, 3000), (60_000, 3000)];
        for (rtt, kept) in rows {
            let millis = Duration::from_millis;
            assert_eq!(kept_for(millis(rtt)), millis(kept), "{rtt}");
        }
        assert_eq!(kept_for(Duration::MAX), KEPT_MAX);
    }

    #[test]
    fn question_of_a_stream_is_one_and_whole_and_has_no_id() {
        let message = [0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        let framed = |wire: &[u8]| {
            let mut out = Vec::new();
            assert!(frame::emit(wire, &mut out));
            out
        };
        assert_eq!(question(&framed(&message)), Some(&message[..]));
        assert_eq!(question(&framed(&message)[..13]), None);
        assert_eq!(question(&[framed(&message), vec![0]].concat()), None);
        let mut with_id = message;
        with_id[1] = 1;
        assert_eq!(question(&framed(&with_id)), None);
        assert_eq!(question(&[]), None);
    }
}
