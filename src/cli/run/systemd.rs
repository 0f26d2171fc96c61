//! What systemd is told, where it asks to be told.
//!
//! Source: sd_notify(3) and sd_watchdog_enabled(3).

use sd_notify::NotifyState;
use tokio_util::task::AbortOnDropHandle;

/// Says that everything runs; goes on saying that it is alive as long as the returned handle is kept.
pub(super) fn ready() -> Option<AbortOnDropHandle<()>> {
    tell(NotifyState::Ready);
    // Half the time that systemd waits, as it recommends.
    let interval = sd_notify::watchdog_enabled()? / 2;
    let alive = tokio::spawn(async move {
        let mut beat = tokio::time::interval(interval.max(std::time::Duration::from_millis(1)));
        loop {
            beat.tick().await;
            tell(NotifyState::Watchdog);
        }
    });
    Some(AbortOnDropHandle::new(alive))
}

/// Says that stopping has begun.
pub(super) fn stopping() {
    tell(NotifyState::Stopping);
}

fn tell(state: NotifyState<'_>) {
    // Where systemd does not ask this does nothing; where it has gone there is nobody to tell.
    let _ = sd_notify::notify(&[state]);
}
