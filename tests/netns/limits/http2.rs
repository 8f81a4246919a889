//! What does HTTP/2 let a client do, and what of it does the listener bear? Floods of frames that ask nothing, requests that are none.

use std::io::{ErrorKind, Read as _, Write as _};
use std::thread;
use std::time::{Duration, Instant};

use tests::namespace::{isolated, shell};

use super::{HTTPS, Meanwhile, SLOWEST, TLS, Tls, World, big_question, framed, question};
use crate::loops::cpu_ms;

/// Kinds of frames (RFC 9113 §6).
mod kind {
    pub(in crate::limits) const DATA: u8 = 0;
    pub(in crate::limits) const HEADERS: u8 = 1;
    pub(in crate::limits) const PRIORITY: u8 = 2;
    pub(in crate::limits) const RST_STREAM: u8 = 3;
    pub(in crate::limits) const SETTINGS: u8 = 4;
    pub(in crate::limits) const PING: u8 = 6;
    pub(in crate::limits) const WINDOW_UPDATE: u8 = 8;
    pub(in crate::limits) const CONTINUATION: u8 = 9;
    /// Of none (RFC 9113 §5.5).
    pub(in crate::limits) const UNKNOWN: u8 = 0xbe;
}

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// The error code of who asks too much (RFC 9113 §7).
const ENHANCE_YOUR_CALM: u32 = 11;
/// `SETTINGS_INITIAL_WINDOW_SIZE`.
const WINDOW_SETTING: u8 = 4;
/// The largest window.
const WINDOW_MAX: u32 = (1 << 31) - 1;

/// How long a flood lasts.
const FLOOD_TIME: Duration = Duration::from_millis(1500);

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut out = length[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
    out
}

/// Begins a connection, with this window for each stream.
fn beginning(window: u32) -> Vec<u8> {
    let mut setting = vec![0, WINDOW_SETTING];
    setting.extend(window.to_be_bytes());
    let mut out = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    out.extend(frame(kind::SETTINGS, 0, 0, &setting));
    // The window of the connection begins at 65535.
    let more = WINDOW_MAX - 65_535;
    out.extend(frame(kind::WINDOW_UPDATE, 0, 0, &more.to_be_bytes()));
    out
}

/// A header block (RFC 7541): a field of the static table each, path and authority in letters.
fn block(method: u8, path: &str) -> Vec<u8> {
    let text = |name: u8, value: &str| {
        let mut out = vec![name, u8::try_from(value.len()).unwrap()];
        out.extend(value.as_bytes());
        out
    };
    // Method, and `:scheme: https`.
    let mut out = vec![method, 0x87];
    out.extend(text(4, path));
    out.extend(text(1, "dns.test"));
    // `content-type`, the 31st.
    out.push(0x0f);
    out.extend(text(16, "application/dns-message"));
    out
}

const GET: u8 = 0x82;
const POST: u8 = 0x83;

/// A request by GET.
fn get(stream: u32, wire: &[u8]) -> Vec<u8> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut value = String::new();
    for group in wire.chunks(3) {
        let mut octets = [0; 4];
        octets[1..=group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes(octets);
        for place in 0..=group.len() {
            let letter = bits >> (18 - 6 * place) & 63;
            value.push(char::from(LETTERS[usize::try_from(letter).unwrap()]));
        }
    }
    let block = block(GET, &format!("/dns-query?dns={value}"));
    frame(kind::HEADERS, END_STREAM | END_HEADERS, stream, &block)
}

/// The headers of a request by POST, whose body is to come.
pub(super) fn post(stream: u32) -> Vec<u8> {
    let block = block(POST, "/dns-query");
    frame(kind::HEADERS, END_HEADERS, stream, &block)
}

/// Some of a body.
pub(super) fn data(stream: u32, octets: &[u8]) -> Vec<u8> {
    frame(kind::DATA, 0, stream, octets)
}

/// Connects and begins, with this window for each stream.
pub(super) fn connect(world: &World, source: u8, window: u32) -> Tls {
    let mut tls = world.connect(source, HTTPS, b"h2").expect("it is let in");
    tls.write_all(&beginning(window)).unwrap();
    tls
}

