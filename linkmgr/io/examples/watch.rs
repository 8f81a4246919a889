//! What does the monitor see? Prints the facts of every link whenever one changes.

use std::io::Write as _;

use config::time::Instant;
use linkmgr::{LinkManager, local_names};
use linkmgr_io::Monitor;

fn main() -> std::io::Result<()> {
    tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?
        .block_on(watch())
}

async fn watch() -> std::io::Result<()> {
    let mut monitor = Monitor::open()?;
    let mut links = LinkManager::default();
    loop {
        let mut changed = false;
        for event in monitor.next().await? {
            changed |= links.handle_event(event, Instant::ZERO);
        }
        if changed {
            let mut out = std::io::stdout().lock();
            for (id, facts) in links.facts() {
                writeln!(out, "{}.{} {facts:?}", id.index, id.birth)?;
            }
            writeln!(out, "{:?}\n", local_names(links.facts()))?;
        }
    }
}
