//! Which program has the port? `/proc/net/{udp,tcp,udp6,tcp6}` names an inode, `/proc/PID/fd` who holds it.
//!
//! Best effort, for an error message: a program of another user may be invisible to us, then its user is named. It does
//! not decide anything.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use resolver::Channel;

/// State of a listening TCP socket in the tables.
const LISTEN: u8 = 0x0a;

/// A line of a socket table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The local address.
    pub local: SocketAddr,
    /// The state, as the kernel counts.
    pub state: u8,
    /// The user.
    pub uid: u32,
    /// The socket's inode.
    pub inode: u64,
}

/// Names the program that keeps us from an address, as `dnsmasq (pid 812)`.
pub fn find(address: SocketAddr, channel: Channel) -> Option<String> {
    let tables = match channel {
        Channel::Udp => ["/proc/net/udp", "/proc/net/udp6"],
        Channel::Tcp => ["/proc/net/tcp", "/proc/net/tcp6"],
    };
    let row = tables
        .iter()
        .filter_map(|path| std::fs::read(path).ok())
        .flat_map(|table| parse(&table))
        .find(|row| {
            (channel == Channel::Udp || row.state == LISTEN) && conflicts(row.local, address)
        })?;
    Some(holder_of(row.inode).unwrap_or_else(|| format!("a program of user {}", row.uid)))
}

/// Reads a socket table; lines that make no sense are left out.
pub fn parse(table: &[u8]) -> Vec<Row> {
    let lines = table.split(|byte| *byte == b'\n').skip(1);
    lines
        .filter_map(|line| parse_line(std::str::from_utf8(line).ok()?))
        .collect()
}

/// Reads `sl local remote state queues timer retransmits uid timeout inode …`.
fn parse_line(line: &str) -> Option<Row> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let local = parse_address(fields.next()?)?;
    let state = u8::from_str_radix(fields.nth(1)?, 16).ok()?;
    let uid = fields.nth(3)?.parse().ok()?;
    let inode = fields.nth(1)?.parse().ok()?;
    Some(Row {
        local,
        state,
        uid,
        inode,
    })
}

/// Reads `0100007F:0035`: words in the order of the machine, the port as one reads it.
fn parse_address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        let digits = address.get(at * 8..at * 8 + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    let address = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut octets = [0; 16];
            for (at, place) in octets.chunks_exact_mut(4).enumerate() {
                place.copy_from_slice(&word(at)?);
            }
            IpAddr::V6(Ipv6Addr::from(octets))
        }
        _ => return None,
    };
    Some(SocketAddr::new(address, port))
}

/// Whether a socket at `held` keeps another one from `wanted`.
fn conflicts(held: SocketAddr, wanted: SocketAddr) -> bool {
    if held.port() != wanted.port() {
        return false;
    }
    let (held, wanted) = (held.ip().to_canonical(), wanted.ip().to_canonical());
    // A socket at `::` usually takes IPv4 too.
    let everything = held == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    let same_family = held.is_ipv4() == wanted.is_ipv4();
    everything
        || held == wanted
        || same_family && (held.is_unspecified() || wanted.is_unspecified())
}

/// Finds the process that holds a socket.
fn holder_of(inode: u64) -> Option<String> {
    let wanted = format!("socket:[{inode}]");
    let processes = std::fs::read_dir("/proc").ok()?;
    let mut pids: Vec<u32> = processes
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_unstable();
    let pid = pids.into_iter().find(|pid| holds(*pid, &wanted))?;
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(format!("{} (pid {pid})", name.trim_end()))
}

fn holds(pid: u32, wanted: &str) -> bool {
    let Ok(descriptors) = std::fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    descriptors
        .filter_map(Result::ok)
        .filter_map(|entry| std::fs::read_link(entry.path()).ok())
        .any(|target| target == Path::new(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
   71: 3500007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000   101        0 19244 2 0000000000000000 0\n\
 garbage\n\
   72: 3500007F:003 00000000\n\
  244: 00000000:14E9 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 20001 2 0000000000000000 0\n";

    const TABLE6: &[u8] = b"  sl  local_address                         remote_address                        st\n\
  613: 00000000000000000000000001000000:0035 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000  1000        0 31337 2 0000000000000000 0\n";

    #[test]
    #[cfg(target_endian = "little")]
    fn table_is_read_and_garbage_left_out() {
        let row = |local: &str, state, uid, inode| Row {
            local: local.parse().unwrap(),
            state,
            uid,
            inode,
        };
        assert_eq!(
            parse(TABLE),
            [
                row("127.0.0.53:53", 7, 101, 19244),
                row("0.0.0.0:5353", LISTEN, 0, 20001)
            ]
        );
        assert_eq!(parse(TABLE6), [row("[::1]:53", 7, 1000, 31337)]);
        assert_eq!(parse(b""), []);
    }

    #[test]
    fn conflict_is_told_by_rows() {
        let rows = [
            ("127.0.0.53:53", "127.0.0.53:53", true),
            ("127.0.0.53:53", "127.0.0.54:53", false),
            ("127.0.0.53:53", "127.0.0.53:54", false),
            ("0.0.0.0:53", "127.0.0.53:53", true),
            ("127.0.0.1:53", "0.0.0.0:53", true),
            ("[::]:53", "127.0.0.53:53", true),
            ("[::ffff:127.0.0.53]:53", "127.0.0.53:53", true),
            ("[::1]:53", "127.0.0.53:53", false),
            ("0.0.0.0:53", "[::1]:53", false),
        ];
        for (held, wanted, expected) in rows {
            let found = conflicts(held.parse().unwrap(), wanted.parse().unwrap());
            assert_eq!(found, expected, "{held} against {wanted}");
        }
    }
}
