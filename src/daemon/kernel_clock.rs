//! What does the kernel say of the time of day, and when was it set?
//!
//! [`KernelClock`] reads and waits; whether the time is believed is [`dnssec::clock`]'s business.

use std::cell::Cell;
use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use config::time::Instant;
use dnssec::clock::Reading;
use nix::errno::Errno;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::clock::{self, Timer};
use crate::store;

/// When this source was last known to be new, in Unix seconds: 2026-11-01.
const WRITTEN_AT: u64 = 1_793_491_200;
/// The earliest time it can be, in Unix seconds: that of the build, as reproducible builds tell it, or that of the source.
pub(crate) const BUILT_AT: u64 = match option_env!("SOURCE_DATE_EPOCH") {
    Some(text) => match u64::from_str_radix(text, 10) {
        Ok(time) if time > WRITTEN_AT => time,
        Ok(_) | Err(_) => WRITTEN_AT,
    },
    None => WRITTEN_AT,
};
/// When the timer rings if nobody sets the clock: far off.
const FAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The time of day.
#[derive(Debug)]
pub(crate) struct KernelClock {
    timer: AsyncFd<Timer>,
    pretended: Option<Pretended>,
}

/// What is to be taken for the time, for tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pretence {
    /// This, in seconds since 1970, which is believed.
    At(u64),
    /// What a file says: seconds since 1970, and `unsynchronised` when nobody answers for them. It is read whenever the
    /// clock is looked at.
    From(PathBuf),
}

impl FromStr for Pretence {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text
            .parse()
            .map_or_else(|_| Self::From(text.into()), Self::At))
    }
}

/// A time that is taken for the real one.
#[derive(Debug)]
struct Pretended {
    pretence: Pretence,
    /// Since when it is so.
    told: Cell<Told>,
}

#[derive(Debug, Clone, Copy)]
struct Told {
    wall: u64,
    is_synchronised: bool,
    since: Instant,
}

impl Pretended {
    fn new(pretence: Pretence) -> Self {
        let told = Told {
            wall: match &pretence {
                Pretence::At(wall) => *wall,
                Pretence::From(_) => 0,
            },
            is_synchronised: matches!(pretence, Pretence::At(_)),
            since: clock::now(),
        };
        Self {
            pretence,
            told: Cell::new(told),
        }
    }

    fn read(&self, now: Instant) -> Told {
        let mut told = self.told.get();
        if let Pretence::From(path) = &self.pretence
            && let Some(text) = store::read(path)
        {
            let mut words = text.split_whitespace();
            let wall = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
            let is_synchronised = words.next() != Some("unsynchronised");
            if (wall, is_synchronised) != (told.wall, told.is_synchronised) {
                told = Told {
                    wall,
                    is_synchronised,
                    since: now,
                };
                self.told.set(told);
            }
        }
        told
    }
}

impl KernelClock {
    /// Begins to watch the clock; `pretence` is taken for the time from now on.
    ///
    /// # Errors
    /// When the kernel has no descriptor left.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub(crate) fn open(pretence: Option<Pretence>) -> io::Result<Self> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = Timer(TimerFd::new(ClockId::CLOCK_REALTIME, flags)?);
        arm(&timer)?;
        // SAFETY: the timer owns its descriptor, always the same one, and is not closed before it is dropped.
        let timer = unsafe { AsyncFd::register_with_interest(timer, Interest::READABLE) }?;
        let pretended = pretence.map(Pretended::new);
        if pretended.is_none() && synchronised().is_err() {
            tracing::warn!(
                "the kernel does not say whether the clock is synchronised: signatures count whatever their dates"
            );
        }
        Ok(Self { timer, pretended })
    }

    /// Looks at the clock.
    pub(crate) fn read(&self) -> Reading {
        let now = clock::now();
        let uptime = now.since(Instant::ZERO).as_secs();
        match self.pretended.as_ref().map(|pretended| pretended.read(now)) {
            Some(Told {
                wall,
                is_synchronised,
                since,
            }) => Reading {
                wall: wall.saturating_add(now.since(since).as_secs()),
                uptime,
                is_synchronised,
            },
            None => Reading {
                wall: wall(),
                uptime,
                is_synchronised: synchronised().unwrap_or(false),
            },
        }
    }

    /// Waits until somebody sets the clock, or the machine has slept. Cancel-safe.
    ///
    /// # Errors
    /// When the timer itself is broken.
    pub(crate) async fn set(&self) -> io::Result<()> {
        loop {
            let mut ready = self.timer.readable().await?;
            // A set clock is no error here: nix takes ECANCELED for a ring.
            match ready.try_io(|timer| timer.get_ref().0.wait().map_err(io::Error::from)) {
                Ok(rung) => {
                    rung?;
                    // Before anybody looks at the clock, so that no second setting is missed.
                    return arm(self.timer.get_ref());
                }
                Err(_would_block) => {}
            }
        }
    }
}

/// Has the timer ring when the clock is set.
fn arm(timer: &Timer) -> io::Result<()> {
    let flags = TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET;
    let at = Duration::from_secs(wall()).saturating_add(FAR);
    match timer.0.set(Expiration::OneShot(at.into()), flags) {
        // The clock was set meanwhile, and the timer runs all the same.
        Ok(()) | Err(Errno::ECANCELED) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Returns `CLOCK_REALTIME`, in Unix seconds; a clock before 1970 is at 1970.
pub(crate) fn wall() -> u64 {
    let time = nix::time::ClockId::CLOCK_REALTIME
        .now()
        .expect("every Unix has CLOCK_REALTIME");
    u64::try_from(time.tv_sec()).unwrap_or(0)
}

/// Asks the kernel whether the clock is synchronised.
///
/// # Errors
/// What the kernel says; some containers deny the question.
pub(crate) fn synchronised() -> io::Result<bool> {
    // SAFETY: timex is numbers only, for which zeros are values.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    // Not libc's adjtimex: that is clock_adjtime in newer ones, which stays denied.
    // SAFETY: timex is one, and lives as long as the call; with modes 0 the kernel only writes into it.
    let state = unsafe { libc::syscall(libc::SYS_adjtimex, &raw mut timex) };
    if state < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(timex.status & libc::STA_UNSYNC == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_is_of_the_kernels_clocks_and_a_pretended_one_of_its_own() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build();
        runtime.unwrap().block_on(async {
            let real = KernelClock::open(None).unwrap().read();
            assert!(real.wall.abs_diff(wall()) <= 2, "{real:?}");
            let uptime = clock::now().since(Instant::ZERO).as_secs();
            assert!(real.uptime.abs_diff(uptime) <= 2, "{real:?}");
            let pretended = KernelClock::open(Some(Pretence::At(1_000_000))).unwrap();
            let reading = pretended.read();
            assert!((1_000_000..1_000_010).contains(&reading.wall));
            assert!(reading.is_synchronised);
            tokio::select! {
                biased;
                set = pretended.set() => panic!("nobody set the clock: {set:?}"),
                () = std::future::ready(()) => {}
            }
        });
    }
}
