//! What have other DHCP clients left in files? [`Leavings`]: where the files are, and their octets; what they mean is read in `linkmgr`.
//!
//! Most may be read by everybody, and are looked at when a client of ours begins. Those of dhcpcd are root's: they are fetched before
//! root is given up, as octets, and read after it.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use linkmgr::former::{self, Dhcpcd, FILE_MAX, Former, Leaving};
use policy::LinkFacts;
use socket2::{Domain, Socket, Type};

const DHCPCD: &str = "/var/lib/dhcpcd";
const DHCPCD_DUID: &str = "/var/lib/dhcpcd/duid";
const DHCPCD_CONF: &str = "/etc/dhcpcd.conf";
const DHCLIENT: &str = "/var/lib/dhcp";
/// Files of dhcpcd that are fetched: one of each kind for this many links.
const FETCHED_MAX: usize = 512;
/// `SIOCGIFVLAN` (linux/sockios.h), and its `GET_VLAN_VID_CMD` (linux/if_vlan.h).
const ASK_VLAN: libc::Ioctl = 0x8982;
const GET_VLAN_NUMBER: libc::c_int = 9;

/// The files of other DHCP clients.
#[derive(Debug, Default)]
pub(crate) struct Leavings {
    /// Whether files are looked at.
    looks: bool,
    /// What only root may read.
    fetched: BTreeMap<PathBuf, Vec<u8>>,
    /// What files say that are about many links, and which state of the file that was: read once, not for each link.
    shared: BTreeMap<PathBuf, (Stamp, BTreeMap<Box<str>, Former>)>,
}

/// What another client has left of a link, and which files say so.
#[derive(Debug, Default)]
pub(crate) struct Left {
    pub(crate) former: Former,
    /// The one that names the DHCPv4 address.
    pub(crate) file4: Option<PathBuf>,
    /// The one that names what the client called itself to DHCPv6 servers.
    pub(crate) file6: Option<PathBuf>,
}

/// By what it is told whether a file is the same as before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

impl Stamp {
    fn of(file: &Metadata) -> Self {
        Self {
            inode: file.ino(),
            length: file.len(),
            modified: (file.mtime(), file.mtime_nsec()),
        }
    }
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
            shared: BTreeMap::new(),
        }
    }

    /// Returns what another client has left of a link.
    pub(crate) fn of(&mut self, index: u32, link: &LinkFacts) -> Left {
        let mut left = Left::default();
        if !self.looks {
            return left;
        }
        for leaving in Leaving::ALL {
            for path in places(leaving, index, &link.name) {
                let said = match is_shared(&path) {
                    true => self.said_of(&path, &link.name),
                    false => self.octets(&path).map(|octets| {
                        let mut said = leaving.parse(&octets, &link.name);
                        if leaving == Leaving::DhcpcdLease {
                            self.complete(&mut said, link);
                        }
                        said
                    }),
                };
                let Some(said) = said else {
                    continue;
                };
                left.former.add(said, &link.addresses);
                let name = |file: &mut Option<PathBuf>, is_known: bool| {
                    if is_known && file.is_none() {
                        *file = Some(path.clone());
                    }
                };
                name(&mut left.file4, left.former.dhcp4.is_some());
                name(&mut left.file6, left.former.dhcp6.is_some());
            }
        }
        left
    }

    /// Fills in what dhcpcd calls itself.
    fn complete(&self, said: &mut Former, link: &LinkFacts) {
        let conf = self.octets(Path::new(DHCPCD_CONF));
        let duid = self.octets(Path::new(DHCPCD_DUID));
        let (Some(conf), Some(duid), Some(mac)) = (conf, duid, link.mac) else {
            return;
        };
        let vlan = match &*link.kind {
            "vlan" => match vlan_number(&link.name) {
                Ok(number) => Some(number),
                Err(error) => {
                    tracing::debug!(%error, link = %link.name, "the number of a VLAN is not told");
                    return;
                }
            },
            _ => None,
        };
        let dhcpcd = Dhcpcd {
            conf: &conf,
            duid: &duid,
            mac,
            vlan,
        };
        dhcpcd.complete(said);
    }

    /// Returns what a file that many links share says of one.
    fn said_of(&mut self, path: &Path, link: &str) -> Option<Former> {
        let file = open(path)?;
        let stamp = Stamp::of(&file.metadata().ok()?);
        let known = self.shared.get(path).map(|(stamp, _)| *stamp);
        if known != Some(stamp) {
            let formers = former::shared(&octets_of(file)?);
            self.shared.insert(path.to_owned(), (stamp, formers));
        }
        let (_, formers) = self.shared.get(path)?;
        formers.get(link).cloned()
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
            let place = |name: String| format!("{DHCLIENT}/{name}.leases").into();
            names.into_iter().map(place).collect()
        }
        Leaving::Initramfs => place(format!("/run/net-{link}.conf")),
    }
}

