//! How do many answers leave in few system calls, and those for one client as one?

use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::ptr;

use super::{
    Arrival, BATCH_COUNT, BATCH_MAX, EMPTY_VECTOR, RawArrival, RawName, empty_header, option,
};

/// Bytes that the buffer of an answer keeps.
const ANSWER_KEEP: usize = 4096;

/// Bytes that are handed over in one piece at most: with headers a packet of IPv4 has no more than 65,535.
const PIECE_MAX: usize = 60_000;

/// Answers that wait to be sent by one call, in buffers that are used again.
///
/// Those for one client go through the kernel as one packet, which it cuts where they are delivered (`UDP_SEGMENT`, since Linux 4.18):
/// any number of one length, and a shorter one at the end. The C library asks for both kinds of addresses from one socket.
pub(crate) struct Outbox {
    answers: Box<[Vec<u8>]>,
    peers: Box<[SocketAddr]>,
    names: Box<[RawName]>,
    name_lengths: Box<[libc::socklen_t]>,
    arrivals: Box<[RawArrival]>,
    /// 0 where nothing is said of where an answer leaves from.
    arrival_lengths: Box<[usize]>,
    /// In which order answers leave: clients together, the longest first. The lowest octet is the place.
    order: Box<[u64]>,
    /// As `order`.
    vectors: Box<[libc::iovec]>,
    cuts: Box<[RawCut]>,
    headers: Box<[libc::mmsghdr]>,
    count: usize,
    /// Whether the kernel cuts here; `None` until it was asked.
    does_cut: Option<bool>,
}

// SAFETY: its pointers lead into its own boxes and vectors, which move with it from thread to thread.
unsafe impl Send for Outbox {}

impl Outbox {
    /// Makes an empty one.
    pub(crate) fn new() -> Self {
        Self {
            answers: vec![Vec::new(); BATCH_MAX].into_boxed_slice(),
            peers: vec![NOBODY; BATCH_MAX].into_boxed_slice(),
            names: vec![RawName::EMPTY; BATCH_MAX].into_boxed_slice(),
            name_lengths: vec![0; BATCH_MAX].into_boxed_slice(),
            arrivals: vec![RawArrival::empty(); BATCH_MAX].into_boxed_slice(),
            arrival_lengths: vec![0; BATCH_MAX].into_boxed_slice(),
            order: vec![0; BATCH_MAX].into_boxed_slice(),
            vectors: vec![EMPTY_VECTOR; BATCH_MAX].into_boxed_slice(),
            cuts: vec![RawCut::new(); BATCH_MAX].into_boxed_slice(),
            headers: vec![empty_header(); BATCH_MAX].into_boxed_slice(),
            count: 0,
            does_cut: None,
        }
    }

    /// Returns the buffer of the next answer, with whatever it held before; `None` when all are in use.
    pub(crate) fn next(&mut self) -> Option<&mut Vec<u8>> {
        self.answers.get_mut(self.count)
    }

    /// Keeps what is in the next buffer, for this client; it leaves from where it says, or else as the kernel chooses.
    pub(crate) fn keep(&mut self, peer: SocketAddr, from: Option<Arrival>) {
        let place = self.count;
        if let Some(answer) = self.answers.get(place)
            && let Some(kept) = self.peers.get_mut(place)
            && let Some(name) = self.names.get_mut(place)
            && let Some(name_length) = self.name_lengths.get_mut(place)
            && let Some(arrival) = self.arrivals.get_mut(place)
            && let Some(arrival_length) = self.arrival_lengths.get_mut(place)
            && let Some(order) = self.order.get_mut(place)
        {
            *kept = peer;
            *name_length = name.encode(peer);
            *arrival_length = from.map_or(0, |from| arrival.encode(from));
            *order = rank(peer, answer.len(), place);
            self.count += 1;
        }
    }

