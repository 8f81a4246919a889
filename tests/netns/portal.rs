//! Does linnetd know whether there is an Internet behind a link? A hotel that wants a login, a cable whose network dies, and silence
//! where it is switched off. With dnsmasq, unbound, nsd, knot and a portal of RFC 8908 as other people's.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::dnsmasq::Dnsmasq;
use tests::lab::Lab;
use tests::namespace::{isolated, shell};
use tests::office::{self, OFFICE, Office, dig, until_answers};
use tests::peer::{Peer, Tap, occurrences, until};

use crate::dnssec::clock;
use crate::{LINNET, LINNETD, json};

/// The resolver of the hotel, in the home namespace.
const RESOLVER: &str = "192.0.2.50";
/// The hotel's portal, where every name leads before the login.
const PORTAL: &str = "192.0.2.51";
/// How long a silent network keeps the default route at most: three rounds of 2.5 s, two pauses of a second, and the question that
/// finds out.
const FALLS_WITHIN: Duration = Duration::from_secs(16);

/// What answers for the portal: a certificate of the hotel's own authority, and what RFC 8908 says. Who is asked for what is logged.
const SERVER: &str = r#"
import http.server, json, os, ssl, sys
class Portal(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        print("GET", self.path, self.headers.get("Accept"), flush=True)
        said = {"captive": not os.path.exists(sys.argv[1]), "user-portal-url": "https://portal.hotel.test/login"}
        if not said["captive"]:
            said["seconds-remaining"] = 3600
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/captive+json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *arguments):
        pass
server = http.server.ThreadingHTTPServer(("192.0.2.51", 443), Portal)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/run/story/portal.pem", "/run/story/portal.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
print("serves", flush=True)
server.serve_forever()
"#;

/// A network that gives addresses to whoever comes, with these options besides.
fn dhcp(dir: &Path, namespace: &str, link: &str, network: &str, options: &str) -> Peer {
    let peer = Dnsmasq::leasing(
        link,
        &format!("{network}.100,{network}.150,255.255.255.0,600"),
        &dir.join(format!("{namespace}.leases")),
        &format!("port=0 log-dhcp bind-interfaces {options}"),
    )
    .start(dir, &format!("{namespace}-dhcp"), Some(namespace));
    until("somebody gives addresses", || {
        peer.log()
            .contains("sockets bound exclusively to interface")
    });
    peer
}

/// A resolver that forwards, or that has one address for every name.
fn resolver(dir: &Path, name: &str, namespace: &str, address: &str, how: &str) -> Peer {
    let peer = Dnsmasq::new(&format!(
        "bind-interfaces log-queries cache-size=0 listen-address={address} {how}"
    ))
    .start(dir, name, Some(namespace));
    until_answers(Some(namespace), address, "www.nsec.test");
    peer
}

/// The hotel: links, a signed Internet behind them, and a portal before it.
struct Hotel {
    dir: PathBuf,
    _lab: Lab,
    _dhcp: Peer,
    portal: Peer,
    resolver: Option<Peer>,
}

impl Hotel {
    fn raise() -> Self {
        let dir = office::links();
        let lab = Lab::raise(&dir);
        // The laptop comes without an address.
        shell("ip route flush default; ip addr flush dev home0");
        shell(&format!(
            "ip -n home addr add {RESOLVER}/24 dev p0 && ip -n home addr add {PORTAL}/24 dev p0"
        ));
        shell(
            "cd /run/story && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -keyout ca.key -out ca.pem \
             -subj '/CN=the hotel' -addext basicConstraints=critical,CA:TRUE 2>/dev/null && \
             openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout portal.key -out portal.csr -subj '/CN=portal' 2>/dev/null && \
             printf 'subjectAltName=DNS:portal.hotel.test\\nbasicConstraints=CA:FALSE\\n' >portal.ext && \
             openssl x509 -req -in portal.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile portal.ext -out portal.pem 2>/dev/null",
        );
        fs::write(dir.join("portal.py"), SERVER).unwrap();
        let script = ["python3", "/run/story/portal.py", "/run/story/logged-in"];
        let portal = Peer::start(&dir, "portal", Some("home"), &script);
        until("the portal serves", || portal.log().contains("serves"));
        let options = format!(
            "dhcp-option=option:router,192.0.2.53\ndhcp-option=option:dns-server,{RESOLVER}\n\
             dhcp-option=114,https://portal.hotel.test/api\n"
        );
        let dhcp = dhcp(&dir, "home", "p0", "192.0.2", &options);
        let forging = format!("address=/#/{PORTAL}");
        let resolver = resolver(&dir, "forging", "home", RESOLVER, &forging);
        Self {
            dir,
            _lab: lab,
            _dhcp: dhcp,
            portal,
            resolver: Some(resolver),
        }
    }

    /// Opens the door: names are answered as they are.
    fn log_in(&mut self) {
        self.resolver = None;
        let honest = resolver(
            &self.dir,
            "honest",
            "home",
            RESOLVER,
            &format!("server={}", tests::lab::UPSTREAM),
        );
        self.resolver = Some(honest);
        fs::write(self.dir.join("logged-in"), "").unwrap();
    }

