//! Cron expressions: parsing with error positions, and the next time.

use croner::Cron;
use croner::parser::CronParser;
use jiff::civil::DateTime;
use jiff::{SignedDuration, Zoned};

use crate::options::nearest;
use crate::triggers::cron::fault::ExpressionFault;
use crate::triggers::cron::field::{self, DAY, FIELDS, WEEKDAY};
use crate::triggers::local_time;

/// Cron expression that fires repeatedly.
///
/// Stored as text: the parsed form of `croner` holds a table of all years (5 KiB), which is rebuilt within microseconds when needed.
#[derive(Debug, Clone)]
pub struct Expression {
    written: Box<str>,
    /// Normalized form for `croner`.
    normal: Box<str>,
    /// Whether seconds, minutes or hours contain `*`: the schedule follows elapsed time, not the clock time.
    wildcard: bool,
}

const ALIASES: &[(&str, &str)] = &[
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// Maximum number of skipped times around a clock change.
const MAX_ATTEMPTS: usize = 10_000;

impl Expression {
    /// Parses an expression of five fields (minute, hour, day, month, weekday) or six (seconds first), or an alias such as `@daily`.
    ///
    /// # Errors
    /// If it is malformed or never fires.
    pub fn parse(written: &str) -> Result<Self, ExpressionFault> {
        let expression = if written.trim_start().starts_with('@') { alias(written)? } else { written };
        let fields = split(expression)?;
        let mut normal = Vec::new();
        for (field, (at, text)) in FIELDS[FIELDS.len() - fields.len()..].iter().zip(&fields) {
            normal.push(field::normal(field, *at, text)?);
        }
        let clock = if normal.len() == 6 { &normal[..3] } else { &normal[..2] };
        let wildcard = clock.iter().any(|text| text.contains('*'));
        let whole = normal.join(" ").into();
        if normal.len() == 5 {
            normal.insert(0, "0".into());
        }
        // A range in which every date falls on every weekday: 28 years, and 40 across a year that is not a leap year.
        normal.push("2020-2060".into());
        // `croner` accepts everything that passes the field checks; its own message is a fallback.
        let sample = CronParser::new()
            .parse(&normal.join(" "))
            .map_err(|why| ExpressionFault { at: 1, message: why.to_string() })?;
        sample.find_next_occurrence(&jiff::civil::date(2020, 1, 1).at(0, 0, 0, 0), true).map_err(|_| {
            let at = fields[fields.len() - 3].0;
            ExpressionFault { at, message: "never fires: these months have no such day".into() }
        })?;
        Ok(Self { written: written.trim().into(), normal: whole, wildcard })
    }

    /// Returns the original text.
    pub fn written(&self) -> &str {
        &self.written
    }

    /// Returns a description in English.
    pub fn describe(&self) -> String {
        self.cron().map(|cron| cron.describe()).unwrap_or_default()
    }

    /// Returns the parsed form; the text was validated by [`Expression::parse`].
    fn cron(&self) -> Option<Cron> {
        CronParser::new().parse(&self.normal).ok()
    }

    /// Returns the first time after `after`, in the zone of `after`; `None` if the calendar ends before.
    ///
    /// Rule for clock changes (daylight saving time): a schedule with fixed times of day fires once for each of them. A skipped time fires at the
    /// end of the gap, a repeated time fires the first time. A schedule with `*` in seconds, minutes or hours follows elapsed time: skipped times
    /// do not fire, repeated times fire twice.
    ///
    /// Source: cron(8) of Debian's cron 3.0pl1, "Notes on time changes" (fixed-time and wildcard jobs).
    pub fn next(&self, after: &Zoned) -> Option<Zoned> {
        let cron = self.cron()?;
        if self.wildcard { next_elapsed(&cron, after) } else { next_time_of_day(&cron, after) }
    }
}

fn next_elapsed(cron: &Cron, after: &Zoned) -> Option<Zoned> {
    let mut from = local_time::whole_second(after);
    for _ in 0..MAX_ATTEMPTS {
        let next = cron.find_next_occurrence(&from, false).ok()?;
        if next > *after {
            return Some(next);
        }
        from = from.checked_add(SignedDuration::from_secs(1)).ok()?;
    }
    None
}

fn next_time_of_day(cron: &Cron, after: &Zoned) -> Option<Zoned> {
    let mut from: DateTime = local_time::whole_second(after).datetime();
    for _ in 0..MAX_ATTEMPTS {
        from = cron.find_next_occurrence(&from, false).ok()?;
        let next = local_time::resolve(from, after.time_zone())?;
        if next > *after {
            return Some(next);
        }
    }
    None
}

fn alias(written: &str) -> Result<&'static str, ExpressionFault> {
    let name = written.trim().to_ascii_lowercase();
    if let Some((_, expression)) = ALIASES.iter().find(|(known, _)| *known == name) {
        return Ok(expression);
    }
    let at = written.chars().take_while(|c| c.is_whitespace()).count() + 1;
    let hint = match nearest(&name, ALIASES.iter().map(|(known, _)| *known)) {
        _ if name == "@reboot" => "write `on_start(|| …)` to run a handler when rhaid starts".to_owned(),
        Some(near) => format!("did you mean `{near}`?"),
        None => "known are @yearly, @monthly, @weekly, @daily and @hourly".to_owned(),
    };
    Err(ExpressionFault { at, message: format!("unknown name `{}`: {hint}", written.trim()) })
}

/// Splits an expression into its fields, each with the position of its first character.
fn split(expression: &str) -> Result<Vec<(usize, String)>, ExpressionFault> {
    let mut fields: Vec<(usize, String)> = Vec::new();
    let mut within = false;
    for (index, character) in expression.chars().enumerate() {
        if character.is_whitespace() {
            within = false;
        } else if within {
            fields.last_mut().expect("a field has begun").1.push(character);
        } else {
            within = true;
            fields.push((index + 1, character.to_string()));
        }
    }
    let wrong = |at, found: usize| ExpressionFault {
        at,
        message: format!(
            "{found} field{} found: write five (minute hour day month weekday), or six with the seconds first",
            if found == 1 { "" } else { "s" }
        ),
    };
    match fields.len() {
        5 | 6 => {
            debug_assert!(FIELDS[3].name == DAY && FIELDS[5].name == WEEKDAY);
            Ok(fields)
        }
        0..5 => Err(wrong(expression.trim_end().chars().count().max(1), fields.len())),
        found => Err(wrong(fields[6].0, found)),
    }
}
