//! The network of a soak whose servers are encrypted: unbound by TLS, and unbound by HTTPS, before an oracle that nobody else reaches.
//!
//! What is asked at port 53 of their addresses is a leak.

use std::fs;
use std::sync::Arc;

use tests::namespace::shell;
use tests::office::{Office, carries};
use tests::oracle::{Network, Server};
use tests::peer::{Peer, until};

/// Namespace of the servers.
const SAFE: &str = "safe";
/// How the two are asked: address, port, and the option of kdig.
const FRONTS: [(&str, u16, &str); 2] = [("10.9.0.1", 853, "+tls"), ("10.9.0.3", 443, "+https")];
/// The upstreams as linnet's configuration has them.
pub(super) const UPSTREAMS: &str =
    "\"tls://10.9.0.1#dns.example\", \"https://dns.example/dns-query@10.9.0.3\"";

/// The two servers, and what stands behind them.
#[derive(Debug)]
pub(super) struct Fronts {
    fronts: [Option<Peer>; 2],
    _behind: Server,
    _traps: [Server; 2],
}

impl Fronts {
    /// Raises the link and starts all servers; `trap` is the network of who is asked in the clear.
    pub(super) fn raise(office: &Office, behind: &Arc<Network>, trap: &Arc<Network>) -> Self {
        shell(
            "ip netns add safe && ip -n safe link set lo up && ip link add safe0 type veth peer name p0 netns safe && \
             ip -n safe addr add 10.9.0.1/24 dev p0 && ip -n safe addr add 10.9.0.3/24 dev p0 && ip -n safe link set p0 up && \
             ip addr add 10.9.0.2/24 dev safe0 && ip link set safe0 up",
        );
        until("safe0 carries", || carries("safe0"));
        let at = |text: &str| text.parse().unwrap();
        let mut fronts = Self {
            fronts: [None, None],
            _behind: Server::start(SAFE, at("127.0.0.1"), behind),
            _traps: FRONTS.map(|(address, ..)| Server::start(SAFE, at(address), trap)),
        };
        for front in 0..FRONTS.len() {
            fronts.start(office, front);
        }
        fronts
    }

    /// Starts one, and waits until it answers.
    pub(super) fn start(&mut self, office: &Office, front: usize) {
        let (address, port, option) = FRONTS[front];
        let dir = office.dir().display();
        let config = format!(
            "server:\n  interface: {address}@{port}\n  do-daemonize: no\n  username: \"\"\n  chroot: \"\"\n  directory: \"{dir}\"\n  \
             pidfile: \"\"\n  use-syslog: no\n  logfile: \"\"\n  verbosity: 0\n  access-control: 0.0.0.0/0 allow\n  module-config: \"iterator\"\n  \
             incoming-num-tcp: 64\n  outgoing-range: 8192\n  num-queries-per-thread: 4096\n  do-not-query-localhost: no\n  \
             tls-port: 853\n  https-port: 443\n  http-endpoint: \"/dns-query\"\n  \
             tls-service-key: \"{dir}/right.key\"\n  tls-service-pem: \"{dir}/right.pem\"\n  local-zone: \"test.\" nodefault\n\
             forward-zone:\n  name: \".\"\n  forward-addr: 127.0.0.1@53\n  forward-no-cache: yes\nremote-control:\n  control-enable: no\n"
        );
        let name = format!("front{front}");
        let file = office.path(&format!("{name}.conf"));
        fs::write(&file, config).unwrap();
        let command = ["unbound", "-d", "-c", &file];
        self.fronts[front] = Some(Peer::start(office.dir(), &name, Some(SAFE), &command));
        until("an encrypted server answers", || {
            shell(&format!(
                "ip netns exec {SAFE} kdig +time=1 +retry=0 @{address} {option} +short h1.safe.test; true"
            ))
            .contains('.')
        });
    }

    /// Kills one.
    pub(super) fn kill(&mut self, front: usize) {
        self.fronts[front] = None;
    }

    /// Signals one.
    pub(super) fn signal(&self, front: usize, signal: i32) {
        let peer = self.fronts[front].as_ref();
        peer.expect("it runs").signal(signal);
    }
}
