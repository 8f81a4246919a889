//! Are single labels found by LLMNR, on the links where that is wanted and nowhere else? Against llmnrd, and a neighbour that
//! answers in ways that llmnrd does not.

use tests::namespace::{isolated, shell};
use tests::office::{Office, dig};
use tests::peer::{Peer, until};

use crate::neighbours::{folder, wire};
use crate::{LINNET, LINNETD, json};

/// Answers for `long` with TC by UDP and the rest by TCP, and for `twins` from two addresses that each have it alone.
const ODD: &str = r#"
import socket, struct, threading
GROUP = "224.0.0.252"
def udp(address):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((address, 5355))
    return s
def answer(query, flags, addresses):
    end = query.index(b"\0", 12) + 5
    records = b"".join(b"\xc0\x0c\0\x01\0\x01" + struct.pack(">IH", 30, 4) + socket.inet_aton(a) for a in addresses)
    return query[:2] + struct.pack(">5H", 0x8000 | flags, 1, len(addresses), 0, 0) + query[12:end] + records
def serve_tcp():
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    s.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 1)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("10.2.0.2", 5355))
    s.listen(5)
    while True:
        c, _ = s.accept()
        length, = struct.unpack(">H", c.recv(2, socket.MSG_WAITALL))
        query = c.recv(length, socket.MSG_WAITALL)
        wire = answer(query, 0, ["10.2.0.%d" % n for n in range(100, 140)])
        c.sendall(struct.pack(">H", len(wire)) + wire)
        c.close()
threading.Thread(target=serve_tcp, daemon=True).start()
group = udp("")
for address in ["10.2.0.2"]:
    group.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(GROUP) + socket.inet_aton(address))
one, two = udp("10.2.0.2"), udp("10.2.0.3")
print("ready", flush=True)
while True:
    query, source = group.recvfrom(9000)
    if query[2] & 4:
        print("conflict", flush=True)
        continue
    if query[12:].startswith(b"\x04long"):
        one.sendto(answer(query, 0x0200, []), source)
    if query[12:].startswith(b"\x05twins"):
        is_a = query[-3] == 1
        one.sendto(answer(query, 0, ["10.2.0.2"] if is_a else []), source)
        two.sendto(answer(query, 0, ["10.2.0.3"] if is_a else []), source)
"#;

/// Counts what comes to LLMNR's port in a namespace.
fn count(namespace: &str) {
    shell(&format!(
        "ip netns exec {namespace} nft 'add table inet t; add chain inet t c {{ type filter hook input priority 0; }}; \
         add rule inet t c udp dport 5355 counter comment \"all\"; \
         add rule inet t c tcp dport 5355 ip ttl != 1 counter comment \"far\"; \
         add rule inet t c tcp dport 5355 ip ttl 1 counter comment \"near\"'"
    ));
}

fn counted(namespace: &str, comment: &str) -> bool {
    let rules = shell(&format!("ip netns exec {namespace} nft list table inet t"));
    let rule = rules.lines().find(|line| line.contains(comment)).unwrap();
    !rule.contains("packets 0 ")
}

#[test]
fn a_label_is_found_on_links_that_are_switched_on_and_said_on_no_other() {
    isolated(
        "labels::a_label_is_found_on_links_that_are_switched_on_and_said_on_no_other",
        || {
            for number in 1..=3 {
                wire(number);
            }
            shell("ip -n n2 addr add 10.2.0.3/24 dev eth0");
            let office = Office::bare(folder());
            office.configure(
                "linnet.toml",
                "[resolver]\ndnssec = \"off\"\nhosts = false\nmdns = \"off\"\n",
            );
            let on = "match = { name = [\"lan1\", \"lan2\"] }\n[dns]\nllmnr = \"resolve\"\n";
            office.configure("profiles/lan.toml", on);
            for namespace in ["n2", "n3"] {
                count(namespace);
            }
            let dir = office.dir();
            let script = dir.join("odd.py");
            std::fs::write(&script, ODD).unwrap();
            let script = script.display().to_string();
            let llmnrd = ["llmnrd", "-H", "printer", "-6", "-i", "eth0"];
            let _printer = Peer::start(dir, "llmnrd", Some("n1"), &llmnrd);
            let odd = Peer::start(dir, "odd", Some("n2"), &["python3", &script]);
            until("the odd neighbour is ready", || odd.log().contains("ready"));
            let _linnetd = office.linnetd(LINNETD, &[]);

            // llmnrd, by both families; nobody else has it.
            until("llmnrd answers", || {
                dig("+short printer").contains("10.1.0.2")
            });
            assert!(
                dig("+short printer AAAA").contains("fd00:1::2"),
                "{}",
                dig("printer AAAA")
            );
            assert!(!dig("printer").contains(" ad"), "nobody vouches for it");
            let nobody = dig("nobody");
            assert!(
                nobody.contains("NXDOMAIN") && nobody.contains("nobody on lan1, lan2 answered"),
                "{nobody}"
            );
            let never = dig("wpad");
            assert!(never.contains("NXDOMAIN"), "{never}");

            // Cut short, and whole by TCP that leads to nobody beyond the link.
            let long = dig("+short long");
            assert_eq!(long.lines().count(), 40, "{long}");
            assert!(
                counted("n2", "near") && !counted("n2", "far"),
                "a hop limit of 1"
            );

            // Two who have one name.
            let twins = dig("twins");
            for part in ["10.2.0.2", "10.2.0.3", "theirs alone"] {
                assert!(twins.contains(part), "{part}: {twins}");
            }
            until("both are told", || odd.log().contains("conflict"));

            let told = json(&office, &["explain", "printer"]);
            assert_eq!(told["target"]["action"], "multicast", "{told}");
            let text = told["because"]["text"].as_str().unwrap();
            assert!(
                text.contains("lan1 (profile lan: llmnr = resolve)"),
                "{told}"
            );
            assert!(
                told.to_string().contains("answered on lan1"),
                "the last question: {told}"
            );
            let (_, status) = office.linnet(LINNET, &["status"]);
            assert!(
                status.contains("LLMNR on lan2: asked (profile lan)"),
                "{status}"
            );
            assert!(status.contains("1 conflicting"), "{status}");

            assert!(counted("n2", "all"), "the counter counts");
            assert!(
                !counted("n3", "all"),
                "nothing leaves by a link where it is off"
            );
            assert!(
                !shell("ss -uanp").contains(":5355"),
                "nothing is listened to"
            );
        },
    );
}
