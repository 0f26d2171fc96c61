//! Runs: the policy by which events become runs, and the outcome of a run.

use std::time::Duration;

use crate::fault::Fault;
use crate::options::{OptionFault, Options};
use crate::value::Value;

/// The handling of an event while its script is busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// The event waits in the queue of the script.
    #[default]
    Queued,
    /// The event is skipped while another event of the same trigger (and key) is running or queued.
    Single,
    /// The event cancels and replaces running and queued events of the same trigger (and key).
    Restart,
    /// The event runs immediately, in parallel to other runs of the script.
    Parallel,
}

/// The event that is dropped when a queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overflow {
    /// The oldest queued event.
    #[default]
    DropOldest,
    /// The new event.
    DropNewest,
    /// The queued event with the same key, even if the queue is not full; otherwise the oldest.
    LatestPerKey,
}

/// The retry policy of failed runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Retry {
    /// The maximum number of retries.
    pub max: u32,
    /// The delay before the first retry.
    pub delay: Duration,
    /// The factor of each further delay, at least 1.
    pub backoff: f64,
}

/// A rate limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// The maximum number of events.
    pub count: u32,
    /// The period.
    pub per: Duration,
}

/// The common options of all triggers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Policy {
    /// The name for `rhaid fire`, lists and logs. The default is made from the arguments.
    pub name: Option<String>,
    /// The handling of events while the script is busy.
    pub mode: Mode,
    /// The length of the queue or the number of parallel runs. `None`: the default of the config.
    pub max: Option<usize>,
    /// The event that is dropped when the queue is full.
    pub overflow: Overflow,
    /// The dotted path of the key in the event, such as `params.id`.
    pub key: Option<String>,
    /// The timeout of a run. `None`: the default of the config.
    pub timeout: Option<Duration>,
    /// The retry policy of failed runs.
    pub retry: Option<Retry>,
    /// The rate limit. Events above it are skipped.
    pub rate: Option<Rate>,
    /// Whether the trigger is disabled.
    pub disabled: bool,
}

impl Policy {
    /// The common options, each with a description for the reference.
    pub const OPTIONS: &[(&str, &str)] = &[
        ("name", "the name of the trigger in the run history and for `rhaid fire`"),
        (
            "mode",
            "`\"queued\"` (the default): one run after another; `\"single\"`: events during a run are skipped; `\"restart\"`: an event cancels the run in progress; `\"parallel\"`: runs at the same time",
        ),
        ("max", "the largest number of queued events or of parallel runs"),
        (
            "overflow",
            "the event that is dropped when the queue is full: `\"drop_oldest\"`, `\"drop_newest\"` or `\"latest_per_key\"`",
        ),
        ("key", "the field of the event that is the key"),
        ("timeout", "the timeout of a run, such as `\"5s\"`"),
        ("retry", "the retries of a failed run: a number, or `#{ max: 3, delay: \"1s\", backoff: 2.0 }`"),
        ("rate", "the rate limit, such as `\"10/1s\"`; further events are skipped"),
        ("enabled", "`false`: the trigger is disabled"),
    ];

    /// Takes the common options.
    ///
    /// # Errors
    /// If one of them has an invalid value.
    pub fn take(options: &mut Options) -> Result<Self, OptionFault> {
        let retry = options.read("retry", |value| match value {
            Value::Map(map) => read_retry(map),
            Value::Int(max @ 0..=1_000) => Ok(Retry { max: max as u32, delay: Duration::from_secs(1), backoff: 2.0 }),
            other => Err(format!("write #{{ max: 3, delay: \"1s\", backoff: 2.0 }}, not {}", other.type_name())),
        })?;
        Ok(Self {
            name: options.text("name")?,
            mode: options
                .word(
                    "mode",
                    &[
                        ("queued", Mode::Queued),
                        ("single", Mode::Single),
                        ("restart", Mode::Restart),
                        ("parallel", Mode::Parallel),
                    ],
                )?
                .unwrap_or_default(),
            max: options.int("max", 1..=1_000_000)?.map(|max| max as usize),
            overflow: options
                .word(
                    "overflow",
                    &[
                        ("drop_oldest", Overflow::DropOldest),
                        ("drop_newest", Overflow::DropNewest),
                        ("latest_per_key", Overflow::LatestPerKey),
                    ],
                )?
                .unwrap_or_default(),
            key: options.text("key")?,
            timeout: options.duration("timeout")?,
            retry,
            rate: options.read("rate", |value| read_rate(&value))?,
            disabled: options.bool("enabled")? == Some(false),
        })
    }
}

