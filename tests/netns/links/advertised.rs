//! What does the kernel make of what a router says: temporary addresses as the profile wants them, and ways beyond the link where a host is a
//! router too? With radvd, which repeats itself every few seconds.

use std::net::UdpSocket;

use tests::radvd;

use super::*;

/// What lies behind the router.
const FAR: &str = "2001:db8:ff::1";
const PREFIX: &str = "2001:db8:a::";
/// The shortest times that are worth a temporary address: the kernel makes the next one five seconds before they are over.
const PREFERRED: u32 = 15;
const VALID: u32 = 18;

fn router(dir: &Path) -> Peer {
    shell(&format!(
        "ip netns add r1 && ip link add net0 address 02:00:00:00:00:10 type veth peer name r0 netns r1 && \
         sysctl -qw net.ipv6.conf.net0.accept_dad=0 && ip -n r1 link set lo up && \
         ip netns exec r1 sysctl -qw net.ipv6.conf.all.forwarding=1 net.ipv6.conf.r0.addr_gen_mode=1 && \
         ip -n r1 link set r0 up && ip -n r1 addr add fe80::1/64 dev r0 nodad && ip -n r1 addr add {PREFIX}1/64 dev r0 nodad && \
         ip -n r1 addr add {FAR}/128 dev lo"
    ));
    let text = format!(
        "interface r0 {{ AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4; route 2001:db8:ff::/48 {{ }}; \
         prefix {PREFIX}/64 {{ AdvOnLink on; AdvAutonomous on; AdvPreferredLifetime {PREFERRED}; AdvValidLifetime {VALID}; }}; }};\n"
    );
    radvd::start(dir, "radvd", "r1", &text)
}

fn profile(office: &Office, privacy: &str) {
    office.configure(
        "profiles/net.toml",
        &format!("match = {{ name = \"net0\" }}\nra = true\nprivacy = \"{privacy}\"\n"),
    );
}

fn reprofile(office: &Office, privacy: &str) {
    profile(office, privacy);
    let (code, text) = office.linnet(LINNET, &["config", "reload"]);
    assert_eq!(code, 0, "{text}");
}

/// The addresses of the prefix that are used: lasting ones, and temporary ones.
fn kinds() -> (Vec<String>, Vec<String>) {
    let told = ip("-6 addr show dev net0 scope global -deprecated");
    let infos = told[0]["addr_info"].as_array().cloned();
    let infos = infos.unwrap_or_default().into_iter();
    let (temporary, lasting): (Vec<Value>, Vec<Value>) = infos
        .filter(|info| info["local"].is_string())
        .partition(|info| info["temporary"] == true);
    let texts = |all: Vec<Value>| {
        let texts = all.iter().filter_map(|info| info["local"].as_str());
        texts.map(str::to_owned).collect()
    };
    (texts(lasting), texts(temporary))
}

/// What a connection to somebody far away begins with.
fn begins_with() -> Option<String> {
    let socket = UdpSocket::bind("[::]:0").unwrap();
    socket.connect((FAR, 9)).ok()?;
    Some(socket.local_addr().unwrap().ip().to_string())
}

#[test]
fn temporary_addresses_are_there_and_used_as_the_profile_says() {
    isolated(
        "links::advertised::temporary_addresses_are_there_and_used_as_the_profile_says",
        || {
            let dir = folder();
            let _router = router(&dir);
            let office = office(dir);
            profile(&office, "preferred");
            let _linnetd = office.linnetd(LINNETD, &[]);
            until("there is a lasting address and a temporary one", || {
                let (lasting, temporary) = kinds();
                lasting.len() == 1 && temporary.len() == 1
            });
            let there = kinds();
            until("the way is there", || begins_with().is_some());
            // Longer than any of it is good for, unless the router says so again.
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_secs(u64::from(VALID) + 2) {
                assert_eq!(kinds(), there);
                assert_eq!(begins_with().as_ref(), there.1.first());
                thread::sleep(Duration::from_millis(100));
            }

            reprofile(&office, "available");
            until("whoever does not ask for it does not have it", || {
                begins_with().as_ref() == there.0.first()
            });
            assert_eq!(kinds(), there);
            reprofile(&office, "off");
            until("the lasting one is alone", || {
                kinds() == (there.0.clone(), Vec::new())
            });
        },
    );
}

#[test]
fn who_passes_packets_on_takes_the_ways_that_a_router_tells() {
    isolated(
        "links::advertised::who_passes_packets_on_takes_the_ways_that_a_router_tells",
        || {
            let dir = folder();
            let _router = router(&dir);
            // Kernels that cannot do so link by link are told as docs/links.md says.
            shell(
                "[ -e /proc/sys/net/ipv6/conf/all/force_forwarding ] || sysctl -qw net.ipv6.conf.all.forwarding=1
                 ip netns add behind && ip link add net1 type veth peer name b0 netns behind && ip -n behind link set b0 up && \
                 ip -n behind addr add 2001:db8:b::2/64 dev b0 nodad && ip -n behind route add default via 2001:db8:b::1 && \
                 ip -n r1 route add 2001:db8:b::/64 via fe80::ff:fe00:10 dev r0",
            );
            let office = office(dir);
            let own = "match = { name = \"net0\" }\nra = true\nforwarding = true\n";
            office.configure("profiles/net.toml", own);
            office.configure(
                "profiles/behind.toml",
                "match = { name = \"net1\" }\naddresses = [\"2001:db8:b::1/64\"]\nforwarding = true\n",
            );
            let _linnetd = office.linnetd(LINNETD, &[]);
            for to in ["2001:db8:ff::/48", "default"] {
                until("the way is there", || {
                    let routes = shell(&format!("ip -6 route show {to}"));
                    routes.contains("via fe80::1 dev net0 proto 112")
                });
            }
            until("it is taken for others too", || {
                let line = format!(
                    "ip netns exec behind busybox ping -6 -q -c1 -W1 {FAR} >/dev/null && echo yes; true"
                );
                shell(&line).contains("yes")
            });
        },
    );
}
