//! Do names resolve while the clock is wrong, and is nothing believed that a wrong clock let through? 1970, 2040, and the
//! moment when somebody sets it right.

use std::fs;

use tests::lab::Lab;
use tests::namespace::{isolated, shell};
use tests::office::{HOME, Office, links};
use tests::peer::{Peer, until};

use crate::dnssec::{Seen, ask};
use crate::{LINNET, LINNETD, json};

const YEAR_2040: u64 = 2_208_988_800;

fn seen(code: &str, authentic: bool) -> Seen {
    (code.to_owned(), authentic)
}

fn ask_linnet(name: &str) -> Seen {
    ask("127.0.0.53", name, "A")
}

fn status(office: &Office) -> String {
    office.linnet(LINNET, &["status"]).1
}

fn begin(office: &Office, lab: &Lab) {
    office.configure(
        "linnet.toml",
        &format!(
            "[resolver]\ndnssec = \"enforce\"\nrecursion = \"never\"\ntrust-anchors = \"{}\"\n",
            lab.anchor.display()
        ),
    );
    office.configure("profiles/home.toml", HOME);
}

/// Makes this the time from now on, for a linnetd that runs as well.
fn set_clock(office: &Office, text: &str, runs: bool) {
    fs::write(office.path("clock.txt"), text).unwrap();
    if runs {
        let (code, text) = office.linnet(LINNET, &["config", "reload"]);
        assert_eq!(code, 0, "{text}");
    }
}

fn linnetd(office: &Office) -> Peer {
    office.linnetd(LINNETD, &["--clock", &office.path("clock.txt")])
}

/// What holds whatever a clock says that nobody answers for.
fn assert_excepted(office: &Office) {
    assert_eq!(ask_linnet("www.nsec.test"), seen("NOERROR", false));
    assert_eq!(ask_linnet("nothing.nsec3.test"), seen("NXDOMAIN", false));
    assert_eq!(ask_linnet("www.plain.test"), seen("NOERROR", false));
    assert_eq!(ask_linnet("www.expired.test"), seen("NOERROR", false));
    assert_eq!(ask_linnet("www.early.test"), seen("NOERROR", false));
    assert_eq!(
        ask_linnet("www.mismatch.test"),
        seen("SERVFAIL", false),
        "dates aside, what is forged is refused"
    );
    let text = status(office);
    assert!(
        text.contains("signatures count whatever their dates"),
        "{text}"
    );
    let clock = &json(office, &["status"])["clock"];
    assert_eq!(clock["dates_count"], false, "{clock}");
}

/// What holds once the clock is right.
fn assert_ordinary(office: &Office) {
    assert_eq!(ask_linnet("www.nsec.test"), seen("NOERROR", true));
    assert_eq!(ask_linnet("nothing.nsec3.test"), seen("NXDOMAIN", true));
    assert_eq!(ask_linnet("www.plain.test"), seen("NOERROR", false));
    for name in ["www.expired.test", "www.early.test", "www.mismatch.test"] {
        assert_eq!(ask_linnet(name), seen("SERVFAIL", false), "{name}");
    }
    assert!(!status(office).contains("whatever their dates"));
}

#[test]
fn names_resolve_under_a_wrong_clock_and_nothing_of_that_outlives_it() {
    isolated(
        "clock::names_resolve_under_a_wrong_clock_and_nothing_of_that_outlives_it",
        || {
            let dir = links();
            let lab = Lab::raise(&dir);
            let office = Office::bare(dir);
            begin(&office, &lab);
            let now = shell("date +%s");
            for wrong in [0, 1, YEAR_2040] {
                set_clock(&office, &format!("{wrong} unsynchronised"), false);
                let mut linnetd = linnetd(&office);
                assert_excepted(&office);
                // A jump that nobody answers for changes nothing.
                set_clock(&office, &format!("{} unsynchronised", YEAR_2040 + 5), true);
                assert_excepted(&office);
                set_clock(&office, &now, true);
                until("the clock is believed", || {
                    json(&office, &["status"])["clock"]["dates_count"] == true
                });
                assert_ordinary(&office);
                // Whoever blocks the time servers afterwards gains nothing.
                set_clock(&office, &format!("{} unsynchronised", now.trim()), true);
                assert_ordinary(&office);
                linnetd.signal(libc::SIGTERM);
                assert_eq!(linnetd.wait(), Some(0), "{}", linnetd.log());
            }
        },
    );
}

