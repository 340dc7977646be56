//! A timer finer than the millisecond of tokio's, which would show as latency.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;

/// Wakes one task, to within some tens of microseconds on an idle machine.
pub(super) struct Alarm(AsyncFd<OwnedFd>);

impl Alarm {
    /// An alarm. Needs a tokio runtime.
    ///
    /// # Errors
    /// When the operating system has no more timers.
    pub(super) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        #[expect(
            deprecated,
            reason = "its replacement is unsafe for descriptors that may change; an OwnedFd does not"
        )]
        let timer = AsyncFd::new(timer)?;
        Ok(Self(timer))
    }

    /// Waits for `duration`.
    ///
    /// # Errors
    /// When the operating system refuses the timer.
    pub(super) async fn wait(&self, duration: Duration) -> io::Result<()> {
        if duration.is_zero() {
            return Ok(());
        }
        let zero = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let once = Itimerspec {
            it_interval: zero,
            it_value: Timespec {
                tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: duration.subsec_nanos().into(),
            },
        };
        timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &once)?;
        loop {
            let mut ready = self.0.readable().await?;
            let rung = ready.try_io(|timer| {
                let mut rings = [0; 8];
                Ok(rustix::io::read(timer, &mut rings)?)
            });
            if let Ok(result) = rung {
                return result.map(drop);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    async fn an_alarm_never_rings_early() {
        let alarm = Alarm::new().unwrap();
        for micros in [0, 1, 300, 2_000] {
            let (started, duration) = (Instant::now(), Duration::from_micros(micros));
            alarm.wait(duration).await.unwrap();
            assert!(started.elapsed() >= duration);
        }
    }
}
