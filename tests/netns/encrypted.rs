//! Do encrypted upstreams work with other people's servers, and is a wrong certificate refused with its reason?
//!
//! unbound serves TLS, and HTTPS under nghttp2; kresd serves both with GnuTLS; `datagrams` has who serves QUIC and HTTP/3. Certificates
//! come from openssl, so that no library is on both sides.

use std::path::Path;

use tests::namespace::{isolated, shell};
use tests::office::{Office, dig, links, until_answers};
use tests::peer::{Peer, Tap, occurrences, until};

use crate::{LINNET, LINNETD, json};

mod datagrams;
mod offered;

/// Where the server is, in the home namespace.
const SERVER: &str = "192.0.2.53";
/// Another address of it, for a program that stands before it.
const FRONT: &str = "192.0.2.54";

/// Makes an authority and certificates with openssl; the names are those of the files.
pub(crate) fn certify(dir: &Path) {
    let sign = |name: &str, alternative: &str, dates: &str, authority: &str| {
        format!(
            "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key -out {name}.csr -subj /CN={name} 2>/dev/null\n\
             printf 'subjectAltName={alternative}\\n' > {name}.ext\n\
             : > index.txt; openssl ca -batch -config ca.conf -cert {authority}.pem -keyfile {authority}.key \
             -in {name}.csr -out {name}.pem -extfile {name}.ext {dates} -notext 2>/dev/null\n"
        )
    };
    let authority = |name: &str| {
        format!(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key -out {name}.pem -days 30 \
             -subj /CN={name} -addext basicConstraints=critical,CA:TRUE 2>/dev/null\n"
        )
    };
    let config = "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nnew_certs_dir=.\ndefault_md=sha256\npolicy=p\nunique_subject=no\n\
                  rand_serial=yes\ndefault_days=30\n[p]\ncommonName=supplied\n";
    let days = "-days 30";
    let script = [
        format!("cd {}\nprintf '{config}' > ca.conf\n", dir.display()),
        authority("authority"),
        authority("stranger"),
        sign("right", &format!("DNS:dns.example,IP:{SERVER},IP:{FRONT}"), days, "authority"),
        sign("other", "DNS:other.example", days, "authority"),
        sign("expired", "DNS:dns.example", "-startdate 20190101000000Z -enddate 20200101000000Z", "authority"),
        sign("early", "DNS:dns.example", "-startdate 20900101000000Z -enddate 20910101000000Z", "authority"),
        sign("strange", "DNS:dns.example", days, "stranger"),
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout itself.key -out itself.pem -days 30 \
         -subj /CN=itself -addext subjectAltName=DNS:dns.example 2>/dev/null\nchmod 644 *.pem *.key\n"
            .to_owned(),
    ];
    shell(&script.concat());
}

/// The pin of a certificate's key.
fn pin(dir: &Path, name: &str) -> String {
    let text = shell(&format!(
        "openssl x509 -in {}/{name}.pem -pubkey -noout | openssl pkey -pubin -outform der | \
         openssl dgst -sha256 -binary | openssl enc -base64",
        dir.display()
    ));
    format!("sha256/{}", text.trim())
}

/// unbound with plain DNS at 53, TLS at 853 and HTTPS at 443, as `certificate`.
fn unbound(dir: &Path, certificate: &str) -> Peer {
    unbound_with(dir, certificate, "")
}

/// unbound with these lines of its server besides.
fn unbound_with(dir: &Path, certificate: &str, more: &str) -> Peer {
    let file = dir.join("tls-unbound.conf");
    let config = format!(
        "server:\n  interface: {SERVER}@53\n  interface: {SERVER}@853\n  interface: {SERVER}@443\n  do-daemonize: no\n  username: \"\"\n  \
         chroot: \"\"\n  directory: \"{0}\"\n  pidfile: \"\"\n  use-syslog: no\n  logfile: \"\"\n  log-queries: yes\n  \
         access-control: 0.0.0.0/0 allow\n  module-config: \"iterator\"\n  tls-port: 853\n  https-port: 443\n  http-endpoint: \"/dns-query\"\n  \
         tls-service-key: \"{0}/{certificate}.key\"\n  tls-service-pem: \"{0}/{certificate}.pem\"\n  \
         local-zone: \"test.\" static\n  local-data: \"test. 60 SOA ns.test. root.test. 1 60 60 60 60\"\n  \
         local-zone: \"many.test.\" redirect\n  local-data: \"many.test. 0 A 192.0.2.83\"\n  \
         local-data: \"www.example.test. 60 A 192.0.2.80\"\n{1}{more}remote-control:\n  control-enable: no\n",
        dir.display(),
        (0..16)
            .map(|at| format!(
                "  local-data: \"big.test. 60 TXT {at:02}{}\"\n",
                "x".repeat(250)
            ))
            .collect::<String>()
    );
    std::fs::write(&file, config).expect("the story's folder is writable");
    let command = ["unbound", "-d", "-c", &file.display().to_string()];
    let peer = Peer::start(dir, "tls-unbound", Some("home"), &command);
    until_answers(Some("home"), SERVER, "www.example.test");
    peer
}

