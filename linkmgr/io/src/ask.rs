//! How does one request go to the kernel, and what does it say? [`Asker`]: one message, its answers, its error in words.
//!
//! It waits for the kernel, which answers within the call: links are made seldom, and what waits is a thread of its own.

use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::time::Duration;

use linkmgr::KernelFault;
use linkmgr::kinds::Message;
use linkmgr::kinds::tun::Tun;
use netlink_sys::protocols::{NETLINK_GENERIC, NETLINK_ROUTE};
use netlink_sys::{Socket, SocketAddr};
use socket2::SockRef;
use zeroize::Zeroizing;

use crate::frame::frame;
use crate::message::HEADER_LENGTH;
use crate::message::verdict::{DONE, ERROR, verdict};
use crate::socket::{DATAGRAM_LENGTH, Received, have_words, receive};

/// A kernel that says nothing for so long has lost the request.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a listing is begun that the kernel does not get through before something changes.
const LISTINGS: usize = 8;

/// Which part of the kernel is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Links, addresses, routes.
    Route,
    /// Families that have a name: WireGuard, ethtool.
    Generic,
}

/// A socket for requests of which each has its answer before the next.
#[derive(Debug)]
pub struct Asker {
    socket: Socket,
    sequence: u32,
}

/// Why there is no good answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The kernel does not want it.
    #[error("{0}")]
    Fault(KernelFault),
    /// What was to be listed has changed each time before the end: something may be missing.
    #[error("it changes all the time")]
    Interrupted,
    /// The socket has failed, or the kernel is silent.
    #[error("netlink")]
    Socket(#[from] io::Error),
}

impl AskError {
    /// Returns `errno`, when there is one.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Fault(fault) => Some(fault.errno),
            Self::Interrupted => Some(libc::EINTR),
            Self::Socket(error) => error.raw_os_error(),
        }
    }
}

impl From<AskError> for KernelFault {
    fn from(error: AskError) -> Self {
        let errno = error.errno().unwrap_or(libc::EIO);
        match error {
            AskError::Fault(fault) => fault,
            AskError::Interrupted | AskError::Socket(_) => Self { errno, text: None },
        }
    }
}

/// What has words of the kernel's has no `raw_os_error` any more: [`AskError::errno`] is asked before.
impl From<AskError> for io::Error {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Socket(error) => error,
            AskError::Interrupted => Self::new(io::ErrorKind::Interrupted, error),
            AskError::Fault(fault) => {
                let error = Self::from_raw_os_error(fault.errno);
                match fault.text {
                    Some(_) => Self::new(error.kind(), fault),
                    None => error,
                }
            }
        }
    }
}

impl Asker {
    /// Opens the socket.
    ///
    /// # Errors
    /// When the kernel has no such part.
    pub fn open(part: Part) -> io::Result<Self> {
        let protocol = match part {
            Part::Route => NETLINK_ROUTE,
            Part::Generic => NETLINK_GENERIC,
        };
        let mut socket = Socket::new(protocol)?;
        SockRef::from(&socket).set_read_timeout(Some(PATIENCE))?;
        have_words(&socket);
        socket.bind(&SocketAddr::new(0, 0))?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self {
            socket,
            sequence: 0,
        })
    }

    /// Sends one request and waits for all of its answers; a listing during which something has changed is asked for again.
    ///
    /// # Errors
    /// What the kernel says against it, or that a listing does not come to an end.
    pub fn ask(&mut self, message: &Message) -> Result<Vec<Message>, AskError> {
        whole(|| self.ask_once(message))
    }

    fn ask_once(&mut self, message: &Message) -> Result<Answers, AskError> {
        self.sequence = self.sequence.wrapping_add(1);
        // There may be a key in it, or in what comes back.
        let mut request = Zeroizing::new(Vec::with_capacity(HEADER_LENGTH + message.body.len()));
        frame(message, self.sequence, &mut request);
        let sent = self.socket.send(&request, 0)?;
        if sent != request.len() {
            return Err(io::Error::from(io::ErrorKind::WriteZero).into());
        }
        let mut answers = Answers::default();
        let mut buffer = Zeroizing::new(Vec::with_capacity(DATAGRAM_LENGTH));
        loop {
            match receive(&self.socket, &mut buffer)? {
                Received::Datagram => {}
                Received::Foreign => continue,
                Received::Lost => return Err(io::Error::from_raw_os_error(libc::ENOBUFS).into()),
            }
            if let Some(end) = take(&buffer, self.sequence, &mut answers) {
                end.map_err(AskError::Fault)?;
                return Ok(answers);
            }
        }
    }
}

