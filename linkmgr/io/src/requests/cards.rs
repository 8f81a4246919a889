//! How is a setting of a network card read and set? By the generic family `ethtool`, one question after another.

use std::io;

use config::model::Hardware;
use linkmgr::kinds::ethtool::{self, FAMILY};
use linkmgr::kinds::generic::{self, Family};
use linkmgr::{KernelAnswer, KernelFault};

use crate::ask::{AskError, Asker, Part};

/// The part of the kernel that has them, as soon as it is needed.
#[derive(Debug, Default)]
pub(super) struct Cards {
    reached: Option<(Asker, Family)>,
}

impl Cards {
    /// Reads a setting.
    pub(super) fn read(&mut self, link: &str, hardware: Hardware) -> KernelAnswer {
        match self.ask(link, hardware) {
            Ok((value, _)) => KernelAnswer::Value(value),
            Err(error) => failed(error),
        }
    }

    /// Sets one; that the kernel keeps it as it was without a word is a fault too.
    pub(super) fn set(&mut self, link: &str, hardware: Hardware, value: i32) -> KernelAnswer {
        match self.try_set(link, hardware, value) {
            Ok(None) => KernelAnswer::Done,
            Ok(Some(why)) => KernelAnswer::Failed(KernelFault {
                errno: libc::EOPNOTSUPP,
                text: Some(why.into()),
            }),
            Err(error) => failed(error),
        }
    }

    fn try_set(
        &mut self,
        link: &str,
        hardware: Hardware,
        value: i32,
    ) -> Result<Option<&'static str>, AskError> {
        let (_, is_changeable) = self.ask(link, hardware)?;
        if !is_changeable {
            return Ok(Some("the link does not let it be changed"));
        }
        let (asker, family) = self.reach()?;
        asker.ask(&ethtool::set(*family, link, hardware, value))?;
        let (now, _) = self.ask(link, hardware)?;
        let is_kept = now != value && matches!(hardware, Hardware::Offload(_));
        Ok(is_kept.then_some("the link keeps it as it is: it hangs on another one"))
    }

    fn ask(&mut self, link: &str, hardware: Hardware) -> Result<(i32, bool), AskError> {
        let (asker, family) = self.reach()?;
        let answers = asker.ask(&ethtool::get(*family, link, hardware))?;
        let told = answers.first().and_then(|answer| {
            let value = ethtool::value(answer, hardware)?;
            Some((value, ethtool::is_changeable(answer, hardware)))
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
    KernelAnswer::Failed(match error {
        AskError::Fault(fault) => fault,
        AskError::Socket(error) => KernelFault {
            errno: error.raw_os_error().unwrap_or(libc::EIO),
            text: None,
        },
    })
}
