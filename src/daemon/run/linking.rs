//! How do links get what the world wants of them? Requests to the kernel, ports of clients, the journal.

use std::io;

use linkmgr::clients::{Port, PortChanges, WantedPort};
use linkmgr_io::{Neighbours, Ports, Requester};

use super::Running;
use super::beginning::seed;
use crate::clock;
use crate::input::Input;
use crate::leavings::Leavings;
use crate::machine;
use crate::making::associations::NUMBERS_FILE;
use crate::making::{Beginning, Maker, Task};
use crate::options::Options;
use crate::store;
use crate::world::{Kept, LinkBeginning};

/// What reaches links.
#[derive(Debug)]
pub(super) struct LinkIo {
    pub(super) ports: Ports,
    /// Ports that cannot be had.
    unheard: Vec<(u32, Port)>,
    pub(super) neighbours: Neighbours,
    pub(super) requester: Requester,
    pub(super) maker: Maker,
}

impl LinkIo {
    pub(super) fn open(options: &Options) -> io::Result<Self> {
        let random = seed()?.first_chunk().copied();
        Ok(Self {
            ports: Ports::new()?,
            unheard: Vec::new(),
            neighbours: Neighbours::open()?,
            requester: Requester::open()?,
            maker: Maker::new(Beginning {
                path: options.kept_file(Kept::MadeLinks),
                boot: linkmgr_io::boot()?.id,
                numbers: options.state_dir.join(NUMBERS_FILE),
                random: random.map_or(0, u32::from_ne_bytes),
            }),
        })
    }

    /// Has this done with links that profiles make.
    pub(super) fn make(&mut self, task: Task) {
        if let Err(error) = self.maker.order(task) {
            tracing::error!(%error, "no links can be made");
        }
    }

    /// Has these ports open or closed; returns all that cannot be had, unless there are none as before.
    pub(super) fn open_ports(&mut self, changes: PortChanges) -> Option<Vec<(u32, Port)>> {
        let failed = self.ports.apply(changes);
        let place = |wanted: &WantedPort| (wanted.index, wanted.port);
        for (wanted, error) in &failed {
            // It is tried again and again.
            if !self.unheard.contains(&place(wanted)) {
                tracing::warn!(%error, index = wanted.index, port = ?wanted.port, "a client cannot be heard");
            }
        }
        let failed: Vec<(u32, Port)> = failed.iter().map(|(wanted, _)| place(wanted)).collect();
        let is_told = !failed.is_empty() || !self.unheard.is_empty();
        self.unheard.clone_from(&failed);
        is_told.then_some(failed)
    }
}

impl Running<'_> {
    /// Has ports of clients open or closed, and tells the world which of them cannot be had.
    pub(super) async fn open_ports(&mut self, changes: PortChanges) {
        if let Some(unheard) = self.link_io.open_ports(changes) {
            let then = self.world.on(Input::Unheard(unheard), clock::now());
            Box::pin(self.execute(then)).await;
        }
    }

    /// Replaces the journal of links; returns whether that went well.
    pub(super) fn keep_journal(&self, text: &str) -> bool {
        let path = self.options.kept_file(Kept::LinkJournal);
        // It is void after a loss of power: nothing to wait for a disk for.
        match store::write_for_this_boot(&path, text) {
            Ok(()) => true,
            Err(error) => {
                // It is tried again and again, and told once.
                if self.world.is_journal_kept() {
                    tracing::error!(%error, path = %path.display(), "the journal of links cannot be kept");
                }
                false
            }
        }
    }
}

/// Returns what the links begin with, and the text of the machine's secret when it is to be kept from now on.
pub(super) fn link_beginning(
    options: &Options,
    leavings: Leavings,
) -> io::Result<(LinkBeginning, Option<(Kept, String)>)> {
    let (machine, secret) = machine::machine(options, seed()?);
    let seed = seed()?;
    let seed = seed
        .first_chunk()
        .map_or(0, |octets| u64::from_ne_bytes(*octets));
    let beginning = LinkBeginning {
        machine,
        boot: linkmgr_io::boot()?,
        journal: store::read(&options.kept_file(Kept::LinkJournal)),
        leases: store::read(&options.kept_file(Kept::Leases)),
        was_made: options.kept_file(Kept::MadeLinks).exists(),
        leavings,
        told: store::read(&options.kept_file(Kept::Told)),
        seed,
    };
    Ok((beginning, secret.map(|text| (Kept::Secret, text))))
}
