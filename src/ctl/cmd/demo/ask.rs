//! How does the demo ask? As three kinds of clients: a datagram, a stream, and the C library.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, ToSocketAddrs as _, UdpSocket};
use std::time::Duration;

use hickory_proto::op::{Edns, Message, Query, ResponseCode};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_proto::rr::{Name, RData, RecordType};

/// Where the stub listens.
const STUB: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 53)), 53);
/// How long a client waits; linnet answers within 4.5 s.
const PATIENCE: Duration = Duration::from_secs(6);

/// What a client got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Got {
    /// The code.
    pub(super) code: ResponseCode,
    /// The addresses.
    pub(super) addresses: Vec<IpAddr>,
    /// The Extended DNS Error: code and text.
    pub(super) error: Option<(u16, String)>,
}

impl std::fmt::Display for Got {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.error {
            Some((code, text)) => write!(f, "{}, extended error {code}: {text}", self.code),
            None if self.addresses.is_empty() => write!(f, "{}", self.code),
            None => f.write_str(
                &self
                    .addresses
                    .iter()
                    .map(IpAddr::to_string)
                    .collect::<Vec<_>>()
                    .join(", "),
            ),
        }
    }
}

fn question(name: &str) -> Result<Vec<u8>, String> {
    let name = Name::from_ascii(name).map_err(|error| format!("{name}: {error}"))?;
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name, RecordType::A));
    let mut edns = Edns::new();
    edns.set_max_payload(1232);
    message.set_edns(edns);
    message.to_vec().map_err(|error| error.to_string())
}

fn read(wire: &[u8]) -> Result<Got, String> {
    let message =
        Message::from_vec(wire).map_err(|error| format!("an answer that is none: {error}"))?;
    let addresses = message
        .answers
        .iter()
        .filter_map(|record| {
            if let RData::A(address) = &record.data {
                Some(IpAddr::V4(address.0))
            } else {
                None
            }
        })
        .collect();
    let error = message
        .edns
        .as_ref()
        .and_then(|edns| match edns.option(EdnsCode::Unknown(15)) {
            Some(EdnsOption::Unknown(_, bytes)) => {
                let (code, text) = bytes.split_first_chunk::<2>()?;
                Some((
                    u16::from_be_bytes(*code),
                    String::from_utf8_lossy(text).into_owned(),
                ))
            }
            _ => None,
        });
    Ok(Got {
        code: message.metadata.response_code,
        addresses,
        error,
    })
}

/// Asks by a datagram.
pub(super) fn udp(name: &str) -> Result<Got, String> {
    let failed = |error: std::io::Error| format!("{name}: no answer: {error}");
    let socket = UdpSocket::bind("127.0.0.1:0").map_err(failed)?;
    socket.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    socket.connect(STUB).map_err(failed)?;
    socket.send(&question(name)?).map_err(failed)?;
    let mut wire = [0; 4096];
    let length = socket.recv(&mut wire).map_err(failed)?;
    read(wire.get(..length).unwrap_or_default())
}

/// Asks by a stream.
pub(super) fn tcp(name: &str) -> Result<Got, String> {
    let failed = |error: std::io::Error| format!("{name}: no answer: {error}");
    let mut stream = TcpStream::connect(STUB).map_err(failed)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    let question = question(name)?;
    let length = u16::try_from(question.len())
        .map_err(|error| error.to_string())?
        .to_be_bytes();
    stream
        .write_all(&[&length, question.as_slice()].concat())
        .map_err(failed)?;
    let mut length = [0; 2];
    stream.read_exact(&mut length).map_err(failed)?;
    let mut wire = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut wire).map_err(failed)?;
    read(&wire)
}

/// Asks as programs do, through the C library and `/etc/resolv.conf`; says what they would see.
pub(super) fn c_library(name: &str) -> Result<Vec<IpAddr>, String> {
    match (name, 80).to_socket_addrs() {
        Ok(found) => Ok(found.map(|address| address.ip()).collect()),
        Err(error) => Err(error.to_string()),
    }
}
