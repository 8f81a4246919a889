//! Does a host with an address of a BOOTP server live as with any other? bootpd, as it stands in laboratories and old factories.

use super::*;

const PROFILE: &str = "match = { name = \"net0\" }\ndhcp4 = true\n[dhcp]\nbootp = \"only\"\n";

/// What bootpd has for the one host that it knows; `tags` besides.
fn write_table(dir: &Path, tags: &str) {
    let table = format!(
        "host:ht=ethernet:ha=020000000007:ip=192.0.2.7:sm=255.255.255.0:gw=192.0.2.1:{tags}\n"
    );
    fs::write(dir.join("bootptab"), table).unwrap();
}

#[test]
fn a_host_of_bootp_has_address_route_and_names_and_hears_what_has_changed() {
    isolated(
        "links::bootp::a_host_of_bootp_has_address_route_and_names_and_hears_what_has_changed",
        || {
            let dir = folder();
            let mut cafe = Network::cafe(&dir, "net0");
            cafe.without_leases(&dir);
            shell("ip link set net0 address 02:00:00:00:00:07");
            write_table(&dir, "ds=192.0.2.1:");
            let table = dir.join("bootptab");
            let dump = dir.join("dump");
            // It will not start on a host whose name it cannot look up.
            let command = format!(
                "hostname localhost && exec bootpd -s -d 4 -c {} {} {}",
                dir.display(),
                table.display(),
                dump.display()
            );
            let command = ["unshare", "--uts", "sh", "-c", &command];
            let bootpd = Peer::start(&dir, "bootpd", Some(cafe.name), &command);
            until("bootpd has read its table", || {
                bootpd.log().contains("1 hosts")
            });
            let office = office(dir.clone());
            office.configure("profiles/net.toml", PROFILE);
            let mut linnetd = office.linnetd(LINNETD, &[]);
            cafe.plug("up");
            until_answer(cafe.answer, "one");
            assert_eq!(
                (addresses("net0"), default_link("-4")),
                (vec!["192.0.2.7".to_owned()], Some("net0".to_owned()))
            );
            let (_, text) = office.linnet(LINNET, &["status"]);
            assert!(text.contains("BOUND by 192.0.2.1 (BOOTP)"), "{text}");

            // What is without end outlives linnetd, and nothing of it is written again.
            let words = Words::from_now(&office, "-4 monitor address route");
            linnetd.signal(libc::SIGKILL);
            linnetd.wait();
            let _linnetd = office.linnetd(LINNETD, &[]);
            until_answer(cafe.answer, "two");
            assert_eq!(words.when_all_is_written(), words::NOTHING);

            write_table(&dir, "ds=192.0.2.1:dn=lab.test:");
            // It looks at the second.
            shell("touch -d '1 minute' /run/story/bootptab");
            let (code, text) = office.linnet(LINNET, &["renew", "net0"]);
            assert_eq!(code, 0, "{text}");
            until("the search suffix is there", || {
                link_status(&office, "net0")["supplies"]
                    .to_string()
                    .contains("lab.test")
            });
            assert_eq!(addresses("net0"), ["192.0.2.7"]);
            assert!(!bootpd.log().contains("DHCP"), "{}", bootpd.log());
        },
    );
}
