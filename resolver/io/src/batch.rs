//! Which system calls does the standard library lack? Batches of datagrams, integer socket options, a link's index,
//! and the runtime's word on a foreign descriptor.
//!
//! It moves bytes and knows nothing of DNS, clients or retries.

use std::ffi::CString;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::num::NonZeroU32;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::ptr;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::poller::Set;

mod outbox;

pub(crate) use outbox::Outbox;

/// Datagrams that one system call takes or gives at most.
pub(crate) const BATCH_MAX: usize = 64;

/// Bytes kept of a client's datagram; a longer one is cut, so that the core answers FORMERR.
pub(crate) const DATAGRAM_MAX: usize = 2048;

/// Whether a call waits when nothing is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Until one datagram is there; then for no more.
    ForOne,
    /// Not at all.
    Never,
}

/// Where a datagram came in: the address that was asked, and the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) address: IpAddr,
    pub(crate) link: u32,
}

/// Whether it is told where each datagram came in; the socket must have been asked for it ([`tell_arrival`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Telling {
    Nothing,
    Arrival,
}

/// Datagrams received by one call, in buffers that live as long as this.
pub(crate) struct Received {
    bytes: Box<[u8]>,
    names: Box<[RawName]>,
    /// Empty when nothing is told.
    arrivals: Box<[RawArrival]>,
    vectors: Box<[libc::iovec]>,
    headers: Box<[libc::mmsghdr]>,
    count: usize,
}

impl Received {
    /// Allocates the buffers; nothing allocates afterwards.
    pub(crate) fn new(telling: Telling) -> Self {
        let arrivals = match telling {
            Telling::Nothing => 0,
            Telling::Arrival => BATCH_MAX,
        };
        let mut received = Self {
            bytes: vec![0; BATCH_MAX * DATAGRAM_MAX].into_boxed_slice(),
            names: vec![RawName::EMPTY; BATCH_MAX].into_boxed_slice(),
            arrivals: vec![RawArrival::empty(); arrivals].into_boxed_slice(),
            vectors: vec![EMPTY_VECTOR; BATCH_MAX].into_boxed_slice(),
            headers: vec![empty_header(); BATCH_MAX].into_boxed_slice(),
            count: BATCH_MAX,
        };
        // The boxes never move what they hold, so that these pointers stay good.
        let buffers = received.bytes.chunks_exact_mut(DATAGRAM_MAX);
        let places = received.vectors.iter_mut().zip(&mut received.names);
        for ((header, (vector, name)), buffer) in
            received.headers.iter_mut().zip(places).zip(buffers)
        {
            vector.iov_base = buffer.as_mut_ptr().cast();
            vector.iov_len = buffer.len();
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_name = ptr::from_mut(name).cast();
        }
        for (header, arrival) in received.headers.iter_mut().zip(&mut received.arrivals) {
            header.msg_hdr.msg_control = ptr::from_mut(arrival).cast();
        }
        received
    }

    /// Returns how many datagrams the last call brought.
    pub(crate) const fn len(&self) -> usize {
        self.count
    }

    /// Returns where a datagram of the last call came in, when that is told.
    pub(crate) fn arrival(&self, place: usize) -> Option<Arrival> {
        if place >= self.count || self.headers.get(place)?.msg_hdr.msg_controllen == 0 {
            return None;
        }
        self.arrivals.get(place)?.decode()
    }

    /// As [`Received::get`], to be changed in place.
    pub(crate) fn get_mut(&mut self, place: usize) -> Option<(SocketAddr, &mut [u8])> {
        let (peer, length) = self.get(place).map(|(peer, wire)| (peer, wire.len()))?;
        let start = place.checked_mul(DATAGRAM_MAX)?;
        let end = start.checked_add(length)?;
        Some((peer, self.bytes.get_mut(start..end)?))
    }

    /// Returns the sender and the bytes of a datagram of the last call.
    pub(crate) fn get(&self, place: usize) -> Option<(SocketAddr, &[u8])> {
        if place >= self.count {
            return None;
        }
        let length = usize::try_from(self.headers.get(place)?.msg_len).ok()?;
        let start = place.checked_mul(DATAGRAM_MAX)?;
        let end = start.checked_add(length.min(DATAGRAM_MAX))?;
        Some((self.names.get(place)?.decode(), self.bytes.get(start..end)?))
    }

