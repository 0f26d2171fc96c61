//! Fields of a cron expression.

use crate::options::nearest;
use crate::triggers::cron::fault::ExpressionFault;

/// Field: its name and its valid values.
pub(super) struct Field {
    pub(super) name: &'static str,
    min: u8,
    max: u8,
    /// Names of the values from `min` on.
    names: &'static [&'static str],
}

pub(super) const DAY: &str = "day of month";
pub(super) const WEEKDAY: &str = "weekday";

const MONTHS: &[&str] = &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: &[&str] = &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// Fields of an expression with seconds; expressions without skip the first one.
pub(super) const FIELDS: [Field; 6] = [
    Field { name: "second", min: 0, max: 59, names: &[] },
    Field { name: "minute", min: 0, max: 59, names: &[] },
    Field { name: "hour", min: 0, max: 23, names: &[] },
    Field { name: DAY, min: 1, max: 31, names: &[] },
    Field { name: "month", min: 1, max: 12, names: MONTHS },
    Field { name: WEEKDAY, min: 0, max: 7, names: WEEKDAYS },
];

/// Validates a field that starts at character `at` of the expression; returns it with names replaced by numbers.
pub(super) fn normal(field: &Field, at: usize, text: &str) -> Result<String, ExpressionFault> {
    let (plus, text) = match text.strip_prefix('+') {
        Some(rest) if field.name == WEEKDAY => ("+", rest),
        _ => ("", text),
    };
    let mut at = at + plus.len();
    let mut items = Vec::new();
    for item in text.split(',') {
        let read = item_of(field, &item.to_ascii_uppercase());
        items.push(read.map_err(|why| ExpressionFault { at, message: format!("{} `{item}`: {why}", field.name) })?);
        at += item.chars().count() + 1;
    }
    Ok(format!("{plus}{}", items.join(",")))
}

fn item_of(field: &Field, item: &str) -> Result<String, String> {
    if let Some((base, step)) = item.split_once('/') {
        return stepped(field, base, step);
    }
    match item {
        "*" => return Ok("*".into()),
        "?" if field.name == DAY || field.name == WEEKDAY => return Ok("*".into()),
        "" => return Err(format!("a value is missing between the commas: {}", what_to_write(field))),
        _ => {}
    }
    if let Some(special) = special(field, item) {
        return special;
    }
    match item.split_once('-') {
        Some((first, last)) => range(field, first, last).map(|(first, last)| format!("{first}-{last}")),
        None => value(field, item).map(|value| value.to_string()),
    }
}

/// Parses the items that only day fields have: `L`, `LW`, `15W`, `5L`, `FRI#2`.
fn special(field: &Field, item: &str) -> Option<Result<String, String>> {
    match field.name {
        DAY => match item {
            "L" | "LW" => Some(Ok(item.into())),
            _ if item.starts_with("L-") => {
                Some(Err("days counted from the last are not supported: write `L` for the last day, or days".into()))
            }
            _ => item.strip_suffix('W').map(|day| value(field, day).map(|day| format!("{day}W"))),
        },
        WEEKDAY => {
            if item == "L" {
                return Some(Err(
                    "the weekday is missing: write one, such as `5L` for the last Friday of the month".into()
                ));
            }
            if let Some((day, count)) = item.split_once('#') {
                let count = count.parse().ok().filter(|count| (1..=5_u8).contains(count));
                return Some(match count {
                    Some(count) => value(field, day).map(|day| format!("{day}#{count}")),
                    None => Err("write a number from 1 to 5 after `#`, such as `FRI#2`".into()),
                });
            }
            // Only numbers and names before `L` are valid, so that `APRIL` is not taken for a last weekday.
            item.strip_suffix('L').map(|day| value(field, day).map(|day| format!("{day}L")))
        }
        _ => None,
    }
}

fn stepped(field: &Field, base: &str, step: &str) -> Result<String, String> {
    let step: u8 = match step.parse() {
        Ok(0) => return Err("a step of 0 is not valid: write 1 or more".into()),
        Ok(step) => step,
        Err(_) => return Err(format!("`{step}` is not a valid step: write a number after `/`, such as `*/5`")),
    };
    let too_wide =
        |span: u8| (step > span).then(|| format!("a step of {step} exceeds the range: write at most {span} after `/`"));
    if base == "*" {
        let most = if field.name == WEEKDAY { 6 } else { field.max };
        return too_wide(most - field.min).map_or(Ok(format!("*/{step}")), Err);
    }
    if base.is_empty() {
        return Err(format!("the step has no start: write `*/{step}`"));
    }
    let Some((first, last)) = base.split_once('-') else {
        value(field, base)?;
        return Err(format!("a step needs a range: write `{base}-{}/{step}`", field.max));
    };
    let (first, last) = range(field, first, last)?;
    too_wide((last - first).max(1)).map_or(Ok(format!("{first}-{last}/{step}")), Err)
}

fn range(field: &Field, first: &str, last: &str) -> Result<(u8, u8), String> {
    let (from, mut to) = (value(field, first)?, value(field, last)?);
    if field.name == WEEKDAY && to == 0 {
        to = 7;
    }
    if from <= to {
        return Ok((from, to));
    }
    let max = if field.name == WEEKDAY { 6 } else { field.max };
    Err(format!("the range is reversed: write `{from}-{max},{}-{to}`", field.min))
}

fn value(field: &Field, text: &str) -> Result<u8, String> {
    if let Some(index) = field.names.iter().position(|name| *name == text) {
        return Ok(field.min + index as u8);
    }
    let number = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    if let Some(number) = number.filter(|number| (field.min..=field.max).contains(number)) {
        return Ok(number);
    }
    match nearest(text, field.names.iter().copied()) {
        Some(near) if text.starts_with(char::is_alphabetic) => Err(format!("did you mean `{near}`?")),
        _ => Err(what_to_write(field)),
    }
}

fn what_to_write(field: &Field) -> String {
    let names = match field.names {
        [first, .., last] => format!(", or {first} to {last}"),
        _ => String::new(),
    };
    format!("write a number from {} to {}{names}, a range such as `1-5`, `*` or `*/2`", field.min, field.max)
}
