//! Does a client that is made anew, because its profile says something else of it, go on with what its predecessor had?

use super::*;

const PROFILE: &str = "match = { name = \"net*\" }\ndhcp4 = true\nra = true\ndhcp6 = true\n";

#[test]
fn clients_that_speak_otherwise_from_now_on_go_on_with_their_addresses() {
    isolated(
        "links::reload::clients_that_speak_otherwise_from_now_on_go_on_with_their_addresses",
        || {
            let dir = folder();
            let mut cafe = Network::cafe(&dir, "net0");
            cafe.router.signal(libc::SIGKILL);
            cafe.router.wait();
            let ranges = "no-ping dhcp-authoritative dhcp-range=192.0.2.100,192.0.2.150,255.255.255.0,600 \
                          dhcp-range=2001:db8:a::100,2001:db8:a::1ff,64,600";
            let leases = format!("dhcp-leasefile={}", dir.join("own.leases").display());
            let server = cafe.dnsmasq.clone().with(ranges).with(&leases);
            cafe.router = server.start(&dir, "server", Some("cafe"));
            cafe.plug("up");
            let office = office(dir);
            office.configure("profiles/net.toml", PROFILE);
            let _linnetd = office.linnetd(LINNETD, &[]);
            until("there is an address of each kind", || {
                addresses("net0").len() == 3
            });
            let before = addresses("net0");
            let words = Words::from_now(&office, "monitor address");
            let rows = [
                ("[dhcp]\nhostname = \"another\"\n", 3),
                (
                    "privacy = \"preferred\"\n[dhcp]\nhostname = \"another\"\n",
                    3,
                ),
                // Another address is made of the router's prefix.
                ("address-generation = \"eui64\"\n", 2),
            ];
            for (more, kept) in rows {
                office.configure("profiles/net.toml", &format!("{PROFILE}{more}"));
                let (code, text) = office.linnet(LINNET, &["config", "reload"]);
                assert_eq!(code, 0, "{text}");
                thread::sleep(Duration::from_secs(2));
                let told = words.so_far();
                let is_kept = |own: &&String| {
                    let (own, now) = (format!(" {own}/"), addresses("net0"));
                    let is_gone =
                        |line: &String| line.starts_with("Deleted") && line.contains(&own);
                    !told.iter().any(is_gone) && now.iter().any(|it| own == format!(" {it}/"))
                };
                let count = before.iter().filter(is_kept).count();
                assert_eq!(count, kept, "{more}: {before:?}: {told:#?}");
            }
        },
    );
}
