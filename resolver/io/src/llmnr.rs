//! How does LLMNR reach the neighbours? One socket for each question at each place, at a port that the kernel draws.
//!
//! A socket is tied to its link before anything is sent from it, lives as long as its question, and joins no group: responses come to
//! its port alone (RFC 4795 §2). TCP goes with a hop limit of 1, so that it leads to nobody beyond the link.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use config::model::Upstream;
use policy::plan::ScopeLink;
use resolver::llmnr::{LLMNR_PORT, LlmnrId, Order, Overheard};
use resolver::mdns::{Family, PlaceId};
use resolver::{Channel, Failure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::bind;

/// The groups of LLMNR (RFC 4795 §2.4).
const GROUP4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 252);
const GROUP6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 3);
/// Octets of the longest datagram (RFC 4795 §2.1), and one more, so that a longer one shows.
const MESSAGE_ROOM: usize = 9195;
/// Octets of the longest answer by TCP that is taken.
const STREAM_MAX: usize = 16_384;
/// The hop limit of datagrams (RFC 4795 §2.5 recommends it).
const HOP_LIMIT: u32 = 255;
/// The hop limit of TCP (RFC 4795 §2.5).
const TCP_HOP_LIMIT: u32 = 1;
/// How long one exchange by TCP may take; the core waits no longer.
const TCP_TIME: Duration = Duration::from_millis(1500);
/// Messages that wait for the loop; what comes when it is full is lost, as datagrams are.
const WAITING_MAX: usize = 64;

/// The sockets of LLMNR.
#[derive(Debug, Default)]
pub struct Llmnr {
    open: BTreeMap<LlmnrId, Open>,
    /// Made with the first question, as most machines never have one.
    queue: Option<(mpsc::Sender<Overheard>, mpsc::Receiver<Overheard>)>,
}

/// What is open for one question; closed when it is dropped.
#[derive(Debug, Default)]
struct Open {
    socket_by_place: BTreeMap<PlaceId, Arc<tokio::net::UdpSocket>>,
    tasks: JoinSet<()>,
}

impl Llmnr {
    /// Does what the core wants; must be called within a tokio runtime. What cannot be is as good as lost.
    pub fn obey(&mut self, order: Order) {
        match order {
            Order::Say { id, place, wire } => {
                if let Err(error) = self.say(id, place, &wire) {
                    tracing::debug!(%error, "a question of LLMNR is not sent");
                }
            }
            Order::Dial {
                id,
                place,
                to,
                wire,
            } => {
                let sender = self.sender();
                let open = self.open.entry(id).or_default();
                open.tasks.spawn(async move {
                    let asked = tokio::time::timeout(TCP_TIME, ask(place, to, &wire)).await;
                    let heard = Overheard {
                        id,
                        place,
                        source: to,
                        by_tcp: true,
                        wire: asked.ok().and_then(Result::ok),
                    };
                    // Nobody hears it once linnetd ends.
                    let _ended = sender.send(heard).await;
                });
            }
            Order::End(id) => {
                self.open.remove(&id);
            }
        }
    }

    /// Returns the next message; pending while nothing is asked. Cancel-safe.
    pub async fn next(&mut self) -> Overheard {
        let Some((_, heard)) = &mut self.queue else {
            return std::future::pending().await;
        };
        // We have a sender ourselves: it never ends.
        match heard.recv().await {
            Some(heard) => heard,
            None => std::future::pending().await,
        }
    }

    fn sender(&mut self) -> mpsc::Sender<Overheard> {
        let (sender, _) = self.queue.get_or_insert_with(|| mpsc::channel(WAITING_MAX));
        sender.clone()
    }

    fn say(&mut self, id: LlmnrId, place: PlaceId, wire: &[u8]) -> io::Result<()> {
        let sender = self.sender();
        let open = self.open.entry(id).or_default();
        let socket = match open.socket_by_place.get(&place) {
            Some(socket) => socket,
            None => {
                let socket = Arc::new(socket(place)?);
                open.tasks
                    .spawn(listen(Arc::clone(&socket), id, place, sender));
                open.socket_by_place.entry(place).or_insert(socket)
            }
        };
        // A datagram that does not fit into the socket's buffer at once is lost like any other.
        socket.try_send_to(wire, group(place)).map(drop)
    }
}

/// Hands on what comes to a question's socket.
async fn listen(
    socket: Arc<tokio::net::UdpSocket>,
    id: LlmnrId,
    place: PlaceId,
    sender: mpsc::Sender<Overheard>,
) {
    let mut buffer = vec![0; MESSAGE_ROOM];
    loop {
        match socket.recv_from(&mut buffer).await {
            Ok((length, source)) => {
                let wire = buffer.get(..length).map(<[u8]>::to_vec);
                let heard = Overheard {
                    id,
                    place,
                    source,
                    by_tcp: false,
                    wire,
                };
                let _full = sender.try_send(heard);
            }
            // What ICMP says of one neighbour says nothing of the others.
            Err(error) if bind::failure(&error) == Failure::NoLink => return,
            Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
}

/// Opens a socket that reaches one link and no other.
fn socket(place: PlaceId) -> io::Result<tokio::net::UdpSocket> {
    let (socket, _) = tied(place, group(place), Channel::Udp)?;
    match place.family {
        Family::V4 => {
            // A message to a group leaves by the link that its socket is tied to.
            socket.set_multicast_ttl_v4(HOP_LIMIT)?;
            // What this machine is called is known here.
            socket.set_multicast_loop_v4(false)?;
            socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)).into())?;
        }
        Family::V6 => {
            socket.set_multicast_if_v6(place.link.index)?;
            socket.set_multicast_hops_v6(HOP_LIMIT)?;
            socket.set_multicast_loop_v6(false)?;
            socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)).into())?;
        }
    }
    tokio::net::UdpSocket::from_std(UdpSocket::from(socket))
}

/// Asks one neighbour by TCP.
async fn ask(place: PlaceId, to: SocketAddr, wire: &[u8]) -> io::Result<Vec<u8>> {
    let (socket, address) = tied(place, to, Channel::Tcp)?;
    match place.family {
        Family::V4 => socket.set_ttl_v4(TCP_HOP_LIMIT)?,
        Family::V6 => socket.set_unicast_hops_v6(TCP_HOP_LIMIT)?,
    }
    bind::connect(&socket, address).map_err(told)?;
    let mut stream = tokio::net::TcpStream::from_std(TcpStream::from(socket))?;
    stream.writable().await?;
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    let length = u16::try_from(wire.len()).map_err(io::Error::other)?;
    let mut framed = Vec::with_capacity(wire.len() + 2);
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(wire);
    stream.write_all(&framed).await?;
    let length = usize::from(stream.read_u16().await?);
    if length > STREAM_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

/// Opens a socket that is tied to a place's link.
fn tied(
    place: PlaceId,
    to: SocketAddr,
    channel: Channel,
) -> io::Result<(socket2::Socket, SocketAddr)> {
    let mut whom = Upstream::plain(to.ip());
    whom.port = to.port();
    let link = ScopeLink {
        name: "".into(),
        id: Some(place.link),
    };
    bind::upstream(&whom, Some(&link), 0, channel).map_err(told)
}

fn told(failure: Failure) -> io::Error {
    io::Error::other(failure.to_string())
}

/// Returns a place's group.
fn group(place: PlaceId) -> SocketAddr {
    match place.family {
        Family::V4 => SocketAddr::new(IpAddr::V4(GROUP4), LLMNR_PORT),
        Family::V6 => SocketAddrV6::new(GROUP6, LLMNR_PORT, 0, place.link.index).into(),
    }
}