/// Whether a file is about all links that its client has.
fn is_shared(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    matches!(name, Some("dhclient.leases" | "dhclient6.leases"))
}

/// Reads a file, as far as it counts.
fn read(path: &Path) -> Option<Vec<u8>> {
    octets_of(open(path)?)
}

fn open(path: &Path) -> Option<File> {
    let mut options = File::options();
    // Whatever else is there is not waited for.
    options.read(true).custom_flags(libc::O_NONBLOCK);
    let file = options.open(path).ok()?;
    file.metadata().ok()?.is_file().then_some(file)
}

fn octets_of(file: File) -> Option<Vec<u8>> {
    let mut octets = Vec::new();
    let most = u64::try_from(FILE_MAX).unwrap_or(u64::MAX);
    file.take(most).read_to_end(&mut octets).ok()?;
    Some(octets)
}

/// `struct vlan_ioctl_args`.
#[repr(C)]
struct VlanQuestion {
    command: libc::c_int,
    link: [u8; 24],
    /// A union, of which the number takes the first word.
    answer: [u32; 6],
    quality: libc::c_short,
}

/// Asks the kernel for the number of a VLAN, as dhcpcd does.
fn vlan_number(link: &str) -> io::Result<u16> {
    let mut question = VlanQuestion {
        command: GET_VLAN_NUMBER,
        link: [0; 24],
        answer: [0; 6],
        quality: 0,
    };
    // The last octet ends the name.
    let name = question.link.get_mut(..link.len().min(23));
    name.ok_or(io::ErrorKind::InvalidInput)?.copy_from_slice(
        link.as_bytes()
            .get(..link.len().min(23))
            .unwrap_or_default(),
    );
    let socket = Socket::new(Domain::IPV4, Type::DGRAM.cloexec(), None)?;
    // SAFETY: the kernel reads and writes one `struct vlan_ioctl_args`, which `question` is laid out as and is for the whole call.
    let asked = unsafe {
        libc::ioctl(
            socket.as_raw_fd(),
            ASK_VLAN,
            std::ptr::from_mut(&mut question),
        )
    };
    if asked != 0 {
        return Err(io::Error::last_os_error());
    }
    let [number, ..] = question.answer;
    u16::try_from(number).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "a test writes files to read")]

    use super::*;

    #[test]
    fn a_file_that_many_links_share_is_read_once_and_again_when_it_is_another_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dhclient.leases");
        let lease = |link: &str, last: u8| {
            format!("lease {{ interface \"{link}\"; fixed-address 192.0.2.{last}; }}\n")
        };
        fs::write(&path, lease("vlan1", 1) + &lease("vlan2", 2)).unwrap();
        let mut leavings = Leavings::default();
        let mut address = |link: &str| {
            let dhcp4 = leavings.said_of(&path, link)?.dhcp4?;
            Some(dhcp4.address.octets()[3])
        };
        assert_eq!(address("vlan1"), Some(1));
        // Its length and its time are what they were: nobody looks into it.
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        fs::write(&path, lease("vlan1", 3) + &lease("vlan2", 4)).unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        file.set_modified(modified).unwrap();
        assert_eq!((address("vlan2"), address("vlan3")), (Some(2), None));
        fs::write(&path, lease("vlan1", 30)).unwrap();
        assert_eq!((address("vlan1"), address("vlan2")), (Some(30), None));
    }

    #[test]
    fn a_link_that_is_no_vlan_has_no_number() {
        assert!(vlan_number("lo").is_err());
        assert!(vlan_number("a name that no link can have, as it is too long").is_err());
    }
}