    fn office(&self, more: &str) -> Office {
        let office = Office::bare(self.dir.clone());
        let main = format!(
            "[resolver]\ntrust-anchors = \"{}\"\nrecursion = \"never\"\ntls-roots = \"/run/story/ca.pem\"\n{more}",
            self._lab.anchor.display()
        );
        office.configure("linnet.toml", &main);
        office.configure(
            "profiles/home.toml",
            "match = { name = \"home*\" }\ndhcp4 = true\n",
        );
        office
    }
}

fn link(office: &Office, name: &str) -> Value {
    let status = json(office, &["status"]);
    let links = status["links"]
        .as_array()
        .or_else(|| status["status"]["links"].as_array());
    let links = links.unwrap_or_else(|| panic!("{status}")).clone();
    links.into_iter().find(|link| link["name"] == name).unwrap()
}

fn reach(office: &Office, name: &str) -> String {
    let link = link(office, name);
    let reach = link["reach"].as_array();
    let first = reach.and_then(|reach| reach.first());
    first.map_or_else(String::new, |reach| {
        reach["reach"].as_str().unwrap().to_owned()
    })
}

fn default_link() -> Option<String> {
    let routes: Value = serde_json::from_str(&shell("ip -j -4 route show default")).unwrap();
    let best = routes
        .as_array()?
        .iter()
        .min_by_key(|route| route["metric"].as_u64().unwrap_or(0))?;
    best["dev"].as_str().map(str::to_owned)
}

#[test]
fn a_hotel_lets_its_portal_through_and_nothing_that_it_forges() {
    isolated(
        "portal::a_hotel_lets_its_portal_through_and_nothing_that_it_forges",
        || {
            let mut hotel = Hotel::raise();
            let office = hotel.office("");
            office.configure("profiles/office.toml", OFFICE);
            let _knot = office::knot(&hotel.dir, "vpn", "10.8.0.1");
            let tap = Tap::start(&hotel.dir, "home0");
            let _linnetd = office.linnetd(LINNETD, &["--clock", &clock()]);
            let begun = Instant::now();
            until("the portal is known", || {
                link(&office, "home0")["portal"]["captive"] == true
            });
            tests::say(&format!(
                "from the start to the portal: {:?}",
                begun.elapsed()
            ));
            assert_eq!(reach(&office, "home0"), "portal");
            let told = link(&office, "home0");
            assert_eq!(told["portal"]["url"], "https://portal.hotel.test/login");
            assert!(
                hotel
                    .portal
                    .log()
                    .contains("GET /api application/captive+json")
            );
            let (_, text) = office.linnet(LINNET, &["status"]);
            let line = "home0 leads to a portal: log in at https://portal.hotel.test/login";
            assert!(text.contains(line), "{text}");

            // The page is found, plain and each time anew.
            for _ in 0..2 {
                assert_eq!(dig("+short portal.hotel.test").trim(), PORTAL);
            }
            let (_, text) = office.linnet(LINNET, &["explain", "portal.hotel.test"]);
            assert!(text.contains("portal's own name"), "{text}");
            // What is signed is refused rather than forged, in time and with the reason.
            let asked = Instant::now();
            let answer = dig("www.nsec.test");
            assert!(asked.elapsed() < Duration::from_millis(4500), "{answer}");
            assert!(
                answer.contains("SERVFAIL") && !answer.contains(PORTAL),
                "{answer}"
            );
            assert!(
                answer.contains("log in at https://portal.hotel.test/login"),
                "{answer}"
            );
            // And what the office claims goes to the office.
            assert_eq!(dig("+short git.corp.test").trim(), "10.8.0.80");

            hotel.log_in();
            let logged_in = Instant::now();
            until("the link works", || reach(&office, "home0") == "validated");
            let took = logged_in.elapsed();
            tests::say(&format!("from the login to a link that works: {took:?}"));
            assert!(took < Duration::from_millis(1500), "{took:?}");
            let answer = dig("www.nsec.test");
            assert!(
                answer.contains("192.0.2.80") && answer.contains(" ad"),
                "{answer}"
            );
            let answer = dig("portal.hotel.test");
            assert!(
                answer.contains("NXDOMAIN"),
                "nothing forged is left: {answer}"
            );
            assert_eq!(dig("+short git.corp.test").trim(), "10.8.0.80");
            // It is left alone from here on.
            let before = hotel.portal.log().len();
            thread::sleep(Duration::from_secs(3));
            assert_eq!(hotel.portal.log().len(), before);
            let packets = tap.stop();
            assert_eq!(
                occurrences(&packets, "corp.test"),
                0,
                "a claimed name left by home0"
            );
            assert!(occurrences(&packets, "portal.hotel.test") > 0);
        },
    );
}

