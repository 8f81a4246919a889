//! Can everything that linnet does by itself be switched off? One story for each switch: off nothing happens, on it does.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use tests::namespace::{isolated, shell};
use tests::peer::{Peer, until};

use super::{
    ANY_NETWORK, LINNET, LINNETD, Network, addresses, default_link, folder, office, until_answer,
};

/// The profile that comes with the package.
const SHIPPED: &str = include_str!("../../../dist/profiles/zz-wired.toml");

/// Waits longer than it takes where the switch is on: nothing tells of what is not done.
fn wait(millis: u64) {
    thread::sleep(Duration::from_millis(millis));
}

#[test]
fn changed_files_are_read_by_themselves_only_where_that_is_switched_on() {
    isolated(
        "links::switches::changed_files_are_read_by_themselves_only_where_that_is_switched_on",
        || {
            shell("ip link add net0 type veth peer name far0");
            let office = office(folder());
            let main = "[resolver]\ndnssec = \"off\"\nrecursion = \"never\"\n";
            let address = |last: u8| {
                let text =
                    format!("match = {{ name = \"net0\" }}\naddresses = [\"192.0.2.{last}/24\"]\n");
                office.configure("profiles/server.toml", &text);
            };
            let has = |last: u8| addresses("net0") == [format!("192.0.2.{last}")];
            let reload = || {
                let (code, text) = office.linnet(LINNET, &["config", "reload"]);
                assert_eq!(code, 0, "{text}");
            };
            address(1);
            let _linnetd = office.linnetd(LINNETD, &[]);
            until("the address is there", || has(1));
            // Off, which is the default: only when it is told.
            address(2);
            wait(800);
            assert!(has(1), "{:?}", addresses("net0"));
            reload();
            until("the address is another one", || has(2));

            office.configure("linnet.toml", &format!("autoload = true\n{main}"));
            reload();
            address(3);
            until("the file is read by itself", || has(3));
            // As editors write: beside it, and renamed over it.
            let path = office.dir().join("etc/profiles/server.toml");
            let text = fs::read_to_string(&path).unwrap().replace("2.3/", "2.4/");
            fs::write(path.with_extension("toml~"), text).unwrap();
            fs::rename(path.with_extension("toml~"), &path).unwrap();
            until("the file that took its place is read", || has(4));
            // A folder that was not there.
            office.configure("conf.d/10-off.toml", "[links]\nmanage = \"none\"\n");
            until("a new folder is seen", || {
                let (_, text) = office.linnet(LINNET, &["plan"]);
                !text.contains("192.0.2.4")
            });
            fs::remove_dir_all(office.dir().join("etc/conf.d")).unwrap();
            until("one that is gone, too", || has(4));
            // A mistake is told, and costs nothing.
            office.configure(
                "profiles/server.toml",
                "match = { name = \"net0\" }\naddresses = [\"192.0.2\"]\n",
            );
            until("the mistake is told", || {
                let (_, text) = office.linnet(LINNET, &["status"]);
                text.contains("server.toml")
            });
            assert!(has(4));
            office.configure("linnet.toml", main);
            wait(800);
            address(5);
            wait(800);
            assert!(has(4), "it is switched off: {:?}", addresses("net0"));
        },
    );
}

#[test]
fn links_set_themselves_up_by_a_shipped_file_that_an_empty_one_takes_away() {
    isolated(
        "links::switches::links_set_themselves_up_by_a_shipped_file_that_an_empty_one_takes_away",
        || {
            let dir = folder();
            let cafe = Network::cafe(&dir, "net0");
            let office = office(dir.clone());
            // Directories of vendor and administrator, as on a machine; no cable is plugged into these links, so that
            // their kind is another one.
            let over = "d=/run/story/over; mkdir -p $d/lib $d/libw $d/etc $d/etcw && \
                mount -t overlay overlay -o lowerdir=/usr/lib,upperdir=$d/lib,workdir=$d/libw /usr/lib && \
                mount -t overlay overlay -o lowerdir=/etc,upperdir=$d/etc,workdir=$d/etcw /etc && \
                mkdir -p /usr/lib/linnet/profiles /etc/linnet/profiles && echo whole || echo none";
            if !shell(over).contains("whole") {
                return tests::skip(
                    "links_set_themselves_up_by_a_shipped_file_that_an_empty_one_takes_away",
                    "no overlay file system",
                );
            }
            let main = "[resolver]\ndnssec = \"off\"\nrecursion = \"never\"\n";
            fs::write("/etc/linnet/linnet.toml", main).unwrap();
            let (run, state) = (office.path("run"), office.path("state"));
            let command = [LINNETD, "--runtime-dir", &run, "--state-dir", &state];
            let _linnetd = Peer::start(&dir, "linnetd", None, &command);
            let reload = || {
                until("it is told", || {
                    let (code, _) = office.linnet(LINNET, &["config", "reload"]);
                    code == 0
                });
            };
            let has_lease = || {
                addresses("net0")
                    .iter()
                    .any(|it| it.starts_with("192.0.2."))
            };
            reload();
            cafe.plug("up");
            shell("ip link set net0 up");
            // Nothing in the code makes a profile.
            wait(1500);
            assert!(!has_lease() && !cafe.heard("dhcpdiscover"));
            assert!(SHIPPED.contains("kind = \"ethernet\""));
            let shipped = SHIPPED.replace("\"ethernet\"", "\"veth\"");
            fs::write("/usr/lib/linnet/profiles/zz-wired.toml", shipped).unwrap();
            reload();
            until("the link is set up", has_lease);
            fs::write("/etc/linnet/profiles/zz-wired.toml", "").unwrap();
            reload();
            until("it is let go", || !has_lease());
            // One of the administrator's own comes first, whatever it is called.
            fs::remove_file("/etc/linnet/profiles/zz-wired.toml").unwrap();
            fs::write(
                "/etc/linnet/profiles/server.toml",
                "match = { name = \"net0\" }\naddresses = [\"203.0.113.1/24\"]\n",
            )
            .unwrap();
            reload();
            until("the administrator's profile holds", || {
                addresses("net0").iter().any(|it| it == "203.0.113.1")
            });
            wait(300);
            assert!(!has_lease());
        },
    );
}

