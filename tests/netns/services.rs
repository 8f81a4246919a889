//! Does avahi see the services that linnet announces, and does linnet see them too? Both sides of a wire, avahi with its own bus.

use std::fs;
use std::path::Path;

use tests::namespace::{isolated, shell};
use tests::office::{Office, dig};
use tests::peer::{Peer, until};

use crate::neighbours::{PRINTER, avahi, begin};
use crate::{LINNET, LINNETD, json};

const BUS: &str = "unix:path=/run/story/bus";

const SERVICES: &str = r#"
[[services]]
name = "Paper Mill"
type = "_ipp._tcp"
port = 631
text = ["pages=many", "Color"]
subtypes = ["_universal"]

[[services]]
type = "_ssh._tcp"
port = 22
profiles = ["lan"]

[[services]]
type = "_smb._tcp"
port = 445
profiles = ["elsewhere"]
"#;

/// Starts a bus of the story's own, so that programs of avahi's can ask its daemon.
fn bus(dir: &Path) -> Peer {
    let config = dir.join("bus.conf");
    fs::write(
        &config,
        format!(
            "<busconfig><type>system</type><listen>{BUS}</listen><auth>EXTERNAL</auth><policy context=\"default\">\
             <allow user=\"*\"/><allow own=\"*\"/><allow send_destination=\"*\" eavesdrop=\"true\"/><allow eavesdrop=\"true\"/>\
             </policy></busconfig>"
        ),
    )
    .unwrap();
    let file = format!("--config-file={}", config.display());
    let peer = Peer::start(dir, "bus", None, &["dbus-daemon", "--nofork", &file]);
    until("the bus is there", || dir.join("bus").exists());
    peer
}

/// Asks the avahi of the other side; returns what avahi-browse prints.
fn browse(what: &str) -> String {
    shell(&format!(
        "ip netns exec n1 env DBUS_SYSTEM_BUS_ADDRESS={BUS} timeout 8 avahi-browse -krpt {what} 2>&1 || true"
    ))
}

fn services(office: &Office, services: &str) {
    let resolver = "[resolver]\ndnssec = \"off\"\nhosts = false\n";
    office.configure("linnet.toml", &format!("{resolver}{services}"));
}

fn announced(office: &Office) -> Vec<String> {
    let status = json(office, &["status"]);
    let services = status["multicast"][0]["services"].as_array();
    let texts = services.into_iter().flatten();
    texts
        .filter_map(|text| text.as_str().map(str::to_owned))
        .collect()
}

