//! One call of a handler: the policy that lets it in, and how it ended.

use std::time::Duration;

use crate::fault::Fault;
use crate::options::{OptionFault, Options};
use crate::value::Value;

/// What happens to an event when its script is busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// It waits in the script's queue.
    #[default]
    Queued,
    /// It is skipped while this trigger (and key) has an event running or waiting.
    Single,
    /// It cancels this trigger's (and key's) running and waiting events and takes their place.
    Restart,
    /// It runs at once, beside the script's other runs.
    Parallel,
}

/// What gives way when a queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overflow {
    /// The event that has waited longest.
    #[default]
    DropOldest,
    /// The event that has just come.
    DropNewest,
    /// The waiting event with the same key, whenever there is one; else the oldest.
    LatestPerKey,
}

/// How often and how soon a failed run is tried again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Retry {
    /// How many times at most after the first.
    pub max: u32,
    /// The wait before the first retry.
    pub delay: Duration,
    /// What each further wait is multiplied by, from 1 on.
    pub backoff: f64,
}

/// At most so many events in so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub count: u32,
    /// In how long.
    pub per: Duration,
}

/// The options that every trigger takes: how its events become runs.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Policy {
    /// The trigger's name for `fire`, lists and logs; by default made from what it watches.
    pub name: Option<String>,
    /// What happens while the script is busy.
    pub mode: Mode,
    /// The queue's length or the number of parallel runs; `None`: the config's default.
    pub max: Option<usize>,
    /// What gives way when the queue is full.
    pub overflow: Overflow,
    /// The dotted path of the fact that tells keys apart, such as `params.id`.
    pub key: Option<String>,
    /// How long one run may take; `None`: the config's default.
    pub timeout: Option<Duration>,
    /// Whether failed runs are tried again.
    pub retry: Option<Retry>,
    /// At most so many events in so long; what is over is skipped.
    pub rate: Option<Rate>,
    /// Whether it listens at all.
    pub disabled: bool,
}

impl Policy {
    /// The options of every trigger, and what each says.
    pub const OPTIONS: &[(&str, &str)] = &[
        ("name", "how the trigger is called in the ledger and in `rhaid fire`"),
        (
            "mode",
            "`\"queued\"` (the default): one run after another; `\"single\"`: what comes meanwhile is skipped; `\"restart\"`: the run in progress is cancelled; `\"parallel\"`: side by side",
        ),
        ("max", "how many events may wait, or how many runs may be going side by side"),
        (
            "overflow",
            "which event gives way when too many wait: `\"drop_oldest\"`, `\"drop_newest\"` or `\"latest_per_key\"`",
        ),
        ("key", "the part of the event that tells keys apart"),
        ("timeout", "how long a run may take, such as `\"5s\"`"),
        (
            "retry",
            "how often a run that failed is tried again: a number, or `#{ max: 3, delay: \"1s\", backoff: 2.0 }`",
        ),
        ("rate", "at most so many events in so long, such as `\"10/1s\"`; what is over is skipped"),
        ("enabled", "`false`: it does not listen"),
    ];

    /// Takes the options of every trigger out of what was written.
    ///
    /// # Errors
    /// If one of them is no such option's value.
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
                    _ => Err("write a number from 1 on".to_owned()),
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

/// Why an event became no run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Skip {
    /// `mode: "single"` and one was running or waiting.
    Busy,
    /// The queue was full, and the overflow policy chose this event.
    QueueFull,
    /// A newer event with the same key took its place.
    Replaced,
    /// More events than the rate allows.
    RateLimited,
    /// The trigger or its script is disabled.
    Disabled,
    /// The breaker is open: the script woke itself in a loop or ran away.
    BreakerOpen,
    /// The trigger was taken away while the event waited.
    TriggerGone,
    /// The process is stopping.
    Stopping,
    /// Its time came while the process was down, the script disabled, or the machine asleep.
    Missed,
    /// Its time came while the last run was going.
    Overrun,
    /// The payload was the same as the last (`changed: true`).
    Unchanged,
    /// The broker had kept it from before, and only what is published from now on is wanted (`retained: "live"`).
    Retained,
}

impl Skip {
    /// Returns the reason in words.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Busy => "still busy (mode single)",
            Self::QueueFull => "queue full",
            Self::Replaced => "replaced by a newer event",
            Self::RateLimited => "over the rate",
            Self::Disabled => "disabled",
            Self::BreakerOpen => "breaker open",
            Self::TriggerGone => "trigger removed",
            Self::Stopping => "stopping",
            Self::Missed => "missed: rhaid was down or the script off, or the machine slept",
            Self::Overrun => "missed: the last run was still going",
            Self::Unchanged => "unchanged",
            Self::Retained => "retained from before (retained live)",
        }
    }
}

/// How an event ended for one handler.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The handler returned this.
    Succeeded(Value),
    /// The handler could not go on.
    Failed(Box<Fault>),
    /// The run was longer than its deadline; where it stood then.
    TimedOut(Box<Fault>),
    /// The run was cancelled: replaced (`restart`), disabled or stopped.
    Cancelled,
    /// There was no run.
    Skipped(Skip),
}

impl Outcome {
    /// Returns the one word for lists and the ledger.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Succeeded(_) => "succeeded",
            Self::Failed(_) => "failed",
            Self::TimedOut(_) => "timed out",
            Self::Cancelled => "cancelled",
            Self::Skipped(_) => "skipped",
        }
    }

    /// Returns whether someone should look at it.
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
    fn the_options_of_every_trigger_are_all_listed() {
        let mut options = Options::new(map_of([("zzz".into(), Value::Null)]));
        Policy::take(&mut options).unwrap();
        let why = options.finish().unwrap_err().message;
        let known: std::collections::BTreeSet<_> = why.split("known are: ").nth(1).unwrap().split(", ").collect();
        assert_eq!(known, Policy::OPTIONS.iter().map(|(name, _)| *name).collect());
    }

    #[test]
    fn a_retry_with_a_wrong_field_is_refused() {
        let retry = Value::Map(map_of([("maximum".into(), Value::Int(2))]));
        let fault = Policy::take(&mut Options::new(map_of([("retry".into(), retry)]))).unwrap_err();
        assert!(fault.message.contains("did you mean `max`?"), "{}", fault.message);
    }
}
