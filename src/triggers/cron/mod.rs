//! `cron`: at the times of a cron expression.

mod expression;
mod fault;
mod field;

use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

pub use self::expression::Expression;
pub use self::fault::ExpressionFault;
use crate::options::{OptionFault, Options};
use crate::run::Policy;
use crate::services::Services;
use crate::triggers::event_sender::EventSender;
use crate::triggers::kind::{Kind, TryOption, one_argument};
use crate::triggers::tick::{self, Schedule, Timing};
use crate::triggers::trigger::{Trigger, TriggerContext};
use crate::triggers::watch::Watch;
use crate::value::{Map, Value};

/// `cron(expression, …)`.
pub const KIND: Kind = Kind {
    name: "cron",
    arguments: &["expression"],
    event: "`tick`: `scheduled`, `now`, `missed`",
    docs: include_str!("cron.md"),
    read,
    try_option: Some(TryOption::flag("cron", "A time of a cron expression is due")),
};

/// Parses a cron expression.
///
/// # Errors
/// If it is malformed, or never fires; with the position of the wrong character.
pub fn parse(expression: &str) -> Result<Expression, ExpressionFault> {
    Expression::parse(expression)
}

/// Returns the next `count` times after `from` at which an expression fires, in the zone of `from`.
pub fn next(expression: &Expression, from: &Zoned, count: usize) -> Vec<Zoned> {
    std::iter::successors(expression.next(from), |last| expression.next(last)).take(count).collect()
}

fn read(
    arguments: Vec<Value>,
    options: &mut Options,
    trigger_context: &TriggerContext,
) -> Result<Box<dyn Trigger>, OptionFault> {
    let text = one_argument(arguments, "a cron expression such as \"0 7 * * *\"")?;
    let Value::Text(text) = text else {
        return Err(OptionFault::new(format!(
            "expression: write text such as \"0 7 * * *\", not {}",
            text.type_name()
        )));
    };
    let expression = parse(&text).map_err(|fault| OptionFault::new(format!("cron \"{text}\", {fault}")))?;
    Ok(Box::new(CronTrigger {
        expression: expression.into(),
        timing: Timing::take(options, trigger_context)?.follows_clock(),
    }))
}

/// Trigger for the times of a cron expression.
struct CronTrigger {
    /// Shared with the watch task.
    expression: Arc<Expression>,
    timing: Timing,
}

impl Trigger for CronTrigger {
    fn summary(&self) -> String {
        format!("cron {}", self.expression.written())
    }

    fn apply_policy(&mut self, policy: &Policy) -> bool {
        self.timing.apply_policy(policy)
    }

    fn watch(&self, sender: EventSender, services: &Services) -> Watch {
        let schedule = CronSchedule { expression: self.expression.clone(), zone: self.timing.zone().clone() };
        tick::watch(self.summary(), self.timing.clone(), sender, services, |_| Box::new(schedule))
    }

    fn example(&self, _: &Map, services: &Services) -> Map {
        tick::example(&self.timing, services)
    }

    fn upcoming(&self, from: &Zoned, count: usize) -> Vec<Zoned> {
        next(&self.expression, &from.with_time_zone(self.timing.zone().clone()), count)
    }
}

/// Cron expression in a time zone.
struct CronSchedule {
    expression: Arc<Expression>,
    zone: TimeZone,
}

impl Schedule for CronSchedule {
    fn next(&self, after: Timestamp) -> Option<Timestamp> {
        self.expression.next(&after.to_zoned(self.zone.clone())).map(|next| next.timestamp())
    }
}

#[cfg(test)]
mod tests;
