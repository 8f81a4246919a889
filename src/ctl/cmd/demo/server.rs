//! What do the demo's two name servers say? A few records each, over UDP and TCP, in a network namespace of their own.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead as _, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::thread;

use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use nix::sched::{CloneFlags, unshare};

use super::world::Netlink;

/// Seconds to live of every record.
const TTL: u32 = 60;

/// Plays one server; `role` is `NAME LINK ADDRESS DIRECTORY`. Ends when the demo does.
pub(super) fn run(role: &str) -> Result<(), String> {
    let mut words = role.split(' ');
    let mut word = || words.next().ok_or("the role is incomplete");
    let (name, link, address, dir) = (word()?, word()?, word()?, word()?);
    let address: Ipv4Addr = address
        .parse()
        .map_err(|error| format!("{address}: {error}"))?;
    let failed = |error: io::Error| format!("the {name} server: {error}");

    unshare(CloneFlags::CLONE_NEWNET).map_err(|error| format!("no network namespace: {error}"))?;
    say_ready().map_err(failed)?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).map_err(failed)?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?
        .block_on(async { Netlink::open()?.address(link, address).await })?;

    let zone = Zone::new(name)?;
    let socket = UdpSocket::bind(SocketAddr::from((address, 53))).map_err(failed)?;
    let listener = TcpListener::bind(SocketAddr::from((address, 53))).map_err(failed)?;
    let log = File::create(Path::new(dir).join(name)).map_err(failed)?;
    say_ready().map_err(failed)?;
    thread::scope(|scope| {
        scope.spawn(|| serve_udp(&socket, &zone, &log));
        scope.spawn(|| serve_tcp(&listener, &zone, &log));
        // The demo holds our input open; its end is ours.
        let _end = io::stdin().lock().read_line(&mut String::new());
        std::process::exit(0);
    })
}

fn say_ready() -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(b"ready\n")?;
    out.flush()
}

fn serve_udp(socket: &UdpSocket, zone: &Zone, log: &File) {
    let mut query = [0; 4096];
    while let Ok((length, client)) = socket.recv_from(&mut query) {
        if let Some(answer) = query
            .get(..length)
            .and_then(|query| zone.answer(query, log))
        {
            let _sent = socket.send_to(&answer, client);
        }
    }
}

fn serve_tcp(listener: &TcpListener, zone: &Zone, log: &File) {
    for mut stream in listener.incoming().flatten() {
        let mut length = [0; 2];
        while stream.read_exact(&mut length).is_ok() {
            let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
            if stream.read_exact(&mut query).is_err() {
                break;
            }
            let Some(answer) = zone.answer(&query, log) else {
                break;
            };
            let length = u16::try_from(answer.len())
                .unwrap_or(u16::MAX)
                .to_be_bytes();
            if stream
                .write_all(&length)
                .and_then(|()| stream.write_all(&answer))
                .is_err()
            {
                break;
            }
        }
    }
}

/// A few names.
#[derive(Debug)]
struct Zone {
    addresses: BTreeMap<Name, Ipv4Addr>,
    soa: Record,
}

impl Zone {
    fn new(role: &str) -> Result<Self, String> {
        let (origin, hosts): (&str, &[(&str, Ipv4Addr)]) = match role {
            "home" => (
                "test.",
                &[
                    ("www.example.test.", Ipv4Addr::new(192, 0, 2, 80)),
                    // What an attacker's home router would say, if it were asked.
                    ("git.corp.test.", Ipv4Addr::new(203, 0, 113, 66)),
                ],
            ),
            "vpn" => (
                "corp.test.",
                &[("git.corp.test.", Ipv4Addr::new(10, 8, 0, 80))],
            ),
            other => return Err(format!("no such role: {other}")),
        };
        let name = |text: &str| Name::from_ascii(text).map_err(|error| format!("{text}: {error}"));
        let root = name("root.test.")?;
        let soa = SOA::new(root.clone(), root, 1, 3600, 600, 86400, TTL);
        let mut addresses = BTreeMap::new();
        for (host, address) in hosts {
            addresses.insert(name(host)?, *address);
        }
        Ok(Self {
            addresses,
            soa: Record::from_rdata(name(origin)?, TTL, RData::SOA(soa)),
        })
    }

    fn answer(&self, wire: &[u8], mut log: &File) -> Option<Vec<u8>> {
        let query = Message::from_vec(wire).ok()?;
        let question = query.queries.first()?.clone();
        let _logged = writeln!(log, "{}", question.name().to_ascii().to_lowercase());
        let mut answer = Message::response(query.metadata.id, OpCode::Query);
        answer.metadata.recursion_desired = query.metadata.recursion_desired;
        answer.metadata.recursion_available = true;
        match self.addresses.get(&question.name().to_lowercase()) {
            Some(&address) if question.query_type() == RecordType::A => {
                answer.add_answer(Record::from_rdata(
                    question.name().clone(),
                    TTL,
                    RData::A(A(address)),
                ));
            }
            Some(_) => {
                answer.add_authority(self.soa.clone());
            }
            None => {
                answer.metadata.response_code = ResponseCode::NXDomain;
                answer.add_authority(self.soa.clone());
            }
        }
        answer.add_query(question);
        answer.to_vec().ok()
    }
}
