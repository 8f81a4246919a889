//! Which system calls does the standard library lack? Batches of datagrams, integer socket options, a link's index,
//! and the runtime's word on a foreign descriptor.
//!
//! The only file of the crate with `unsafe`. It moves bytes and knows nothing of DNS, clients or retries.

use std::ffi::CString;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::num::NonZeroU32;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::ptr;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::poller::Set;

/// Datagrams that one system call takes or gives at most.
pub(crate) const BATCH_MAX: usize = 64;

/// Bytes kept of a client's datagram; a longer one is cut, so that the core answers FORMERR.
pub(crate) const DATAGRAM_MAX: usize = 2048;

/// Datagrams received by one call, in buffers that live as long as this.
#[derive(Debug)]
pub(crate) struct Received {
    bytes: Box<[u8]>,
    datagrams: Vec<(SocketAddr, usize)>,
}

impl Received {
    /// Allocates the buffers; nothing allocates afterwards.
    pub(crate) fn new() -> Self {
        Self {
            bytes: vec![0; BATCH_MAX * DATAGRAM_MAX].into_boxed_slice(),
            datagrams: Vec::with_capacity(BATCH_MAX),
        }
    }

    /// Returns the sender and the bytes of a datagram of the last call.
    pub(crate) fn get(&self, place: usize) -> Option<(SocketAddr, &[u8])> {
        let (peer, length) = *self.datagrams.get(place)?;
        let start = place.checked_mul(DATAGRAM_MAX)?;
        Some((peer, self.bytes.get(start..start.checked_add(length)?)?))
    }

    /// Takes what is waiting on a socket, at most [`BATCH_MAX`] datagrams, without waiting; returns how many.
    ///
    /// # Errors
    /// What `recvmmsg(2)` says; `WouldBlock` when nothing is there.
    pub(crate) fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        self.datagrams.clear();
        let mut names = [RawName::EMPTY; BATCH_MAX];
        let mut vectors = [EMPTY_VECTOR; BATCH_MAX];
        let mut headers = [empty_header(); BATCH_MAX];
        let places = headers.iter_mut().zip(&mut vectors).zip(&mut names);
        for (((header, vector), name), buffer) in
            places.zip(self.bytes.chunks_exact_mut(DATAGRAM_MAX))
        {
            vector.iov_base = buffer.as_mut_ptr().cast();
            vector.iov_len = buffer.len();
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_name = ptr::from_mut(name).cast();
            header.msg_hdr.msg_namelen = RawName::ROOM;
        }
        // SAFETY: every header points to one vector, one buffer and one name of the given sizes; all of them outlive
        // the call and nothing else uses them during it. The count is that of the array.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                BATCH_COUNT,
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
            )
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        for (header, name) in headers.iter().zip(&names).take(count) {
            let length = usize::try_from(header.msg_len)
                .unwrap_or(DATAGRAM_MAX)
                .min(DATAGRAM_MAX);
            self.datagrams.push((name.decode(), length));
        }
        Ok(count)
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

/// Returns the index of the link with a name.
pub(crate) fn link_index(name: &str) -> Option<NonZeroU32> {
    let name = CString::new(name).ok()?;
    // SAFETY: the pointer is that of a live string that ends in NUL.
    NonZeroU32::new(unsafe { libc::if_nametoindex(name.as_ptr()) })
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
