//! How is a setting of a network card read and set? By the generic family `ethtool`, one question after another.

use std::io;

use config::model::Hardware;
use linkmgr::KernelAnswer;
use linkmgr::kinds::ethtool::{self, FAMILY};
use linkmgr::kinds::generic::{self, Family};

use crate::ask::{AskError, Asker, Part};

/// The part of the kernel that has them, as soon as it is needed.
#[derive(Debug, Default)]
pub(super) struct Cards {
    reached: Option<(Asker, Family)>,
}

impl Cards {
    /// Reads a setting.
    pub(super) fn read(&mut self, link: &str, hardware: Hardware) -> KernelAnswer {
        self.ask(link, hardware).unwrap_or_else(failed)
    }

    /// Sets one, and reads what has become of it.
    pub(super) fn set(&mut self, link: &str, hardware: Hardware, value: i32) -> KernelAnswer {
        let set = self.try_set(link, hardware, value);
        set.and_then(|()| self.ask(link, hardware))
            .unwrap_or_else(failed)
    }

    fn try_set(&mut self, link: &str, hardware: Hardware, value: i32) -> Result<(), AskError> {
        let (asker, family) = self.reach()?;
        asker.ask(&ethtool::set(*family, link, hardware, value))?;
        Ok(())
    }

    fn ask(&mut self, link: &str, hardware: Hardware) -> Result<KernelAnswer, AskError> {
        let (asker, family) = self.reach()?;
        let answers = asker.ask(&ethtool::get(*family, link, hardware))?;
        let told = answers.first().and_then(|answer| {
            let value = ethtool::value(answer, hardware)?;
            Some(match ethtool::is_changeable(answer, hardware) {
                true => KernelAnswer::Value(value),
                false => KernelAnswer::Fixed(value),
            })
        });
        told.ok_or_else(|| io::Error::from_raw_os_error(libc::EOPNOTSUPP).into())
    }

    fn reach(&mut self) -> Result<&mut (Asker, Family), AskError> {
        let absent = || io::Error::from_raw_os_error(libc::EOPNOTSUPP);
        if self.reached.is_none() {
            let mut asker = Asker::open(Part::Generic)?;
            let answers = asker.ask(&generic::find(FAMILY))?;
            let family = answers.first().and_then(generic::family_of);
            self.reached = Some((asker, family.ok_or_else(absent)?));
        }
        self.reached.as_mut().ok_or_else(|| absent().into())
    }
}

fn failed(error: AskError) -> KernelAnswer {
    KernelAnswer::Failed(error.into())
}