#[test]
fn a_time_that_was_believed_once_is_the_earliest_that_is_believed_afterwards() {
    isolated(
        "clock::a_time_that_was_believed_once_is_the_earliest_that_is_believed_afterwards",
        || {
            let dir = links();
            let lab = Lab::raise(&dir);
            let office = Office::bare(dir);
            begin(&office, &lab);
            let now: u64 = shell("date +%s").trim().parse().unwrap();
            set_clock(&office, &now.to_string(), false);
            {
                let _linnetd = linnetd(&office);
                assert_ordinary(&office);
                until("the time is kept", || {
                    fs::read_to_string(office.path("state/clock")).is_ok()
                });
            }
            // Somebody who answers for a time three days ago would bring expired signatures back.
            set_clock(&office, &(now - 3 * 86_400).to_string(), false);
            let _linnetd = linnetd(&office);
            assert_eq!(ask_linnet("www.nsec.test"), seen("NOERROR", false));
            let clock = json(&office, &["status"])["clock"].clone();
            assert_eq!(clock["dates_count"], false, "{clock}");
            set_clock(&office, &now.to_string(), true);
            until("the clock is believed", || {
                json(&office, &["status"])["clock"]["dates_count"] == true
            });
            assert_ordinary(&office);
        },
    );
}

/// Sets the clock of this machine; nobody answers for it afterwards, as the kernel has it, unless `synchronised`.
fn set_kernel_clock(seconds: u64, synchronised: bool) {
    shell(&format!("date -s @{seconds} >/dev/null"));
    if synchronised {
        // ADJ_STATUS without STA_UNSYNC, and ADJ_MAXERROR: what an NTP client says (adjtimex(2)).
        shell(
            "python3 -c '\nimport ctypes, struct\nt = ctypes.create_string_buffer(208)\n\
             struct.pack_into(\"I\", t, 0, 0x14)\n\
             assert ctypes.CDLL(None).adjtimex(t) >= 0\n'",
        );
    }
}

/// As the stories above, with the kernel's clock in place of a pretended one: for a virtual machine, whose clock is nobody else's.
#[test]
fn the_kernels_own_clock_is_believed_when_it_is_right_and_not_before() {
    const NAME: &str = "clock::the_kernels_own_clock_is_believed_when_it_is_right_and_not_before";
    if std::env::var_os("LINNET_OWN_CLOCK").is_none() {
        return tests::skip(
            NAME,
            "this machine's clock is not ours to set; run it in a virtual machine with LINNET_OWN_CLOCK=1",
        );
    }
    isolated(NAME, || {
        let dir = links();
        let lab = Lab::raise(&dir);
        let office = Office::bare(dir);
        begin(&office, &lab);
        let now: u64 = shell("date +%s").trim().parse().unwrap();
        let begun = std::time::Instant::now();
        // The kernel takes no time before its own beginning.
        for wrong in [3600, YEAR_2040] {
            set_kernel_clock(wrong, false);
            let mut linnetd = office.linnetd(LINNETD, &[]);
            assert_excepted(&office);
            set_kernel_clock(now + begun.elapsed().as_secs(), true);
            // Nobody has to tell linnetd: the kernel does.
            until("the clock is believed", || {
                json(&office, &["status"])["clock"]["dates_count"] == true
            });
            assert_ordinary(&office);
            linnetd.signal(libc::SIGTERM);
            assert_eq!(linnetd.wait(), Some(0), "{}", linnetd.log());
        }
    });
}
