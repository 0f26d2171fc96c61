//! One log line for each change between us and a broker, and how long to wait before the next attempt.

use std::time::{Duration, Instant};

use tracing::{info, warn};

use crate::services::mqtt::settings::Settings;
use crate::services::mqtt::wire::Broken;
use crate::units::show_duration;

/// The first wait; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// A connection that lived this long counts as sound.
pub(super) const SOUND: Duration = Duration::from_secs(30);
/// A connection that lived less was most likely ended on purpose.
const SHORT: Duration = Duration::from_secs(5);
/// So many short ones in a row are a pattern.
const PATTERN: u32 = 3;

/// Tells people about a connection, once per change.
pub(super) struct Report {
    broker: String,
    address: String,
    client_id: String,
    // What was said last, without what varies.
    said: Option<String>,
    failures: u32,
    short: u32,
}

impl Report {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            broker: settings.name.clone(),
            address: settings.address().to_string(),
            client_id: settings.client_id.clone(),
            said: None,
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
    pub(super) fn lost(&mut self, why: &Broken, since: Option<Instant>) {
        let lived = since.map(|since| since.elapsed());
        let dismissed = matches!(why, Broken::Closed | Broken::Dismissed(_) | Broken::Io(_));
        match lived {
            Some(lived) if lived < SHORT && dismissed => self.short += 1,
            Some(_) => self.short = 0,
            None => {}
        }
        let (broker, address, id) = (&self.broker, &self.address, &self.client_id);
        let line = match lived {
            _ if self.short > PATTERN => return,
            _ if self.short == PATTERN => format!(
                "{address} ends each connection soon after it begins; is there another client with the id `{id}`? (`mqtt.client_id`)"
            ),
            Some(_) => format!("lost the connection to {address}: {why}"),
            None => format!("no connection to {address}: {why}"),
        };
        if self.said.as_ref() != Some(&line)
            && !(lived.is_none() && self.said.as_ref().is_some_and(|said| said.starts_with("lost")))
        {
            warn!(broker, "{line}; trying again, at most {} apart", show_duration(LONGEST_WAIT));
            self.said = Some(line);
        }
    }

    /// Returns how long to wait before the next attempt.
    pub(super) fn wait(&mut self) -> Duration {
        let wait = FIRST_WAIT.saturating_mul(1 << self.failures.min(10)).min(LONGEST_WAIT);
        self.failures += 1;
        // Clients that lost the same broker must not all come back in the same moment.
        let mut random = [0; 1];
        let _ = getrandom::fill(&mut random);
        wait.mul_f64(0.75 + f64::from(random[0]) / 1_024.0)
    }

    fn say_connected(&mut self) {
        info!(broker = self.broker, "connected to {}", self.address);
        self.said = None;
    }
}