#[test]
fn avahi_sees_our_services_and_hears_of_their_end() {
    isolated(
        "services::avahi_sees_our_services_and_hears_of_their_end",
        || {
            let office = begin("respond", 1);
            services(&office, SERVICES);
            let _bus = bus(office.dir());
            let _avahi = avahi(office.dir(), Some("n1"), "watcher", "", Some(BUS));
            let linnetd = office.linnetd(LINNETD, &[]);
            until("all are announced", || {
                announced(&office)
                    == [
                        "announces Paper Mill (_ipp._tcp)",
                        "announces sandbox (_ssh._tcp)",
                    ]
            });
            let found = browse("_ipp._tcp");
            assert!(
                found.contains(r"Paper\032Mill;_ipp._tcp;local;sandbox.local;10.1.0.1;631;")
                    && found.contains("\"pages=many\"")
                    && found.contains("\"Color\""),
                "{found}"
            );
            assert!(found.contains(";IPv6;"), "by both families: {found}");
            let narrower = browse("_universal._sub._ipp._tcp");
            assert!(
                narrower.contains(r"=;eth0;IPv4;Paper\032Mill"),
                "{narrower}"
            );
            let all = browse("-a");
            assert!(
                all.contains(r"sandbox;_ssh._tcp;local;sandbox.local;10.1.0.1;22;")
                    && !all.contains("_smb"),
                "{all}"
            );

            // So do programs of this machine.
            let (code, seen) = office.linnet(LINNET, &["browse", "_ipp._tcp", "--seconds", "2"]);
            assert!(
                code == 0 && seen.contains("sandbox.local:631") && seen.contains("pages=many"),
                "{seen}"
            );
            let (_, types) = office.linnet(LINNET, &["browse", "--seconds", "2"]);
            assert!(types.contains("_ssh._tcp.local"), "{types}");
            let place = dig("+short 'Paper Mill._ipp._tcp.local' SRV");
            assert!(place.contains("0 0 631 sandbox.local."), "{place}");
            let (_, text) = office.linnet(LINNET, &["status"]);
            assert!(text.contains("announces Paper Mill (_ipp._tcp)"), "{text}");

            // One is withdrawn: whoever watches hears of it, without waiting for its TTL.
            let watch = "DBUS_SYSTEM_BUS_ADDRESS";
            let line = format!("exec env {watch}={BUS} avahi-browse -kpa");
            let watcher = Peer::start(office.dir(), "watcher", Some("n1"), &["sh", "-c", &line]);
            until("the watcher sees all", || {
                let log = watcher.log();
                log.contains(r"+;eth0;IPv4;Paper\032Mill") && log.contains("+;eth0;IPv4;sandbox")
            });
            services(&office, "");
            let (code, text) = office.linnet(LINNET, &["config", "reload"]);
            assert_eq!(code, 0, "{text}");
            until("they are seen to go", || {
                let log = watcher.log();
                log.contains(r"-;eth0;IPv4;Paper\032Mill") && log.contains("-;eth0;IPv4;sandbox")
            });
            assert_eq!(announced(&office), [""; 0]);
            services(&office, SERVICES);
            let (code, text) = office.linnet(LINNET, &["config", "reload"]);
            assert_eq!(code, 0, "{text}");
            until("it is back", || {
                watcher.log().matches(r"+;eth0;IPv4;Paper\032Mill").count() == 2
            });
            linnetd.signal(libc::SIGTERM);
            until("the end is heard", || {
                watcher.log().matches(r"-;eth0;IPv4;Paper\032Mill").count() == 2
            });
        },
    );
}

#[test]
fn whoever_comes_second_with_a_service_takes_a_number() {
    isolated(
        "services::whoever_comes_second_with_a_service_takes_a_number",
        || {
            let office = begin("respond", 1);
            services(&office, SERVICES);
            let _bus = bus(office.dir());
            let first = avahi(office.dir(), Some("n1"), "watcher", PRINTER, Some(BUS));
            until("avahi has its printer", || {
                browse("_ipp._tcp").contains("watcher.local")
            });
            let _linnetd = office.linnetd(LINNETD, &[]);
            until("we have another name", || {
                announced(&office).contains(&"announces Paper Mill (2) (_ipp._tcp)".to_owned())
            });
            let both = browse("_ipp._tcp");
            assert!(
                both.contains(
                    r"Paper\032Mill\032\0402\041;_ipp._tcp;local;sandbox.local;10.1.0.1;631"
                ) && both.contains(r"Paper\032Mill;_ipp._tcp;local;watcher.local"),
                "{both}"
            );
            // It goes, and comes back while we have a printer of that name.
            drop(first);
            services(&office, &SERVICES.replace("Paper Mill", "Paper Mill East"));
            let east = PRINTER.replace("Paper Mill", "Paper Mill East");
            let (code, text) = office.linnet(LINNET, &["config", "reload"]);
            assert_eq!(code, 0, "{text}");
            until("we have the name", || {
                announced(&office).contains(&"announces Paper Mill East (_ipp._tcp)".to_owned())
            });
            let _second = avahi(office.dir(), Some("n1"), "watcher", &east, Some(BUS));
            until("avahi takes another name", || {
                browse("_ipp._tcp")
                    .contains(r"Paper\032Mill\032East\032\0352;_ipp._tcp;local;watcher.local")
            });
            assert!(
                announced(&office).contains(&"announces Paper Mill East (_ipp._tcp)".to_owned()),
                "{:?}",
                announced(&office)
            );
        },
    );
}
