//! What somebody undoes by hand, is it there again? Switches by themselves where the kernel tells of them, the rest and the ports of links
//! that were made when it is asked for.

use std::fs;
use std::net::UdpSocket;

use tests::namespace::{isolated, shell};
use tests::peer::until;

use super::{ANY_NETWORK, LINNET, LINNETD, Network, default_link, folder, office};

fn switch(path: &str) -> i32 {
    let text = fs::read_to_string(format!("/proc/sys/net/{path}")).unwrap();
    text.trim().parse().unwrap()
}

#[test]
fn switches_are_set_again_that_somebody_has_set_otherwise() {
    isolated(
        "links::undone::switches_are_set_again_that_somebody_has_set_otherwise",
        || {
            shell("ip link add net0 type veth peer name far0 && ip link set far0 up");
            let office = office(folder());
            office.configure(
                "profiles/server.toml",
                "match = { name = \"net0\" }\naddresses = [\"192.0.2.10/24\", \"2001:db8::10/64\"]\nra = true\nforwarding = true\n",
            );
            let _linnetd = office.linnetd(LINNETD, &[]);
            let forwards = || switch("ipv4/conf/net0/forwarding") == 1;
            let listens = || switch("ipv6/conf/net0/accept_ra");
            let has_address = || shell("ip -6 addr show net0").contains("2001:db8::10/64");
            until("all is set", || {
                forwards() && listens() == 0 && has_address()
            });
            // The kernel tells of these.
            shell("sysctl -qw net.ipv4.conf.net0.forwarding=0");
            until("it forwards again", forwards);
            shell("sysctl -qw net.ipv4.ip_forward=1 && sysctl -qw net.ipv4.ip_forward=0");
            until(
                "it forwards again whatever the whole machine does",
                forwards,
            );
            // Of this one that the link's own address goes.
            until("the link has an address of its own", || {
                let own = shell("ip -6 addr show net0 scope link");
                own.contains("fe80:") && !own.contains("tentative")
            });
            shell("sysctl -qw net.ipv6.conf.net0.disable_ipv6=1");
            until("there is IPv6 again, and the address", || {
                switch("ipv6/conf/net0/disable_ipv6") == 0 && has_address()
            });
            // Of this one it tells nothing.
            for command in [["up", "net0"], ["config", "reload"]] {
                shell("sysctl -qw net.ipv6.conf.net0.accept_ra=2");
                let (code, text) = office.linnet(LINNET, &command);
                assert_eq!(code, 0, "{text}");
                until("the kernel listens to no router", || listens() == 0);
            }
            let (_, status) = office.linnet(LINNET, &["status"]);
            assert!(!status.contains("! ipv"), "{status}");
        },
    );
}

#[test]
fn a_port_that_somebody_has_taken_out_is_told_and_comes_back_when_asked_for() {
    isolated(
        "links::undone::a_port_that_somebody_has_taken_out_is_told_and_comes_back_when_asked_for",
        || {
            shell("ip link add net0 type veth peer name far0 && ip link set far0 up");
            let office = office(folder());
            office.configure(
                "profiles/br.toml",
                "[link]\nname = \"br0\"\nkind = \"bridge\"\nports = [\"net0\", \"nosuch\"]\nstp = false\n",
            );
            let _linnetd = office.linnetd(LINNETD, &[]);
            let is_port = || shell("ip -o link show master br0").contains("net0");
            let status = || office.linnet(LINNET, &["status"]).1;
            until("the port is in", is_port);
            until("the other one is told", || {
                status().contains("br0 is without its port nosuch")
            });
            for command in [["up", "br0"], ["config", "reload"]] {
                shell("ip link set net0 nomaster && ip link set br0 type bridge stp_state 1");
                until("it is told", || {
                    status().contains("net0 is no port of br0 any more")
                });
                assert!(!is_port(), "nobody is fought");
                let (code, text) = office.linnet(LINNET, &command);
                assert_eq!(code, 0, "{text}");
                until("it is in again, and up", || {
                    is_port() && shell("ip -o link show net0").contains(",UP")
                });
                until("nothing is told of it", || !status().contains("any more"));
                until("the bridge is as its profile says", || {
                    shell("ip -d link show br0").contains("stp_state 0")
                });
            }
        },
    );
}

#[test]
fn a_router_that_says_that_it_is_none_is_used_no_more() {
    isolated(
        "links::undone::a_router_that_says_that_it_is_none_is_used_no_more",
        || {
            let dir = folder();
            let mut cafe =
                Network::raise(&dir, "cafe", "net0", "192.0.2", "2001:db8:a", "192.0.2.80");
            let office = office(dir);
            office.configure("profiles/any.toml", ANY_NETWORK);
            let _linnetd = office.linnetd(LINNETD, &[]);
            cafe.plug("up");
            let is_default = || default_link("-6").as_deref() == Some("net0");
            until("the router is used", is_default);
            // Nobody advertises any more, and who is asked for says that it is a host.
            cafe.router.signal(libc::SIGKILL);
            cafe.router.wait();
            shell("ip netns exec cafe sysctl -qw net.ipv6.conf.all.forwarding=0");
            shell("sysctl -qw net.ipv6.neigh.net0.delay_first_probe_time=1");
            until("the router is used no more", || {
                // Whatever goes by it has the kernel ask whether it is there.
                let socket = UdpSocket::bind("[::]:0").unwrap();
                let _sent = socket.send_to(b"x", "[2001:db8:ee::1]:9");
                !is_default()
            });
            assert!(
                shell("ip -6 addr show net0").contains("2001:db8:a:"),
                "what it said of the link holds"
            );
        },
    );
}
