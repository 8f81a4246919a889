//! Is a server the one that is meant? Authorities, pins, the time, and what is wrong with a certificate.
//!
//! An upstream is known by its name, by its address, or by the pins of its key alone (RFC 8310 §8). One set of sessions
//! for each upstream of each group: a ticket would tell a server that two networks are one machine.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use config::model::{Transport, Upstream};
use config::pin::Pin;
use resolver::{Clock, Failure, TlsFault};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::time_provider::TimeProvider;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore,
    SignatureScheme,
};

use crate::clock;

/// Tickets kept for an upstream.
const SESSIONS: usize = 4;
/// How often a certificate is tried at another time while the clock is not believed: once for each of a chain, and more.
const DATES_MAX: usize = 8;

/// Where certificates of authorities come from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Authorities {
    /// From wherever the system keeps them.
    #[default]
    System,
    /// From this file, or the files of this directory.
    At(PathBuf),
}

/// What all encrypted upstreams share.
#[derive(Debug)]
pub(crate) struct Tls {
    provider: Arc<CryptoProvider>,
    wall: Arc<Wall>,
    authorities: Authorities,
    /// Read when the first server has to be believed.
    roots: Option<Arc<RootCertStore>>,
}

/// How one upstream is spoken to.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// The configuration, with the sessions.
    pub(crate) config: Arc<ClientConfig>,
    /// What is asked for, and what the certificate must be for.
    pub(crate) name: ServerName<'static>,
    /// What was last found wrong with its certificate.
    pub(crate) fault: Arc<LastFault>,
}

/// What was last found wrong; for libraries that lose it on the way.
#[derive(Debug, Default)]
pub(crate) struct LastFault(Mutex<Option<TlsFault>>);

/// The time of day, from the core.
#[derive(Debug)]
pub(crate) struct Wall {
    /// Seconds since 1970, less the seconds since boot.
    booted_at: AtomicI64,
    dates_count: AtomicBool,
}

/// A certificate is not good enough.
#[derive(Debug)]
struct Disbelief(TlsFault);

#[derive(Debug)]
struct Verifier {
    identity: Identity,
    pins: Option<Arc<[Pin]>>,
    roots: Arc<RootCertStore>,
    wall: Arc<Wall>,
    provider: Arc<CryptoProvider>,
    fault: Arc<LastFault>,
}

/// By what a server is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Identity {
    Name,
    Address,
    /// The pins say all; without any, nobody asks.
    Key,
}

impl Tls {
    /// Nothing is read yet; the system's own clock counts until [`Tls::set_clock`].
    pub(crate) fn new() -> Self {
        Self {
            provider: Arc::new(rustls::crypto::ring::default_provider()),
            wall: Arc::new(Wall {
                booted_at: AtomicI64::new(system_time() - clock::since_boot()),
                dates_count: AtomicBool::new(true),
            }),
            authorities: Authorities::System,
            roots: None,
        }
    }

    /// Takes the time; returns whether dates of certificates have come to count.
    pub(crate) fn set_clock(&self, clock: Clock) -> bool {
        let seconds = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let at = clock.at.since(config::time::Instant::ZERO).as_secs();
        let booted_at = seconds(clock.wall.0).saturating_sub(seconds(at));
        self.wall.booted_at.store(booted_at, Ordering::Relaxed);
        let counted = self
            .wall
            .dates_count
            .swap(clock.dates_count, Ordering::Relaxed);
        clock.dates_count && !counted
    }

    /// Takes where authorities come from; they are read anew.
    pub(crate) fn set_authorities(&mut self, authorities: Authorities) {
        self.authorities = authorities;
        self.roots = None;
    }

