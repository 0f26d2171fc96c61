//! Notifications to systemd.
//!
//! Source: sd_notify(3) and sd_watchdog_enabled(3).

use sd_notify::NotifyState;
use tokio_util::task::AbortOnDropHandle;

/// Sends READY=1; sends watchdog notifications until the returned handle is dropped.
pub(super) fn ready() -> Option<AbortOnDropHandle<()>> {
    notify(NotifyState::Ready);
    // Half of the watchdog timeout, as sd_watchdog_enabled(3) recommends.
    let interval = sd_notify::watchdog_enabled()? / 2;
    let watchdog = tokio::spawn(async move {
        let mut ticks = tokio::time::interval(interval.max(std::time::Duration::from_millis(1)));
        loop {
            ticks.tick().await;
            notify(NotifyState::Watchdog);
        }
    });
    Some(AbortOnDropHandle::new(watchdog))
}

/// Sends STOPPING=1.
pub(super) fn stopping() {
    notify(NotifyState::Stopping);
}

fn notify(state: NotifyState<'_>) {
    // Without NOTIFY_SOCKET this does nothing; a failed notification cannot be reported.
    let _ = sd_notify::notify(&[state]);
}
