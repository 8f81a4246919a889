//! Which servers do the stories of encrypted transports meet? Real ones in threads, with certificates right and wrong.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use config::pin::Pin;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PublicKeyData as _,
    date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::*;

/// How a certificate is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Made {
    Well,
    Expired,
    Early,
    ByAStranger,
    ByItself,
}

/// An authority, and the file that makes linnet trust it.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    stranger: Issuer<'static, KeyPair>,
    _dir: tempfile::TempDir,
    pub(super) file: PathBuf,
}

/// A server's certificate.
pub(super) struct Identity {
    pub(super) config: ServerConfig,
    pub(super) pin: Pin,
}

impl Authority {
    pub(super) fn new() -> Self {
        let make = |name: &str| {
            let mut params = CertificateParams::new([]).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.distinguished_name.push(DnType::CommonName, name);
            let key = KeyPair::generate().unwrap();
            let certificate = params.self_signed(&key).unwrap();
            (Issuer::new(params, key), certificate.pem())
        };
        let (issuer, pem) = make("the authority");
        let (stranger, _) = make("a stranger");
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("roots.pem");
        std::fs::write(&file, pem).unwrap();
        Self {
            issuer,
            stranger,
            _dir: dir,
            file,
        }
    }

    /// Makes a certificate for names or addresses.
    pub(super) fn issue(&self, names: &[&str], made: Made, protocols: &[&[u8]]) -> Identity {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        match made {
            Made::Expired => {
                params.not_before = date_time_ymd(2019, 1, 1);
                params.not_after = date_time_ymd(2020, 1, 1);
            }
            Made::Early => params.not_before = date_time_ymd(3000, 1, 1),
            Made::Well | Made::ByAStranger | Made::ByItself => {}
        }
        let key = KeyPair::generate().unwrap();
        let certificate = match made {
            Made::Well | Made::Expired | Made::Early => params.signed_by(&key, &self.issuer),
            Made::ByAStranger => params.signed_by(&key, &self.stranger),
            Made::ByItself => params.self_signed(&key),
        };
        let digest = ring::digest::digest(&ring::digest::SHA256, &key.subject_public_key_info());
        let pin = Pin(digest.as_ref().try_into().unwrap());
        let certificate: CertificateDer<'static> = certificate.unwrap().der().clone();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Identity { config, pin }
    }
}

/// A connection as its server sees it.
pub(super) struct Line {
    stream: Box<dyn ReadWrite>,
    /// Whether its handshake resumed a session.
    pub(super) resumed: bool,
}

pub(super) trait ReadWrite: Read + Write + Send {}
impl<T: Read + Write + Send> ReadWrite for T {}

impl Line {
    /// Reads a message; `None` at the end.
    pub(super) fn read(&mut self) -> Option<Vec<u8>> {
        let mut length = [0; 2];
        self.stream.read_exact(&mut length).ok()?;
        let mut wire = vec![0; u16::from_be_bytes(length).into()];
        self.stream.read_exact(&mut wire).ok()?;
        Some(wire)
    }

    /// Reads up to the empty line that ends a request, and answers with this text.
    pub(super) fn answer_request(&mut self, reply: &str) -> String {
        let mut request = Vec::new();
        let mut octet = [0];
        while !request.ends_with(b"\r\n\r\n") && self.stream.read_exact(&mut octet).is_ok() {
            request.extend(octet);
        }
        let _sent = self.stream.write_all(reply.as_bytes());
        let _flushed = self.stream.flush();
        String::from_utf8(request).unwrap()
    }

    pub(super) fn write(&mut self, wire: &[u8]) {
        // Whoever listens may be gone.
        let _sent = self.stream.write_all(&framed(wire));
        let _flushed = self.stream.flush();
    }
}

/// A server whose connections are told by their numbers.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) connections: Arc<AtomicUsize>,
    pub(super) seen: Receiver<Vec<u8>>,
}

impl Server {
    /// Serves each connection in a thread; the thread's end closes it.
    pub(super) fn start(
        tls: Option<ServerConfig>,
        serve: impl Fn(usize, &mut Line, &Sender<Vec<u8>>) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(loopback()).unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let (sender, seen) = channel();
        let (tls, serve) = (tls.map(Arc::new), Arc::new(serve));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let number = count.fetch_add(1, Ordering::SeqCst) + 1;
                let (tls, serve, sender) = (tls.clone(), Arc::clone(&serve), sender.clone());
                thread::spawn(move || {
                    stream.set_nodelay(true).unwrap();
                    let mut line = match tls {
                        None => Line {
                            stream: Box::new(stream),
                            resumed: false,
                        },
                        Some(config) => {
                            let mut stream = stream;
                            let mut tls = ServerConnection::new(config).unwrap();
                            while tls.is_handshaking() {
                                if tls.complete_io(&mut stream).is_err() {
                                    return;
                                }
                            }
                            let resumed =
                                tls.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
                            let stream = Box::new(StreamOwned::new(tls, stream));
                            Line { stream, resumed }
                        }
                    };
                    serve(number, &mut line, &sender);
                });
            }
        });
        Self {
            address,
            connections,
            seen,
        }
    }

    /// Gives every message back as it came.
    pub(super) fn echo(tls: Option<ServerConfig>) -> Self {
        Self::start(tls, |_, line, seen| {
            while let Some(wire) = line.read() {
                let _kept = seen.send(wire.clone());
                line.write(&wire);
            }
        })
    }

    pub(super) fn count(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// A query with an OPT record, as the core makes it.
pub(super) fn query(id: u16, name: &str) -> Vec<u8> {
    let mut wire = id.to_be_bytes().to_vec();
    wire.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
    for label in name.split('.') {
        wire.push(u8::try_from(label.len()).unwrap());
        wire.extend_from_slice(label.as_bytes());
    }
    wire.extend_from_slice(&[0, 0, 1, 0, 1, 0, 0, 41, 4, 208, 0, 0, 128, 0, 0, 0]);
    wire
}
