//! How is radvd run in a story? In the foreground, with a file of the story's own.

use std::fs;
use std::path::Path;

use crate::peer::Peer;

/// Starts a router that advertises itself at a link of a network namespace every few seconds; what else it says stands as in radvd's own
/// file. What it logs goes to `DIR/NAME.log`.
///
/// # Panics
/// When it cannot be started.
pub fn advertise(dir: &Path, name: &str, namespace: &str, link: &str, says: &str) -> Peer {
    let text = format!(
        "interface {link} {{ AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 10; {says} }};\n"
    );
    start(dir, name, namespace, &text)
}

/// Starts it with this as its file.
///
/// # Panics
/// When it cannot be started.
pub fn start(dir: &Path, name: &str, namespace: &str, text: &str) -> Peer {
    let path = |kind: &str| dir.join(format!("{name}.{kind}")).display().to_string();
    let (conf, pid) = (path("conf"), path("pid"));
    fs::write(&conf, text).expect("the story's folder can be written to");
    let command = [
        "radvd", "-C", &conf, "-p", &pid, "-n", "-m", "stderr", "-u", "root",
    ];
    Peer::start(dir, name, Some(namespace), &command)
}