    /// Takes what is waiting on a socket, at most [`BATCH_MAX`] datagrams; returns how many.
    ///
    /// # Errors
    /// What `recvmmsg(2)` says; `WouldBlock` when nothing is there and nobody waits.
    pub(crate) fn receive(&mut self, socket: BorrowedFd<'_>, wait: Wait) -> io::Result<usize> {
        // The last call wrote over these, in as many headers as it filled.
        let room = if self.arrivals.is_empty() {
            0
        } else {
            size_of::<RawArrival>()
        };
        for header in self.headers.iter_mut().take(self.count) {
            header.msg_hdr.msg_namelen = RawName::ROOM;
            header.msg_hdr.msg_controllen = room;
        }
        self.count = 0;
        let flags = match wait {
            Wait::ForOne => libc::MSG_WAITFORONE,
            Wait::Never => libc::MSG_DONTWAIT,
        };
        // SAFETY: every header points to one vector, one buffer, one name and at most one arrival of the given sizes, in boxes of
        // this structure, which the caller holds alone. The count is that of the headers.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                BATCH_COUNT,
                flags,
                ptr::null_mut(),
            )
        };
        self.count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        Ok(self.count)
    }
}

impl std::fmt::Debug for Received {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Received")
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

/// Sends up to [`BATCH_MAX`] datagrams without waiting; returns how many the kernel took.
///
/// # Errors
/// What `sendmmsg(2)` says of the first datagram.
pub(crate) fn send(
    socket: BorrowedFd<'_>,
    datagrams: &[(SocketAddr, Vec<u8>)],
) -> io::Result<usize> {
    let mut names = [RawName::EMPTY; BATCH_MAX];
    let mut vectors = [EMPTY_VECTOR; BATCH_MAX];
    let mut headers = [empty_header(); BATCH_MAX];
    let mut count: libc::c_uint = 0;
    let places = headers.iter_mut().zip(&mut vectors).zip(&mut names);
    for (((header, vector), name), (peer, wire)) in places.zip(datagrams) {
        let length = name.encode(*peer);
        vector.iov_base = wire.as_ptr().cast_mut().cast();
        vector.iov_len = wire.len();
        header.msg_hdr.msg_iov = vector;
        header.msg_hdr.msg_iovlen = 1;
        header.msg_hdr.msg_name = ptr::from_mut(name).cast();
        header.msg_hdr.msg_namelen = length;
        count += 1;
    }
    // SAFETY: the first `count` headers point to one vector, one message and one name each, which outlive the call; the
    // kernel only reads the messages.
    let sent = unsafe {
        libc::sendmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr(),
            count,
            libc::MSG_DONTWAIT,
        )
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Sets an integer option of a socket.
///
/// # Errors
/// What `setsockopt(2)` says.
pub(crate) fn set_option(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    // SAFETY: the pointer and the length are those of a live integer, which the kernel only reads.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            ptr::from_ref(&value).cast(),
            INTEGER_SIZE,
        )
    };
    if done == 0 {
        return Ok(());
    }
    Err(io::Error::last_os_error())
}

/// Returns an integer option of a socket.
///
/// # Errors
/// What `getsockopt(2)` says.
pub(crate) fn option(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    option: libc::c_int,
) -> io::Result<libc::c_int> {
    let (mut value, mut length): (libc::c_int, _) = (-1, INTEGER_SIZE);
    let (to, of) = (&raw mut value, &raw mut length);
    // SAFETY: both pointers are those of live integers, and the length is that of the first.
    let done = unsafe { libc::getsockopt(socket.as_raw_fd(), level, option, to.cast(), of) };
    if done == 0 {
        return Ok(value);
    }
    Err(io::Error::last_os_error())
}

