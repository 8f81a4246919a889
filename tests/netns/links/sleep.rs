//! Does a machine that sleeps find everything as it was, once it wakes? With a bus, and somebody on it who is logind.

use std::fs;
use std::io::Read as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tests::namespace::{isolated, shell};
use tests::office::dig;
use tests::peer::{Peer, until};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use zbus::Connection;
use zbus::export::futures_core::Stream as _;
use zbus::names::BusName;

use super::{LINNETD, Network, addresses, folder, office, until_answer};

const BUS: &str = "/run/story/bus";
const LOGIND: &str = "org.freedesktop.login1";
const PATH: &str = "/org/freedesktop/login1";
const MANAGER: &str = "org.freedesktop.login1.Manager";

fn bus(dir: &Path) -> Peer {
    let conf = dir.join("bus.conf");
    let text = format!(
        "<busconfig><type>system</type><listen>unix:path={BUS}</listen><auth>EXTERNAL</auth><policy context=\"default\">\
         <allow user=\"*\"/><allow own=\"*\"/><allow send_type=\"method_call\"/><allow send_type=\"signal\"/>\
         <allow send_type=\"method_return\"/><allow send_type=\"error\"/><allow receive_type=\"method_call\"/>\
         <allow receive_type=\"signal\"/><allow receive_type=\"method_return\"/><allow receive_type=\"error\"/></policy></busconfig>"
    );
    fs::write(&conf, text).unwrap();
    let config = format!("--config-file={}", conf.display());
    Peer::start(
        dir,
        "bus",
        None,
        &["dbus-daemon", &config, "--nofork", "--nopidfile"],
    )
}

/// The other ends of the inhibitors that were given out, and for what.
type Given = Arc<Mutex<Vec<(fs::File, String)>>>;

/// Somebody on the bus, for as long as it lives.
struct Caller {
    runtime: Handle,
    connection: Connection,
    _ends: oneshot::Sender<()>,
}

impl Caller {
    fn join() -> Self {
        let loops = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let runtime = loops.handle().clone();
        let (ends, ended) = oneshot::channel::<()>();
        thread::spawn(move || loops.block_on(ended).unwrap_err());
        let mut connection = None;
        until("the bus is there", || {
            let address = format!("unix:path={BUS}");
            let builder = zbus::connection::Builder::address(address.as_str());
            connection = runtime.block_on(builder.build()).ok();
            connection.is_some()
        });
        Self {
            runtime,
            connection: connection.unwrap(),
            _ends: ends,
        }
    }

    /// Says that the machine is about to sleep, or awake.
    fn prepare_for_sleep(&self, begins: bool) {
        let nobody = None::<BusName<'_>>;
        let said = self
            .connection
            .emit_signal(nobody, PATH, MANAGER, "PrepareForSleep", &begins);
        self.runtime.block_on(said).unwrap();
    }
}

/// logind, as far as sleep goes.
struct Logind {
    caller: Caller,
    given: Given,
}

impl Logind {
    fn join() -> Self {
        let caller = Caller::join();
        let given = Given::default();
        let connection = caller.connection.clone();
        let out = Arc::clone(&given);
        let calls = zbus::MessageStream::from(&connection);
        let name = (LOGIND, 0_u32);
        let bus = "org.freedesktop.DBus";
        let asked = connection.call_method(
            Some(bus),
            "/org/freedesktop/DBus",
            Some(bus),
            "RequestName",
            &name,
        );
        caller.runtime.block_on(asked).unwrap();
        caller.runtime.spawn(serve(connection, calls, out));
        Self { caller, given }
    }

    /// How many inhibitors are held.
    fn held(&self) -> usize {
        let mut given = self.given.lock().unwrap();
        given.retain_mut(|(end, _)| {
            // Nothing is written: what can be read is the end.
            !matches!(end.read(&mut [0]), Ok(0))
        });
        given.len()
    }
}

async fn serve(connection: Connection, mut calls: zbus::MessageStream, given: Given) {
    loop {
        let next =
            std::future::poll_fn(|context| std::pin::Pin::new(&mut calls).poll_next(context));
        let Some(Ok(call)) = next.await else {
            return;
        };
        let header = call.header();
        if header.member().map(|name| name.as_str()) != Some("Inhibit") {
            continue;
        }
        let body = call.body();
        let (what, who, why, mode): (String, String, String, String) = body.deserialize().unwrap();
        let (ours, theirs) = pipe();
        given
            .lock()
            .unwrap()
            .push((ours, format!("{what} {who} {mode} {why}")));
        let theirs = zbus::Fd::from(theirs.as_fd());
        connection.reply(&header, &theirs).await.unwrap();
    }
}

