//! What have other DHCP clients left in files? [`Leavings`]: where the files are, and their octets; what they mean is read in `linkmgr`.
//!
//! Most may be read by everybody, and are looked at when a client of ours begins. Those of dhcpcd are root's: they are fetched before
//! root is given up, as octets, and read after it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use linkmgr::former::{FILE_MAX, Former, Leaving};
use policy::LinkFacts;

const DHCPCD: &str = "/var/lib/dhcpcd";
const DHCPCD_DUID: &str = "/var/lib/dhcpcd/duid";
/// Files of dhcpcd that are fetched: one of each kind for this many links.
const FETCHED_MAX: usize = 128;

/// The files of other DHCP clients.
#[derive(Debug, Default)]
pub(crate) struct Leavings {
    /// Whether files are looked at.
    looks: bool,
    /// What only root may read.
    fetched: BTreeMap<PathBuf, Vec<u8>>,
}

impl Leavings {
    /// Fetches what only root may read.
    pub(crate) fn fetch() -> Self {
        let files = fs::read_dir(DHCPCD).into_iter().flatten().flatten();
        let is_lease = |path: &PathBuf| {
            let ending = path.extension().and_then(|ending| ending.to_str());
            matches!(ending, Some("lease" | "lease6"))
        };
        let leases = files.map(|entry| entry.path()).filter(is_lease);
        let fetched = leases.take(FETCHED_MAX).chain([DHCPCD_DUID.into()]);
        let fetched = fetched.filter_map(|path| Some((path.clone(), read(&path)?)));
        Self {
            looks: true,
            fetched: fetched.collect(),
        }
    }

    /// Returns what another client has left of a link.
    pub(crate) fn of(&self, index: u32, link: &LinkFacts) -> Former {
        let mut former = Former::default();
        if !self.looks {
            return former;
        }
        let addresses = link.addresses.iter().map(|prefix| prefix.address);
        let addresses: Vec<IpAddr> = addresses.collect();
        for leaving in Leaving::ALL {
            for path in places(leaving, index, &link.name) {
                let Some(octets) = self.octets(&path) else {
                    continue;
                };
                let mut said = leaving.parse(&octets, &link.name);
                if leaving == Leaving::DhcpcdLease
                    && let (Some(duid), Some(mac)) = (self.octets(Path::new(DHCPCD_DUID)), link.mac)
                {
                    said = said.with_dhcpcd_duid(&duid, mac);
                }
                former.add(said, &addresses);
            }
        }
        former
    }

    fn octets(&self, path: &Path) -> Option<Vec<u8>> {
        read(path).or_else(|| self.fetched.get(path).cloned())
    }
}

/// Returns where a file may be. A link's name has no slash in it (`dev_valid_name`).
fn places(leaving: Leaving, index: u32, link: &str) -> Vec<PathBuf> {
    let place = |text: String| vec![PathBuf::from(text)];
    match leaving {
        Leaving::NetworkdLease => place(format!("/run/systemd/netif/leases/{index}")),
        Leaving::NetworkdLink => place(format!("/run/systemd/netif/links/{index}")),
        Leaving::NetworkManager => place(format!("/run/NetworkManager/devices/{index}")),
        Leaving::DhcpcdLease => place(format!("{DHCPCD}/{link}.lease")),
        Leaving::DhcpcdLease6 => place(format!("{DHCPCD}/{link}.lease6")),
        Leaving::Dhclient => {
            let names = [
                format!("dhclient.{link}"),
                "dhclient".to_owned(),
                format!("dhclient6.{link}"),
                "dhclient6".to_owned(),
            ];
            let place = |name: String| format!("/var/lib/dhcp/{name}.leases").into();
            names.into_iter().map(place).collect()
        }
        Leaving::Initramfs => place(format!("/run/net-{link}.conf")),
    }
}

/// Reads a file, as far as it counts.
fn read(path: &Path) -> Option<Vec<u8>> {
    let mut options = File::options();
    // Whatever else is there is not waited for.
    options.read(true).custom_flags(libc::O_NONBLOCK);
    let file = options.open(path).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut octets = Vec::new();
    let most = u64::try_from(FILE_MAX).unwrap_or(u64::MAX);
    file.take(most).read_to_end(&mut octets).ok()?;
    Some(octets)
}
