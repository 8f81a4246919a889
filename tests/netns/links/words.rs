//! What was written to the kernel meanwhile? Its own words, up to one about something that linnetd was asked for last: linnetd writes one thing after
//! another, so that nothing of before is on its way any more.

use std::sync::atomic::{AtomicU8, Ordering};

use tests::namespace::shell;
use tests::office::Office;
use tests::peer::{Peer, until};

use super::LINNET;

/// No word at all.
pub(super) const NOTHING: [&str; 0] = [];

/// Counts the marks of a story.
static MARKS: AtomicU8 = AtomicU8::new(0);

/// Marks are addresses: of the kernel's own link, and of a link that is there for nothing else.
const KERNELS: &str = "127.99.0.";
const LINNETS: &str = "10.99.99.";
const LINK: &str = "mark0";

/// What the kernel tells from now on.
pub(super) struct Words<'a> {
    office: &'a Office,
    monitor: Peer,
}

impl<'a> Words<'a> {
    /// Begins to listen to the kernel's words about these things, as `-4 monitor address route`; addresses must be among them.
    pub(super) fn from_now(office: &'a Office, about: &str) -> Self {
        shell(&format!(
            "ip link show {LINK} >/dev/null 2>&1 || {{ ip link add {LINK} type veth peer name mark1 && \
             sysctl -qw net.ipv6.conf.{LINK}.disable_ipv6=1 net.ipv6.conf.mark1.disable_ipv6=1 && ip link set mark1 up; }}"
        ));
        let mut command = vec!["ip", "-o"];
        command.extend(about.split(' '));
        let number = MARKS.fetch_add(1, Ordering::Relaxed);
        let monitor = Peer::start(office.dir(), &format!("words{number}"), None, &command);
        let words = Self { office, monitor };
        // Whatever is told before the first mark that is heard was done before, and is no word of this.
        until("the kernel is listened to", || {
            let mark = words.mark();
            words.monitor.log().contains(&mark)
        });
        words
    }

    /// Returns the kernel's words so far, a line each. What linnetd has in mind may be missing: see [`Self::when_all_is_written`].
    pub(super) fn so_far(&self) -> Vec<String> {
        let mark = self.mark();
        until("the kernel has told all", || {
            self.monitor.log().contains(&mark)
        });
        self.lines()
    }

    /// Has linnetd read its files and write something more, and returns the kernel's words when that is there, a line each.
    pub(super) fn when_all_is_written(&self) -> Vec<String> {
        let mark = format!("{LINNETS}{}", MARKS.fetch_add(1, Ordering::Relaxed));
        self.office.configure(
            "profiles/mark.toml",
            &format!("match = {{ name = \"{LINK}\" }}\naddresses = [\"{mark}/32\"]\n"),
        );
        let (code, text) = self.office.linnet(LINNET, &["config", "reload"]);
        assert_eq!(code, 0, "{text}");
        until("linnetd has written what it was asked for last", || {
            self.monitor.log().contains(&format!(" {mark}/32 "))
        });
        self.lines()
    }

    /// Sets a mark of the kernel's, and returns what its word has in it.
    fn mark(&self) -> String {
        let mark = format!("{KERNELS}{}/32", MARKS.fetch_add(1, Ordering::Relaxed));
        shell(&format!("ip address add {mark} dev lo scope host"));
        format!(" {mark} ")
    }

    fn lines(&self) -> Vec<String> {
        let log = self.monitor.log();
        let is_mark = |line: &&str| {
            [KERNELS, LINNETS, LINK, "mark1"]
                .iter()
                .any(|mark| line.contains(mark))
        };
        let lines = log.lines().filter(|line| !is_mark(line));
        lines.map(str::to_owned).collect()
    }
}
