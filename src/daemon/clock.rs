//! What time is it, and how is a deadline waited for? `CLOCK_BOOTTIME`, which goes on while the machine sleeps.
//!
//! tokio's own timers stop during suspend, so that a deadline that passes meanwhile would come late by the whole sleep;
//! an [`Alarm`] comes as soon as the machine is awake again. It does not wake the machine.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd, RawFd};
use std::time::Duration;

use config::time::Instant;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Returns the time since boot, time asleep included.
pub(crate) fn now() -> Instant {
    let time = nix::time::ClockId::CLOCK_BOOTTIME
        .now()
        .expect("Linux has CLOCK_BOOTTIME since 2.6.39");
    Instant::ZERO + Duration::from(time)
}

/// Returns how long the machine has slept since it was started.
pub(crate) fn asleep() -> Duration {
    let awake = nix::time::ClockId::CLOCK_MONOTONIC
        .now()
        .expect("every Linux has CLOCK_MONOTONIC");
    now()
        .since(Instant::ZERO)
        .saturating_sub(Duration::from(awake))
}

/// One timer of the kernel, for one deadline at a time.
#[derive(Debug)]
pub(crate) struct Alarm {
    timer: AsyncFd<Timer>,
    /// When the timer rings; `None` when it has rung or was never set.
    rings_at: Option<Instant>,
}

/// A timer of the kernel, for tokio.
#[derive(Debug)]
pub(crate) struct Timer(pub(crate) TimerFd);

impl AsRawFd for Timer {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Alarm {
    /// Makes a timer.
    ///
    /// # Errors
    /// When the kernel has no descriptor left.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub(crate) fn open() -> io::Result<Self> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = Timer(TimerFd::new(ClockId::CLOCK_BOOTTIME, flags)?);
        // SAFETY: the timer owns its descriptor, always the same one, and is not closed before it is dropped.
        let timer = unsafe { AsyncFd::register_with_interest(timer, Interest::READABLE) }?;
        Ok(Self {
            timer,
            rings_at: None,
        })
    }

    /// Waits until `deadline`; at once when it has passed. Cancel-safe, and cheap to call again for the same deadline.
    ///
    /// # Errors
    /// When the timer itself is broken.
    pub(crate) async fn sleep_until(&mut self, deadline: Instant) -> io::Result<()> {
        if deadline <= now() {
            return Ok(());
        }
        if self.rings_at != Some(deadline) {
            let since_boot = deadline.since(Instant::ZERO);
            self.timer.get_ref().0.set(
                Expiration::OneShot(since_boot.into()),
                TimerSetTimeFlags::TFD_TIMER_ABSTIME,
            )?;
            self.rings_at = Some(deadline);
        }
        loop {
            let mut ready = self.timer.readable().await?;
            // Readiness may be left over from an earlier deadline: the timer alone knows.
            match ready.try_io(|timer| timer.get_ref().0.wait().map_err(io::Error::from)) {
                Ok(rung) => {
                    self.rings_at = None;
                    return rung;
                }
                Err(_would_block) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(3600);

    fn block_on(story: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build();
        runtime.unwrap().block_on(story);
    }

    #[test]
    fn alarm_rings_at_its_deadline_and_again_at_the_next() {
        block_on(async {
            let mut alarm = Alarm::open().unwrap();
            for _ in 0..3 {
                let deadline = now() + SHORT;
                alarm.sleep_until(deadline).await.unwrap();
                assert!(now() >= deadline);
            }
            alarm.sleep_until(Instant::ZERO).await.unwrap();
        });
    }

    #[test]
    fn deadline_that_moves_is_followed_both_ways() {
        block_on(async {
            let mut alarm = Alarm::open().unwrap();
            let late = now() + LONG;
            let soon = now() + SHORT;
            tokio::select! {
                biased;
                rung = alarm.sleep_until(late) => panic!("{rung:?}"),
                () = std::future::ready(()) => {}
            }
            alarm.sleep_until(soon).await.unwrap();
            assert!(now() >= soon);

            let first = now() + SHORT;
            tokio::select! {
                biased;
                rung = alarm.sleep_until(first) => panic!("{rung:?}"),
                () = std::future::ready(()) => {}
            }
            let second = first + SHORT;
            alarm.sleep_until(second).await.unwrap();
            assert!(
                now() >= second,
                "the first deadline's ring is not the second's"
            );
        });
    }
}
