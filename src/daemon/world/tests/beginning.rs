//! What does a world in a test begin with? [`beginning`]: nothing kept from before, and a host of which little is known.

use std::sync::Arc;

use dnssec::clock::Clock;
use linkmgr::Boot;
use linkmgr::clients::Machine;
use linkmgr::dhcp6::Duid;
use linkmgr::slaac::Secret;
use linnet::api::ListenStatus;
use linnet::config_dirs::ConfigText;
use resolver_io::listeners::Board;

use crate::host::HostName;
use crate::kernel_clock::BUILT_AT;
use crate::leavings::Leavings;
use crate::reload;
use crate::trust::Trust;
use crate::world::{Beginning, LinkBeginning};

/// Whoever wants something else of it says so.
pub(crate) fn beginning(files: Vec<ConfigText>) -> Beginning {
    Beginning {
        understood: reload::understand(files, None),
        listen: vec![ListenStatus {
            address: "127.0.0.53:53".to_owned(),
            stub: "main".to_owned(),
        }],
        listeners: Board::default(),
        kept_claims: None,
        kept_networks: None,
        trust: Trust::new(Clock::new(BUILT_AT, None), None, None),
        host: HostName::default(),
        watched: Arc::default(),
        seed: [7; 32],
        links: LinkBeginning {
            machine: Machine {
                duid: Duid::from_uuid([7; 16]),
                secret: Secret([7; 32]),
                boot_id: "boot".into(),
            },
            boot: Boot {
                id: "boot".into(),
                marks: linkmgr::AddressMarks::All,
            },
            journal: None,
            leases: None,
            was_made: false,
            told: None,
            leavings: Leavings::default(),
            seed: 7,
        },
    }
}