    /// Sends what is kept. One that the kernel does not take is lost, as any datagram may be; its client asks again.
    pub(crate) fn send(&mut self, socket: BorrowedFd<'_>) {
        let count = std::mem::take(&mut self.count);
        // Up to this place of the order each leaves alone.
        let mut alone = count;
        if count > 1 && self.does_cut(socket) {
            alone = 0;
            if let Some(order) = self.order.get_mut(..count) {
                order.sort_unstable();
            }
        }
        let mut done = 0;
        while done < count {
            let headers = self.arrange(done..count, alone);
            match self.send_headers(socket, headers) {
                Ok(sent) => {
                    let sent = sent.max(1);
                    // The next one was refused. Why, another call with it would tell, and be in vain.
                    if sent < headers {
                        alone = done + self.answers_of(sent + 1);
                    }
                    done += self.answers_of(sent);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Not on the way to this client: no checksums there, a transformation, pieces that are too long for it. Whatever it was,
                // each of these may leave alone, and nobody else's suffer for it.
                Err(_) if self.answers_of(1) > 1 => alone = done + self.answers_of(1),
                Err(_) => done += 1,
            }
        }
        for answer in self.answers.iter_mut().take(count) {
            if answer.capacity() > ANSWER_KEEP {
                *answer = Vec::new();
            }
        }
    }

    fn does_cut(&mut self, socket: BorrowedFd<'_>) -> bool {
        *self
            .does_cut
            .get_or_insert_with(|| option(socket, libc::SOL_UDP, libc::UDP_SEGMENT).is_ok())
    }

    /// Fills headers for the answers at these places of the order; returns how many. Answers for one client share one, but for those before `alone`.
    fn arrange(&mut self, places: Range<usize>, alone: usize) -> usize {
        let mut headers = 0;
        let Range {
            start: mut next,
            end,
        } = places;
        while next < end {
            let (start, first) = (next, self.place(next));
            let length = self.point(next, first);
            next += 1;
            let mut bytes = length;
            while start >= alone && next < end {
                let place = self.place(next);
                let more = self.answers.get(place).map_or(0, Vec::len);
                if !self.goes_with(first, place) || more > length || bytes + more > PIECE_MAX {
                    break;
                }
                self.point(next, place);
                next += 1;
                bytes += more;
                if more < length {
                    break;
                }
            }
            self.address(headers, first, start..next, length);
            headers += 1;
        }
        headers
    }

    /// Returns which answer is at a place of the order.
    fn place(&self, at: usize) -> usize {
        usize::from(self.order.get(at).map_or(0, |rank| rank.to_le_bytes()[0]))
    }

    /// Points the vector at a place of the order to an answer; returns its length.
    fn point(&mut self, at: usize, place: usize) -> usize {
        let (Some(vector), Some(answer)) = (self.vectors.get_mut(at), self.answers.get_mut(place))
        else {
            return 0;
        };
        // Nobody changes the answer before it is sent.
        vector.iov_base = answer.as_mut_ptr().cast();
        vector.iov_len = answer.len();
        answer.len()
    }

    fn goes_with(&self, first: usize, place: usize) -> bool {
        self.peers.get(first) == self.peers.get(place)
            && self.arrival_lengths.get(first) == Some(&0)
            && self.arrival_lengths.get(place) == Some(&0)
    }

    /// Has a header send some vectors to the client of an answer, cut into pieces of a length if there are several.
    fn address(&mut self, header: usize, first: usize, vectors: Range<usize>, length: usize) {
        if let Some(header) = self.headers.get_mut(header)
            && let Some(name) = self.names.get_mut(first)
            && let Some(name_length) = self.name_lengths.get(first)
            && let Some(arrival) = self.arrivals.get_mut(first)
            && let Some(arrival_length) = self.arrival_lengths.get(first)
            && let Some(cut) = self.cuts.get_mut(first)
            && let Some(vectors) = self.vectors.get_mut(vectors)
        {
            let message = &mut header.msg_hdr;
            message.msg_name = ptr::from_mut(name).cast();
            message.msg_namelen = *name_length;
            message.msg_iov = vectors.as_mut_ptr();
            message.msg_iovlen = vectors.len();
            (message.msg_control, message.msg_controllen) = match *arrival_length {
                0 if vectors.len() > 1 => {
                    let room = cut.encode(length);
                    (ptr::from_mut(cut).cast(), room)
                }
                0 => (ptr::null_mut(), 0),
                room => (ptr::from_mut(arrival).cast(), room),
            };
        }
    }

    /// How many answers the first headers send.
    fn answers_of(&self, headers: usize) -> usize {
        let headers = self.headers.iter().take(headers);
        headers.map(|header| header.msg_hdr.msg_iovlen).sum()
    }

    fn send_headers(&mut self, socket: BorrowedFd<'_>, count: usize) -> io::Result<usize> {
        let headers = self.headers.get_mut(..count).unwrap_or_default();
        // SAFETY: each of these headers points to a name, to at most one control message and to as many vectors as it says, in boxes of
        // this structure, which the caller holds alone, and its vectors to answers that were kept; the kernel only reads the answers.
        let sent = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                libc::c_uint::try_from(headers.len()).unwrap_or(BATCH_COUNT),
                libc::MSG_DONTWAIT,
            )
        };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }
}

const NOBODY: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);

/// Where an answer stands in the order: beside others for its client, before shorter ones. Two clients may come to stand among one another; what goes
/// together is compared.
fn rank(peer: SocketAddr, length: usize, place: usize) -> u64 {
    let address = match peer {
        SocketAddr::V4(peer) => u64::from(peer.ip().to_bits()),
        SocketAddr::V6(peer) => {
            let [a, b, c, d, e, f, g, h, rest @ ..] = peer.ip().octets();
            u64::from_le_bytes([a, b, c, d, e, f, g, h]) ^ u64::from_be_bytes(rest)
        }
    };
    let client = (address << 16 ^ u64::from(peer.port())).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 24;
    let shortness = u64::from(u16::MAX) - (length as u64).min(u64::from(u16::MAX));
    client << 24 | shortness << 8 | place as u64 & 0xff
}

/// A control message that says into pieces of which length a datagram is cut (`UDP_SEGMENT`).
#[derive(Clone, Copy)]
#[repr(C)]
struct RawCut {
    header: libc::cmsghdr,
    length: u16,
}

impl RawCut {
    /// Where the content begins (`CMSG_DATA`).
    const HEAD: usize = {
        assert!(std::mem::offset_of!(Self, length) == size_of::<libc::cmsghdr>());
        assert!(size_of::<Self>() == size_of::<libc::cmsghdr>() + size_of::<usize>());
        size_of::<libc::cmsghdr>()
    };

    fn new() -> Self {
        // SAFETY: the structure holds integers only, for which all zeroes is a value.
        unsafe { std::mem::zeroed() }
    }

    /// Writes the length of a piece; returns that of the message, as `CMSG_SPACE` has it.
    fn encode(&mut self, length: usize) -> usize {
        // No answer is longer.
        self.length = u16::try_from(length).unwrap_or(u16::MAX);
        self.header.cmsg_level = libc::SOL_UDP;
        self.header.cmsg_type = libc::UDP_SEGMENT;
        self.header.cmsg_len = Self::HEAD + size_of::<u16>();
        size_of::<Self>()
    }
}

#[cfg(test)]
mod tests;
