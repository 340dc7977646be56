//! A timer that a poll can wait for, finer than the poll's own millisecond.

use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

pub(super) struct Timer(OwnedFd);

impl Timer {
    pub(super) fn new() -> anyhow::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        Ok(Self(timerfd_create(TimerfdClockId::Monotonic, flags)?))
    }

    pub(super) fn register(&self, registry: &Registry, token: Token) -> anyhow::Result<()> {
        Ok(registry.register(
            &mut SourceFd(&self.0.as_raw_fd()),
            token,
            Interest::READABLE,
        )?)
    }

    /// Rings once, after `delay`. Another call moves the ring.
    pub(super) fn ring_in(&self, delay: Duration) -> anyhow::Result<()> {
        let zero = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let once = Itimerspec {
            it_interval: zero,
            it_value: Timespec {
                tv_sec: i64::try_from(delay.as_secs())?,
                tv_nsec: i64::from(delay.subsec_nanos()).max(1),
            },
        };
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &once)?;
        Ok(())
    }

    pub(super) fn acknowledge(&self) -> anyhow::Result<()> {
        let mut rings = [0; 8];
        match rustix::io::read(&self.0, &mut rings) {
            Ok(_) | Err(rustix::io::Errno::AGAIN) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