fn read_retry(map: crate::value::Map) -> Result<Retry, String> {
    let mut options = Options::new(map);
    let read = |options: &mut Options| {
        Ok(Retry {
            max: options.int("max", 0..=1_000)?.unwrap_or(3) as u32,
            delay: options.duration("delay")?.unwrap_or(Duration::from_secs(1)),
            backoff: options
                .read("backoff", |value| match value {
                    Value::Float(factor) if factor >= 1.0 => Ok(factor),
                    Value::Int(factor) if factor >= 1 => Ok(factor as f64),
                    _ => Err("write a number of at least 1".to_owned()),
                })?
                .unwrap_or(2.0),
        })
    };
    read(&mut options).and_then(|retry| options.finish().map(|()| retry)).map_err(|fault: OptionFault| fault.message)
}

fn read_rate(value: &Value) -> Result<Rate, String> {
    let wrong = || "write a number and a duration, such as \"10/1s\"".to_owned();
    let (count, per) = value.as_text().and_then(|text| text.split_once('/')).ok_or_else(wrong)?;
    let count = count.trim().parse().ok().filter(|count| *count > 0).ok_or_else(wrong)?;
    let per = per.trim();
    let per = if per.starts_with(|c: char| c.is_ascii_digit()) { per.to_owned() } else { format!("1{per}") };
    crate::units::parse_duration(&per)
        .ok()
        .filter(|per| !per.is_zero())
        .map(|per| Rate { count, per })
        .ok_or_else(wrong)
}

/// The reason why an event was skipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Skip {
    /// `mode: "single"`, and another event was running or queued.
    Busy,
    /// The queue was full, and the overflow policy dropped this event.
    QueueFull,
    /// A newer event with the same key replaced it.
    Replaced,
    /// The event exceeded the rate limit.
    RateLimited,
    /// The trigger or its script is disabled.
    Disabled,
    /// The circuit breaker is open: the script had too many runs or failures.
    BreakerOpen,
    /// The trigger was removed while the event was queued.
    TriggerGone,
    /// The process is stopping.
    Stopping,
    /// The event was due while the process was not running, the script was disabled, or the machine was suspended.
    Missed,
    /// The event was due while the last run was in progress.
    Overrun,
    /// The payload did not change (`changed: true`).
    Unchanged,
    /// The message is an earlier retained message, and the trigger only takes new ones (`retained: "live"`).
    Retained,
}

impl Skip {
    /// Returns the reason as text.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Busy => "still busy (mode single)",
            Self::QueueFull => "queue full",
            Self::Replaced => "replaced by a newer event",
            Self::RateLimited => "over the rate limit",
            Self::Disabled => "disabled",
            Self::BreakerOpen => "breaker open",
            Self::TriggerGone => "trigger removed",
            Self::Stopping => "stopping",
            Self::Missed => "missed: rhaid was not running, the script was disabled, or the machine was suspended",
            Self::Overrun => "missed: the last run was still in progress",
            Self::Unchanged => "unchanged",
            Self::Retained => "retained from before (retained live)",
        }
    }
}

/// The outcome of an event for one handler.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The handler returned this value.
    Succeeded(Value),
    /// The handler failed.
    Failed(Box<Fault>),
    /// The run exceeded its timeout, with the position of the code at that time.
    TimedOut(Box<Fault>),
    /// The run was cancelled: replaced (`restart`), disabled or stopped.
    Cancelled,
    /// The event did not run.
    Skipped(Skip),
}

impl Outcome {
    /// Returns the name for lists and the run history.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Succeeded(_) => "succeeded",
            Self::Failed(_) => "failed",
            Self::TimedOut(_) => "timed out",
            Self::Cancelled => "cancelled",
            Self::Skipped(_) => "skipped",
        }
    }

    /// Returns whether the run failed or timed out.
    pub fn is_failure(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::TimedOut(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::map_of;

    #[test]
    fn a_rate_is_a_count_and_a_duration() {
        assert_eq!(read_rate(&"10/1s".into()), Ok(Rate { count: 10, per: Duration::from_secs(1) }));
        assert_eq!(read_rate(&"1/m".into()), Ok(Rate { count: 1, per: Duration::from_secs(60) }));
        assert!(read_rate(&"0/s".into()).is_err());
        assert!(read_rate(&"10".into()).is_err());
    }

    #[test]
    fn all_common_options_are_listed() {
        let mut options = Options::new(map_of([("zzz".into(), Value::Null)]));
        Policy::take(&mut options).unwrap();
        let why = options.finish().unwrap_err().message;
        let known: std::collections::BTreeSet<_> = why.split("known are: ").nth(1).unwrap().split(", ").collect();
        assert_eq!(known, Policy::OPTIONS.iter().map(|(name, _)| *name).collect());
    }

    #[test]
    fn a_retry_with_an_unknown_field_is_rejected() {
        let retry = Value::Map(map_of([("maximum".into(), Value::Int(2))]));
        let fault = Policy::take(&mut Options::new(map_of([("retry".into(), retry)]))).unwrap_err();
        assert!(fault.message.contains("did you mean `max`?"), "{}", fault.message);
    }
}