    /// Makes the configuration for an upstream.
    ///
    /// # Errors
    /// When the upstream cannot be spoken to at all.
    pub(crate) fn peer(&mut self, upstream: &Upstream) -> Result<Peer, Failure> {
        let roots = Arc::clone(
            self.roots
                .get_or_insert_with(|| Arc::new(read(&self.authorities))),
        );
        let (identity, name) = match &upstream.server_name {
            Some(name) => {
                let name = ServerName::try_from(name.to_string());
                let name = name.map_err(|_| Failure::Tls(TlsFault::WrongName))?;
                (Identity::Name, name)
            }
            None if upstream.pins.is_some() => (Identity::Key, upstream.address.into()),
            None => (Identity::Address, upstream.address.into()),
        };
        let fault = Arc::new(LastFault::default());
        let verifier = Verifier {
            identity,
            pins: upstream.pins.clone(),
            roots,
            wall: Arc::clone(&self.wall),
            provider: Arc::clone(&self.provider),
            fault: Arc::clone(&fault),
        };
        let time = Arc::clone(&self.wall) as Arc<dyn TimeProvider>;
        let builder = ClientConfig::builder_with_details(Arc::clone(&self.provider), time);
        let builder = match upstream.transport {
            // RFC 9001 §4.2.
            Transport::Quic | Transport::H3 => {
                builder.with_protocol_versions(&[&rustls::version::TLS13])
            }
            Transport::Plain | Transport::Tcp | Transport::Tls | Transport::Https => {
                builder.with_safe_default_protocol_versions()
            }
        };
        let mut config = builder
            .map_err(|_| Failure::Tls(TlsFault::Handshake))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        config.alpn_protocols = match upstream.transport {
            // Servers that know protocols by name may know others only.
            Transport::Plain | Transport::Tcp | Transport::Tls => Vec::new(),
            Transport::Https => vec![b"h2".to_vec()],
            // RFC 9114 §3.1.
            Transport::H3 => vec![b"h3".to_vec()],
            Transport::Quic => vec![b"doq".to_vec()],
        };
        Ok(Peer {
            config: Arc::new(config),
            name,
            fault,
        })
    }
}

impl LastFault {
    fn set(&self, fault: TlsFault) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
    }

    /// Takes it.
    pub(crate) fn take(&self) -> Option<TlsFault> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Tells what a TLS error means.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a library's list that grows; what is not told apart is all one to us"
)]
pub(crate) fn fault(error: &rustls::Error) -> TlsFault {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(other))) => other
            .downcast_ref::<Disbelief>()
            .map_or(TlsFault::BadCertificate, |disbelief| disbelief.0),
        rustls::Error::InvalidCertificate(_) => TlsFault::BadCertificate,
        rustls::Error::InvalidMessage(_) => TlsFault::NotTls,
        _ => TlsFault::Handshake,
    }
}

fn system_time() -> i64 {
    i64::try_from(UnixTime::now().as_secs()).unwrap_or(i64::MAX)
}

impl TimeProvider for Wall {
    fn current_time(&self) -> Option<UnixTime> {
        let now = self.booted_at.load(Ordering::Relaxed) + clock::since_boot();
        let now = u64::try_from(now).unwrap_or(0);
        Some(UnixTime::since_unix_epoch(std::time::Duration::from_secs(
            now,
        )))
    }
}

impl fmt::Display for Disbelief {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

impl std::error::Error for Disbelief {}

impl Verifier {
    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), TlsFault> {
        let parsed = ParsedCertificate::try_from(leaf).map_err(|_| TlsFault::BadCertificate)?;
        if let Some(pins) = &self.pins {
            let key = parsed.subject_public_key_info();
            let digest = ring::digest::digest(&ring::digest::SHA256, &key);
            if !pins.is_empty() && !pins.iter().any(|pin| pin.0 == digest.as_ref()) {
                return Err(TlsFault::WrongPin);
            }
        }
        if self.identity == Identity::Key {
            return Ok(());
        }
        if self.roots.is_empty() {
            return Err(TlsFault::NoAuthorities);
        }
        self.judge_chain(leaf, &parsed, chain, now)?;
        verify_server_name(&parsed, name).map_err(|_| match self.identity {
            Identity::Name | Identity::Key => TlsFault::WrongName,
            Identity::Address => TlsFault::WrongAddress,
        })
    }