/// kresd with TLS at 853 and HTTPS at 443.
fn kresd(dir: &Path, certificate: &str) -> Peer {
    let file = dir.join("kresd.conf");
    let config = format!(
        "net.listen('{SERVER}', 53, {{ kind = 'dns' }})\nnet.listen('{SERVER}', 853, {{ kind = 'tls' }})\n\
         net.listen('{SERVER}', 443, {{ kind = 'doh2' }})\nnet.tls('{0}/{certificate}.pem', '{0}/{certificate}.key')\n\
         trust_anchors.remove('.')\n\
         local function say(name, address)\n\
           policy.add(policy.suffix(policy.ANSWER({{ [kres.type.A] = {{ rdata=kres.str2ip(address), ttl=1 }} }}), \
           policy.todnames({{name}})))\nend\nsay('many.test', '192.0.2.83')\nsay('www.example.test', '192.0.2.80')\n",
        dir.display()
    );
    std::fs::write(&file, config).expect("the story's folder is writable");
    let home = dir.join("kresd");
    std::fs::create_dir_all(&home).expect("the story's folder is writable");
    let (file, home) = (file.display().to_string(), home.display().to_string());
    let command = ["kresd", "-n", "-c", &file, &home];
    let peer = Peer::start(dir, "kresd", Some("home"), &command);
    until_answers(Some("home"), SERVER, "www.example.test");
    peer
}

fn office() -> Office {
    let office = Office::bare(links());
    certify(office.dir());
    office
}

fn configure(office: &Office, upstream: &str) {
    let roots = office.path("authority.pem");
    office.configure(
        "linnet.toml",
        &format!("[resolver]\ntls-roots = \"{roots}\"\ndnssec = \"off\"\n"),
    );
    let profile = format!("match = {{ name = \"home*\" }}\n[dns]\nupstreams = [\"{upstream}\"]\n");
    office.configure("profiles/home.toml", &profile);
}

/// What every right server must do.
fn serves(office: &Office, upstream: &str) {
    configure(office, upstream);
    let tap = Tap::start(office.dir(), "home0");
    let linnetd = office.linnetd(LINNETD, &[]);
    let answer = dig("www.example.test");
    assert!(answer.contains("192.0.2.80"), "{upstream}: {answer}");
    // Many at a time.
    let names: String = (0..200).map(|at| format!("n{at}.many.test A\n")).collect();
    let file = office.path("names");
    std::fs::write(&file, names).expect("the story's folder is writable");
    // From an address each: dig lets others have its port.
    let script = format!(
        "for part in 1 2 3 4; do dig -b 127.0.0.$part @127.0.0.53 +time=5 +tries=1 +short -f {file} & done; wait"
    );
    let answers = shell(&script);
    let wrong: Vec<&str> = answers
        .lines()
        .filter(|line| *line != "192.0.2.83")
        .collect();
    let right = answers.matches("192.0.2.83").count();
    assert_eq!(right, 800, "{upstream}: {wrong:?}");
    let status = json(office, &["status"]);
    let shown = &status["scopes"][0]["upstreams"][0];
    assert_eq!(shown["upstream"], upstream, "{status}");
    assert!(shown["failing"].is_null(), "{status}");
    drop(linnetd);
    let packets = tap.stop();
    assert_eq!(occurrences(&packets, "example.test"), 0, "in the clear");
    assert_eq!(occurrences(&packets, "many.test"), 0, "in the clear");
}

#[test]
fn unbound_is_asked_by_tls_and_https() {
    isolated("encrypted::unbound_is_asked_by_tls_and_https", || {
        let office = office();
        let _unbound = unbound(office.dir(), "right");
        let pin = pin(office.dir(), "right");
        for upstream in [
            format!("tls://{SERVER}#dns.example"),
            format!("tls://{SERVER}"),
            format!("tls://{SERVER}?pin={pin}"),
            format!("https://dns.example/dns-query@{SERVER}"),
            format!("https://{SERVER}/dns-query?pin={pin}"),
        ] {
            serves(&office, &upstream);
        }
        configure(&office, &format!("tls://{SERVER}#dns.example"));
        let _linnetd = office.linnetd(LINNETD, &[]);
        let big = dig("+bufsize=512 big.test TXT");
        assert_eq!(big.matches("xxxx\"").count(), 16, "{big}");
    });
}

#[test]
fn knot_resolver_is_asked_by_tls_and_https() {
    isolated("encrypted::knot_resolver_is_asked_by_tls_and_https", || {
        let office = office();
        let _kresd = kresd(office.dir(), "right");
        for upstream in [
            format!("tls://{SERVER}#dns.example"),
            format!("https://dns.example/dns-query@{SERVER}"),
        ] {
            serves(&office, &upstream);
        }
    });
}

