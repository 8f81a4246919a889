//! Does whoever is to watch get anything? Metrics, dnstap and the query log, each as the daemon and as this user sees it.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use linnet::api::ObserverStatus;

use super::{Finding, Outcome, finding};

/// How long the numbers may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Looks at one observer.
pub(super) fn look(observer: &ObserverStatus) -> Finding {
    let ObserverStatus {
        what,
        place,
        works,
        trouble,
        told,
        left_out,
    } = observer;
    let check = match what.as_str() {
        "metrics" => "metrics",
        "dnstap" => "dnstap",
        _ => "query log",
    };
    if !works {
        let why = trouble.as_deref().unwrap_or("not open");
        let help = match check {
            "metrics" => {
                "linnetd must be able to make the socket there: see its folder's owner, or choose a free port"
            }
            "dnstap" => {
                "start the collector, and let linnetd's user write to its socket; it is tried again by itself"
            }
            _ => "let linnetd's user write to the file's folder",
        };
        return finding(
            check,
            Outcome::Warning,
            format!("{place}: {why}"),
            Some(help),
        );
    }
    if check == "metrics"
        && let Err((why, help)) = scrape(place)
    {
        return finding(
            check,
            Outcome::Warning,
            format!("{place}: {why}"),
            Some(help),
        );
    }
    if *left_out > 0 {
        let seen = format!("{place}: {left_out} left out, {told} told");
        let help =
            "it takes less than there is: see lines-per-second, or give the collector more room";
        return finding(check, Outcome::Warning, seen, Some(help));
    }
    finding(check, Outcome::Good, format!("{place}: {told} told"), None)
}

/// Asks for the numbers as a scraper does.
fn scrape(place: &str) -> Result<(), (String, &'static str)> {
    const REQUEST: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: linnet\r\n\r\n";
    let failed = |error: std::io::Error| {
        let help = if error.kind() == ErrorKind::PermissionDenied {
            "this user may not go into the socket's folder"
        } else {
            "linnetd listens there, but nobody answers: see its log"
        };
        (error.to_string(), help)
    };
    let mut head = [0; 12];
    if let Some(path) = place.strip_prefix("unix:") {
        let mut stream = UnixStream::connect(path).map_err(failed)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
        stream.write_all(REQUEST).map_err(failed)?;
        stream.read_exact(&mut head).map_err(failed)?;
    } else if let Ok(address) = place.parse::<SocketAddr>() {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(failed)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
        stream.write_all(REQUEST).map_err(failed)?;
        stream.read_exact(&mut head).map_err(failed)?;
    } else {
        return Ok(());
    }
    if head == *b"HTTP/1.1 200" {
        return Ok(());
    }
    Err(("no numbers come".to_owned(), "see linnetd's log"))
}