#[test]
fn default_routes_are_nobodys_where_they_are_switched_off() {
    isolated(
        "links::switches::default_routes_are_nobodys_where_they_are_switched_off",
        || {
            let dir = folder();
            let cafe = Network::cafe(&dir, "net0");
            let office = office(dir);
            let main = |links: &str| {
                let text = format!("[resolver]\ndnssec = \"off\"\nrecursion = \"never\"\n{links}");
                office.configure("linnet.toml", &text);
            };
            let has_default = || ["-4", "-6"].map(|family| default_link(family).is_some());
            let reload = || {
                let (code, text) = office.linnet(LINNET, &["config", "reload"]);
                assert_eq!(code, 0, "{text}");
            };
            main("[links]\ndefault-route = false\n");
            office.configure("profiles/any.toml", ANY_NETWORK);
            let _linnetd = office.linnetd(LINNETD, &[]);
            cafe.plug("up");
            // Names are asked all the same.
            until_answer(cafe.answer, "off");
            until("all addresses are there", || addresses("net0").len() >= 2);
            wait(300);
            assert_eq!(has_default(), [false; 2]);
            shell("ip route add default via 192.0.2.1 metric 7");
            main("");
            reload();
            until("both default routes are there", || {
                has_default() == [true; 2]
            });
            // For one link alone; that of somebody else stays.
            let never = format!("{ANY_NETWORK}default-route = \"never\"\n");
            office.configure("profiles/any.toml", &never);
            reload();
            until("ours are gone", || {
                shell("ip -6 route show default").is_empty()
                    && shell("ip route show default")
                        == "default via 192.0.2.1 dev net0 metric 7 \n"
            });
        },
    );
}

#[test]
fn nothing_at_all_is_written_where_links_are_not_managed() {
    isolated(
        "links::switches::nothing_at_all_is_written_where_links_are_not_managed",
        || {
            let dir = folder();
            let cafe = Network::cafe(&dir, "net0");
            let office = office(dir.clone());
            office.configure(
                "linnet.toml",
                "[resolver]\ndnssec = \"off\"\nrecursion = \"never\"\n[links]\nmanage = \"none\"\n",
            );
            office.configure("profiles/any.toml", ANY_NETWORK);
            shell("ip link set net0 up && ip addr add 192.0.2.77/24 dev net0");
            cafe.plug("up");
            wait(2200);
            let monitor = Peer::start(
                &dir,
                "monitor",
                None,
                &["ip", "monitor", "link", "address", "route", "rule"],
            );
            wait(100);
            let accept_ra =
                || fs::read_to_string("/proc/sys/net/ipv6/conf/net0/accept_ra").unwrap();
            let before = accept_ra();
            let linnetd = office.linnetd(LINNETD, &[]);
            wait(1200);
            let log = monitor.log();
            assert!(
                !log.contains("inet 192") && !log.contains("proto 112"),
                "{log}"
            );
            assert!(!cafe.heard("dhcpdiscover"));
            assert_eq!(accept_ra(), before);
            // It could not if it wanted to.
            let status = Path::new("/proc")
                .join(linnetd.pid().to_string())
                .join("status");
            let status = fs::read_to_string(status).unwrap();
            let effective = status
                .lines()
                .find(|line| line.starts_with("CapEff"))
                .unwrap();
            let bits =
                u64::from_str_radix(effective.split_whitespace().nth(1).unwrap(), 16).unwrap();
            let net_admin = 1 << 12;
            assert!(
                bits & net_admin == 0 || !tests::namespace::has_other_users(),
                "{effective}"
            );
        },
    );
}
