//! How is a socket tied to an address, a link, the host? Opening listeners and binding upstream sockets.
//!
//! Nothing is received or sent here.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6, TcpListener, UdpSocket};
use std::num::NonZeroU32;
use std::os::fd::AsFd as _;
use std::time::Duration;

use config::model::Upstream;
use policy::plan::ScopeLink;
use resolver::{Channel, Failure};
use socket2::{Domain, Protocol, Socket, Type};

use crate::{BindError, batch, holder, listeners};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 128;

/// Bytes of datagrams that wait while a round lasts.
const RECEIVE_BUFFER: usize = 1 << 20;

/// Octets that the kernel keeps for a connection's client, of which it makes twice as many: an answer of the largest size.
const SEND_BUFFER: usize = 64 << 10;

/// How long the kernel keeps what a connection's client does not take, also after it is closed.
const UNTAKEN_TIME: Duration = Duration::from_secs(5);

/// The link that only this host can send on.
const LOOPBACK: &[u8] = b"lo";
/// Its index: the kernel makes it first in each namespace (`LOOPBACK_IFINDEX`).
const LOOPBACK_INDEX: u32 = 1;

/// How a listener knows that a client is on this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guard {
    /// The socket is bound to the loopback link: nothing else reaches it.
    Link,
    /// By the source: a loopback address, or the listener's own, which the kernel drops as a martian from outside.
    Source(IpAddr),
}

impl Guard {
    /// Whether a client with this source is on this host.
    pub(crate) fn admits(self, source: IpAddr) -> bool {
        match self {
            Self::Link => !source.is_unspecified(),
            Self::Source(own) => source.to_canonical().is_loopback() || source == own,
        }
    }
}

impl Guard {
    /// Whether a datagram with this source is a client's: from this host, and not from a port that answers to anything.
    pub(crate) fn admits_datagram(self, source: SocketAddr) -> bool {
        self.admits(source.ip()) && !listeners::is_echo(source.port())
    }
}

/// Opens several UDP listeners at one address, among which the kernel spreads clients; one at least. Nobody else listens there.
///
/// # Errors
/// [`BindError`].
pub(crate) fn udp_group(
    address: SocketAddr,
    count: usize,
) -> Result<(Vec<UdpSocket>, Guard), BindError> {
    let mut guard_of_all = None;
    let sockets = open_group(address, count, |socket| {
        let own = guard(socket, address);
        if own == Guard::Link && address.is_ipv4() {
            never_fragment(socket)?;
        }
        // One that is not bound to its link makes all be looked at.
        if !matches!(guard_of_all, Some(Guard::Source(_))) {
            guard_of_all = Some(own);
        }
        Ok(())
    });
    let sockets = sockets.map_err(|source| explain(address, Channel::Udp, source))?;
    let guard = guard_of_all.unwrap_or_else(|| Guard::Source(address.ip()));
    Ok((sockets, guard))
}

/// Opens so many UDP sockets at one address, one at least, each prepared by `prepare` before it is bound. The first is alone when it is
/// bound, so that whoever has this very address is noticed, and lets others beside it afterwards.
fn open_group(
    address: SocketAddr,
    count: usize,
    mut prepare: impl FnMut(&Socket) -> io::Result<()>,
) -> io::Result<Vec<UdpSocket>> {
    let mut sockets: Vec<UdpSocket> = Vec::with_capacity(count);
    let mut address = address;
    for number in 0..count.max(1) {
        let socket = socket(address, Type::DGRAM, Protocol::UDP)?;
        prepare(&socket)?;
        if number > 0 {
            socket.set_reuse_port(true)?;
        }
        socket.bind(&address.into())?;
        allow_beside(&socket)?;
        // A hint: the kernel caps it.
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        let socket = UdpSocket::from(socket);
        // Port 0 is one of the kernel's choice, the same for all.
        address = socket.local_addr().unwrap_or(address);
        sockets.push(socket);
    }
    Ok(sockets)
}

/// Opens a TCP listener; connections of an earlier run that linger do not keep the address.
///
/// # Errors
/// [`BindError`].
pub(crate) fn tcp(address: SocketAddr) -> Result<(TcpListener, Guard), BindError> {
    let open = || {
        let socket = socket(address, Type::STREAM, Protocol::TCP)?;
        socket.set_reuse_address(true)?;
        let guard = guard(&socket, address);
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        allow_beside(&socket)?;
        Ok((TcpListener::from(socket), guard))
    };
    open().map_err(|source| explain(address, Channel::Tcp, source))
}

/// Opens UDP sockets for others than this host's programs, at an address that need not be there yet; at all addresses, they tell
/// of each datagram where it came in.
///
/// # Errors
/// What the kernel says.
pub(crate) fn udp_to_others(address: SocketAddr, count: usize) -> io::Result<Vec<UdpSocket>> {
    open_group(address, count, |socket| {
        open_to_others(socket, address)?;
        ignore_path_mtu(socket, address.is_ipv4())?;
        if address.ip().is_unspecified() {
            batch::tell_arrival(socket.as_fd(), address.is_ipv4())?;
        }
        Ok(())
    })
}