/// A pipe whose first end does not wait.
fn pipe() -> (fs::File, OwnedFd) {
    let (ours, theirs) = std::io::pipe().unwrap();
    let ours: OwnedFd = ours.into();
    rustix::io::ioctl_fionbio(&ours, true).unwrap();
    (ours.into(), theirs.into())
}

#[test]
fn what_was_there_before_sleep_is_there_after_it_and_is_confirmed() {
    isolated(
        "links::sleep::what_was_there_before_sleep_is_there_after_it_and_is_confirmed",
        || {
            let dir = folder();
            let cafe = Network::cafe(&dir, "net0");
            let office = office(dir.clone());
            let profile = |mdns: &str| {
                let text = format!(
                    "match = {{ name = \"net*\" }}\ndhcp4 = true\nra = true\n[dns]\nmdns = \"{mdns}\"\n"
                );
                office.configure("profiles/any.toml", &text);
            };
            profile("respond");
            // The bus comes later than we do.
            let _linnetd = office.linnetd(LINNETD, &["--system-bus", BUS]);
            cafe.plug("up");
            until_answer(cafe.answer, "before");
            until("all addresses are there", || addresses("net0").len() >= 2);
            let bus_peer = bus(&dir);
            let logind = Logind::join();
            until("logind is asked to wait", || logind.held() == 1);
            let asked = logind.given.lock().unwrap()[0].1.clone();
            assert!(asked.starts_with("sleep linnet delay "), "{asked}");
            // The kernel finds its own address unique, and tells of it.
            thread::sleep(Duration::from_millis(1500));
            let before = shell(
                "ip addr show net0 | grep -c inet; ip route; ip -6 route | sed 's/expires [0-9]*sec//'",
            );
            let requests = || cafe.router.log().matches("DHCPREQUEST(r0)").count();
            let discovers = || cafe.router.log().matches("DHCPDISCOVER").count();
            let solicitations = || cafe.router.log().matches("RTR-SOLICIT(r0)").count();
            let (requested, discovered, solicited) = (requests(), discovers(), solicitations());
            let monitor = Peer::start(
                &dir,
                "monitor",
                None,
                &["ip", "monitor", "address", "route"],
            );

            // Whoever is not logind says what he likes.
            let stranger = Caller::join();
            stranger.prepare_for_sleep(true);
            // Nothing tells that a signal was passed over.
            thread::sleep(Duration::from_millis(200));
            assert_eq!(logind.held(), 1);

            logind.caller.prepare_for_sleep(true);
            until("the machine may sleep", || logind.held() == 0);
            logind.caller.prepare_for_sleep(false);
            until("the lease is confirmed", || requests() > requested);
            until("routers are asked", || solicitations() > solicited);
            until("logind is asked to wait again", || logind.held() == 1);
            let answer = dig("+short +time=2 +tries=1 @127.0.0.53 awake.after.test");
            assert_eq!(answer.trim(), cafe.answer);
            // A client that begins anew does so after the confirmation that is not waited for: as long as that takes, and more.
            thread::sleep(Duration::from_millis(500));
            assert_eq!(discovers(), discovered, "nothing is asked for anew");
            let log = monitor.log();
            assert!(!log.contains("Deleted"), "{log}");
            let after = shell(
                "ip addr show net0 | grep -c inet; ip route; ip -6 route | sed 's/expires [0-9]*sec//'",
            );
            assert_eq!(after, before);

            // Another logind; then one that has nothing to wait for.
            drop(logind);
            let logind = Logind::join();
            until("the new one is asked to wait", || logind.held() == 1);
            profile("resolve");
            let (code, text) = office.linnet(super::LINNET, &["config", "reload"]);
            assert_eq!(code, 0, "{text}");
            until("nobody has to wait", || logind.held() == 0);
            let requested = requests();
            logind.caller.prepare_for_sleep(true);
            logind.caller.prepare_for_sleep(false);
            until("the lease is confirmed", || requests() > requested);

            // Without the bus all goes on.
            drop(bus_peer);
            until_answer(cafe.answer, "alone");
            fs::remove_file(BUS).unwrap_or_default();
            profile("respond");
            office.linnet(super::LINNET, &["config", "reload"]);
            let _bus = bus(&dir);
            let logind = Logind::join();
            until("another bus is found", || logind.held() == 1);
        },
    );
}