/// Has the kernel tell of each datagram where it came in.
///
/// # Errors
/// What `setsockopt(2)` says.
pub(crate) fn tell_arrival(socket: BorrowedFd<'_>, v4: bool) -> io::Result<()> {
    let (level, option) = if v4 {
        (libc::IPPROTO_IP, libc::IP_PKTINFO)
    } else {
        (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO)
    };
    set_option(socket, level, option, 1)
}

/// Returns the index of the link with a name.
pub(crate) fn link_index(name: &str) -> Option<NonZeroU32> {
    let name = CString::new(name).ok()?;
    // SAFETY: the pointer is that of a live string that ends in NUL.
    NonZeroU32::new(unsafe { libc::if_nametoindex(name.as_ptr()) })
}

/// Whether a link with this index is there.
pub(crate) fn has_link(index: u32) -> bool {
    let mut name = [0; libc::IF_NAMESIZE];
    // SAFETY: the pointer is that of a live buffer of the size that the function asks for.
    !unsafe { libc::if_indextoname(index, name.as_mut_ptr()) }.is_null()
}

/// Lets the runtime wait for a set of sockets.
///
/// # Errors
/// What `epoll_ctl(2)` says.
pub(crate) fn watch(set: Set) -> io::Result<AsyncFd<Set>> {
    // SAFETY: a `Set` owns its descriptor, always names the same one, and closes it only when it is dropped.
    Ok(unsafe { AsyncFd::register_with_interest(set, Interest::READABLE) }?)
}

#[expect(clippy::cast_possible_truncation, reason = "64 and 4 fit")]
mod size {
    pub(super) const BATCH_COUNT: libc::c_uint = super::BATCH_MAX as libc::c_uint;
    pub(super) const INTEGER_SIZE: libc::socklen_t = size_of::<libc::c_int>() as libc::socklen_t;
    pub(super) const NAME4: libc::socklen_t = size_of::<libc::sockaddr_in>() as libc::socklen_t;
    pub(super) const NAME6: libc::socklen_t = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
    pub(super) const FAMILY4: libc::sa_family_t = libc::AF_INET as libc::sa_family_t;
    pub(super) const FAMILY6: libc::sa_family_t = libc::AF_INET6 as libc::sa_family_t;
}
use size::{BATCH_COUNT, FAMILY4, FAMILY6, INTEGER_SIZE, NAME4, NAME6};

const EMPTY_VECTOR: libc::iovec = libc::iovec {
    iov_base: ptr::null_mut(),
    iov_len: 0,
};

/// Returns a header that points nowhere.
fn empty_header() -> libc::mmsghdr {
    // SAFETY: the structure holds integers and pointers only, for which all zeroes is a value.
    unsafe { std::mem::zeroed() }
}

/// An IP socket address as the kernel writes it.
#[derive(Clone, Copy)]
union RawName {
    family: libc::sa_family_t,
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

impl RawName {
    const ROOM: libc::socklen_t = NAME6;

    const EMPTY: Self = Self {
        v6: libc::sockaddr_in6 {
            sin6_family: 0,
            sin6_port: 0,
            sin6_flowinfo: 0,
            sin6_addr: libc::in6_addr { s6_addr: [0; 16] },
            sin6_scope_id: 0,
        },
    };

    /// Writes an address; returns its length.
    fn encode(&mut self, address: SocketAddr) -> libc::socklen_t {
        match address {
            SocketAddr::V4(address) => {
                self.v4 = libc::sockaddr_in {
                    sin_family: FAMILY4,
                    sin_port: address.port().to_be(),
                    sin_addr: libc::in_addr {
                        s_addr: u32::from_ne_bytes(address.ip().octets()),
                    },
                    sin_zero: [0; 8],
                };
                NAME4
            }
            SocketAddr::V6(address) => {
                self.v6 = libc::sockaddr_in6 {
                    sin6_family: FAMILY6,
                    sin6_port: address.port().to_be(),
                    sin6_flowinfo: address.flowinfo(),
                    sin6_addr: libc::in6_addr {
                        s6_addr: address.ip().octets(),
                    },
                    sin6_scope_id: address.scope_id(),
                };
                NAME6
            }
        }
    }

