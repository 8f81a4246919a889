//! How is a page fetched through one link and no other way? For a portal's API (RFC 8908), and a page of the administrator's own.
//!
//! One at a time, with a limit on time and size; behind TLS, whose certificate must be for the page's host. What a reply means is
//! the core's to say.

use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::net::{IpAddr, TcpStream as StdStream};
use std::sync::Arc;
use std::time::Duration;

use config::model::{Transport, Upstream};
use config::url::{Host, Url};
use policy::plan::ScopeLink;
use resolver::reach::http::{self, Reader, Reply};
use resolver::reach::{Visit, VisitId};
use resolver::{Channel, Failure};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use crate::calls::tls_failure;
use crate::tls::Peer;
use crate::{Driver, bind};

/// How long one address is given for connection and handshake.
const CONNECT_TIME: Duration = Duration::from_millis(1500);
/// How long a visit may take.
const VISIT_TIME: Duration = Duration::from_secs(4);
/// How many may wait for their turn.
const WAITING_MAX: usize = 64;
/// Octets read at once.
const PIECE: usize = 2048;

/// What came of a visit.
pub type Visited = (VisitId, Result<Reply, Arc<str>>);

type Task = JoinHandle<Result<Reply, Arc<str>>>;

/// The visit under way, and those that wait for their turn.
#[derive(Debug, Default)]
pub struct Visits {
    under_way: Option<(VisitId, Task)>,
    waiting: VecDeque<Order>,
    refused: VecDeque<Visited>,
}

/// A visit, and how each of its addresses is spoken to.
#[derive(Debug)]
struct Order {
    id: VisitId,
    url: Url,
    wants: http::Wants,
    link: ScopeLink,
    places: Vec<(Upstream, Option<Peer>)>,
}

impl Visits {
    /// Begins a visit, or has it wait for its turn.
    pub fn begin(&mut self, driver: &mut Driver, visit: Visit) {
        let Visit {
            id,
            url,
            wants,
            link,
            addresses,
        } = visit;
        if self.waiting.len() >= WAITING_MAX {
            let why = Arc::from("too many pages are being fetched");
            self.refused.push_back((id, Err(why)));
            return;
        }
        let mut places = Vec::with_capacity(addresses.len());
        for address in addresses {
            let upstream = place(&url, address);
            let peer = match url.secure {
                true => match driver.tls().peer(&upstream) {
                    Ok(peer) => Some(peer),
                    Err(failure) => {
                        let why = failure.to_string().into();
                        self.refused.push_back((id, Err(why)));
                        return;
                    }
                },
                false => None,
            };
            places.push((upstream, peer));
        }
        self.waiting.push_back(Order {
            id,
            url,
            wants,
            link,
            places,
        });
        self.go_on();
    }

    /// Returns what came of the next visit; pending while there is none.
    pub async fn next(&mut self) -> Visited {
        if let Some(refused) = self.refused.pop_front() {
            return refused;
        }
        let Some((id, task)) = &mut self.under_way else {
            return pending().await;
        };
        let (id, outcome) = (*id, task.await);
        self.under_way = None;
        self.go_on();
        let lost = |_| Err(Arc::from("the visit was broken off"));
        (id, outcome.unwrap_or_else(lost))
    }

    fn go_on(&mut self) {
        if self.under_way.is_none()
            && let Some(order) = self.waiting.pop_front()
        {
            self.under_way = Some((order.id, tokio::spawn(order.fetch())));
        }
    }
}

impl Drop for Visits {
    fn drop(&mut self) {
        if let Some((_, task)) = &self.under_way {
            task.abort();
        }
    }
}

impl Order {
    async fn fetch(self) -> Result<Reply, Arc<str>> {
        let fetched = tokio::time::timeout(VISIT_TIME, self.fetch_from_any()).await;
        fetched.unwrap_or_else(|_| Err("no reply in time".into()))
    }

    async fn fetch_from_any(&self) -> Result<Reply, Arc<str>> {
        let mut why: Arc<str> = "it has no address".into();
        for (upstream, peer) in &self.places {
            match self.fetch_from(upstream, peer.as_ref()).await {
                Ok(reply) => return Ok(reply),
                Err(failed) => why = failed,
            }
        }
        Err(why)
    }

    async fn fetch_from(
        &self,
        upstream: &Upstream,
        peer: Option<&Peer>,
    ) -> Result<Reply, Arc<str>> {
        let told = |failure: Failure| -> Arc<str> { failure.to_string().into() };
        match peer {
            None => {
                let connected = connect(upstream, &self.link);
                let connected = tokio::time::timeout(CONNECT_TIME, connected).await;
                let stream = connected.unwrap_or(Err(Failure::TimedOut)).map_err(told)?;
                exchange(stream, &self.url, self.wants).await
            }
            Some(peer) => {
                let connected = async {
                    let stream = connect(upstream, &self.link).await?;
                    let connector = TlsConnector::from(Arc::clone(&peer.config));
                    let connected = connector.connect(peer.name.clone(), stream).await;
                    connected.map_err(|error| tls_failure(&error))
                };
                let connected = tokio::time::timeout(CONNECT_TIME, connected).await;
                let stream = connected.unwrap_or(Err(Failure::TimedOut)).map_err(told)?;
                exchange(stream, &self.url, self.wants).await
            }
        }
    }
}

/// A page's server, as upstreams are written: by it sockets are bound and certificates are judged.
fn place(url: &Url, address: IpAddr) -> Upstream {
    let mut upstream = Upstream::plain(address);
    upstream.port = url.port;
    if url.secure {
        upstream.transport = Transport::Tls;
        upstream.server_name = match &url.host {
            Host::Name(_) => Some(url.host.to_string().into()),
            Host::Address(_) => None,
        };
    }
    upstream
}

/// Connects a socket that is bound to the link.
async fn connect(upstream: &Upstream, link: &ScopeLink) -> Result<TcpStream, Failure> {
    let failed = |error: io::Error| bind::failure(&error);
    let (socket, address) = bind::upstream(upstream, Some(link), 0, Channel::Tcp)?;
    bind::connect(&socket, address)?;
    let stream = TcpStream::from_std(StdStream::from(socket)).map_err(failed)?;
    stream.writable().await.map_err(failed)?;
    match stream.take_error() {
        Ok(None) => Ok(stream),
        Ok(Some(error)) | Err(error) => Err(bind::failure(&error)),
    }
}

async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    url: &Url,
    wants: http::Wants,
) -> Result<Reply, Arc<str>> {
    let broken = |error: io::Error| -> Arc<str> { bind::failure(&error).to_string().into() };
    let asked = stream.write_all(&http::request(url, wants)).await;
    asked.map_err(broken)?;
    stream.flush().await.map_err(broken)?;
    let mut reader = Reader::new(wants);
    let mut piece = [0; PIECE];
    let unread = |error: http::ReplyError| -> Arc<str> { error.to_string().into() };
    loop {
        let read = match stream.read(&mut piece).await {
            Ok(read) => read,
            // Many close without saying goodbye.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
            Err(error) => return Err(broken(error)),
        };
        if read == 0 {
            return reader.end().map_err(unread);
        }
        let octets = piece.get(..read).unwrap_or_default();
        if let Some(reply) = reader.take(octets).map_err(unread)? {
            return Ok(reply);
        }
    }
}
