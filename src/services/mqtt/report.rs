//! Log lines of a connection, one per change, and the backoff between attempts.

use std::time::{Duration, Instant};

use tracing::{info, warn};

use crate::config::Backoff;
use crate::services::mqtt::settings::ConnectionSettings;
use crate::services::mqtt::wire::ConnectionError;
use crate::units::show_duration;

/// Age at which a connection counts as stable.
pub(super) const STABLE: Duration = Duration::from_secs(30);
/// Age below which the broker most likely closed a connection on purpose.
const SHORT_LIVED: Duration = Duration::from_secs(5);
/// Number of such connections in a row after which the log hints at a second client.
const MAX_SHORT: u32 = 3;

/// Limit of the reasons logged in one outage.
const MAX_REASONS: usize = 5;

/// Logs changes of one connection, and computes the backoff.
pub(super) struct Report {
    broker: String,
    url: String,
    client_id: String,
    backoff: Backoff,
    // Reasons logged since the last connect.
    logged: Vec<String>,
    failures: u32,
    short_connections: u32,
}

impl Report {
    pub(super) fn new(settings: &ConnectionSettings) -> Self {
        Self {
            broker: settings.name.clone(),
            url: settings.url(),
            client_id: settings.client_id.clone(),
            backoff: settings.backoff,
            logged: Vec::new(),
            failures: 0,
            short_connections: 0,
        }
    }

    /// Logs that the connection is established.
    pub(super) fn connected(&mut self) {
        if self.short_connections < MAX_SHORT {
            self.log_connected();
        }
    }

    /// Records that the connection has lasted for [`STABLE`].
    pub(super) fn stable(&mut self) {
        self.failures = 0;
        if self.short_connections >= MAX_SHORT {
            self.log_connected();
        }
        self.short_connections = 0;
    }

    /// Logs why there is no connection; `since` is when it was established, if it was.
    pub(super) fn lost(&mut self, why: &ConnectionError, since: Option<Instant>) {
        if let Some(since) = since {
            let was_closed =
                matches!(why, ConnectionError::Closed | ConnectionError::ServerDisconnect(_) | ConnectionError::Io(_));
            self.short_connections =
                if was_closed && since.elapsed() < SHORT_LIVED { self.short_connections + 1 } else { 0 };
        }
        let Some(message) = self.message(why, since.is_some()) else { return };
        // In one outage each reason is logged once, and after the loss of a connection failed attempts are not logged.
        let is_new = self.logged.len() < MAX_REASONS && !self.logged.contains(&message);
        if is_new && (since.is_some() || self.logged.is_empty() || matches!(why, ConnectionError::Refused(_))) {
            let longest = show_duration(self.backoff.longest);
            warn!(broker = self.broker, "{message}; reconnecting, at most {longest} between attempts");
            self.logged.push(message);
        }
    }

    fn message(&self, why: &ConnectionError, was_connected: bool) -> Option<String> {
        let (url, client_id) = (&self.url, &self.client_id);
        match self.short_connections {
            count if count > MAX_SHORT => None,
            MAX_SHORT if was_connected => Some(format!(
                "{url} closes each connection shortly after it is established; is there another client with the id `{client_id}`? (`mqtt.client_id`)"
            )),
            _ if was_connected => Some(format!("lost the connection to {url}: {why}")),
            _ => Some(format!("no connection to {url}: {why}")),
        }
    }

    /// Returns the delay before the next attempt.
    pub(super) fn backoff_delay(&mut self) -> Duration {
        let Backoff { first, longest } = self.backoff;
        let delay = first.saturating_mul(1 << self.failures.min(20)).min(longest);
        self.failures = self.failures.saturating_add(1);
        // Jitter: clients that lost the same broker must not all reconnect in the same moment.
        let mut random = [0; 1];
        let _ = getrandom::fill(&mut random);
        delay.mul_f64(0.75 + f64::from(random[0]) / 1_024.0)
    }

    fn log_connected(&mut self) {
        info!(broker = self.broker, "connected to {}", self.url);
        self.logged.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn report() -> Report {
        let config = Config::default_in(std::path::Path::new("/")).mqtt;
        Report::new(
            &ConnectionSettings::new(&config, std::net::SocketAddr::from(([127, 0, 0, 1], 1_883)), "our-id".into())
                .unwrap(),
        )
    }

    #[test]
    fn a_client_id_used_by_two_clients_is_logged_once() {
        let mut report = report();
        let mut hints = 0;
        for _ in 0..20 {
            report.connected();
            let before = report.logged.len();
            report.lost(&ConnectionError::Closed, Some(Instant::now()));
            hints += usize::from(report.logged.len() > before && report.logged.last().unwrap().contains("`our-id`"));
        }
        assert_eq!(hints, 1);
    }

    #[test]
    fn an_outage_is_logged_once_whatever_the_reasons_of_the_attempts() {
        let mut report = report();
        report.lost(&ConnectionError::Closed, Instant::now().checked_sub(SHORT_LIVED));
        for port in 0..10 {
            report.lost(&ConnectionError::Timeout(port.to_string()), None);
        }
        assert_eq!(report.logged, ["lost the connection to mqtt://127.0.0.1:1883: the broker closed the connection"]);
        report.lost(&ConnectionError::Refused("no".into()), None);
        report.lost(&ConnectionError::Refused("no".into()), None);
        assert_eq!(report.logged.len(), 2);
    }

    #[test]
    fn the_backoff_grows_to_a_minute_and_is_reset_by_a_stable_connection() {
        let mut report = report();
        let Backoff { first, longest } = report.backoff;
        assert_eq!((first, longest), (Duration::from_millis(500), Duration::from_secs(60)));
        let backoff_delay = report.backoff_delay();
        assert!(backoff_delay <= first && backoff_delay >= first / 2, "{backoff_delay:?}");
        let last = (0..20).map(|_| report.backoff_delay()).last().unwrap();
        assert!(last <= longest && last >= longest / 2, "{last:?}");
        report.stable();
        assert!(report.backoff_delay() <= first);
    }
}