/// What came in answer to a request.
#[derive(Debug, Default)]
struct Answers {
    messages: Vec<Message>,
    /// Whether something may be missing, as the tables have changed meanwhile (`NLM_F_DUMP_INTR`).
    is_interrupted: bool,
}

/// Asks until nothing has changed meanwhile: what is missing in a listing would be taken to be gone.
fn whole(mut ask: impl FnMut() -> Result<Answers, AskError>) -> Result<Vec<Message>, AskError> {
    for _ in 0..LISTINGS {
        let answers = ask()?;
        if !answers.is_interrupted {
            return Ok(answers.messages);
        }
    }
    Err(AskError::Interrupted)
}

/// Takes the messages of a datagram; returns how it ends, when it does. What belongs to an earlier request is passed over.
fn take(mut bytes: &[u8], sequence: u32, answers: &mut Answers) -> Option<Result<(), KernelFault>> {
    while let Some((length, kind, flags, of)) = header(bytes) {
        let body = bytes.get(HEADER_LENGTH..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        if of != sequence {
            continue;
        }
        answers.is_interrupted |= i32::from(flags) & libc::NLM_F_DUMP_INTR != 0;
        match kind {
            ERROR | DONE => return Some(verdict(kind, flags, body)),
            _ => answers.messages.push(Message {
                kind,
                flags,
                body: body.to_vec(),
            }),
        }
    }
    None
}

fn header(bytes: &[u8]) -> Option<(usize, u16, u16, u32)> {
    let half = |at: usize| Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let word = |at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let length = usize::try_from(word(0)?).ok()?;
    (length >= HEADER_LENGTH).then_some((length, half(4)?, half(6)?, word(8)?))
}

/// Makes a link that programs open as a file, with this index or one that the kernel chooses; it stays when this returns.
///
/// # Errors
/// When there is no such device, or one of its name.
pub fn make_tun(tun: &Tun, index: Option<u32>) -> io::Result<()> {
    // SAFETY: the path is a C string; the flags are plain.
    let descriptor = unsafe {
        libc::open(
            c"/dev/net/tun".as_ptr(),
            libc::O_RDWR | libc::O_CLOEXEC | libc::O_NONBLOCK,
        )
    };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was opened above and belongs to nobody else.
    let file = unsafe { OwnedFd::from_raw_fd(descriptor) };
    for (request, argument) in tun.steps(index) {
        let result = match argument {
            linkmgr::kinds::tun::Argument::Request(mut request_octets) => {
                // SAFETY: the argument is a `struct ifreq`, whose 40 octets are writable for the whole call.
                unsafe {
                    libc::ioctl(
                        file.as_raw_fd(),
                        libc::Ioctl::from(request),
                        request_octets.as_mut_ptr(),
                    )
                }
            }
            linkmgr::kinds::tun::Argument::Place(mut number) => {
                // SAFETY: the argument is a number that can be read for the whole call.
                unsafe {
                    libc::ioctl(
                        file.as_raw_fd(),
                        libc::Ioctl::from(request),
                        &raw mut number,
                    )
                }
            }
            linkmgr::kinds::tun::Argument::Number(number) => {
                // SAFETY: these take a number, not a pointer.
                unsafe {
                    libc::ioctl(
                        file.as_raw_fd(),
                        libc::Ioctl::from(request),
                        libc::c_ulong::from(number),
                    )
                }
            }
        };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_no_in_words() {
        let mut asker = Asker::open(Part::Route).unwrap();
        let missing = linkmgr::kinds::message::get("no-such-link0");
        let error = asker.ask(&missing).unwrap_err();
        assert_eq!(error.errno(), Some(libc::ENODEV));
        let answers = asker.ask(&linkmgr::kinds::message::get("lo")).unwrap();
        let (index, _) = linkmgr::kinds::message::link_of(&answers[0]).unwrap();
        assert_eq!(index, 1);
    }

    #[test]
    fn its_words_are_read_with_the_request_and_without() {
        let mut asker = Asker::open(Part::Route).unwrap();
        for has_request in [false, true] {
            asker.socket.set_cap_ack(!has_request).unwrap();
            // Of the header is a third.
            let short = Message {
                kind: libc::RTM_GETROUTE,
                flags: 0,
                body: vec![2, 0, 0, 0],
            };
            let error = asker.ask(&short).unwrap_err();
            let words = "Invalid header for route get request (error 22)";
            assert!(error.to_string().ends_with(words), "{error}");
            let fault = KernelFault::from(error);
            assert_eq!(fault.errno, libc::EINVAL);
        }
    }

    #[test]
    fn answers_of_earlier_requests_are_passed_over_and_nonsense_ends_nothing() {
        let mut bytes = Vec::new();
        for (sequence, kind) in [(1_u32, 16_u16), (2, 16), (2, DONE)] {
            bytes.extend(20_u32.to_ne_bytes());
            bytes.extend(kind.to_ne_bytes());
            bytes.extend([0; 2]);
            bytes.extend(sequence.to_ne_bytes());
            bytes.extend([0; 8]);
        }
        let mut answers = Answers::default();
        assert_eq!(take(&bytes, 2, &mut answers), Some(Ok(())));
        assert_eq!(answers.messages.len(), 1);
        for cut in 0..bytes.len() {
            drop(take(&bytes[..cut], 2, &mut answers));
        }
        assert_eq!(take(&[0xff; 64], 2, &mut answers), None);
    }

    /// Returns a link and the end of a listing, with these flags.
    fn listing(link: i32, end: i32) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (kind, flags) in [(16_u16, link), (DONE, end)] {
            bytes.extend(20_u32.to_ne_bytes());
            bytes.extend(kind.to_ne_bytes());
            bytes.extend(u16::try_from(flags).unwrap().to_ne_bytes());
            bytes.extend(1_u32.to_ne_bytes());
            bytes.extend([0; 8]);
        }
        bytes
    }

    #[test]
    fn a_listing_in_which_something_may_be_missing_is_asked_for_again() {
        let changed = libc::NLM_F_MULTI | libc::NLM_F_DUMP_INTR;
        // The link's flags and the end's, and which time is the first without a change.
        for (link, end, whole_at) in [
            (libc::NLM_F_MULTI, libc::NLM_F_MULTI, 1),
            (changed, libc::NLM_F_MULTI, 2),
            (libc::NLM_F_MULTI, changed, 2),
            (changed, changed, LISTINGS),
            (changed, changed, LISTINGS + 1),
        ] {
            let mut asked = 0;
            let answers = whole(|| {
                asked += 1;
                let bytes = match asked < whole_at {
                    true => listing(link, end),
                    false => listing(libc::NLM_F_MULTI, libc::NLM_F_MULTI),
                };
                let mut answers = Answers::default();
                assert_eq!(take(&bytes, 1, &mut answers), Some(Ok(())));
                Ok(answers)
            });
            assert_eq!(asked, whole_at.min(LISTINGS));
            match answers {
                Ok(messages) => assert_eq!((messages.len(), asked), (1, whole_at)),
                // That may pass.
                Err(error) => {
                    assert!(whole_at > LISTINGS, "{error}");
                    assert!(linkmgr::request::passes(error.errno().unwrap()));
                }
            }
        }
    }
}
