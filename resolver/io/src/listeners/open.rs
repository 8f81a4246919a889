//! How does a listener come to be open, and what does it do with whoever comes? One task for each.
//!
//! An address that is not there yet is bound all the same; a link that is not there, or a port that somebody else has, is tried
//! again every second. Whoever is not on the list is let go before anything is read from it.

use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, SocketAddrV6};
use std::num::NonZeroU32;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use config::model::{ListenerConfig, Transport};
use resolver::Channel;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::board::Board;
use super::datagrams::Datagrams;
use super::house::{Door, House, SLOWEST};
use super::stream::{Conversation, Cover, End};
use super::{https, quic};
use crate::threads::Hold;
use crate::{batch, bind, holder};

/// Time between two attempts to open a listener, and between two looks whether its link is still the same.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Keeps a listener open for ever, whatever happens to it. Nobody holds `hold` any more once this is dropped and its sockets are closed;
/// those of QUIC are open as long as their connections are.
pub(super) async fn keep_open(
    hold: Hold,
    config: ListenerConfig,
    house: Arc<House>,
    door: watch::Receiver<Arc<Door>>,
    board: Board,
) {
    let place = Arc::clone(&door.borrow().place);
    let begin = || {
        let (config, house) = (config.clone(), Arc::clone(&house));
        try_again_and_again(hold.clone(), config, house, door.clone(), board.clone())
    };
    let tell = || {
        board.note(&place, "it has failed, and begins anew");
        tracing::error!(%place, "a listener has panicked, and begins anew");
    };
    outlive_panics(begin, tell, RETRY_INTERVAL).await;
}

/// Has what never ends by itself begin anew when it has panicked, which is told. It is no task of its own, so that its sockets are closed
/// when this is dropped.
async fn outlive_panics<F: Future<Output = ()>>(
    begin: impl Fn() -> F,
    tell: impl Fn(),
    pause: Duration,
) {
    loop {
        let mut turn = Box::pin(begin());
        poll_fn(|cx| {
            let poll = AssertUnwindSafe(|| turn.as_mut().poll(cx));
            panic::catch_unwind(poll).unwrap_or(Poll::Ready(()))
        })
        .await;
        drop(turn);
        tell();
        tokio::time::sleep(pause).await;
    }
}

async fn try_again_and_again(
    hold: Hold,
    config: ListenerConfig,
    house: Arc<House>,
    door: watch::Receiver<Arc<Door>>,
    board: Board,
) {
    let place = Arc::clone(&door.borrow().place);
    loop {
        let why = match open(&hold, &config, &house, &door, &board).await {
            Ok(()) => "its link is another one".to_owned(),
            Err(why) => why,
        };
        if board.note(&place, &why) {
            tracing::warn!(%place, %why, "a listener is not open");
        }
        tokio::time::sleep(RETRY_INTERVAL).await;
    }
}

