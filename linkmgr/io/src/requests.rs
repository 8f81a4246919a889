//! How is the kernel asked for something? [`Requests::perform`]: one after another, each with its answer.
//!
//! The kernel does what a netlink message asks while the message is being sent, so that the answers lie in the socket when
//! sending returns: nothing waits here, and a row of requests costs one system call to send. Settings below `/proc/sys`
//! are files; their order among the messages is kept.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use linkmgr::request::{KernelAnswer, KernelFault, KernelRequest, RequestId};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

use crate::emit;
use crate::message::acknowledgement;
use crate::socket::{Received, receive};

/// Octets that are sent in one go.
const BATCH_MAX: usize = 16 << 10;
const SETTINGS: &str = "/proc/sys/net";

/// The socket by which the kernel is asked; it hears nothing but answers.
#[derive(Debug)]
pub struct Requests {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

/// What is on its way, in the order in which it was sent.
#[derive(Default)]
struct Batch {
    octets: Vec<u8>,
    /// The request that each message belongs to, by its number.
    sent: Vec<(u32, RequestId)>,
}

impl Requests {
    /// Opens the socket.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.set_non_blocking(true)?;
        socket.bind(&SocketAddr::new(0, 0))?;
        socket.connect(&SocketAddr::new(0, 0))?;
        for set in [Socket::set_ext_ack, Socket::set_cap_ack] {
            if let Err(error) = set(&socket, true) {
                tracing::debug!(%error, "the kernel answers without words");
            }
        }
        Ok(Self {
            socket,
            sequence: 0,
            buffer: Vec::new(),
        })
    }

    /// Asks for all of these in this order, and returns an answer to each. One that fails does not stop the others.
    pub fn perform(
        &mut self,
        requests: &[(RequestId, KernelRequest)],
    ) -> Vec<(RequestId, KernelAnswer)> {
        let mut answers = Vec::with_capacity(requests.len());
        let mut batch = Batch::default();
        for (id, request) in requests {
            match request {
                KernelRequest::ReadSwitch { link, switch } => {
                    self.flush(&mut batch, &mut answers);
                    answers.push((*id, read(&switch.path(link))));
                }
                KernelRequest::SetSwitch {
                    link,
                    switch,
                    value,
                } => {
                    self.flush(&mut batch, &mut answers);
                    answers.push((*id, write(&switch.path(link), *value)));
                }
                KernelRequest::DeleteAddress {
                    index,
                    promote: true,
                    ..
                } => {
                    self.flush(&mut batch, &mut answers);
                    let promoting = Promoting::begin(*index);
                    self.put(*id, request, &mut batch);
                    self.flush(&mut batch, &mut answers);
                    drop(promoting);
                }
                KernelRequest::SetUp { .. }
                | KernelRequest::SetMtu { .. }
                | KernelRequest::SetMac { .. }
                | KernelRequest::AddAddress(_)
                | KernelRequest::ReplaceAddress(_)
                | KernelRequest::DeleteAddress { promote: false, .. }
                | KernelRequest::AddRoute(_)
                | KernelRequest::ReplaceRoute(_)
                | KernelRequest::DeleteRoute(_)
                | KernelRequest::AddRule(_)
                | KernelRequest::DeleteRule(_) => {
                    self.put(*id, request, &mut batch);
                    if batch.octets.len() > BATCH_MAX {
                        self.flush(&mut batch, &mut answers);
                    }
                }
            }
        }
        self.flush(&mut batch, &mut answers);
        answers
    }

    fn put(&mut self, id: RequestId, request: &KernelRequest, batch: &mut Batch) {
        for message in emit::messages(request) {
            self.sequence = self.sequence.wrapping_add(1);
            batch.octets.extend(message.finish(self.sequence));
            batch.sent.push((self.sequence, id));
        }
    }

    /// Sends what is in the batch, and takes the answers.
    fn flush(&mut self, batch: &mut Batch, answers: &mut Vec<(RequestId, KernelAnswer)>) {
        let Batch { octets, sent } = std::mem::take(batch);
        if sent.is_empty() {
            return;
        }
        let mut outcomes: Vec<(RequestId, Option<KernelAnswer>)> = Vec::with_capacity(sent.len());
        let sending = self.socket.send(&octets, 0);
        let mut place = 0;
        if sending.is_ok() {
            while place < sent.len() {
                match receive(&self.socket, &mut self.buffer) {
                    Ok(Received::Datagram) => {
                        for (sequence, answer) in acknowledgement::parse(&self.buffer) {
                            let Some(ahead) = sent
                                .iter()
                                .skip(place)
                                .position(|(sent, _)| *sent == sequence)
                            else {
                                // An answer to a message of before, whose own one was lost.
                                continue;
                            };
                            for (_, id) in sent.iter().skip(place).take(ahead) {
                                outcomes.push((*id, None));
                            }
                            place += ahead;
                            if let Some((_, id)) = sent.get(place) {
                                outcomes.push((*id, Some(answer)));
                            }
                            place += 1;
                        }
                    }
                    Ok(Received::Foreign | Received::Lost) => {}
                    Err(_) => break,
                }
            }
        }
        let missing = sending.err().and_then(|error| error.raw_os_error());
        let missing = missing.unwrap_or(libc::EIO);
        for (_, id) in sent.iter().skip(place) {
            outcomes.push((*id, None));
        }
        for (id, outcome) in outcomes {
            let answer = outcome.unwrap_or_else(|| {
                KernelAnswer::Failed(KernelFault {
                    errno: missing,
                    text: Some(Arc::from("the kernel gives no answer")),
                })
            });
            match answers.last_mut() {
                // A request of several messages fails with the first that does.
                Some((last, before)) if *last == id => {
                    if *before == KernelAnswer::Done {
                        *before = answer;
                    }
                }
                Some(_) | None => answers.push((id, answer)),
            }
        }
    }
}

/// Has the kernel keep the other addresses of a prefix when its first one goes, as long as it lives.
struct Promoting(Option<PathBuf>);

impl Promoting {
    fn begin(index: u32) -> Self {
        let name = nix::net::if_::if_indextoname(index).ok();
        let name = name.and_then(|name| name.into_string().ok());
        let path = name
            .map(|name| Path::new(SETTINGS).join(format!("ipv4/conf/{name}/promote_secondaries")));
        let is_off = |path: &PathBuf| fs::read_to_string(path).is_ok_and(|text| text.trim() == "0");
        let path = path.filter(|path| is_off(path) && fs::write(path, "1").is_ok());
        Self(path)
    }
}

impl Drop for Promoting {
    fn drop(&mut self) {
        if let Some(path) = &self.0
            && let Err(error) = fs::write(path, "0")
        {
            tracing::debug!(%error, "a setting is not as it was");
        }
    }
}

fn read(path: &str) -> KernelAnswer {
    match fs::read_to_string(Path::new(SETTINGS).join(path)) {
        Ok(text) => match text.trim().parse() {
            Ok(value) => KernelAnswer::Value(value),
            Err(_) => failed(&io::Error::from_raw_os_error(libc::EINVAL)),
        },
        Err(error) => failed(&error),
    }
}

fn write(path: &str, value: i32) -> KernelAnswer {
    match fs::write(Path::new(SETTINGS).join(path), value.to_string()) {
        Ok(()) => KernelAnswer::Done,
        Err(error) => failed(&error),
    }
}

fn failed(error: &io::Error) -> KernelAnswer {
    KernelAnswer::Failed(KernelFault {
        errno: error.raw_os_error().unwrap_or(libc::EIO),
        text: Some(error.to_string().into()),
    })
}