#[test]
fn what_is_no_question_hears_so_by_its_status() {
    isolated(
        "limits::http2::what_is_no_question_hears_so_by_its_status",
        || {
            let world = World::raise();
            let etc = world.office.path("etc");
            let kind = "-H 'content-type: application/dns-message'";
            let place = "https://dns.test:8443/dns-query";
            let body = |octets: usize| {
                let file = world.office.path(&format!("body{octets}"));
                std::fs::write(&file, vec![0; octets]).unwrap();
                format!("{kind} --data-binary @{file} {place}")
            };
            let long = |letters: usize| format!("'{place}?dns={}'", "A".repeat(letters));
            for (request, status) in [
                // Nothing but zeros is a message of DNS, and hears so as such.
                (body(4096), "200"),
                (body(4097), "413"),
                (body(60_000), "413"),
                (long(5462), "200"),
                (long(5463), "414"),
                (long(15_000), "414"),
                (long(60_000), "431"),
                (format!("-X DELETE {place}"), "405"),
                (format!("-I {place}"), "405"),
                (format!("-d x {place}"), "415"),
                (format!("-H 'content-type: text/plain' -d x {place}"), "415"),
                (place.replace("dns-query", "other"), "404"),
                (place.to_owned(), "400"),
            ] {
                let line = format!(
                    "curl -s --max-time 8 -o {etc}/out -D {etc}/head -w '%{{http_code}} %{{http_version}}' \
                     --cacert {etc}/ca.pem --resolve dns.test:8443:127.0.0.1 {request}; true"
                );
                let told = shell(&line);
                assert_eq!(told, format!("{status} 2"), "{request:.100}");
                let head = std::fs::read_to_string(format!("{etc}/head")).unwrap();
                let allow = head.to_lowercase().contains("allow: get, post");
                assert_eq!(allow, status == "405", "{head}");
            }
            assert!(world.counted("https 127.0.0.1:8443", "malformed") >= 10);
            world.serves_another();
        },
    );
}

#[test]
fn who_does_not_take_his_answers_is_closed_and_nothing_is_kept_for_him() {
    isolated(
        "limits::http2::who_does_not_take_his_answers_is_closed_and_nothing_is_kept_for_him",
        || {
            let world = World::raise();
            let before = world.held();
            let meanwhile = Meanwhile::begin();
            let begun = Instant::now();
            thread::scope(|scope| {
                // A window of nothing, and one that grows by an octet each half second.
                for grows in [false, true] {
                    let world = &world;
                    scope.spawn(move || {
                        let mut tls = connect(world, 1, 0);
                        tls.write_all(&get(1, &question(0))).unwrap();
                        tls.sock
                            .set_read_timeout(Some(Duration::from_millis(500)))
                            .unwrap();
                        // Up to the end: what comes in between is read away.
                        let mut bytes = [0; 4096];
                        let mut seen = Vec::new();
                        while begun.elapsed() < SLOWEST {
                            match tls.read(&mut bytes) {
                                Ok(0) => break,
                                Ok(count) => seen.extend_from_slice(&bytes[..count]),
                                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                                    if grows {
                                        let more = 1_u32.to_be_bytes();
                                        let frame = frame(kind::WINDOW_UPDATE, 0, 1, &more);
                                        let _closed = tls.write_all(&frame);
                                    }
                                }
                                Err(_) => break,
                            }
                        }
                        assert!(begun.elapsed() < SLOWEST, "grows: {grows}");
                        let told = seen
                            .windows(4)
                            .any(|four| four == ENHANCE_YOUR_CALM.to_be_bytes());
                        assert!(told, "grows: {grows}: {seen:?}");
                    });
                }
            });
            // Windows without end, and nobody who reads from the socket.
            let mut deaf: Vec<Tls> = (0..8).map(|_| connect(&world, 2, WINDOW_MAX)).collect();
            let begun = Instant::now();
            for tls in &mut deaf {
                tls.sock
                    .set_write_timeout(Some(Duration::from_millis(100)))
                    .unwrap();
                for number in 0..100 {
                    if tls
                        .write_all(&get(2 * number + 1, &big_question(0)))
                        .is_err()
                    {
                        break;
                    }
                }
            }
            let open = || world.counted("https 127.0.0.1:8443", "connections");
            assert!(open() >= 1, "they are held for a while");
            let grown = world.grown(&before);
            assert!(grown < 12 << 10, "{grown} KiB more");
            while open() > 0 {
                assert!(begun.elapsed() < SLOWEST, "{} are open", open());
                thread::sleep(Duration::from_millis(100));
            }
            // Nor does the kernel keep for long what is left of them.
            let left = || shell("ss -Htan state fin-wait-1 '( sport = :8443 )'");
            let closed = Instant::now();
            while !left().is_empty() {
                assert!(closed.elapsed() < SLOWEST, "{}", left());
                thread::sleep(Duration::from_millis(100));
            }
            drop(deaf);
            meanwhile.end();
            world.serves_another();
        },
    );
}

/// Makes one piece of a flood, by its number.
type Piece = Box<dyn Fn(u32) -> Vec<u8> + Send>;