/// Opens a listener and serves it, until its link is another one or its sockets fail.
async fn open(
    hold: &Hold,
    config: &ListenerConfig,
    house: &Arc<House>,
    door: &watch::Receiver<Arc<Door>>,
    board: &Board,
) -> Result<(), String> {
    let place = Arc::clone(&door.borrow().place);
    let index = link_of(config)?;
    let address = match (config.socket(), index) {
        (SocketAddr::V6(v6), Some(index)) => {
            SocketAddrV6::new(*v6.ip(), v6.port(), 0, index.get()).into()
        }
        (address, _) => address,
    };
    if config.transport.is_encrypted() && door.borrow().tls.is_none() {
        // What is wrong with it has been told; a new certificate comes with a new door.
        let mut door = door.clone();
        let _closed = door.wait_for(|door| door.tls.is_some()).await;
    }
    let serves_udp = matches!(config.transport, Transport::Plain | Transport::Quic);
    let serves_tcp = config.transport != Transport::Quic;
    let sockets = match config.transport {
        Transport::Plain => house.threads,
        Transport::Tcp | Transport::Tls | Transport::Https | Transport::H3 | Transport::Quic => 1,
    };
    let udp = serves_udp.then(|| bind::udp_to_others(address, sockets));
    let udp = udp.transpose();
    let udp = udp.map_err(|error| explain(&error, address, Channel::Udp))?;
    let tcp = serves_tcp.then(|| bind::tcp_to_others(address)).transpose();
    let tcp = tcp.map_err(|error| explain(&error, address, Channel::Tcp))?;
    let io = |error: io::Error| error.to_string();
    let tcp = tcp.map(TcpListener::from_std).transpose().map_err(io)?;
    let (plain, quic) = match config.transport {
        Transport::Quic => (None, udp.map(|mut sockets| sockets.swap_remove(0))),
        Transport::Plain | Transport::Tcp | Transport::Tls | Transport::Https | Transport::H3 => {
            (udp, None)
        }
    };
    let plain = plain.map(|sockets| Datagrams::open(sockets, house, door, hold.clone()));
    let plain = plain
        .transpose()
        .map_err(|error| format!("no thread for its datagrams can be started: {error}"))?;
    if board.note(&place, "open") {
        tracing::info!(%place, "a listener is open");
    }
    let datagrams = async {
        match (plain, quic) {
            (Some(datagrams), _) => {
                datagrams.serve().await;
                Err(io::ErrorKind::NotConnected.into())
            }
            (None, Some(socket)) => quic::serve(socket, house, door).await,
            (None, None) => std::future::pending().await,
        }
    };
    let streams = async {
        match tcp {
            Some(listener) => accept(&listener, config.transport, house, door).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        served = datagrams => served.map_err(io),
        served = streams => served.map_err(io),
        () = until_another(config, index) => Ok(()),
    }
}

/// Returns the index of a link-local address's link.
fn link_of(config: &ListenerConfig) -> Result<Option<NonZeroU32>, String> {
    match &config.zone {
        None => Ok(None),
        Some(zone) => match batch::link_index(zone) {
            Some(index) => Ok(Some(index)),
            None => Err(format!("there is no link {zone}")),
        },
    }
}

/// Waits until the link is another one.
async fn until_another(config: &ListenerConfig, index: Option<NonZeroU32>) {
    if config.zone.is_none() {
        return std::future::pending().await;
    }
    while link_of(config) == Ok(index) {
        tokio::time::sleep(RETRY_INTERVAL).await;
    }
}

fn explain(error: &io::Error, address: SocketAddr, channel: Channel) -> String {
    if error.kind() != io::ErrorKind::AddrInUse {
        return error.to_string();
    }
    match holder::find(address, channel) {
        Some(holder) => format!("the port is in use ({channel}) by {holder}"),
        None => format!("the port is in use ({channel})"),
    }
}

/// Takes connections.
async fn accept(
    listener: &TcpListener,
    transport: Transport,
    house: &Arc<House>,
    door: &watch::Receiver<Arc<Door>>,
) -> io::Result<()> {
    // Ended with the listener.
    let mut guests = tokio::task::JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = guests.join_next() => continue,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => match error.raw_os_error() {
                // It would be seen again and again.
                Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => {
                    tracing::warn!(%error, "connections wait");
                    tokio::time::sleep(RETRY_INTERVAL).await;
                    continue;
                }
                Some(libc::EBADF | libc::ENOTSOCK | libc::EINVAL) => return Err(error),
                Some(_) | None => continue,
            },
        };
        let door = Arc::clone(&door.borrow());
        if !door.allow.admits(peer.ip()) {
            door.counts.strangers.up();
            continue;
        }
        let Some(share) = house.connections.take(peer.ip()) else {
            door.counts.limited.up();
            continue;
        };
        let house = Arc::clone(house);
        guests.spawn(async move {
            door.counts.connections.up();
            if converse(stream, peer, transport, &house, &door).await == End::Bad {
                door.counts.malformed.up();
            }
            door.counts.connections.down();
            drop(share);
        });
    }
}

/// Serves one connection.
async fn converse(
    stream: TcpStream,
    peer: SocketAddr,
    transport: Transport,
    house: &Arc<House>,
    door: &Arc<Door>,
) -> End {
    if stream.set_nodelay(true).is_err() {
        return End::Done;
    }
    let asked = stream.local_addr().ok().map(|address| address.ip());
    let caller = door.caller(peer, asked, Channel::Tcp);
    if transport == Transport::Plain {
        let talk = Conversation::new(stream, caller, Cover::Plain, Arc::clone(house));
        return talk.serve(door).await;
    }
    let Some(tls) = &door.tls else {
        return End::Done;
    };
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::clone(tls));
    // A handshake is bounded by rustls in length, and here in time.
    let Ok(Ok(stream)) = tokio::time::timeout(SLOWEST, acceptor.accept(stream)).await else {
        return End::Bad;
    };
    if transport == Transport::Https {
        return https::serve(stream, caller, house, door).await;
    }
    let talk = Conversation::new(stream, caller, Cover::Encrypted, Arc::clone(house));
    talk.serve(door).await
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::mpsc::error::TryRecvError;

    use super::*;

    #[tokio::test]
    async fn what_panics_is_told_and_begins_anew() {
        let (begun, told) = (AtomicU32::new(0), AtomicU32::new(0));
        let (sender, mut heard) = tokio::sync::mpsc::channel(1);
        let begin = || {
            let turn = begun.fetch_add(1, Ordering::Relaxed);
            let sender = sender.clone();
            async move {
                assert!(turn > 1, "as it was told");
                sender.send(turn).await.unwrap();
                std::future::pending::<()>().await;
            }
        };
        let tell = || {
            told.fetch_add(1, Ordering::Relaxed);
        };
        tokio::select! {
            () = outlive_panics(begin, tell, Duration::ZERO) => {}
            turn = heard.recv() => assert_eq!(turn, Some(2)),
        }
        assert_eq!(told.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn what_is_given_up_closes_what_it_has_open() {
        let (open, mut closed) = tokio::sync::mpsc::channel::<()>(1);
        let begin = || {
            let open = open.clone();
            async move {
                let _open = open;
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            () = outlive_panics(begin, || (), Duration::ZERO) => {}
            () = std::future::ready(()) => {}
        }
        drop(open);
        assert_eq!(closed.try_recv(), Err(TryRecvError::Disconnected));
    }
}
