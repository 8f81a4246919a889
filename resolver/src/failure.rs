//! Why does an exchange end without a reply, and whose doing is it that a question fails? The reasons, and how they are said.
//!
//! Whoever moves the bytes finds the reason; what follows from it is decided by `ask` and `upstream`. What depends on whose doing a
//! failure is, whether it is kept, made addresses of, held against a server or told as its trouble, asks for its [`Cause`].

use std::fmt;

/// Why an exchange ended without a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Failure {
    /// Connection refused (ICMP port unreachable, RST).
    Refused,
    /// No route, host or network unreachable, administratively prohibited.
    Unreachable,
    /// The link is gone, or may not be bound to.
    NoLink,
    /// The connection ended before a whole message.
    Closed,
    /// A connection was not made in time.
    TimedOut,
    /// What came back is not the reply.
    Garbled,
    /// The server cannot prove who it is, or does not speak TLS.
    Tls(TlsFault),
    /// The HTTP server does not serve DNS.
    Http(HttpFault),
    /// Our own system is out of sockets or memory.
    Resources,
}

/// Why a server is not believed to be the one that is meant (RFC 8310 §8), or cannot be spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TlsFault {
    /// The certificate is for other names.
    WrongName,
    /// The certificate is not for the address, and no name was given.
    WrongAddress,
    /// A certificate of the chain has expired.
    Expired,
    /// A certificate of the chain is not valid yet.
    NotYetValid,
    /// No authority that is trusted here vouches for it.
    UnknownAuthority,
    /// It vouches for itself.
    SelfSigned,
    /// The key is none of those that are pinned.
    WrongPin,
    /// No authority is trusted here at all: the file of authorities is missing, unreadable or empty.
    NoAuthorities,
    /// The certificate is broken, or for another use.
    BadCertificate,
    /// The two sides have no protocol in common, or the server broke it off.
    Handshake,
    /// What answers there does not speak TLS.
    NotTls,
}

/// Why an HTTP reply is not a DNS reply (RFC 8484 §4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HttpFault {
    /// The server does not speak HTTP/2.
    NoHttp2,
    /// The server does not speak HTTP/3.
    NoHttp3,
    /// A status other than success.
    Status(u16),
    /// Something other than a DNS message.
    NotDns,
}

/// Whose doing it is that a question fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// An upstream's word: it replied, with an error.
    Word,
    /// The upstreams', or that of the way to them: they were asked, and nobody was heard.
    Silence,
    /// That of whoever gave an answer that is not believed.
    Disbelief,
    /// Of names or servers that lead in a circle.
    Loop,
    /// This host's: no socket, no link, no room, another plan. It says nothing of whoever was to be asked.
    Own,
    /// Somebody's who decided that it should be so.
    Decision,
}

impl Failure {
    /// Returns whose doing it is that there was no reply.
    pub(crate) const fn cause(self) -> Cause {
        match self {
            Self::NoLink | Self::Resources => Cause::Own,
            Self::Refused
            | Self::Unreachable
            | Self::Closed
            | Self::TimedOut
            | Self::Garbled
            // Without authorities here nobody is believed; who is pinned may be, so that it is one's own trouble.
            | Self::Tls(_)
            | Self::Http(_) => Cause::Silence,
        }
    }
}

impl TlsFault {
    /// Returns the reason, for use after the server's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WrongName => "its certificate is for another name",
            Self::WrongAddress => "its certificate is not for its address",
            Self::Expired => "its certificate has expired",
            Self::NotYetValid => "its certificate is not valid yet",
            Self::UnknownAuthority => "its certificate is from an unknown authority",
            Self::SelfSigned => "its certificate is signed by itself",
            Self::WrongPin => "its key is not the pinned one",
            Self::NoAuthorities => "there are no certificates of authorities here to check it with",
            Self::BadCertificate => "its certificate cannot be used",
            Self::Handshake => "the TLS handshake failed",
            Self::NotTls => "it does not speak TLS",
        }
    }
}

impl fmt::Display for HttpFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHttp2 => f.write_str("it does not speak HTTP/2"),
            Self::NoHttp3 => f.write_str("it does not speak HTTP/3"),
            Self::Status(status) => write!(f, "it answers with HTTP status {status}"),
            Self::NotDns => f.write_str("it answers with something other than DNS"),
        }
    }
}

impl fmt::Display for Failure {
    /// Writes what happened, for use after the server's name and a colon.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "the connection was refused",
            Self::Unreachable => "it cannot be reached",
            Self::NoLink => "its link is gone",
            Self::Closed => "the connection ended",
            Self::TimedOut => "no connection in time",
            Self::Garbled => "it answered something else",
            Self::Tls(fault) => fault.as_str(),
            Self::Http(fault) => return fault.fmt(f),
            Self::Resources => "this system is out of sockets or memory",
        })
    }
}
