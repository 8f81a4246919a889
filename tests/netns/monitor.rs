//! Would an administrator leave the live view open? In a real terminal (tmux), with keys typed and screens read.

use std::time::Duration;

use tests::namespace::{isolated, shell};
use tests::office::{Office, dig};
use tests::peer::{Peer, until};

use crate::{LINNET, LINNETD};

/// A terminal of tmux's with the live view in it.
struct Screen {
    tmux: String,
}

impl Screen {
    fn open(office: &Office, (width, height): (u16, u16)) -> Self {
        let tmux = format!("tmux -S {} -f /dev/null", office.path("tmux"));
        let run = office.path("run");
        shell(&format!(
            "{tmux} new-session -d -x {width} -y {height} 'echo before; {LINNET} --runtime-dir {run} monitor; echo code $?; exec sleep 60'"
        ));
        Self { tmux }
    }

    fn text(&self) -> String {
        shell(&format!("{} capture-pane -p", self.tmux))
    }

    fn types(&self, keys: &str) {
        shell(&format!("{} send-keys {keys}", self.tmux));
    }

    fn shows(&self, what: &str) {
        let mut last = String::new();
        until(&format!("the screen shows {what}"), || {
            last = self.text();
            last.contains(what)
        });
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        shell(&format!("{} kill-server; true", self.tmux));
    }
}

#[test]
fn the_live_view_shows_what_happens_and_leaves_the_terminal_as_it_was() {
    isolated(
        "monitor::the_live_view_shows_what_happens_and_leaves_the_terminal_as_it_was",
        || {
            let office = Office::raise();
            office.configure_usual("");
            let linnetd = office.linnetd(LINNETD, &[]);
            let screen = Screen::open(&office, (80, 24));
            screen.shows("SCOPE, UPSTREAM");
            screen.shows("office@vpn0");
            screen.shows("10.8.0.1");
            let stop = std::sync::atomic::AtomicBool::new(false);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                        dig("+short git.corp.test");
                    }
                });
                until("rates are shown", || {
                    let text = screen.text();
                    let office = text.lines().find(|line| line.contains("office@vpn0"));
                    office.is_some_and(|line| line.contains('%')) && text.contains("from the cache")
                });
                shell("ip link set vpn0 down");
                screen.shows("LINK-DOWN");
                screen.shows("REFUSED");
                screen.shows("git.corp.test A");
                stop.store(true, std::sync::atomic::Ordering::Relaxed);
            });
            let text = screen.text();
            if let Ok(path) = std::env::var("LINNET_SCREEN") {
                std::fs::write(path, &text).unwrap();
            }
            assert!(text.lines().count() <= 24, "{text}");
            assert!(text.contains("! scope office@vpn0 is link-down"), "{text}");
            screen.types("Space");
            screen.shows("PAUSED");
            screen.types("Space");
            shell(&format!("{} resize-window -x 120 -y 40", screen.tmux));
            until("it takes the new size", || {
                screen
                    .text()
                    .lines()
                    .next()
                    .is_some_and(|line| line.trim_end().len() > 100)
            });
            drop(linnetd);
            screen.shows("waiting for it");
            let _again = office.linnetd(LINNETD, &[]);
            until("it finds the new daemon", || {
                !screen.text().contains("waiting for it")
            });
            screen.types("q");
            screen.shows("code 0");
            let text = screen.text();
            assert!(text.contains("before") && !text.contains("SCOPE"), "{text}");
        },
    );
}

#[test]
fn a_pipe_gets_lines_and_so_does_who_asks_for_them() {
    isolated(
        "monitor::a_pipe_gets_lines_and_so_does_who_asks_for_them",
        || {
            let office = Office::raise();
            office.configure_usual("");
            let _linnetd = office.linnetd(LINNETD, &[]);
            let run = office.path("run");
            let piped = Peer::start(
                office.dir(),
                "piped",
                None,
                &[LINNET, "--runtime-dir", &run, "monitor"],
            );
            until("it watches", || piped.log().contains("watching"));
            dig("+short git.corp.test");
            dig("+short git.corp.test");
            until("both are told", || {
                piped.log().matches("git.corp.test A NOERROR").count() == 2
            });
            assert!(piped.log().contains("cache-hit"), "{}", piped.log());
            assert!(!piped.log().contains('\x1b'), "{}", piped.log());
            let tmux = format!("tmux -S {} -f /dev/null", office.path("tmux"));
            shell(&format!(
                "{tmux} new-session -d -x 80 -y 24 '{LINNET} --runtime-dir {run} monitor --lines'"
            ));
            until("lines on a terminal", || {
                shell(&format!("{tmux} capture-pane -p")).contains("watching; end with Ctrl-C")
            });
            shell(&format!("{tmux} kill-server; true"));
            std::thread::sleep(Duration::from_millis(10));
        },
    );
}
