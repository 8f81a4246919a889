//! Who may watch, and where to? `[metrics]`, `[dnstap]` and `[log]`; all of it is off until it is asked for.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;

/// The longest path of a unix socket (`sun_path` less its NUL).
const MAX_SOCKET_PATH: usize = 107;
/// What stands before the path of a unix socket.
const UNIX: &str = "unix:";

/// All that is told of what happens, beside the control interface.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Observing {
    /// `[metrics]`.
    pub metrics: MetricsConfig,
    /// `[dnstap]`.
    pub dnstap: DnstapConfig,
    /// `[log]`.
    pub log: LogConfig,
}

/// `[metrics]`: numbers for Prometheus.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MetricsConfig {
    /// Where they are served; `None` for nowhere.
    pub listen: Option<Place>,
}

/// `[dnstap]`: every message, for a collector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnstapConfig {
    /// The collector's socket.
    pub socket: Option<Place>,
    /// A file instead of a collector.
    pub file: Option<Arc<str>>,
    /// Which messages.
    pub messages: TapMessages,
    /// Whether addresses and ports of clients are among what is told.
    pub client_addresses: bool,
}

impl Default for DnstapConfig {
    fn default() -> Self {
        Self {
            socket: None,
            file: None,
            messages: TapMessages::All,
            client_addresses: true,
        }
    }
}

/// Which messages go to dnstap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TapMessages {
    /// Those of clients and those of whom linnet asks.
    #[default]
    All,
    /// Questions of clients and their answers.
    Client,
    /// Messages to upstreams, and to the authoritative servers that linnet's own recursion asks, and their replies.
    Forwarder,
}

impl TapMessages {
    /// Whether questions of clients and their answers are among them.
    pub const fn has_clients(self) -> bool {
        match self {
            Self::All | Self::Client => true,
            Self::Forwarder => false,
        }
    }

    /// Whether messages to upstreams and their replies are among them.
    pub const fn has_upstreams(self) -> bool {
        match self {
            Self::All | Self::Forwarder => true,
            Self::Client => false,
        }
    }
}

/// `[log]`: a line for each question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// Which questions.
    pub queries: LoggedQueries,
    /// Whether names, and texts that may hold them, are written.
    pub names: bool,
    /// The file; `None` for where linnetd logs.
    pub file: Option<Arc<str>>,
    /// The most lines in a second; what is beyond is counted.
    pub lines_per_second: u32,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            queries: LoggedQueries::Off,
            names: false,
            file: None,
            lines_per_second: 100,
        }
    }
}

/// Which questions are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoggedQueries {
    /// None.
    #[default]
    Off,
    /// Those that ended with an error.
    Errors,
    /// All.
    All,
}

/// A place to listen at, or to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A unix socket.
    Unix(Arc<str>),
    /// An address and port, TCP.
    Address(SocketAddr),
}

/// Why a text is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// Neither form.
    #[error("this is neither unix:PATH nor an address and port")]
    Neither,
    /// The path does not begin at the root.
    #[error("the path of the socket is not absolute")]
    RelativePath,
    /// The kernel takes no such path.
    #[error("the path of the socket is longer than {MAX_SOCKET_PATH} bytes, or has a NUL")]
    BadPath,
    /// Port 0.
    #[error("nobody finds port 0")]
    NoPort,
}

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        if let Some(path) = text.strip_prefix(UNIX) {
            if !path.starts_with('/') {
                return Err(PlaceError::RelativePath);
            }
            if path.len() > MAX_SOCKET_PATH || path.contains('\0') {
                return Err(PlaceError::BadPath);
            }
            return Ok(Self::Unix(path.into()));
        }
        let address: SocketAddr = text.parse().map_err(|_| PlaceError::Neither)?;
        if address.port() == 0 {
            return Err(PlaceError::NoPort);
        }
        Ok(Self::Address(address))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "{UNIX}{path}"),
            Self::Address(address) => write!(f, "{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_sockets_of_both_kinds_and_nothing_else() {
        let long = format!("unix:/{}", "x".repeat(MAX_SOCKET_PATH));
        for (text, expected) in [
            ("unix:/run/linnet/metrics", Ok("unix:/run/linnet/metrics")),
            ("127.0.0.1:9153", Ok("127.0.0.1:9153")),
            ("[::1]:9153", Ok("[::1]:9153")),
            ("unix:metrics", Err(PlaceError::RelativePath)),
            ("unix:", Err(PlaceError::RelativePath)),
            (&long, Err(PlaceError::BadPath)),
            ("unix:/a\0b", Err(PlaceError::BadPath)),
            ("127.0.0.1", Err(PlaceError::Neither)),
            ("localhost:9153", Err(PlaceError::Neither)),
            ("/run/linnet/metrics", Err(PlaceError::Neither)),
            ("", Err(PlaceError::Neither)),
            ("0.0.0.0:0", Err(PlaceError::NoPort)),
        ] {
            let found = text.parse::<Place>().map(|place| place.to_string());
            assert_eq!(found, expected.map(str::to_owned), "{text:?}");
        }
    }
}