/// A clock that somebody answers for, so that dates count.
fn clock(office: &Office) -> String {
    let clock = office.path("clock.txt");
    let now = shell("date +%s");
    std::fs::write(&clock, now.trim()).unwrap();
    clock
}

/// What every server with this wrong certificate must hear of linnet: no question, and everybody else why.
fn refused(office: &Office, clock: &str, upstream: &str, reason: &str) {
    configure(office, upstream);
    let _linnetd = office.linnetd(LINNETD, &["--clock", clock]);
    let answer = dig("secret.example.test");
    assert!(answer.contains("SERVFAIL"), "{upstream}: {answer}");
    assert!(answer.contains("EDE: 23"), "{upstream}: {answer}");
    assert!(answer.contains(reason), "{upstream}: {answer}");
    let status = json(office, &["status"]);
    let failing = &status["scopes"][0]["upstreams"][0]["failing"];
    assert!(failing.as_str().unwrap().contains(reason), "{status}");
    let (_, told) = office.linnet(LINNET, &["query", "secret.example.test"]);
    assert!(told.contains(reason), "{told}");
}

/// Certificates that are wrong: which, whether another one's key is pinned, by which name the server is known, and why it is not believed.
const WRONG: [(&str, bool, &str, &str); 7] = [
    ("other", false, "#dns.example", "for another name"),
    ("other", false, "", "not for its address"),
    ("expired", false, "#dns.example", "has expired"),
    ("early", false, "#dns.example", "not valid yet"),
    ("strange", false, "#dns.example", "unknown authority"),
    ("itself", false, "#dns.example", "signed by itself"),
    ("right", true, "#dns.example", "not the pinned one"),
];

/// What is written behind an address to have another one's key pinned.
fn option(office: &Office, is_pinned: bool) -> String {
    match is_pinned {
        true => format!("?pin={}", pin(office.dir(), "other")),
        false => String::new(),
    }
}

#[test]
fn wrong_certificates_are_refused_with_their_reason_and_nothing_goes_in_the_clear() {
    isolated(
        "encrypted::wrong_certificates_are_refused_with_their_reason_and_nothing_goes_in_the_clear",
        || {
            let office = office();
            let tap = Tap::start(office.dir(), "home0");
            let clock = clock(&office);
            for (certificate, is_pinned, name, reason) in WRONG {
                let _unbound = unbound(office.dir(), certificate);
                let option = option(&office, is_pinned);
                let upstream = format!("tls://{SERVER}{option}{name}");
                refused(&office, &clock, &upstream, reason);
                if !name.is_empty() {
                    let upstream = format!("https://dns.example/dns-query@{SERVER}{option}");
                    refused(&office, &clock, &upstream, reason);
                }
                // A pin without a name says all, by whatever transport.
                for alone in ["tls://SERVERPIN", "https://SERVER/dns-queryPIN"] {
                    if is_pinned {
                        let upstream = alone.replace("SERVER", SERVER).replace("PIN", &option);
                        refused(&office, &clock, &upstream, reason);
                    }
                }
            }
            assert_nothing_in_the_clear(tap);
        },
    );
}

/// No name that was asked for has passed the link, nor what is above it, which servers of the root would be asked for.
fn assert_nothing_in_the_clear(tap: Tap) {
    let packets = tap.stop();
    assert_eq!(occurrences(&packets, "test"), 0);
}

#[test]
fn server_that_comes_back_is_asked_again_at_once() {
    isolated(
        "encrypted::server_that_comes_back_is_asked_again_at_once",
        || {
            let office = office();
            let server = unbound(office.dir(), "right");
            configure(&office, &format!("tls://{SERVER}#dns.example"));
            let _linnetd = office.linnetd(LINNETD, &[]);
            assert!(dig("a.many.test").contains("192.0.2.83"));
            drop(server);
            let answer = dig("b.many.test");
            assert!(
                answer.contains("SERVFAIL") && answer.contains("refuses"),
                "{answer}"
            );
            let _server = unbound(office.dir(), "right");
            assert!(dig("c.many.test").contains("192.0.2.83"));
            // Pulled from under an open connection, and put back, the link is another one: so is the connection.
            shell("ip link set home0 down");
            until("the scope is down", || dig("d.many.test").contains("EDE"));
            shell("ip link set home0 up");
            until("the scope is up again", || {
                dig("e.many.test").contains("192.0.2.83")
            });
        },
    );
}

#[test]
fn wrong_clock_does_not_lock_the_machine_out() {
    isolated(
        "encrypted::wrong_clock_does_not_lock_the_machine_out",
        || {
            let office = office();
            let _unbound = unbound(office.dir(), "right");
            configure(&office, &format!("tls://{SERVER}#dns.example"));
            let clock = office.path("clock.txt");
            std::fs::write(&clock, "86400 unsynchronised\n").unwrap();
            let linnetd = office.linnetd(LINNETD, &["--clock", &clock]);
            assert!(
                dig("a.many.test").contains("192.0.2.83"),
                "{}",
                linnetd.log()
            );
        },
    );
}
