//! Options that `cron`, `every` and `at` share.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::options::{OptionFault, Options, nearest};
use crate::run::{Mode, Policy};
use crate::triggers::trigger::TriggerContext;

/// Policy for missed times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missed {
    /// They are skipped.
    Skip,
    /// One run makes up for all.
    Once,
    /// Each gets its own run.
    All,
}

/// Options that `cron`, `every` and `at` share.
#[derive(Debug, Clone)]
pub(crate) struct Timing {
    zone: TimeZone,
    pub(super) missed: Missed,
    window: Option<Duration>,
    jitter: Duration,
    /// Whether a tick is sent while the previous run is still running.
    pub(super) overlaps: bool,
    is_clock_time: bool,
}

impl Timing {
    /// Reads the options.
    ///
    /// # Errors
    /// If an option has an invalid value.
    pub(crate) fn take(options: &mut Options, trigger_context: &TriggerContext) -> Result<Self, OptionFault> {
        let words = [("skip", Missed::Skip), ("once", Missed::Once), ("all", Missed::All)];
        let zone = options.text("timezone")?.map(|name| read_zone(&name)).transpose()?;
        let missed = options.word("missed", &words)?.unwrap_or(Missed::Skip);
        let window = options.duration("window")?;
        let within = options.duration("within")?;
        if missed == Missed::Skip && (window.is_some() || within.is_some()) {
            let option = if window.is_some() { "window" } else { "within" };
            return Err(OptionFault {
                option: Some(option.into()),
                message: format!(
                    "{option}: requires a policy for missed times: write `missed: \"once\"` or \"all\" too"
                ),
            });
        }
        Ok(Self {
            zone: zone.unwrap_or_else(|| trigger_context.zone.clone()),
            missed,
            window: window.or(within),
            jitter: options.duration("jitter")?.unwrap_or_default(),
            overlaps: false,
            is_clock_time: false,
        })
    }

    /// Marks times that exist independently of the watch, as clock times do: they count as missed while nothing watches.
    pub(crate) fn follows_clock(self) -> Self {
        Self { is_clock_time: true, ..self }
    }

    /// Returns whether the last time is stored across restarts.
    pub(super) fn is_kept(&self) -> bool {
        self.is_clock_time || self.missed != Missed::Skip
    }

    /// Applies the run policy; returns whether runs may overlap.
    pub(crate) fn apply_policy(&mut self, policy: &Policy) -> bool {
        self.overlaps = policy.mode != Mode::Queued;
        self.overlaps
    }

    /// Returns the time zone.
    pub(crate) fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// Returns the name of the time zone, as part of the metadata key.
    pub(super) fn zone_name(&self) -> &str {
        self.zone.iana_name().unwrap_or("local")
    }

    /// Returns the maximum random delay.
    pub(crate) fn jitter(&self) -> Duration {
        self.jitter
    }

    /// Returns whether a time with this delay is made up for.
    pub(super) fn is_within(&self, late: SignedDuration) -> bool {
        self.window.is_none_or(|window| late.unsigned_abs() <= window)
    }

    /// Returns the earliest time that is made up for.
    pub(super) fn earliest(&self, now: Timestamp) -> Timestamp {
        self.window.and_then(|window| now.checked_sub(window).ok()).unwrap_or(Timestamp::MIN)
    }

    /// Returns a random delay.
    pub(super) fn random_delay(&self) -> Option<Duration> {
        if self.jitter.is_zero() {
            return None;
        }
        let mut bytes = [0; 4];
        crate::random::fill(&mut bytes).ok()?;
        Some(self.jitter.mul_f64(f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)))
    }
}

fn read_zone(name: &str) -> Result<TimeZone, OptionFault> {
    TimeZone::get(name).map_err(|_| {
        let known: Vec<_> = jiff::tz::db().available().map(|known| known.to_string()).collect();
        let hint = match nearest(name, known.iter().map(String::as_str)) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => "write an IANA name such as \"Europe/Oslo\"".to_owned(),
        };
        OptionFault {
            option: Some("timezone".into()),
            message: format!("timezone: there is no time zone \"{name}\": {hint}"),
        }
    })
}
