//! Does a cache hit leave the heap alone? Counts what the path from packet to answer allocates: nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use config::time::Instant;
use resolver::Channel;
use resolver::cache::{Cache, Key};
use resolver::record::RawRecord;
use resolver::template::Template;
use resolver::wire::{QueryView, Question, build_query};

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged; counting touches a plain cell of this thread.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`, and `place` is from `System`.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_hit_allocates_nothing() {
    let question = Question {
        name: "www.a.test".parse().unwrap(),
        record_type: 1,
        class: 1,
    };
    let answers = [RawRecord::address(
        &question.name,
        [10, 0, 0, 1].into(),
        300,
    )];
    let template = Template::build(&question, 0, &answers, &[], &[]);
    let cache = Cache::new(1 << 20, [7; 32]);
    let slot = cache.open();
    let stored_at = Instant::ZERO + Duration::from_secs(1);
    let key = Key {
        slot,
        name: question.name.as_wire(),
        record_type: 1,
        class: 1,
        dnssec_ok: false,
        checking_disabled: false,
    };
    cache.insert(&key, Arc::new(template), Duration::from_secs(60), stored_at);
    let mut query = build_query(&question, 4711, false, false);
    query[13] = b'W';
    let mut out = Vec::with_capacity(512);

    let before = COUNT.with(Cell::get);
    for second in 0..10 {
        let mut buffer = [0; 255];
        let view = QueryView::parse(&query, &mut buffer).unwrap();
        let key = Key {
            slot,
            name: view.name,
            record_type: view.record_type,
            class: view.class,
            dnssec_ok: view.dnssec_ok(),
            checking_disabled: view.checking_disabled,
        };
        let now = stored_at + Duration::from_secs(second);
        let hit = cache.get(&key, now).unwrap();
        let envelope = view.envelope(Channel::Udp);
        hit.template.emit(&envelope, hit.age, None, &mut out);
    }
    assert_eq!(COUNT.with(Cell::get), before);
    assert_eq!(out[..2], [0x12, 0x67]);
    assert_eq!(out[13], b'W');
}
