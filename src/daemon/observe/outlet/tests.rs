//! Does nothing get lost that was taken, is nobody waited for, and is what was left out counted?

#![expect(
    clippy::disallowed_methods,
    reason = "the tests wait for a thread, and read what it wrote"
)]

use std::fs;
use std::os::unix::net::UnixListener;
use std::time::Instant;

use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "still not: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn read(path: &std::path::Path) -> Vec<u8> {
    fs::read(path).unwrap_or_default()
}

/// Takes one connection as a collector does, and returns its frames.
fn collect(listener: &UnixListener) -> Vec<Vec<u8>> {
    let (mut stream, _) = listener.accept().unwrap();
    let mut control = |due: Control| {
        let mut head = [0; 8];
        stream.read_exact(&mut head).unwrap();
        let mut body = vec![0; control_length(head).unwrap()];
        stream.read_exact(&mut body).unwrap();
        due.expect(&body).unwrap();
    };
    control(Control::Ready);
    stream.write_all(&Control::Accept.emit()).unwrap();
    let mut frames = Vec::new();
    let mut begun = false;
    loop {
        let mut size = [0; 4];
        stream.read_exact(&mut size).unwrap();
        if size != [0; 4] {
            assert!(begun, "a frame before START");
            let mut frame = vec![0; usize::try_from(u32::from_be_bytes(size)).unwrap()];
            stream.read_exact(&mut frame).unwrap();
            frames.push(frame);
            continue;
        }
        stream.read_exact(&mut size).unwrap();
        let mut body = vec![0; usize::try_from(u32::from_be_bytes(size)).unwrap()];
        stream.read_exact(&mut body).unwrap();
        if Control::Start.expect(&body).is_ok() {
            begun = true;
            continue;
        }
        Control::Stop.expect(&body).unwrap();
        stream.write_all(&Control::Finish.emit()).unwrap();
        return frames;
    }
}

#[test]
fn a_collector_that_comes_late_gets_what_was_kept_and_a_farewell() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tap");
    let counts = Arc::new(OutletCounts::default());
    let outlet = Outlet::start(Target::Unix(path.clone()), Arc::clone(&counts)).unwrap();
    outlet.put(b"one".to_vec());
    until("the trouble is told", || counts.trouble().is_some());
    let listener = UnixListener::bind(&path).unwrap();
    let collector = std::thread::spawn(move || collect(&listener));
    outlet.put(b"two".to_vec());
    until("it is open", || counts.is_open());
    outlet.end();
    assert_eq!(collector.join().unwrap(), [b"one", b"two"]);
    assert_eq!((counts.written(), counts.left_out()), (2, 0));
    assert_eq!(counts.trouble(), None);
}

#[test]
fn nobody_is_waited_for_and_what_finds_no_room_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let counts = Arc::new(OutletCounts::default());
    let target = Target::Unix(dir.path().join("nobody"));
    let outlet = Outlet::start(target, Arc::clone(&counts)).unwrap();
    let begun = Instant::now();
    for _ in 0..20_000 {
        outlet.put(vec![0; 1000]);
    }
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    let room = u64::try_from(BYTES_MAX / 1000).unwrap();
    assert_eq!(counts.left_out(), 20_000 - room);
    drop(outlet);
    until("the kept ones are given up", || counts.left_out() == 20_000);
}

#[test]
fn a_collector_that_takes_nothing_is_left_and_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tap");
    let listener = UnixListener::bind(&path).unwrap();
    let counts = Arc::new(OutletCounts::default());
    let outlet = Outlet::start(Target::Unix(path), Arc::clone(&counts)).unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    stream
        .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        .unwrap();
    until("the trouble is told", || {
        counts
            .trouble()
            .is_some_and(|text| text.contains("Frame Streams"))
    });
    let collector = std::thread::spawn(move || collect(&listener));
    outlet.put(b"x".to_vec());
    until("it is open", || counts.is_open());
    outlet.end();
    assert_eq!(collector.join().unwrap(), [b"x"]);
}

#[test]
fn a_file_of_lines_is_followed_until_it_is_moved_away() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let target = Target::Lines(path.clone());
    let counts = Arc::new(OutletCounts::default());
    let outlet = Outlet::start(target.clone(), Arc::clone(&counts)).unwrap();
    outlet.put(b"one\n".to_vec());
    until("one is written", || counts.written() == 1);
    assert!(outlet.is_at(&target));
    fs::rename(&path, dir.path().join("log.1")).unwrap();
    assert!(!outlet.is_at(&target));
    outlet.end();
    let outlet = Outlet::start(target, Arc::clone(&counts)).unwrap();
    outlet.put(b"two\n".to_vec());
    outlet.end();
    assert_eq!(read(&dir.path().join("log.1")), b"one\n");
    assert_eq!(read(&path), b"two\n");
}

#[test]
fn a_file_of_frames_has_a_beginning_and_an_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tap");
    let counts = Arc::new(OutletCounts::default());
    let outlet = Outlet::start(Target::Frames(path.clone()), Arc::clone(&counts)).unwrap();
    outlet.put(b"one".to_vec());
    outlet.end();
    let expected = [
        Control::Start.emit(),
        b"\0\0\0\x03one".to_vec(),
        Control::Stop.emit(),
    ]
    .concat();
    assert_eq!(read(&path), expected);
}