/// Sends a piece again and again, reading whatever comes, until the time is over or the other end has had enough; how many went out.
fn flood(mut tls: Tls, piece: Piece) -> (u32, bool) {
    tls.sock.set_nonblocking(true).unwrap();
    let begun = Instant::now();
    let mut bytes = [0; 16 << 10];
    let (mut number, mut waiting): (u32, Vec<u8>) = (0, Vec::new());
    while begun.elapsed() < FLOOD_TIME {
        while waiting.len() < 16 << 10 {
            waiting.extend(piece(number));
            number += 1;
        }
        let mut moved = 0;
        match tls.write(&waiting) {
            Ok(count) => {
                waiting.drain(..count);
                moved += count;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return (number, true),
        }
        match tls.read(&mut bytes) {
            Ok(0) => return (number, true),
            Ok(count) => moved += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return (number, true),
        }
        if moved == 0 {
            thread::yield_now();
        }
    }
    (number, false)
}

#[test]
fn floods_of_frames_end_or_cost_nothing_but_their_own_connection() {
    isolated(
        "limits::http2::floods_of_frames_end_or_cost_nothing_but_their_own_connection",
        || {
            let world = World::raise();
            let before = world.held();
            let setting = [0, 3, 0, 0, 0, 100];
            let odd = |number: u32| 2 * number + 1;
            // What is sent, whether it must end the connection, and one piece of it.
            let floods: [(&str, bool, Piece); 6] = [
                (
                    "resets (CVE-2023-44487)",
                    true,
                    Box::new(move |number| {
                        let mut wire = question(0);
                        // Each asks for another name, so that none is in the cache.
                        wire[13..16].copy_from_slice(format!("{:03}", number % 1000).as_bytes());
                        let reset = frame(kind::RST_STREAM, 0, odd(number), &8_u32.to_be_bytes());
                        [get(odd(number), &wire), reset].concat()
                    }),
                ),
                (
                    "continuations (CVE-2024-27316)",
                    true,
                    Box::new(|number| match number {
                        0 => frame(kind::HEADERS, END_STREAM, 1, &block(GET, "/")),
                        _ => {
                            let field = [&b"\0\x04name\x7f\xc1\x3d"[..], &[b'a'; 8000]].concat();
                            frame(kind::CONTINUATION, 0, 1, &field)
                        }
                    }),
                ),
                (
                    "settings",
                    false,
                    Box::new(move |_| frame(kind::SETTINGS, 0, 0, &setting)),
                ),
                (
                    "pings",
                    false,
                    Box::new(|_| frame(kind::PING, 0, 0, &[0; 8])),
                ),
                (
                    "empty pieces of a body",
                    true,
                    Box::new(|number| match number {
                        0 => post(1),
                        _ => data(1, &[]),
                    }),
                ),
                (
                    "requests beyond the bound",
                    true,
                    Box::new(move |number| post(odd(number))),
                ),
            ];
            for (what, ends, piece) in floods {
                let meanwhile = Meanwhile::begin();
                let tls = connect(&world, 3, WINDOW_MAX);
                let flooding = thread::spawn(move || flood(tls, piece));
                world.serves_another();
                let (count, is_over) = flooding.join().unwrap();
                // What has to end the connection may do so as soon as it is known for what it is.
                let least = if ends { 8 } else { 100 };
                assert!(count > least, "{what}: {count}");
                assert!(is_over || !ends, "{what}: {count} were borne");
                let grown = world.grown(&before);
                assert!(grown < 12 << 10, "{what}: {grown} KiB more after {count}");
                meanwhile.end();
            }
            // Whoever floods fills no log either.
            let log = world.linnetd.log();
            assert!(!log.contains(" h2::"), "{log}");
        },
    );
}

#[test]
fn frames_that_ask_nothing_cost_no_more_than_questions() {
    isolated(
        "limits::http2::frames_that_ask_nothing_cost_no_more_than_questions",
        || {
            let world = World::raise();
            // What linnetd has of the processor for a thousand pieces, in milliseconds, and how many it took in the time.
            let cost = |tls: Tls, piece: Piece| {
                let before = cpu_ms(world.linnetd.pid());
                let (count, is_over) = flood(tls, piece);
                let spent = cpu_ms(world.linnetd.pid()) - before;
                (spent as f64 / f64::from(count) * 1000.0, count, is_over)
            };
            let tls = world.connect(3, TLS, b"dot").expect("it is let in");
            let (questions, count, _) = cost(tls, Box::new(|_| framed(&question(1))));
            tests::say(&format!("questions: {questions:.2} ms for 1000 of {count}"));
            let setting = [0, 3, 0, 0, 0, 100];
            let floods: [(&str, Piece); 6] = [
                (
                    "settings",
                    Box::new(move |_| frame(kind::SETTINGS, 0, 0, &setting)),
                ),
                ("pings", Box::new(|_| frame(kind::PING, 0, 0, &[0; 8]))),
                (
                    "windows",
                    Box::new(|_| frame(kind::WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes())),
                ),
                (
                    "priorities",
                    Box::new(|_| frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 3, 0])),
                ),
                (
                    "frames of no kind",
                    Box::new(|_| frame(kind::UNKNOWN, 0, 0, &[])),
                ),
                (
                    "empty pieces of a body",
                    Box::new(|number| match number {
                        0 => post(1),
                        _ => data(1, &[]),
                    }),
                ),
            ];
            for (what, piece) in floods {
                let mut tls = world.connect(3, HTTPS, b"h2").expect("it is let in");
                let setting = frame(kind::SETTINGS, 0, 0, &[]);
                let begin = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &setting].concat();
                tls.write_all(&begin).unwrap();
                let (frames, count, is_over) = cost(tls, piece);
                tests::say(&format!(
                    "{what}: {frames:.2} ms for 1000 of {count}, over: {is_over}"
                ));
                assert!(
                    is_over || frames <= questions,
                    "{what}: {frames} {questions}"
                );
            }
        },
    );
}
