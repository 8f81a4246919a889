//! The neighbours of a host, for stories about listeners: a container, a LAN, a stranger; and certificates.
//!
//! Their links may come after linnetd has started, as those of container engines do.

use std::fs;
use std::path::Path;

use tests::namespace::shell;
use tests::office::{Office, carries};
use tests::peer::until;

/// A container: 172.17.0.2 on docker0.
pub(crate) const CONTAINER: &str = "container";
/// A guest on the LAN: 10.0.0.2 and 2001:db8:5::2 on lan0.
pub(crate) const LAN: &str = "lan";
/// Somebody else: 203.0.113.2 on far0.
pub(crate) const STRANGER: &str = "stranger";

/// Raises the link of a neighbour.
pub(crate) fn raise(neighbour: &str) {
    let (link, mine, theirs) = match neighbour {
        CONTAINER => ("docker0", "172.17.0.1", "172.17.0.2"),
        LAN => ("lan0", "10.0.0.1", "10.0.0.2"),
        _ => ("far0", "203.0.113.1", "203.0.113.2"),
    };
    shell(&format!(
        "ip netns add {neighbour} && ip -n {neighbour} link set lo up && \
         ip link add {link} type veth peer name n0 netns {neighbour} && \
         ip -n {neighbour} addr add {theirs}/24 dev n0 && ip -n {neighbour} link set n0 up && \
         ip addr add {mine}/24 dev {link} && ip link set {link} up && \
         ip -n {neighbour} route add default via {mine}"
    ));
    if neighbour == LAN {
        shell(
            "ip addr add 2001:db8:5::1/64 dev lan0 nodad && ip addr add fe80::53/64 dev lan0 nodad && \
             ip -n lan addr add 2001:db8:5::2/64 dev n0 nodad && ip -n lan addr add fe80::2/64 dev n0 nodad",
        );
    }
    until("the neighbour can be reached", || carries(link));
}

/// Runs a command at a neighbour's, and returns all that it printed.
pub(crate) fn at(neighbour: &str, line: &str) -> String {
    shell(&format!("ip netns exec {neighbour} {line} 2>&1; true"))
}

/// Asks with dig from a neighbour.
pub(crate) fn dig_at(neighbour: &str, arguments: &str) -> String {
    at(neighbour, &format!("dig +time=3 +tries=1 {arguments}"))
}

/// Makes an authority, and a certificate by it for `dns.test` and 10.0.0.1; `name` is that of its files below `etc`.
pub(crate) fn certificate(office: &Office, name: &str) {
    let etc = office.path("etc");
    fs::create_dir_all(&etc).expect("the story's folder is writable");
    if !Path::new(&format!("{etc}/ca.pem")).exists() {
        shell(&format!(
            "cd {etc} && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 \
             -subj /CN=authority -keyout ca.key -out ca.pem 2>/dev/null"
        ));
    }
    shell(&format!(
        "cd {etc} && openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN={name} \
         -keyout {name}.key -out {name}.csr 2>/dev/null && \
         printf 'subjectAltName=DNS:dns.test,IP:10.0.0.1\\n' >{name}.ext && \
         openssl x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 10 -extfile {name}.ext \
         -out {name}.pem 2>/dev/null && chmod 600 {name}.key && chmod 644 {name}.pem ca.pem"
    ));
}
