//! How much does a link cost? Less than 1 KiB on the heap, with three addresses and two default routes.

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};

use config::model::Prefix;
use config::time::Instant;
use linkmgr::{AddressMessage, KernelEvent, LinkManager, LinkMessage, RouteMessage};
use policy::Interest;
use policy::facts::DefaultRoute;

struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged; only sizes are counted.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const NOW: Instant = Instant::ZERO;
const LINKS: u32 = 1000;
const V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const LOCAL_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
const BYTES_PER_LINK: usize = 1024;

fn tell(links: &mut LinkManager) {
    links.handle_event(KernelEvent::ListingBegins, NOW);
    for index in 1..=LINKS {
        links.handle_event(
            KernelEvent::Link(LinkMessage {
                index,
                name: format!("link{index}").into(),
                kind: "veth".into(),
                admin_up: true,
                carrier: true,
                ..LinkMessage::default()
            }),
            NOW,
        );
        for address in [IpAddr::from([192, 0, 2, 1]), V6.into(), LOCAL_V6.into()] {
            let length = if address.is_ipv4() { 24 } else { 64 };
            let address = AddressMessage::lasting(index, Prefix { address, length });
            links.handle_event(KernelEvent::Address(address), NOW);
        }
        for to in [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()] {
            links.handle_event(
                KernelEvent::Route(RouteMessage {
                    index,
                    to: Prefix {
                        address: to,
                        length: 0,
                    },
                    route: DefaultRoute {
                        metric: index,
                        gateway: None,
                    },
                    source: None,
                    protocol: 3,
                }),
                NOW,
            );
        }
    }
    links.handle_event(KernelEvent::ListingEnds, NOW);
}

/// What a link costs that nobody means, in its name, its index and what the kernel says of it.
const BYTES_PER_STRANGER: usize = 400;

/// Part of the test below, as one allocator counts for all of a program.
fn strangers_cost_little_and_nothing_when_they_are_gone() {
    let before = HELD.load(Ordering::Relaxed);
    let mut links = LinkManager::default();
    let nobody = Interest::of(&config::Config::default(), &BTreeMap::new());
    assert!(!links.apply_interest(nobody));
    for index in 1..=LINKS {
        let changed = links.handle_event(
            KernelEvent::Link(LinkMessage {
                index,
                name: format!("link{index}").into(),
                kind: "veth".into(),
                ..LinkMessage::default()
            }),
            NOW,
        );
        assert!(!changed);
    }
    assert!(links.facts().is_empty());
    assert_eq!(links.all_links().count(), LINKS as usize);
    assert!(links.id_of("link7").is_some());
    let per_link = (HELD.load(Ordering::Relaxed) - before) / LINKS as usize;
    assert!(per_link < BYTES_PER_STRANGER, "{per_link} bytes per link");
    for index in 1..=LINKS {
        links.handle_event(KernelEvent::LinkGone { index }, NOW);
    }
    let left = (HELD.load(Ordering::Relaxed) - before) / LINKS as usize;
    assert!(left < 16, "{left} bytes of each link are left");
}

#[test]
fn link_costs_less_than_one_kibibyte_even_after_a_second_listing() {
    strangers_cost_little_and_nothing_when_they_are_gone();
    let before = HELD.load(Ordering::Relaxed);
    let mut links = LinkManager::default();
    tell(&mut links);
    tell(&mut links);
    let held = HELD.load(Ordering::Relaxed) - before;
    assert_eq!(links.facts().len(), LINKS as usize);
    let per_link = held / LINKS as usize;
    assert!(per_link < BYTES_PER_LINK, "{per_link} bytes per link");
}
