//! How does a listener prove who it is? A certificate chain and its key, from text to what TLS needs.
//!
//! Reads no file and opens no connection. One crypto provider, the same for all of linnet.

use std::sync::Arc;

use config::model::Transport;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Why a listener has no TLS.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// There is no certificate in the file.
    #[error("there is no certificate (PEM) in {0}")]
    NoCertificate(Arc<str>),
    /// There is no key in the file.
    #[error("there is no private key (PEM) in {0}")]
    NoKey(Arc<str>),
    /// They do not fit each other, or cannot be used.
    #[error("the certificate and its key cannot be used: {0}")]
    Unusable(Arc<str>),
    /// A file cannot be read, or may not be used.
    #[error("{0}")]
    Unread(Arc<str>),
}

/// The texts of a listener's files, with their paths.
#[derive(Debug, Clone, Copy)]
pub struct KeyTexts<'a> {
    /// Path and text of the certificate chain.
    pub certificate: (&'a str, &'a str),
    /// Path and text of the private key.
    pub key: (&'a str, &'a str),
}

/// Makes a listener's TLS of its files.
///
/// # Errors
/// [`KeysError`], which names the file.
pub fn server_config(
    texts: KeyTexts<'_>,
    transport: Transport,
) -> Result<Arc<ServerConfig>, KeysError> {
    let (path, text) = texts.certificate;
    let chain: Result<Vec<CertificateDer<'static>>, _> =
        CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty());
    let chain = chain.ok_or_else(|| KeysError::NoCertificate(path.into()))?;
    let (path, text) = texts.key;
    let key = PrivateKeyDer::from_pem_slice(text.as_bytes())
        .map_err(|_| KeysError::NoKey(path.into()))?;
    let unusable = |error: rustls::Error| KeysError::Unusable(error.to_string().into());
    // QUIC knows TLS 1.3 alone (RFC 9001 §4.2).
    let versions: &[&rustls::SupportedProtocolVersion] = match transport {
        Transport::Quic | Transport::H3 => &[&rustls::version::TLS13],
        Transport::Plain | Transport::Tcp | Transport::Tls | Transport::Https => {
            rustls::DEFAULT_VERSIONS
        }
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unusable)?;
    config.alpn_protocols = match transport {
        // No configuration has the latter.
        Transport::Plain | Transport::Tcp => Vec::new(),
        // RFC 7858 has none; a client that offers some must find this one (RFC 9250 §4.1.1 registers both).
        Transport::Tls => vec![b"dot".to_vec()],
        Transport::Https => vec![b"h2".to_vec()],
        // No configuration has such a listener.
        Transport::H3 => Vec::new(),
        Transport::Quic => vec![b"doq".to_vec()],
    };
    // Resumption without memory: tickets.
    config.ticketer = ring::Ticketer::new().map_err(unusable)?;
    Ok(Arc::new(config))
}
