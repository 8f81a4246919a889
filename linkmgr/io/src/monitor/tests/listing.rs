//! A listing against a kernel that plays: what is asked again, and what it says against it.

use std::os::fd::{FromRawFd as _, IntoRawFd as _};
use std::os::unix::net::UnixDatagram;

use super::*;
use crate::frame::said as message;

const WHOLE: i32 = libc::NLM_F_MULTI;
const CHANGED: i32 = libc::NLM_F_MULTI | libc::NLM_F_DUMP_INTR;

/// The kernel's end of the socket.
struct Kernel(UnixDatagram);

impl Kernel {
    fn begin() -> (Self, Listing) {
        let (ours, its) = UnixDatagram::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        its.set_nonblocking(true).unwrap();
        // SAFETY: the descriptor is open and nobody else's.
        let socket = unsafe { Socket::from_raw_fd(ours.into_raw_fd()) };
        (Self(its), Listing::on(socket).unwrap())
    }

    /// Returns the kinds of what was asked.
    fn asked(&self) -> Vec<u16> {
        let mut bytes = [0; 256];
        std::iter::from_fn(|| {
            self.0.recv(&mut bytes).ok()?;
            Some(u16::from_ne_bytes([bytes[4], bytes[5]]))
        })
        .collect()
    }

    /// Lists these links, each with its flags, and the end of it with its own.
    fn answer(&self, links: &[(&str, i32)], end: i32) {
        let mut datagram = Vec::new();
        for (index, (name, flags)) in (1_u32..).zip(links) {
            let mut body = [[0; 4], index.to_ne_bytes(), [0; 4], [0; 4]].concat();
            linkmgr::kinds::tlv::put_text(&mut body, libc::IFLA_IFNAME, name);
            datagram.extend(message(libc::RTM_NEWLINK, *flags, &body));
        }
        datagram.extend(message(libc::NLMSG_DONE.try_into().unwrap(), end, &[0; 4]));
        self.0.send(&datagram).unwrap();
    }
}

/// Takes what is there; returns the links that it tells of.
fn told(listing: &mut Listing) -> Vec<String> {
    let (progress, events) = listing.take(&mut Vec::new()).unwrap();
    assert_eq!(progress, Progress::Under);
    let names = events.iter().filter_map(|event| {
        let KernelEvent::Link(link) = event else {
            return None;
        };
        Some(link.name.to_string())
    });
    names.collect()
}

#[test]
fn a_table_that_changed_while_it_was_listed_is_asked_for_again() {
    for (link, end) in [(CHANGED, WHOLE), (WHOLE, CHANGED), (CHANGED, CHANGED)] {
        let (kernel, mut listing) = Kernel::begin();
        assert_eq!(kernel.asked(), [libc::RTM_GETLINK]);
        kernel.answer(&[("lo", link)], end);
        assert_eq!(told(&mut listing), ["lo"]);
        assert_eq!(kernel.asked(), [libc::RTM_GETLINK], "one may be missing");
        kernel.answer(&[("lo", WHOLE), ("home0", WHOLE)], WHOLE);
        assert_eq!(told(&mut listing), ["lo", "home0"]);
        assert_eq!(kernel.asked(), [libc::RTM_GETADDR], "none is missing");
        // What changed before is no matter to the next.
        kernel.answer(&[], WHOLE);
        assert_eq!(told(&mut listing), [""; 0]);
        assert_eq!(kernel.asked(), [libc::RTM_GETROUTE]);
    }
}

#[test]
fn a_table_that_never_stands_still_is_left_for_the_next_one() {
    let rows = [
        (Table::Links, LISTING_ATTEMPTS, libc::RTM_GETLINK),
        (Table::Addresses, LISTING_ATTEMPTS, libc::RTM_GETADDR),
        (Table::Around4(77), AROUND_ATTEMPTS, libc::RTM_GETROUTE),
    ];
    let (kernel, mut listing) = Kernel::begin();
    for (table, attempts, kind) in rows {
        if table.is_around() {
            // As after the last of the others.
            listing.table = table;
            listing.shared = [Table::Around6(77)].into();
        }
        assert_eq!(listing.table, table);
        for attempt in 1..=attempts {
            assert_eq!(kernel.asked(), [kind], "attempt {attempt}");
            assert_eq!(listing.table, table, "attempt {attempt}");
            kernel.answer(&[("lo", CHANGED)], CHANGED);
            told(&mut listing);
        }
    }
    assert_eq!(listing.table, Table::Around6(77));
    assert_eq!(kernel.asked(), [libc::RTM_GETROUTE]);
    // That counts anew for each.
    kernel.answer(&[], CHANGED);
    told(&mut listing);
    assert_eq!(listing.table, Table::Around6(77));
    kernel.answer(&[], WHOLE);
    let (progress, events) = listing.take(&mut Vec::new()).unwrap();
    assert_eq!(progress, Progress::Complete);
    assert_eq!(events, [KernelEvent::ListingEnds]);
}

#[test]
fn the_kernel_says_in_words_why_it_does_not_list() {
    let (_kernel, mut listing) = Kernel::begin();
    listing.socket = socket::open_listing().unwrap();
    // A type of service: no listing is of one.
    let body = [[2, 0, 0, 8], [0; 4], [0; 4]].concat();
    let request = libc::NLM_F_REQUEST | libc::NLM_F_DUMP;
    let request = message(libc::RTM_GETROUTE, request, &body);
    listing.socket.send(&request, 0).unwrap();
    let error = listing.take(&mut Vec::new()).unwrap_err();
    assert_eq!(error.errno(), Some(libc::EINVAL));
    assert!(!is_passing(&error));
    let told = io::Error::from(error);
    assert_eq!(told.kind(), io::ErrorKind::InvalidInput);
    let words = "Invalid values in header for FIB dump request (error 22)";
    assert_eq!(told.to_string(), words);
}

#[test]
fn what_passes_does_so_with_words_too() {
    let (kernel, mut listing) = Kernel::begin();
    let mut body = (-libc::EBUSY).to_ne_bytes().to_vec();
    linkmgr::kinds::tlv::put_text(&mut body, 1, "Not now");
    let done = libc::NLMSG_DONE.try_into().unwrap();
    // `NLM_F_ACK_TLVS`.
    kernel.0.send(&message(done, WHOLE | 0x200, &body)).unwrap();
    let error = listing.take(&mut Vec::new()).unwrap_err();
    assert!(is_passing(&error));
    assert_eq!(io::Error::from(error).to_string(), "Not now (error 16)");
}
