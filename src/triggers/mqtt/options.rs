//! Arguments and options of `mqtt_subscribe`.

use crate::options;
use crate::topic::Filter;
use crate::triggers::kind::with_data;
use crate::triggers::trigger::TriggerContext;
use crate::value::{Map, Value};

/// Reads `TOPIC=PAYLOAD` of `rhaid try`.
pub(super) fn read_try(message: &str, data: Map) -> Result<Map, String> {
    let (topic, payload) = message
        .split_once('=')
        .ok_or_else(|| format!("--mqtt: write the topic and the payload, such as {message}=on"))?;
    Ok(with_data([("topic", topic), ("payload", payload)], data))
}

/// Reads the name of one broker or a list of names.
pub(super) fn some_brokers(written: Value, trigger_context: &TriggerContext) -> Result<Vec<String>, String> {
    let Value::List(several) = written else { return one_broker(written, trigger_context).map(|name| vec![name]) };
    let mut names: Vec<_> =
        several.into_iter().map(|name| one_broker(name, trigger_context)).collect::<Result<_, _>>()?;
    names.sort();
    names.dedup();
    if names.is_empty() { Err("write the name of a broker, or several".to_owned()) } else { Ok(names) }
}

/// Reads the name of a broker.
pub(in crate::triggers) fn one_broker(written: Value, trigger_context: &TriggerContext) -> Result<String, String> {
    let name = options::text(written)?;
    let known = &trigger_context.brokers;
    if known.is_empty() || known.contains(&name) {
        return Ok(name);
    }
    Err(format!("there is no broker \"{name}\" in rhaid.yaml: write one of {}", known.join(", ")))
}

/// Reads one topic filter or a list of them.
///
/// # Errors
/// If a filter is invalid, or another filter of the list covers it.
pub(super) fn read_filters(arguments: Vec<Value>) -> Result<Vec<Filter>, String> {
    let wrong = || "write a topic such as \"door/front\", or several as [\"door/front\", \"door/back\"]".to_owned();
    let written = match <[Value; 1]>::try_from(arguments).map_err(|_| wrong())? {
        [Value::Text(one)] => vec![one],
        [Value::List(several)] if !several.is_empty() => {
            let texts = several.iter().map(|topic| topic.as_text().map(str::to_owned));
            texts.collect::<Option<_>>().ok_or_else(wrong)?
        }
        _ => return Err(wrong()),
    };
    let filters = written.iter().map(|text| Filter::parse(text)).collect::<Result<Vec<_>, _>>()?;
    for (index, filter) in filters.iter().enumerate() {
        let mut others = filters.iter().enumerate().filter(|(other, _)| *other != index);
        if let Some((_, wider)) = others.find(|(_, other)| other.covers(filter)) {
            let (wider, narrow) = (wider.written(), filter.written());
            return Err(format!(
                "\"{wider}\" covers all of \"{narrow}\", whose messages would arrive twice: remove one"
            ));
        }
    }
    Ok(filters)
}
