//! Routes that are looked for in what a kernel lists that plays, and what the real one says against a listing.

use std::cell::RefCell;
use std::os::fd::{FromRawFd as _, IntoRawFd as _};
use std::os::unix::net::UnixDatagram;

use linkmgr::kinds::tlv;

use super::*;
use crate::frame::said as message;

const WANTED: [u8; 4] = [192, 0, 2, 0];
const OTHER: [u8; 4] = [198, 51, 100, 0];
const WHOLE: i32 = libc::NLM_F_MULTI;
const CHANGED: i32 = libc::NLM_F_MULTI | libc::NLM_F_DUMP_INTR;

/// What the kernel lists once: routes, flags of the end, and its `errno`.
type Listed = (&'static [[u8; 4]], i32, i32);

fn datagram((routes, flags, errno): Listed) -> Vec<u8> {
    let mut datagram = Vec::new();
    for to in routes {
        let mut body = vec![2, 24, 0, 0, 77, OURS, 0, libc::RTN_UNICAST, 0, 0, 0, 0];
        tlv::put(&mut body, libc::RTA_DST, to);
        tlv::put_word(&mut body, libc::RTA_OIF, 7);
        datagram.extend(message(libc::RTM_NEWROUTE, flags, &body));
    }
    let done = libc::NLMSG_DONE.try_into().unwrap();
    datagram.extend(message(done, flags, &(-errno).to_ne_bytes()));
    datagram
}

/// Looks for a route while the kernel lists this, the last one again and again. Returns whether it is there, and how often was asked.
fn found(script: &[Listed]) -> (Result<bool, AskError>, usize) {
    let kernels = RefCell::new(Vec::new());
    let ask = || {
        let (ours, its) = UnixDatagram::pair()?;
        ours.set_nonblocking(true)?;
        let mut kernels = kernels.borrow_mut();
        let listed = script.get(kernels.len()).or_else(|| script.last()).unwrap();
        its.send(&datagram(*listed))?;
        kernels.push(its);
        // SAFETY: the descriptor is open and nobody else's.
        Ok(unsafe { Socket::from_raw_fd(ours.into_raw_fd()) })
    };
    let is_there = look_for(&ask, &mut |number, there| {
        number == OURS && there.key.to.address == std::net::IpAddr::from(WANTED)
    });
    (is_there, kernels.into_inner().len())
}

#[test]
fn a_listing_that_something_may_be_missing_from_proves_presence_alone() {
    let rows: [(&[Listed], bool, usize); 7] = [
        (&[(&[OTHER, WANTED], WHOLE, 0)], true, 1),
        (&[(&[OTHER], WHOLE, 0)], false, 1),
        (&[(&[WANTED], CHANGED, 0)], true, 1),
        (
            &[(&[OTHER], CHANGED, 0), (&[OTHER, WANTED], WHOLE, 0)],
            true,
            2,
        ),
        (&[(&[OTHER], CHANGED, 0), (&[OTHER], WHOLE, 0)], false, 2),
        // There is no such table, or there was none a moment ago.
        (&[(&[], WHOLE, libc::ENOENT)], false, 1),
        (
            &[(&[], CHANGED, libc::ENOENT), (&[WANTED], WHOLE, 0)],
            true,
            2,
        ),
    ];
    for (row, (script, expected, times)) in rows.into_iter().enumerate() {
        let (is_there, asked) = found(script);
        assert_eq!((is_there.unwrap(), asked), (expected, times), "row {row}");
    }
}

#[test]
fn of_a_table_that_never_stands_still_nothing_is_told() {
    let (is_there, asked) = found(&[(&[OTHER], CHANGED, 0)]);
    let fault = KernelFault::from(is_there.unwrap_err());
    assert_eq!((fault.errno, fault.text.as_deref()), (libc::EAGAIN, None));
    assert!(fault.passes());
    assert_eq!(asked, ATTEMPTS);
}

#[test]
fn the_kernels_words_are_handed_on() {
    let ask = || {
        let socket = socket::open_listing()?;
        // With a flag that no listing has.
        let body = [[2, 0, 0, 0], [0; 4], 0x100_u32.to_ne_bytes()].concat();
        let request = libc::NLM_F_REQUEST | libc::NLM_F_DUMP;
        socket.send(&message(libc::RTM_GETROUTE, request, &body), 0)?;
        Ok(socket)
    };
    let error = look_for(&ask, &mut |_, _| false).unwrap_err();
    let fault = KernelFault::from(error);
    assert_eq!(fault.errno, libc::EINVAL);
    let words = fault.text.as_deref();
    assert_eq!(words, Some("Invalid flags for FIB dump request"));
}
