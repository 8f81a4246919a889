//! What does the helper process do all day? Waits for requests, and for the daemon's end to close.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};

use super::custody::Custody;
use super::frame::{Assembly, MAX_PACKET, MAX_REPLY, MAX_REQUEST, Numbered, packets};
use super::{HelperReply, HelperRequest};

/// Serves requests until [`HelperRequest::Quit`] or until the daemon is gone; resolv.conf has been given back then.
pub(crate) fn serve(mut custody: Custody, socket: &OwnedFd) {
    let mut assembly = Assembly::default();
    let mut packet = vec![0; MAX_PACKET];
    loop {
        let request = match next(socket, &mut custody, &mut assembly, &mut packet) {
            Ok(Some(request)) => request,
            Ok(None) => break,
            Err(error) => {
                tracing::error!(%error, "the daemon's request cannot be read");
                break;
            }
        };
        let last = request.body == HelperRequest::Quit;
        let body = custody.handle_request(request.body);
        let number = request.number;
        if let Err(error) = reply(socket, Numbered { number, body }) {
            tracing::error!(%error, "cannot reply to the daemon");
            break;
        }
        if last {
            return;
        }
        crate::memory::trim();
        crate::memory::let_go_of_program();
    }
    custody.leave_unwatched();
    tracing::warn!("the daemon ended without a word; giving resolv.conf back");
    match custody.handle_request(HelperRequest::GiveBackResolvConf) {
        HelperReply::ResolvConf(report) => {
            for message in report.messages {
                tracing::warn!("{message}");
            }
        }
        HelperReply::Failed(why) | HelperReply::Refused(why) => tracing::error!("{why}"),
        HelperReply::Config(_)
        | HelperReply::Keys(_)
        | HelperReply::LinkKeys(_)
        | HelperReply::Marked(_) => {}
    }
}

/// Waits for a whole request; `None` when the daemon is gone.
fn next(
    socket: &OwnedFd,
    custody: &mut Custody,
    assembly: &mut Assembly,
    packet: &mut [u8],
) -> io::Result<Option<Numbered<HelperRequest>>> {
    loop {
        let witness = custody.witness_fd();
        let [heard, readable] = poll([witness.unwrap_or(-1), socket.as_raw_fd()])?;
        if heard {
            custody.hear_witness();
        }
        if !readable {
            continue;
        }
        // SAFETY: the buffer has the length given.
        let length = unsafe {
            libc::recv(
                socket.as_raw_fd(),
                packet.as_mut_ptr().cast(),
                packet.len(),
                libc::MSG_TRUNC,
            )
        };
        let length = match usize::try_from(length) {
            Ok(0) => return Ok(None),
            Ok(length) => length,
            Err(_) => {
                let error = io::Error::last_os_error();
                match error.raw_os_error() {
                    Some(libc::EINTR) => continue,
                    Some(libc::ECONNRESET) => return Ok(None),
                    Some(_) | None => return Err(error),
                }
            }
        };
        let packet = packet.get(..length).ok_or(io::ErrorKind::FileTooLarge)?;
        if let Some(request) = assembly.add(packet, MAX_REQUEST)? {
            return Ok(Some(request));
        }
    }
}

fn poll(fds: [RawFd; 2]) -> io::Result<[bool; 2]> {
    let mut polled = fds.map(|fd| libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    });
    // SAFETY: two pollfds; a negative descriptor is passed over.
    let result = unsafe { libc::poll(polled.as_mut_ptr(), 2, -1) };
    if result < 0 {
        let error = io::Error::last_os_error();
        if error.kind() == io::ErrorKind::Interrupted {
            return Ok([false; 2]);
        }
        return Err(error);
    }
    Ok(polled.map(|one| one.revents != 0))
}

fn reply(socket: &OwnedFd, reply: Numbered<HelperReply>) -> io::Result<()> {
    let packets = match packets(&reply, MAX_REPLY) {
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            let body = HelperReply::Failed("the configuration is longer than 16 MiB".to_owned());
            let number = reply.number;
            packets(&Numbered { number, body }, MAX_REPLY)?
        }
        packets => packets?,
    };
    for packet in packets {
        // SAFETY: the packet has the length given.
        let sent = unsafe {
            libc::send(
                socket.as_raw_fd(),
                packet.as_ptr().cast(),
                packet.len(),
                libc::MSG_NOSIGNAL,
            )
        };
        if sent < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
