//! Is it known what is at the other end of a cable whose link is a port? LLDP, spoken to ports of bridges.

use tests::namespace::{isolated, shell};
use tests::peer::until;

use super::{LINNETD, folder, link_status, office};

/// Says what switches say, once.
const SWITCH: &str = r#"
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind((sys.argv[1], 0x88cc))
tlv = lambda kind, data: (kind << 9 | len(data)).to_bytes(2, "big") + data
mac = s.getsockname()[4]
s.send(b"\x01\x80\xc2\x00\x00\x0e" + mac + b"\x88\xcc" + tlv(1, b"\x04" + mac) + tlv(2, b"\x05port-of-" + sys.argv[1].encode()) + tlv(3, b"\x00\x78") + tlv(5, b"switch1") + tlv(0, b""))
"#;

#[test]
fn what_a_switch_says_to_a_port_is_told() {
    isolated(
        "links::cables::what_a_switch_says_to_a_port_is_told",
        || {
            for number in 0..2 {
                shell(&format!(
                    "ip link add net{number} type veth peer name far{number} && ip link set far{number} up"
                ));
            }
            shell(
                "ip link add br1 type bridge && ip link set br1 up && ip link set net1 up master br1",
            );
            let office = office(folder());
            // Of a bridge that a profile makes all ports are meant; of somebody else's bridge the one whose profile says so.
            office.configure(
                "profiles/br.toml",
                "lldp = true\n[link]\nname = \"br0\"\nkind = \"bridge\"\nports = [\"net0\"]\n",
            );
            office.configure(
                "profiles/port.toml",
                "match = { name = \"net1\" }\nlldp = true\n",
            );
            let _linnetd = office.linnetd(LINNETD, &[]);
            until("net0 is a port", || {
                shell("ip link show net0").contains("master br0")
            });
            for number in 0..2 {
                let (far, link) = (format!("far{number}"), format!("net{number}"));
                until(&format!("{link} hears its switch"), || {
                    shell(&format!("python3 -c '{SWITCH}' {far}"));
                    let told = link_status(&office, &link).to_string();
                    told.contains("switch1") && told.contains(&format!("port-of-{far}"))
                });
            }
        },
    );
}
