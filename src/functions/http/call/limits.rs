//! The options `timeout` and `retry`.

use std::time::Duration;

use crate::options::{self, OptionFault, Options};
use crate::services::http::{RetryCause, RetryPolicy};
use crate::value::Value;

/// Timeouts of a request; missing ones are set in `rhaid.yaml`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Timeouts {
    pub(super) connect: Option<Duration>,
    pub(super) read: Option<Duration>,
    pub(super) total: Option<Duration>,
}

/// Reads the option `timeout`.
pub(super) fn timeouts(options: &mut Options) -> Result<Timeouts, OptionFault> {
    Ok(options.read("timeout", read_timeouts)?.unwrap_or_default())
}

fn read_timeouts(value: Value) -> Result<Timeouts, String> {
    match value {
        Value::Map(map) => {
            let mut options = Options::new(map);
            let mut take = |name| options.read(name, |value| above_zero(&value));
            let (connect, read, total) = (take("connect"), take("read"), take("total"));
            let message = |fault: OptionFault| fault.message;
            let timeouts = Timeouts {
                connect: connect.map_err(message)?,
                read: read.map_err(message)?,
                total: total.map_err(message)?,
            };
            options.finish().map_err(message)?;
            Ok(timeouts)
        }
        Value::List(pair) => match pair.as_slice() {
            [connect, read] => {
                Ok(Timeouts { connect: Some(above_zero(connect)?), read: Some(above_zero(read)?), total: None })
            }
            _ => Err("write one duration, #{ connect, read, total }, or [connect, read]".to_owned()),
        },
        single => Ok(Timeouts { total: Some(above_zero(&single)?), ..Timeouts::default() }),
    }
}

fn above_zero(value: &Value) -> Result<Duration, String> {
    let duration = options::duration(value)?;
    if duration.is_zero() { Err("write a duration above zero, such as \"5s\"".to_owned()) } else { Ok(duration) }
}

/// Reads the option `retry`.
pub(super) fn retry(options: &mut Options) -> Result<RetryPolicy, OptionFault> {
    let retry = options.read("retry", |value| match value {
        Value::Map(map) => read_retry(Options::new(map)).map_err(|fault| fault.message),
        Value::Int(max @ 0..=20) => Ok(RetryPolicy { max: max as u32, ..RetryPolicy::never() }),
        _ => Err("write the maximum number of retries, up to 20, or #{ max, backoff, on, methods }".to_owned()),
    })?;
    Ok(retry.unwrap_or_else(RetryPolicy::never))
}

fn read_retry(mut options: Options) -> Result<RetryPolicy, OptionFault> {
    let never = RetryPolicy::never();
    let retry = RetryPolicy {
        max: options.int("max", 0..=20)?.unwrap_or(3) as u32,
        backoff: options.duration("backoff")?.unwrap_or(never.backoff),
        on: options.read("on", |value| list(value, cause))?.unwrap_or(never.on),
        methods: options.read("methods", |value| list(value, method))?.unwrap_or(never.methods),
    };
    options.finish()?;
    Ok(retry)
}

fn list<T>(value: Value, read: impl Fn(Value) -> Result<T, String>) -> Result<Vec<T>, String> {
    match value {
        Value::List(items) => items.into_iter().map(read).collect(),
        single => read(single).map(|single| vec![single]),
    }
}

fn cause(value: Value) -> Result<RetryCause, String> {
    match value {
        Value::Int(status @ 100..=599) => Ok(RetryCause::Status(status as u16)),
        Value::Text(word) if word == "connect" => Ok(RetryCause::Connect),
        Value::Text(word) if word == "timeout" => Ok(RetryCause::Timeout),
        _ => Err("write statuses, \"connect\" and \"timeout\", such as [429, 503, \"connect\"]".to_owned()),
    }
}

fn method(value: Value) -> Result<String, String> {
    options::text(value).map(|method| method.to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::map_of;

    fn read(name: &str, value: Value) -> Options {
        Options::new(map_of([(name.into(), value)]))
    }

    #[test]
    fn the_timeout_is_one_duration_or_up_to_three() {
        let of = |value| timeouts(&mut read("timeout", value)).map(|found| (found.connect, found.read, found.total));
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(of("5s".into()), Ok((None, None, seconds(5))));
        assert_eq!(of(Value::List(vec![3.into(), 27.into()])), Ok((seconds(3), seconds(27), None)));
        let map = map_of([("read".into(), 2.into()), ("total".into(), "1m".into())]);
        assert_eq!(of(Value::Map(map)), Ok((None, seconds(2), seconds(60))));
        let map = map_of([("raed".into(), 2.into())]);
        assert_eq!(of(Value::Map(map)).unwrap_err().message, "timeout: unknown option `raed`: did you mean `read`?");
        assert!(of(0.into()).unwrap_err().message.contains("above zero"));
    }

    #[test]
    fn a_number_is_the_maximum_number_of_retries() {
        let plain = retry(&mut read("retry", 3.into())).unwrap();
        assert_eq!((plain.max, plain.on.len(), plain.methods.len()), (3, 6, 6));
        let on = Value::List(vec![500.into(), "timeout".into()]);
        let map = map_of([("on".into(), on), ("methods".into(), "post".into()), ("backoff".into(), 2.into())]);
        let options = retry(&mut read("retry", Value::Map(map))).unwrap();
        assert_eq!((options.max, options.backoff), (3, Duration::from_secs(2)));
        assert_eq!(
            (options.on, options.methods),
            (vec![RetryCause::Status(500), RetryCause::Timeout], vec!["POST".to_owned()])
        );
    }
}
