//! What does sysfs know of a link that netlink does not tell? Whether it is wireless, its driver, its device's path.
//!
//! sysfs shows the links of the network namespace that it was mounted in, which may be another one: what it says of a
//! name counts only when index and hardware address agree. Every error means that nothing is known.

use std::fs;
use std::path::{Component, Path};
use std::sync::Arc;

use config::matcher::Mac;
use linkmgr::LinkMessage;

const CLASS: &str = "/sys/class/net";
/// Kinds of links that are made of software alone: there is no device behind them that sysfs could describe. A host of
/// containers has thousands of them.
const SOFTWARE: [&str; 20] = [
    "bareudp",
    "bond",
    "bridge",
    "dummy",
    "geneve",
    "gre",
    "gretap",
    "ifb",
    "ip6tnl",
    "ipip",
    "ipvlan",
    "macsec",
    "macvlan",
    "macvtap",
    "sit",
    "veth",
    "vlan",
    "vrf",
    "vxlan",
    "wireguard",
];

/// Adds what sysfs knows to a message.
pub(crate) fn describe(link: &mut LinkMessage) {
    describe_from(Path::new(CLASS), link);
}

fn describe_from(class: &Path, link: &mut LinkMessage) {
    if link.loopback || SOFTWARE.contains(&&*link.kind) || link.name.contains('/') {
        return;
    }
    let directory = class.join(&*link.name);
    if !is_same(&directory, link) {
        return;
    }
    let has = |name: &str| fs::symlink_metadata(directory.join(name)).is_ok();
    if &*link.kind == "ethernet" && (has("wireless") || has("phy80211")) {
        link.kind = "wifi".into();
    }
    link.driver = fs::read_link(directory.join("device/driver"))
        .ok()
        .and_then(|driver| Some(driver.file_name()?.to_str()?.into()));
    if link.path.is_none() {
        link.path = fs::canonicalize(directory.join("device"))
            .ok()
            .and_then(|device| device_path(&device));
    }
}

fn is_same(directory: &Path, link: &LinkMessage) -> bool {
    let read = |name: &str| fs::read_to_string(directory.join(name)).unwrap_or_default();
    let address = link.mac.map_or_else(String::new, mac_text);
    read("ifindex").trim() == link.index.to_string()
        && (link.mac.is_none() || read("address").trim() == address)
}

fn mac_text(Mac(octets): Mac) -> String {
    octets.map(|octet| format!("{octet:02x}")).join(":")
}

/// Writes a device's place as udev's `ID_PATH` does where that is simple: on PCI, USB behind PCI, or the platform.
fn device_path(device: &Path) -> Option<Arc<str>> {
    let parts = || {
        device.components().filter_map(|part| match part {
            Component::Normal(name) => name.to_str(),
            Component::Prefix(_)
            | Component::RootDir
            | Component::CurDir
            | Component::ParentDir => None,
        })
    };
    let usb = parts().rev().find_map(usb_port);
    if let Some(pci) = parts().rev().find(|name| is_pci_address(name)) {
        return Some(match usb {
            Some(port) => format!("pci-{pci}-usb-0:{port}").into(),
            None => format!("pci-{pci}").into(),
        });
    }
    if usb.is_some() {
        return None;
    }
    let mut after = parts().skip_while(|name| *name != "platform").skip(1);
    after.next().map(|name| format!("platform-{name}").into())
}

/// `0000:00:1f.6`
fn is_pci_address(name: &str) -> bool {
    let octets = name.as_bytes();
    octets.len() == 12
        && octets.iter().enumerate().all(|(place, octet)| match place {
            4 | 7 => *octet == b':',
            10 => *octet == b'.',
            _ => octet.is_ascii_hexdigit(),
        })
}

/// Returns `1.4:1.0` of a USB interface's name, `2-1.4:1.0`.
fn usb_port(name: &str) -> Option<&str> {
    let (bus, port) = name.split_once('-')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let (ports, interface) = port.split_once(':')?;
    let (configuration, number) = interface.split_once('.')?;
    let all = ports.split('.').chain([bus, configuration, number]);
    all.into_iter().all(is_number).then_some(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_paths_are_written_as_udev_writes_them() {
        let rows = [
            (
                "/sys/devices/pci0000:00/0000:00:1f.6",
                Some("pci-0000:00:1f.6"),
            ),
            (
                "/sys/devices/pci0000:00/0000:00:1c.0/0000:02:00.0",
                Some("pci-0000:02:00.0"),
            ),
            (
                "/sys/devices/pci0000:00/0000:00:03.0/virtio2",
                Some("pci-0000:00:03.0"),
            ),
            (
                "/sys/devices/pci0000:00/0000:00:14.0/usb2/2-1/2-1.4/2-1.4:1.0",
                Some("pci-0000:00:14.0-usb-0:1.4:1.0"),
            ),
            (
                "/sys/devices/platform/fd580000.ethernet",
                Some("platform-fd580000.ethernet"),
            ),
            ("/sys/devices/virtual/net/veth0", None),
        ];
        for (device, path) in rows {
            assert_eq!(device_path(Path::new(device)).as_deref(), path, "{device}");
        }
    }

    #[test]
    fn link_of_another_namespace_is_not_described() {
        let class = std::env::temp_dir().join(format!("linnet-sysfs-{}", std::process::id()));
        let directory = class.join("wlan0");
        fs::create_dir_all(directory.join("phy80211")).unwrap();
        fs::create_dir_all(directory.join("device")).unwrap();
        std::os::unix::fs::symlink("/drivers/iwlwifi", directory.join("device/driver")).unwrap();
        fs::write(directory.join("ifindex"), "3\n").unwrap();
        fs::write(directory.join("address"), "02:00:00:00:00:0a\n").unwrap();
        let described = |index, last| {
            let mut link = LinkMessage {
                index,
                name: "wlan0".into(),
                kind: "ethernet".into(),
                mac: Some(Mac([2, 0, 0, 0, 0, last])),
                ..LinkMessage::default()
            };
            describe_from(&class, &mut link);
            (link.kind, link.driver)
        };
        let rows = [
            (3, 10, "wifi", Some("iwlwifi")),
            (4, 10, "ethernet", None),
            (3, 11, "ethernet", None),
        ];
        for (index, last, kind, driver) in rows {
            let (found_kind, found_driver) = described(index, last);
            assert_eq!((&*found_kind, found_driver.as_deref()), (kind, driver));
        }
        fs::remove_dir_all(&class).unwrap();
    }
}
