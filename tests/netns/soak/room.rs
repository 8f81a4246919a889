//! How many answers may wait for who asks during a soak? As many as may come at once, where that is allowed.

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd as _;
use std::sync::Once;

/// Octets of answers that wait for who asks: those to 16,384 questions, as many as linnetd lets wait, with what the kernel counts for each.
static RECEIVE_BUFFER: libc::c_int = 16 << 20;
/// What is told once where there is less.
const LESS: &str = "who asks has less room for answers than he wants (SO_RCVBUFFORCE needs CAP_NET_ADMIN in the host's user namespace): \
                    of what is unanswered some may be his own drops";

/// How much room there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Room {
    Wanted,
    /// What the host allows everybody (`net.core.rmem_max`).
    Less,
}

/// Makes room for all answers that may come at once. Each program of a host has a socket of its own; here all who ask share a few,
/// and the usual room is for 277 answers of the thousands that wait when an outage ends.
pub(super) fn make_room(socket: &UdpSocket) {
    static TOLD: Once = Once::new();
    match made(socket).expect("a socket takes a size") {
        Room::Wanted => {}
        Room::Less => TOLD.call_once(|| tests::say(LESS)),
    }
}

fn made(socket: &UdpSocket) -> io::Result<Room> {
    match set(socket, libc::SO_RCVBUFFORCE) {
        Ok(()) => Ok(Room::Wanted),
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
            set(socket, libc::SO_RCVBUF)?;
            Ok(Room::Less)
        }
        Err(error) => Err(error),
    }
}

fn set(socket: &UdpSocket, option: libc::c_int) -> io::Result<()> {
    let length = size_of_val(&RECEIVE_BUFFER).try_into();
    let length: libc::socklen_t = length.map_err(io::Error::other)?;
    // SAFETY: the pointer and the length are those of one C int that lives until the call returns.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            (&raw const RECEIVE_BUFFER).cast(),
            length,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[test]
fn who_may_not_have_the_room_that_he_wants_takes_what_there_is() {
    use caps::{CapSet, Capability};
    // Capabilities are a thread's own, and each test has one to itself.
    std::thread::spawn(|| {
        caps::drop(None, CapSet::Effective, Capability::CAP_NET_ADMIN).unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let size = || socket2::SockRef::from(&socket).recv_buffer_size().unwrap();
        let usual = size();
        assert_eq!(made(&socket).unwrap(), Room::Less);
        make_room(&socket);
        assert!(size() > usual, "{} of {usual}", size());
    })
    .join()
    .unwrap();
}