    /// Whether an authority vouches for the certificate. While nobody answers for the clock, it is enough that there was
    /// a time at which one did.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "a library's list that grows; what is not told apart is all one to us"
    )]
    fn judge_chain(
        &self,
        leaf: &CertificateDer<'_>,
        parsed: &ParsedCertificate<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), TlsFault> {
        let dates_count = self.wall.dates_count.load(Ordering::Relaxed);
        let algorithms = self.provider.signature_verification_algorithms.all;
        let mut at = now;
        let mut fault = TlsFault::BadCertificate;
        for _ in 0..DATES_MAX {
            let verified = verify_server_cert_signed_by_trust_anchor(
                parsed,
                &self.roots,
                chain,
                at,
                algorithms,
            );
            let Err(error) = verified else {
                return Ok(());
            };
            let rustls::Error::InvalidCertificate(error) = error else {
                return Err(TlsFault::BadCertificate);
            };
            let other = match error {
                CertificateError::ExpiredContext { not_after, .. } => {
                    fault = TlsFault::Expired;
                    Some(not_after)
                }
                CertificateError::NotValidYetContext { not_before, .. } => {
                    fault = TlsFault::NotYetValid;
                    Some(not_before)
                }
                CertificateError::Expired => return Err(TlsFault::Expired),
                CertificateError::NotValidYet => return Err(TlsFault::NotYetValid),
                CertificateError::UnknownIssuer if is_self_signed(leaf) => {
                    return Err(TlsFault::SelfSigned);
                }
                CertificateError::UnknownIssuer => return Err(TlsFault::UnknownAuthority),
                _ if is_self_signed(leaf) => return Err(TlsFault::SelfSigned),
                _ => return Err(TlsFault::BadCertificate),
            };
            match other {
                Some(other) if !dates_count && other != at => at = other,
                Some(_) | None => return Err(fault),
            }
        }
        Err(fault)
    }
}

/// Whether a certificate names itself as its issuer.
fn is_self_signed(leaf: &CertificateDer<'_>) -> bool {
    webpki::EndEntityCert::try_from(leaf).is_ok_and(|leaf| leaf.issuer() == leaf.subject())
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.judge(end_entity, intermediates, server_name, now) {
            Ok(()) => Ok(ServerCertVerified::assertion()),
            Err(fault) => {
                self.fault.set(fault);
                let disbelief = OtherError(Arc::new(Disbelief(fault)));
                Err(CertificateError::Other(disbelief).into())
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Reads certificates of authorities; what cannot be read is told and left out.
fn read(authorities: &Authorities) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let certificates = match authorities {
        Authorities::System => {
            let found = rustls_native_certs::load_native_certs();
            for error in &found.errors {
                tracing::warn!(%error, "a certificate of an authority cannot be read");
            }
            found.certs
        }
        Authorities::At(path) => files(path)
            .iter()
            .flat_map(|file| certificates(file))
            .collect(),
    };
    let (taken, _) = roots.add_parsable_certificates(certificates);
    if taken == 0 {
        tracing::error!(
            "there are no certificates of authorities: no encrypted upstream is believed"
        );
    }
    roots
}

fn files(path: &Path) -> Vec<PathBuf> {
    let Ok(listed) = std::fs::read_dir(path) else {
        return vec![path.to_owned()];
    };
    let mut files: Vec<PathBuf> = listed
        .flatten()
        .filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."))
        .map(|entry| entry.path())
        .collect();
    files.sort();
    files
}

fn certificates(file: &Path) -> Vec<CertificateDer<'static>> {
    match CertificateDer::pem_file_iter(file) {
        Ok(found) => found
            .filter_map(|certificate| {
                certificate
                    .inspect_err(|error| tracing::error!(%error, path = %file.display(), "a certificate cannot be read"))
                    .ok()
            })
            .collect(),
        Err(error) => {
            tracing::error!(%error, path = %file.display(), "certificates of authorities cannot be read");
            Vec::new()
        }
    }
}