/// Opens a TCP socket for others than this host's programs, at an address that need not be there yet.
///
/// # Errors
/// What the kernel says.
pub(crate) fn tcp_to_others(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket(address, Type::STREAM, Protocol::TCP)?;
    socket.set_reuse_address(true)?;
    open_to_others(&socket, address)?;
    // Connections have these from here.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.set_tcp_user_timeout(Some(UNTAKEN_TIME))?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from(socket))
}

/// Lets a listener wait for its address, and one at all addresses stand beside the stub, which has its own.
fn open_to_others(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    match address {
        SocketAddr::V4(_) => socket.set_freebind_v4(true)?,
        SocketAddr::V6(_) => socket.set_freebind_v6(true)?,
    }
    if address.ip().is_unspecified() {
        socket.set_reuse_port(true)?;
    }
    Ok(())
}

/// Lets a listener of ours at all addresses stand beside this one; to be called once it is bound, so that whoever has this very
/// address already is noticed first.
fn allow_beside(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_port(true)
}

/// Opens a socket to an upstream, bound to the scope's link and marked, with the address to connect to. An upstream on this host, as
/// many VPN programs have one, is behind no link: it is asked by the loopback link alone, while the scope's link is there.
///
/// # Errors
/// Why the exchange cannot be: the link is gone, or we are out of sockets.
pub(crate) fn upstream(
    upstream: &Upstream,
    link: Option<&ScopeLink>,
    mark: u32,
    channel: Channel,
) -> Result<(Socket, SocketAddr), Failure> {
    let index = match link {
        None => None,
        Some(link) => Some(link.id.ok_or(Failure::NoLink)?.index),
    };
    let address = destination(upstream, link, index)?;
    let index = match index {
        Some(index) if address.ip().to_canonical().is_loopback() => {
            if !batch::has_link(index) {
                return Err(Failure::NoLink);
            }
            Some(LOOPBACK_INDEX)
        }
        bound => bound,
    };
    let (kind, protocol) = match channel {
        Channel::Udp => (Type::DGRAM, Protocol::UDP),
        Channel::Tcp => (Type::STREAM, Protocol::TCP),
    };
    let socket = socket(address, kind, protocol).map_err(|error| failure(&error))?;
    if let Some(index) = index {
        // An option that fails leaves a socket that could reach another link: never used.
        let index = i32::try_from(index).map_err(|_| Failure::NoLink)?;
        batch::set_option(
            socket.as_fd(),
            libc::SOL_SOCKET,
            libc::SO_BINDTOIFINDEX,
            index,
        )
        .map_err(|_| Failure::NoLink)?;
    }
    if mark != 0 {
        // Without its mark it could go through the tunnel for whose sake it asks: never used.
        socket.set_mark(mark).map_err(|_| Failure::Unreachable)?;
    }
    Ok((socket, address))
}

/// Connects a socket of [`upstream`]; a TCP connection goes on being made afterwards.
///
/// # Errors
/// Why the exchange cannot be.
pub(crate) fn connect(socket: &Socket, address: SocketAddr) -> Result<(), Failure> {
    let Err(error) = socket.connect(&address.into()) else {
        return Ok(());
    };
    if error.raw_os_error() == Some(libc::EINPROGRESS) {
        return Ok(());
    }
    // IPv6 says "no route" for a link that is gone; the name of the bound link tells.
    if socket
        .device()
        .is_err_and(|error| failure(&error) == Failure::NoLink)
    {
        return Err(Failure::NoLink);
    }
    Err(failure(&error))
}

/// Tells how an exchange failed.
pub(crate) fn failure(error: &io::Error) -> Failure {
    match error.raw_os_error() {
        Some(libc::ECONNREFUSED) => Failure::Refused,
        Some(libc::ECONNRESET | libc::EPIPE | libc::ECONNABORTED) => Failure::Closed,
        Some(libc::ENODEV | libc::ENXIO) => Failure::NoLink,
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM | libc::EAGAIN) => {
            Failure::Resources
        }
        // EHOSTUNREACH, ENETUNREACH, EACCES, EPERM, EADDRNOTAVAIL, ENETDOWN, ETIMEDOUT and what nobody has seen yet.
        Some(_) | None => Failure::Unreachable,
    }
}

/// Whether an error says only that there is nothing to do at the moment.
pub(crate) fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

/// Returns the address to connect to; a link-local one with its link's index.
fn destination(
    upstream: &Upstream,
    link: Option<&ScopeLink>,
    index: Option<u32>,
) -> Result<SocketAddr, Failure> {
    let address = match upstream.address {
        IpAddr::V4(_) => return Ok(SocketAddr::new(upstream.address, upstream.port)),
        IpAddr::V6(address) => address,
    };
    let zone = match &upstream.zone {
        Some(zone) if link.is_none_or(|link| link.name != *zone) => Some(
            batch::link_index(zone)
                .map(NonZeroU32::get)
                .ok_or(Failure::NoLink)?,
        ),
        Some(_) | None => index,
    };
    let scope = if address.is_unicast_link_local() {
        zone.unwrap_or(0)
    } else {
        0
    };
    Ok(SocketAddrV6::new(address, upstream.port, 0, scope).into())
}

