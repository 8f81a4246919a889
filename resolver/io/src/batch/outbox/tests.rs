//! Does every answer arrive, whole and at whoever asked, however few packets they leave in?

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd as _;
use std::time::Duration;

use super::{BATCH_MAX, Outbox};
use crate::batch::set_option;

fn socket(address: &str) -> UdpSocket {
    UdpSocket::bind((address, 0)).unwrap()
}

fn keep(outbox: &mut Outbox, peer: SocketAddr, wire: &[u8]) {
    let out = outbox.next().unwrap();
    out.clear();
    out.extend_from_slice(wire);
    outbox.keep(peer, None);
}

/// What a client receives, sorted: as many as are expected, however long they take, and what is there besides.
fn received(client: &UdpSocket, expected: usize) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let mut buffer = [0; 4096];
    client
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    loop {
        client.set_nonblocking(all.len() >= expected).unwrap();
        let Ok(length) = client.recv(&mut buffer) else {
            break;
        };
        all.push(buffer[..length].to_vec());
    }
    all.sort();
    all
}

/// Sends answers of these lengths to clients in turn, and looks at what has come.
fn exchange(server: &UdpSocket, outbox: &mut Outbox, clients: &[UdpSocket], lengths: &[usize]) {
    let mut expected: BTreeMap<usize, Vec<Vec<u8>>> = BTreeMap::new();
    for (number, length) in lengths.iter().enumerate() {
        let client = number % clients.len();
        let mut wire = vec![u8::try_from(number).unwrap(); *length];
        wire[0] = 0xa5;
        keep(outbox, clients[client].local_addr().unwrap(), &wire);
        expected.entry(client).or_default().push(wire);
    }
    outbox.send(server.as_fd());
    for (number, client) in clients.iter().enumerate() {
        let mut expected = expected.remove(&number).unwrap_or_default();
        expected.sort();
        let came = received(client, expected.len());
        let briefly = |all: &[Vec<u8>]| all.iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(briefly(&came), briefly(&expected), "client {number}");
        assert!(came == expected, "client {number} got other bytes");
    }
}

#[test]
fn answers_for_one_client_leave_as_one_packet_and_arrive_as_they_were() {
    for address in ["127.0.0.1", "::1"] {
        let server = socket(address);
        let clients = [socket(address), socket(address), socket(address)];
        let mut outbox = Outbox::new();
        // The C library's pair, equal ones, a batch that is full, long ones, one alone.
        let full: Vec<usize> = (0..BATCH_MAX).map(|number| 40 + number % 5 * 16).collect();
        let long = [4000; 20];
        for lengths in [&[60, 72][..], &[50; 9], &full, &long, &[512]] {
            exchange(&server, &mut outbox, &clients[..1], lengths);
            exchange(&server, &mut outbox, &clients, lengths);
        }
        assert_eq!(outbox.does_cut, Some(true), "the kernel took all of it");
    }
}

#[test]
fn a_pair_takes_one_header_and_strangers_take_two() {
    let server = socket("127.0.0.1");
    let clients = [socket("127.0.0.1"), socket("127.0.0.1")];
    let peers = clients.map(|client| client.local_addr().unwrap());
    let mut outbox = Outbox::new();
    assert!(outbox.does_cut(server.as_fd()));
    for (second, headers) in [(peers[0], 1), (peers[1], 2)] {
        keep(&mut outbox, peers[0], &[1; 60]);
        keep(&mut outbox, second, &[2; 72]);
        outbox.order[..2].sort_unstable();
        assert_eq!(outbox.arrange(0..2, 0), headers);
        assert_eq!(outbox.answers_of(headers), 2);
        outbox.count = 0;
    }
}

#[test]
fn a_client_that_takes_packets_uncut_gets_a_pair_in_one() {
    let server = socket("127.0.0.1");
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    set_option(client.as_fd(), libc::SOL_UDP, libc::UDP_GRO, 1).unwrap();
    let mut outbox = Outbox::new();
    for wire in [&[1; 60][..], &[2; 72]] {
        keep(&mut outbox, client.local_addr().unwrap(), wire);
    }
    outbox.send(server.as_fd());
    let mut buffer = [0; 256];
    assert_eq!(client.recv(&mut buffer).unwrap(), 60 + 72);
}

#[test]
fn where_the_kernel_cuts_nothing_they_leave_one_by_one() {
    let server = socket("127.0.0.1");
    // Without checksums it refuses to cut.
    set_option(server.as_fd(), libc::SOL_SOCKET, libc::SO_NO_CHECK, 1).unwrap();
    let clients = [socket("127.0.0.1"), socket("127.0.0.1")];
    let mut outbox = Outbox::new();
    exchange(&server, &mut outbox, &clients, &[60, 60, 72, 60, 50]);
    exchange(&server, &mut outbox, &clients, &[60, 60, 72, 60, 50]);
}

#[test]
fn one_client_who_cannot_be_reached_so_changes_nothing_for_others() {
    let server = socket("127.0.0.1");
    let client = socket("127.0.0.1");
    // The kernel refuses port 0 (EINVAL), as it does what it cannot cut.
    let nobody = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut outbox = Outbox::new();
    for round in 0..2 {
        for number in 0..3 {
            keep(&mut outbox, nobody, &[number; 60]);
            keep(&mut outbox, client.local_addr().unwrap(), &[number; 60]);
        }
        outbox.send(server.as_fd());
        let came = received(&client, 3);
        assert_eq!(came, [[0; 60], [1; 60], [2; 60]], "round {round}");
    }
    // Its own still leave as one.
    set_option(client.as_fd(), libc::SOL_UDP, libc::UDP_GRO, 1).unwrap();
    for number in 0..2 {
        keep(&mut outbox, nobody, &[number; 60]);
        keep(&mut outbox, client.local_addr().unwrap(), &[number; 60]);
    }
    outbox.send(server.as_fd());
    assert_eq!(received(&client, 1), [[[0; 60], [1; 60]].concat()]);
}

#[test]
fn where_it_leaves_from_is_said_of_each() {
    let server = UdpSocket::bind("0.0.0.0:0").unwrap();
    let client = socket("127.0.0.1");
    let peer = client.local_addr().unwrap();
    let mut outbox = Outbox::new();
    let from = ["127.0.0.9", "127.0.0.8"].map(|address| crate::batch::Arrival {
        address: address.parse().unwrap(),
        link: 0,
    });
    for (number, from) in [Some(from[0]), Some(from[1]), None].into_iter().enumerate() {
        let out = outbox.next().unwrap();
        out.clear();
        out.extend_from_slice(&[u8::try_from(number).unwrap(); 20]);
        outbox.keep(peer, from);
    }
    outbox.send(server.as_fd());
    let mut buffer = [0; 64];
    let mut came = BTreeMap::new();
    client
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    for _ in 0..3 {
        let (_, from) = client.recv_from(&mut buffer).unwrap();
        came.insert(buffer[0], from.ip().to_string());
    }
    let came: Vec<&str> = came.values().map(String::as_str).collect();
    assert_eq!(came, ["127.0.0.9", "127.0.0.8", "127.0.0.1"]);
}
