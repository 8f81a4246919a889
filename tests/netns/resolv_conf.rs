//! Is `/etc/resolv.conf` touched only when told to, and given back as it was?

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use tests::namespace::{isolated, shell};
use tests::office::Office;
use tests::peer::until;

use crate::{LINNETD, json};

#[test]
fn unmanaged_means_no_write_near_it() {
    isolated("resolv_conf::unmanaged_means_no_write_near_it", || {
        let office = Office::raise();
        office.configure_usual("resolv-conf = \"unmanaged\"");
        let run = office.path("run");
        let trace = office.path("strace");
        let strace = [
            "strace",
            "-f",
            "-qq",
            "-o",
            &trace,
            "-e",
            "trace=%file,%desc",
            LINNETD,
        ];
        let mut daemon = office.start(&strace, &[]);
        until("linnetd listens", || {
            std::path::Path::new(&run).join("control").exists() && daemon.runs()
        });
        shell("printf 'nameserver 192.0.2.53\\n' > /etc/resolv.conf");
        until("it answers", || {
            tests::office::dig("+short www.example.test").contains("192.0.2.80")
        });
        shell(&format!("pkill -TERM -P {} linnetd", daemon.pid()));
        assert_eq!(daemon.wait(), Some(0), "{}", daemon.log());
        let calls = fs::read_to_string(&trace).unwrap();
        let near: Vec<&str> = calls
            .lines()
            .filter(|line| line.contains("/etc/resolv.conf") || line.contains("\"/etc\""))
            .collect();
        assert!(
            near.iter().any(|line| line.contains("open")),
            "it was read: {}",
            calls.len()
        );
        let writes = [
            "O_WRONLY", "O_RDWR", "O_CREAT", "rename", "unlink", "chmod", "chown", "link",
            "truncate", "utime", "flock", "setxattr",
        ];
        for line in near {
            assert!(
                !writes
                    .iter()
                    .any(|word| line.contains(word) && !line.contains("readlink")),
                "{line}"
            );
        }
    });
}

#[test]
fn the_stub_is_taken_and_given_back_with_content_mode_and_time() {
    isolated(
        "resolv_conf::the_stub_is_taken_and_given_back_with_content_mode_and_time",
        || {
            let office = Office::raise();
            office.configure_usual("resolv-conf = \"stub\"");
            let path = office.path("resolv.conf");
            fs::write(&path, "# mine\nnameserver 192.0.2.53\nsearch home.test\n").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
            shell(&format!("touch -d @1000000000 {path}"));
            let before = (fs::read(&path).unwrap(), fs::metadata(&path).unwrap());
            let mut daemon = office.linnetd(LINNETD, &["--resolv-conf", &path]);
            until("it is taken", || {
                fs::read_to_string(&path)
                    .unwrap()
                    .contains("nameserver 127.0.0.53")
            });
            let taken = fs::read_to_string(&path).unwrap();
            assert!(taken.contains("search corp.test"), "{taken}");
            assert_eq!(json(&office, &["status"])["resolv_conf"]["state"], "ours");
            daemon.signal(libc::SIGTERM);
            assert_eq!(daemon.wait(), Some(0), "{}", daemon.log());
            let after = fs::metadata(&path).unwrap();
            assert_eq!(fs::read(&path).unwrap(), before.0);
            assert_eq!(
                (after.mode(), after.uid(), after.gid(), after.mtime()),
                (
                    before.1.mode(),
                    before.1.uid(),
                    before.1.gid(),
                    1_000_000_000
                )
            );
        },
    );
}

#[test]
fn a_symlink_comes_back_as_a_symlink_and_its_target_is_not_written() {
    isolated(
        "resolv_conf::a_symlink_comes_back_as_a_symlink_and_its_target_is_not_written",
        || {
            let office = Office::raise();
            office.configure_usual("resolv-conf = \"uplink\"");
            let (path, target) = (office.path("resolv.conf"), office.path("target.conf"));
            fs::write(&target, "nameserver 192.0.2.53\n").unwrap();
            symlink("target.conf", &path).unwrap();
            let mut daemon = office.linnetd(LINNETD, &["--resolv-conf", &path]);
            until("it is taken", || {
                fs::symlink_metadata(&path).unwrap().is_file()
            });
            let taken = fs::read_to_string(&path).unwrap();
            assert!(
                taken.contains("nameserver 192.0.2.53") && !taken.contains("10.8.0.1"),
                "{taken}"
            );
            daemon.signal(libc::SIGTERM);
            assert_eq!(daemon.wait(), Some(0), "{}", daemon.log());
            assert_eq!(fs::read_link(&path).unwrap().to_str(), Some("target.conf"));
            assert_eq!(
                fs::read_to_string(&target).unwrap(),
                "nameserver 192.0.2.53\n"
            );
        },
    );
}

#[test]
fn somebody_else_s_write_is_reported_and_left_alone() {
    isolated(
        "resolv_conf::somebody_else_s_write_is_reported_and_left_alone",
        || {
            let office = Office::raise();
            office.configure_usual("resolv-conf = \"stub\"");
            let path = office.path("resolv.conf");
            fs::write(&path, "nameserver 192.0.2.53\n").unwrap();
            let mut daemon = office.linnetd(LINNETD, &["--resolv-conf", &path]);
            until("it is taken", || {
                fs::read_to_string(&path).unwrap().contains("127.0.0.53")
            });
            let foreign = "# Generated by NetworkManager\nnameserver 198.51.100.1\n";
            fs::write(&path, foreign).unwrap();
            until("it is reported", || {
                json(&office, &["status"])["resolv_conf"]["state"] == "overwritten"
            });
            let detail = json(&office, &["status"])["resolv_conf"]["detail"].to_string();
            // Who writes is known where the kernel tells root's helper; what the file says of itself, everywhere.
            assert!(
                detail.contains("netns") || detail.contains("NetworkManager"),
                "{detail}"
            );
            daemon.signal(libc::SIGTERM);
            assert_eq!(daemon.wait(), Some(0), "{}", daemon.log());
            assert_eq!(fs::read_to_string(&path).unwrap(), foreign);
        },
    );
}

#[test]
fn a_foreign_resolv_conf_serves_the_default_scope_and_is_followed() {
    isolated(
        "resolv_conf::a_foreign_resolv_conf_serves_the_default_scope_and_is_followed",
        || {
            let office = Office::raise();
            office.configure("linnet.toml", "");
            let path = office.path("resolv.conf");
            fs::write(&path, "nameserver 127.0.0.53\n").unwrap();
            let _linnetd = office.linnetd(LINNETD, &["--resolv-conf", &path]);
            assert!(
                tests::office::dig("www.example.test").contains("REFUSED"),
                "our own stub is nobody to ask"
            );
            fs::write(&path, "nameserver 192.0.2.53\n").unwrap();
            until("it is followed", || {
                tests::office::dig("+short www.example.test").contains("192.0.2.80")
            });
            let status = json(&office, &["status"]);
            assert_eq!(status["default_scope"], "resolv.conf", "{status}");
        },
    );
}
