//! One log line for each change between us and a broker, and how long to wait before the next attempt.

use std::time::{Duration, Instant};

use tracing::{info, warn};

use crate::config::Backoff;
use crate::services::mqtt::settings::ConnectionSettings;
use crate::services::mqtt::wire::ConnectionError;
use crate::units::show_duration;

/// A connection that lived this long counts as sound.
pub(super) const SOUND: Duration = Duration::from_secs(30);
/// A connection that lived less was most likely ended on purpose.
const SHORT: Duration = Duration::from_secs(5);
/// So many short ones in a row are a pattern.
const PATTERN: u32 = 3;

/// How many reasons are said in one outage.
const REASONS: usize = 5;

/// Tells people about a connection, once per change.
pub(super) struct Report {
    broker: String,
    address: String,
    client_id: String,
    backoff: Backoff,
    // What was said since it was last connected.
    said: Vec<String>,
    failures: u32,
    short: u32,
}

impl Report {
    pub(super) fn new(settings: &ConnectionSettings) -> Self {
        Self {
            broker: settings.name.clone(),
            address: settings.url(),
            client_id: settings.client_id.clone(),
            backoff: settings.backoff,
            said: Vec::new(),
            failures: 0,
            short: 0,
        }
    }

    /// Says that the connection stands.
    pub(super) fn connected(&mut self) {
        if self.short < PATTERN {
            self.say_connected();
        }
    }

    /// Says that the connection has stood for [`SOUND`].
    pub(super) fn sound(&mut self) {
        self.failures = 0;
        if self.short >= PATTERN {
            self.say_connected();
        }
        self.short = 0;
    }

    /// Says why there is no connection; `since` is when it began to stand, if it ever did.
    pub(super) fn lost(&mut self, why: &ConnectionError, since: Option<Instant>) {
        if let Some(since) = since {
            let dismissed =
                matches!(why, ConnectionError::Closed | ConnectionError::ServerDisconnect(_) | ConnectionError::Io(_));
            self.short = if dismissed && since.elapsed() < SHORT { self.short + 1 } else { 0 };
        }
        let Some(line) = self.line(why, since.is_some()) else { return };
        // In one outage each reason is said once, and after a loss not that it goes on.
        let is_new = self.said.len() < REASONS && !self.said.contains(&line);
        if is_new && (since.is_some() || self.said.is_empty() || matches!(why, ConnectionError::Refused(_))) {
            let longest = show_duration(self.backoff.longest);
            warn!(broker = self.broker, "{line}; trying again, at most {longest} apart");
            self.said.push(line);
        }
    }

    fn line(&self, why: &ConnectionError, stood: bool) -> Option<String> {
        let (address, id) = (&self.address, &self.client_id);
        match self.short {
            short if short > PATTERN => None,
            PATTERN if stood => Some(format!(
                "{address} ends each connection soon after it begins; is there another client with the id `{id}`? (`mqtt.client_id`)"
            )),
            _ if stood => Some(format!("lost the connection to {address}: {why}")),
            _ => Some(format!("no connection to {address}: {why}")),
        }
    }

    /// Returns how long to wait before the next attempt.
    pub(super) fn wait(&mut self) -> Duration {
        let Backoff { first, longest } = self.backoff;
        let wait = first.saturating_mul(1 << self.failures.min(20)).min(longest);
        self.failures = self.failures.saturating_add(1);
        // Clients that lost the same broker must not all come back in the same moment.
        let mut random = [0; 1];
        let _ = getrandom::fill(&mut random);
        wait.mul_f64(0.75 + f64::from(random[0]) / 1_024.0)
    }

    fn say_connected(&mut self) {
        info!(broker = self.broker, "connected to {}", self.address);
        self.said.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn report() -> Report {
        let config = Config::default_in(std::path::Path::new("/")).mqtt;
        Report::new(&ConnectionSettings::new(&config, ([127, 0, 0, 1], 1_883).into(), "our-id".into()).unwrap())
    }

    #[test]
    fn a_client_id_that_is_fought_over_is_told_once() {
        let mut report = report();
        let mut hints = 0;
        for _ in 0..20 {
            report.connected();
            let before = report.said.len();
            report.lost(&ConnectionError::Closed, Some(Instant::now()));
            hints += usize::from(report.said.len() > before && report.said.last().unwrap().contains("`our-id`"));
        }
        assert_eq!(hints, 1);
    }

    #[test]
    fn an_outage_is_told_once_whatever_the_reasons_of_the_attempts() {
        let mut report = report();
        report.lost(&ConnectionError::Closed, Instant::now().checked_sub(SHORT));
        for port in 0..10 {
            report.lost(&ConnectionError::Silent(port.to_string()), None);
        }
        assert_eq!(report.said, ["lost the connection to mqtt://127.0.0.1:1883: it closed the connection"]);
        report.lost(&ConnectionError::Refused("no".into()), None);
        report.lost(&ConnectionError::Refused("no".into()), None);
        assert_eq!(report.said.len(), 2);
    }

    #[test]
    fn waits_grow_to_a_minute_and_begin_anew_after_a_sound_connection() {
        let mut report = report();
        let Backoff { first, longest } = report.backoff;
        assert_eq!((first, longest), (Duration::from_millis(500), Duration::from_secs(60)));
        let wait = report.wait();
        assert!(wait <= first && wait >= first / 2, "{wait:?}");
        let last = (0..20).map(|_| report.wait()).last().unwrap();
        assert!(last <= longest && last >= longest / 2, "{last:?}");
        report.sound();
        assert!(report.wait() <= first);
    }
}
