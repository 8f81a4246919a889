//! What if the journal of links cannot be written? The network is set up all the same, and whoever looks is told, once in the log.

use std::fs;

use tests::namespace::{isolated, shell};
use tests::peer::until;

use super::{LINNET, LINNETD, addresses, folder, office};

const CANNOT: &str = "the journal of links cannot be kept";

#[test]
fn a_full_disk_costs_no_network_and_is_told_once() {
    isolated(
        "links::full::a_full_disk_costs_no_network_and_is_told_once",
        || {
            shell("ip link add net0 type veth peer name far0 && ip link set far0 up");
            let office = office(folder());
            let state = office.dir().join("state");
            fs::create_dir_all(&state).unwrap();
            shell(&format!(
                "mount -t tmpfs -o size=64k state {}",
                state.display()
            ));
            let profile = |last: u8| {
                let text =
                    format!("match = {{ name = \"net0\" }}\naddresses = [\"10.9.0.{last}/24\"]\n");
                office.configure("profiles/net0.toml", &text);
            };
            profile(1);
            let linnetd = office.linnetd(LINNETD, &[]);
            until("the address is there", || addresses("net0") == ["10.9.0.1"]);
            let look = |command: &str| office.linnet(LINNET, &[command]).1;
            assert!(!look("status").contains("journal of links"));
            let fill = state.join("full");
            shell(&format!(
                "dd if=/dev/zero of={} bs=4k count=64 2>/dev/null || true",
                fill.display()
            ));
            for last in [2, 3] {
                profile(last);
                let (code, text) = office.linnet(LINNET, &["config", "reload"]);
                assert_eq!(code, 0, "{text}");
                until("the address is there", || {
                    addresses("net0") == [format!("10.9.0.{last}")]
                });
            }
            until("status tells", || {
                look("status").contains("journal of links: it cannot be written")
            });
            assert!(
                look("doctor").contains("make room on the disk"),
                "{}",
                look("doctor")
            );
            fs::remove_file(&fill).unwrap();
            profile(4);
            office.linnet(LINNET, &["config", "reload"]);
            until("it is kept again", || {
                let journal = fs::read_to_string(state.join("links.journal")).unwrap_or_default();
                journal.contains("10.9.0.4") && !look("status").contains("journal of links")
            });
            let log = linnetd.log();
            assert_eq!(log.matches(CANNOT).count(), 1, "{log}");
            assert!(log.contains("the journal of links is kept again"), "{log}");
        },
    );
}