    /// Reads an address; the unspecified one, which is nobody's, for a family that is not IP.
    fn decode(&self) -> SocketAddr {
        // SAFETY: all variants begin with the family, and the whole union was initialised by `EMPTY`, so every byte of
        // every variant is an initialised integer, whatever the kernel wrote over it.
        unsafe {
            match self.family {
                FAMILY4 => SocketAddr::V4(SocketAddrV4::new(
                    Ipv4Addr::from(self.v4.sin_addr.s_addr.to_ne_bytes()),
                    u16::from_be(self.v4.sin_port),
                )),
                FAMILY6 => SocketAddr::V6(SocketAddrV6::new(
                    Ipv6Addr::from(self.v6.sin6_addr.s6_addr),
                    u16::from_be(self.v6.sin6_port),
                    self.v6.sin6_flowinfo,
                    self.v6.sin6_scope_id,
                )),
                _ => SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0)),
            }
        }
    }
}

/// A control message that says where a datagram came in, or from where it is to leave (IP_PKTINFO, IPV6_PKTINFO).
#[derive(Clone, Copy)]
#[repr(C)]
struct RawArrival {
    header: libc::cmsghdr,
    info: RawInfo,
}

#[derive(Clone, Copy)]
union RawInfo {
    v4: libc::in_pktinfo,
    v6: libc::in6_pktinfo,
}

impl RawArrival {
    /// Where the content begins, which is where the kernel puts it (`CMSG_DATA`).
    const HEAD: usize = {
        assert!(std::mem::offset_of!(Self, info) == size_of::<libc::cmsghdr>());
        assert!(size_of::<libc::cmsghdr>().is_multiple_of(size_of::<usize>()));
        size_of::<libc::cmsghdr>()
    };

    /// Returns one that says nothing.
    fn empty() -> Self {
        // SAFETY: the structure holds integers only, for which all zeroes is a value.
        unsafe { std::mem::zeroed() }
    }

    /// Writes from where a datagram is to leave; returns the length. The kernel chooses the link where that of `from` is 0.
    fn encode(&mut self, from: Arrival) -> usize {
        let (level, kind, length) = match from.address {
            IpAddr::V4(address) => {
                self.info.v4 = libc::in_pktinfo {
                    // A link's index is below 2^31.
                    ipi_ifindex: i32::try_from(from.link).unwrap_or(0),
                    ipi_spec_dst: libc::in_addr {
                        s_addr: u32::from_ne_bytes(address.octets()),
                    },
                    ipi_addr: libc::in_addr { s_addr: 0 },
                };
                (
                    libc::IPPROTO_IP,
                    libc::IP_PKTINFO,
                    size_of::<libc::in_pktinfo>(),
                )
            }
            IpAddr::V6(address) => {
                self.info.v6 = libc::in6_pktinfo {
                    ipi6_addr: libc::in6_addr {
                        s6_addr: address.octets(),
                    },
                    ipi6_ifindex: from.link,
                };
                (
                    libc::IPPROTO_IPV6,
                    libc::IPV6_PKTINFO,
                    size_of::<libc::in6_pktinfo>(),
                )
            }
        };
        self.header.cmsg_level = level;
        self.header.cmsg_type = kind;
        self.header.cmsg_len = Self::HEAD + length;
        // As CMSG_SPACE has it.
        (Self::HEAD + length).next_multiple_of(size_of::<usize>())
    }

    /// Reads where a datagram came in; `None` when this says something else.
    fn decode(&self) -> Option<Arrival> {
        // SAFETY: the whole structure was initialised by `empty`, so every byte of every variant is an initialised integer,
        // whatever the kernel wrote over it.
        unsafe {
            match (self.header.cmsg_level, self.header.cmsg_type) {
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => Some(Arrival {
                    address: Ipv4Addr::from(self.info.v4.ipi_addr.s_addr.to_ne_bytes()).into(),
                    link: u32::try_from(self.info.v4.ipi_ifindex).unwrap_or(0),
                }),
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => Some(Arrival {
                    address: Ipv6Addr::from(self.info.v6.ipi6_addr.s6_addr).into(),
                    link: self.info.v6.ipi6_ifindex,
                }),
                _ => None,
            }
        }
    }
}