fn socket(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let kind = kind.nonblocking().cloexec();
    let socket = Socket::new_raw(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// Ties a listener at a loopback address to the loopback link.
fn guard(socket: &Socket, address: SocketAddr) -> Guard {
    if !address.ip().is_loopback() {
        return Guard::Source(address.ip());
    }
    match socket.bind_device(Some(LOOPBACK)) {
        Ok(()) => Guard::Link,
        Err(error) => {
            tracing::debug!(%error, %address, "listener is not bound to lo; sources are checked");
            Guard::Source(address.ip())
        }
    }
}

/// Keeps forged "fragmentation needed" messages from shrinking the path MTU, and with it from cutting our messages.
///
/// # Errors
/// What the kernel says.
pub(crate) fn ignore_path_mtu(socket: &Socket, v4: bool) -> io::Result<()> {
    let (level, option, value) = if v4 {
        (
            libc::IPPROTO_IP,
            libc::IP_MTU_DISCOVER,
            libc::IP_PMTUDISC_OMIT,
        )
    } else {
        (
            libc::IPPROTO_IPV6,
            libc::IPV6_MTU_DISCOVER,
            libc::IPV6_PMTUDISC_OMIT,
        )
    };
    batch::set_option(socket.as_fd(), level, option, value)
}

/// Has datagrams of one piece: by the loopback link all are, and the kernel need not draw an identification for each (RFC 6864 §4.1),
/// which costs a fiftieth of an answer.
fn never_fragment(socket: &Socket) -> io::Result<()> {
    batch::set_option(
        socket.as_fd(),
        libc::IPPROTO_IP,
        libc::IP_MTU_DISCOVER,
        libc::IP_PMTUDISC_PROBE,
    )
}

fn explain(address: SocketAddr, channel: Channel, source: io::Error) -> BindError {
    if source.kind() == io::ErrorKind::AddrInUse {
        return BindError::InUse {
            address,
            channel,
            holder: holder::find(address, channel),
        };
    }
    BindError::Io {
        address,
        channel,
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_on_the_host_is_never_fragmented() {
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let (sockets, guard) = udp_group(nowhere, 2).unwrap();
        for socket in &sockets {
            let how =
                batch::option(socket.as_fd(), libc::IPPROTO_IP, libc::IP_MTU_DISCOVER).unwrap();
            // Who may not bind to a link shares the socket with whoever sends to its address.
            assert_eq!(how == libc::IP_PMTUDISC_PROBE, guard == Guard::Link);
        }
    }

    #[test]
    fn failure_is_told_by_rows() {
        let rows = [
            (libc::ECONNREFUSED, Failure::Refused),
            (libc::ECONNRESET, Failure::Closed),
            (libc::EHOSTUNREACH, Failure::Unreachable),
            (libc::ENETUNREACH, Failure::Unreachable),
            (libc::EACCES, Failure::Unreachable),
            (libc::EPERM, Failure::Unreachable),
            (libc::EADDRNOTAVAIL, Failure::Unreachable),
            (libc::ENODEV, Failure::NoLink),
            (libc::ENXIO, Failure::NoLink),
            (libc::EMFILE, Failure::Resources),
            (libc::ENOBUFS, Failure::Resources),
        ];
        for (code, expected) in rows {
            let error = io::Error::from_raw_os_error(code);
            assert_eq!(failure(&error), expected, "{error}");
        }
    }

    #[test]
    fn guard_admits_the_host_and_nobody_else() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let own = Guard::Source(address("10.0.0.1"));
        for (guard, source, expected) in [
            (own, "127.0.0.1", true),
            (own, "::1", true),
            (own, "10.0.0.1", true),
            (own, "10.0.0.2", false),
            (own, "192.0.2.1", false),
            (own, "2001:db8::1", false),
            (Guard::Link, "192.0.2.1", true),
            (Guard::Link, "0.0.0.0", false),
        ] {
            assert_eq!(guard.admits(address(source)), expected, "{source}");
        }
    }

    #[test]
    fn a_socket_has_its_mark_or_is_not_used() {
        let server = Upstream::plain(std::net::Ipv4Addr::LOCALHOST.into());
        for mark in [0, 51_820] {
            match upstream(&server, None, mark, Channel::Udp) {
                Ok((socket, _)) => assert_eq!(socket.mark().unwrap(), mark),
                // Without the right to mark there is no tunnel to pass by either.
                Err(failure) => assert_eq!((failure, mark), (Failure::Unreachable, 51_820)),
            }
        }
    }
}
