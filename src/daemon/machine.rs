//! Who is this machine to its networks? Identifiers that stay: read from the system, or made once and kept.

#![expect(
    clippy::disallowed_methods,
    reason = "the system tells who it is in files"
)]

use std::fs;

use linkmgr::clients::Machine;
use linkmgr::dhcp6::Duid;
use linkmgr::slaac::Secret;

use crate::options::Options;
use crate::store;
use crate::world::Kept;

const MACHINE_ID: &str = "/etc/machine-id";

/// Reads who this machine is; what has to stay and is not there is made of `fresh`, and written down before anything can be made of it: whoever
/// is killed leaves addresses that the next one knows. It is returned to be kept for good too, or this is another machine after a loss of
/// power: that waits for a disk, and no client should.
pub(crate) fn machine(options: &Options, fresh: [u8; 32]) -> (Machine, Option<String>) {
    let path = options.kept_file(Kept::Secret);
    let kept = store::read(&path).and_then(|text| from_hex(text.trim()));
    let (secret, to_keep) = match kept {
        Some(secret) => (secret, None),
        None => {
            let text = fresh
                .iter()
                .fold(String::new(), |text, octet| format!("{text}{octet:02x}"));
            let text = text + "\n";
            store::replace_for_this_boot(&path, &text);
            (fresh, Some(text))
        }
    };
    let machine_id = text(MACHINE_ID).and_then(|text| from_hex::<16>(&text));
    let duid = match machine_id {
        Some(id) => Duid::from_machine_id(id),
        // A machine without an id has the one that was made here.
        None => Duid::from_machine_id(secret.first_chunk().copied().unwrap_or_default()),
    };
    let machine = Machine {
        duid,
        secret: Secret(secret),
        boot_id: linkmgr_io::boot_id().unwrap_or_default().into(),
    };
    (machine, to_keep)
}

fn text(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned())
}

fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let octets = digits?
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => u8::try_from(high << 4 | low).ok(),
            _ => None,
        })
        .collect::<Option<Vec<u8>>>()?;
    octets.try_into().ok()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    /// Whoever is killed has written nothing more.
    #[test]
    fn what_a_machine_is_known_by_is_written_down_before_anybody_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().to_str().unwrap();
        let options = Options::parse_from(["linnetd", "--state-dir", dir]);
        let (first, to_keep) = machine(&options, [0x5a; 32]);
        assert_eq!(first.secret, Secret([0x5a; 32]));
        assert_eq!(to_keep, Some("5a".repeat(32) + "\n"));
        let (second, to_keep) = machine(&options, [7; 32]);
        assert_eq!((second.secret, to_keep), (first.secret, None));
    }

    #[test]
    fn an_id_is_read_whole_or_not_at_all() {
        assert_eq!(from_hex::<2>("0aF0"), Some([0x0a, 0xf0]));
        for wrong in ["", "0a", "0aF", "0aF00", "0aF0 ", "zz00"] {
            assert_eq!(from_hex::<2>(wrong), None, "{wrong}");
        }
    }
}