#[test]
fn a_cable_whose_network_dies_gives_way_and_takes_back() {
    isolated(
        "portal::a_cable_whose_network_dies_gives_way_and_takes_back",
        || {
            let mut hotel = Hotel::raise();
            hotel.log_in();
            // A second network, with a way of its own to the same Internet.
            shell(
                "ip netns add cafe && ip -n cafe link set lo up && ip link add net1 type veth peer name r0 netns cafe && \
             ip -n cafe addr add 198.51.100.1/24 dev r0 && ip -n cafe link set r0 up && \
             ip link add x0 netns cafe type veth peer name x1 netns home && \
             ip -n cafe addr add 203.0.113.1/24 dev x0 && ip -n cafe link set x0 up && \
             ip -n home addr add 203.0.113.2/24 dev x1 && ip -n home link set x1 up && \
             ip -n cafe route add 192.0.2.0/24 via 203.0.113.2",
            );
            let forwards = format!("server={}", tests::lab::UPSTREAM);
            let _resolver = resolver(&hotel.dir, "cafe", "cafe", "198.51.100.1", &forwards);
            let options = "dhcp-option=option:router,198.51.100.1\ndhcp-option=option:dns-server,198.51.100.1\n";
            let _dhcp = dhcp(&hotel.dir, "cafe", "r0", "198.51.100", options);
            let office = hotel.office("");
            let wifi = "match = { name = \"net*\" }\ndhcp4 = true\nmetric = 600\n";
            office.configure("profiles/wifi.toml", wifi);
            let _linnetd = office.linnetd(LINNETD, &["--clock", &clock()]);
            until("both links work", || {
                ["home0", "net1"]
                    .iter()
                    .all(|name| reach(&office, name) == "validated")
            });
            assert_eq!(default_link().as_deref(), Some("home0"));
            let scope = |office: &Office| {
                let status = json(office, &["status"]);
                status["default_scope"]
                    .as_str()
                    .or_else(|| status["status"]["default_scope"].as_str())
                    .map(str::to_owned)
            };
            assert_eq!(scope(&office).as_deref(), Some("supplied@home0"));

            let resolver = hotel.resolver.as_ref().unwrap();
            // A moment of silence moves nothing.
            resolver.signal(libc::SIGSTOP);
            dig("+time=1 moment.nsec.test");
            thread::sleep(Duration::from_secs(2));
            resolver.signal(libc::SIGCONT);
            thread::sleep(Duration::from_secs(5));
            assert_eq!(default_link().as_deref(), Some("home0"));
            assert_eq!(reach(&office, "home0"), "validated");

            // Silence that lasts does: route and names move together.
            thread::sleep(Duration::from_secs(25));
            resolver.signal(libc::SIGSTOP);
            let silent = Instant::now();
            let mut turn = 0;
            while default_link().as_deref() != Some("net1") {
                turn += 1;
                dig(&format!("+time=1 n{turn}.nsec.test"));
                assert!(
                    silent.elapsed() < FALLS_WITHIN,
                    "{}",
                    link(&office, "home0")
                );
            }
            let took = silent.elapsed();
            tests::say(&format!("from silence to the other link: {took:?}"));
            assert!(took > Duration::from_secs(4), "too eager: {took:?}");
            assert_eq!(scope(&office).as_deref(), Some("supplied@net1"));
            let answer = dig("www.nsec.test");
            assert!(answer.contains("192.0.2.80"), "{answer}");
            let told = link(&office, "home0");
            assert_eq!(told["reach"][0]["reach"], "nowhere", "{told}");

            resolver.signal(libc::SIGCONT);
            let back = Instant::now();
            while default_link().as_deref() != Some("home0") {
                thread::sleep(Duration::from_millis(20));
                assert!(
                    back.elapsed() < Duration::from_secs(30),
                    "{}",
                    link(&office, "home0")
                );
            }
            tests::say(&format!(
                "from its first word to the link: {:?}",
                back.elapsed()
            ));
            until("names have moved too", || {
                scope(&office).as_deref() == Some("supplied@home0")
            });
        },
    );
}

#[test]
fn nothing_is_asked_where_that_is_switched_off() {
    isolated(
        "portal::nothing_is_asked_where_that_is_switched_off",
        || {
            let hotel = Hotel::raise();
            let more = "dnssec = \"enforce\"\nmdns = \"off\"\n[connectivity]\ncheck = \"never\"\n";
            let office = hotel.office(more);
            let forged = hotel.resolver.as_ref().unwrap();
            let before = forged.log().len();
            let tap = Tap::start(&hotel.dir, "home0");
            let mut linnetd = office.linnetd(LINNETD, &[]);
            until("there is a lease", || {
                default_link().as_deref() == Some("home0")
            });
            thread::sleep(Duration::from_secs(5));
            assert!(linnetd.runs());
            assert_eq!(forged.log().len(), before, "{}", forged.log());
            assert!(
                !hotel.portal.log().contains("GET"),
                "{}",
                hotel.portal.log()
            );
            let packets = tap.stop();
            assert_eq!(occurrences(&packets, "portal.hotel.test"), 0);
            assert_eq!(reach(&office, "home0"), "");
            let (_, text) = office.linnet(LINNET, &["status"]);
            let line = "a portal is announced at https://portal.hotel.test/api, and is not asked";
            assert!(text.contains(line), "{text}");
        },
    );
}
