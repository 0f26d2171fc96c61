//! Messages that a script waits for.

use rhai::Dynamic;

use super::sending::Sending;
use super::{PATIENCE, failed, for_broker, seen};
use crate::config::Need;
use crate::functions::act::DryRun;
use crate::functions::arguments::{invalid_argument, value};
use crate::functions::convert::to_dynamic;
use crate::functions::{Context, Thrown, context, denied, thrown};
use crate::options::Options;
use crate::services::mqtt::{Message, Properties, Retained, SubscribeOptions, Subscription};
use crate::topic::Filter;
use crate::units::show_duration;
use crate::value::Value;

/// How many messages one `mqtt_receive` waits for at most.
const MAX_COUNT: i64 = 10_000;

fn subscribe(
    context: &Context,
    filters: &[Filter],
    wish: SubscribeOptions,
    broker: Option<&str>,
) -> Result<Subscription, Thrown> {
    for filter in filters {
        let need = Need::Subscribe(filter.written());
        context.config.permissions.check(&context.script, need).map_err(|no| denied(&no))?;
    }
    context.services.mqtt.subscribe_all(filters, wish, broker).map_err(|error| failed(&error))
}

/// Reads a topic filter, or several.
fn filters(topics: &Dynamic) -> Result<Vec<Filter>, Thrown> {
    let wrong =
        || invalid_argument("write a topic such as \"door/front\", or several as [\"door/front\", \"door/back\"]");
    let written = match value(topics)? {
        Value::Text(one) => vec![one],
        Value::List(several) if !several.is_empty() => {
            let texts = several.iter().map(|topic| topic.as_text().map(str::to_owned));
            texts.collect::<Option<_>>().ok_or_else(wrong)?
        }
        _ => return Err(wrong()),
    };
    written.iter().map(|text| Filter::parse(text).map_err(invalid_argument)).collect()
}

/// `mqtt_receive`.
pub(super) fn receive(topics: &Dynamic, mut options: Options) -> Result<Dynamic, Thrown> {
    let context = context("mqtt_receive")?;
    let filters = filters(topics)?;
    let timeout = options.duration("timeout").map_err(invalid_argument)?.unwrap_or(PATIENCE);
    let retained = match options.bool("retained").map_err(invalid_argument)?.unwrap_or(false) {
        true => Retained::Initial,
        false => Retained::Live,
    };
    let qos = options.int("qos", 0..=2).map_err(invalid_argument)?.unwrap_or(0) as u8;
    let count = options.int("count", 1..=MAX_COUNT).map_err(invalid_argument)?;
    let broker = options.text("broker").map_err(invalid_argument)?;
    options.finish().map_err(invalid_argument)?;
    let mut subscription = subscribe(
        &context,
        &filters,
        SubscribeOptions { qos, retained, ..SubscribeOptions::default() },
        broker.as_deref(),
    )?;
    let wanted = count.unwrap_or(1) as usize;
    let topic = filters.iter().map(Filter::written).collect::<Vec<_>>().join(", ");
    let shown = format!("{topic}{}", for_broker(broker.as_deref()));
    let received = context.act("mqtt_receive", shown, DryRun::Done, |_| {
        let mut received = Vec::new();
        context.wait_for(timeout, collect(&context, &mut subscription, wanted, &mut received))?.unwrap_or(Ok(()))?;
        if received.len() < wanted {
            let waited = show_duration(timeout);
            let got =
                if wanted > 1 { format!("only {} of {wanted} messages", received.len()) } else { "no message".into() };
            return Err(thrown("timeout", format!("{got} came on {topic} within {waited}")));
        }
        Ok(received)
    })?;
    let single = count.is_none();
    let mut received = received.into_iter();
    Ok(if single { received.next().unwrap_or_default() } else { Dynamic::from_array(received.collect()) })
}

/// Waits for so many messages.
async fn collect(
    context: &Context,
    subscription: &mut Subscription,
    wanted: usize,
    received: &mut Vec<Dynamic>,
) -> Result<(), Thrown> {
    // Nothing will come on what the broker refuses.
    subscription.ready().await.map_err(|error| failed(&error))?;
    while received.len() < wanted
        && let Some(message) = subscription.messages.recv().await
    {
        received.push(to_dynamic(seen(&message, context).into()));
    }
    Ok(())
}

/// `mqtt_request`.
///
/// Source: MQTT 5.0, section 4.10 (request and response).
pub(super) fn request(topic: &str, payload: &Dynamic, mut options: Options) -> Result<Dynamic, Thrown> {
    let context = context("mqtt_request")?;
    let answer =
        options.text("response_topic").map_err(invalid_argument)?.unwrap_or_else(|| format!("{topic}/response"));
    let answer = Filter::parse(&answer).map_err(invalid_argument)?;
    let mut sending = Sending::read(topic, payload, &mut options)?;
    options.finish().map_err(invalid_argument)?;
    let correlation = mark(&mut sending, &answer);
    let (timeout, qos) = (sending.timeout, sending.publish.qos);
    let broker = sending.publish.broker.clone();
    sending.check(&context)?;
    let until = context.shared_timeout(timeout);
    context.act("mqtt_request", sending.shown(), DryRun::Refused, |told| {
        let filters = std::slice::from_ref(&answer);
        let mut subscription =
            subscribe(&context, filters, SubscribeOptions { qos, ..SubscribeOptions::default() }, broker.as_deref())?;
        // Not before the answer is sure to be heard; a broker that is away lets the time run out below.
        let ready = context.wait_for(timeout, subscription.ready())?;
        ready.unwrap_or(Ok(())).map_err(|error| failed(&error))?;
        sending.send(&context)?;
        let answered = context.wait_for(context.left(until), async {
            while let Some(message) = subscription.messages.recv().await {
                if answers(&message, &correlation) {
                    return Some(message);
                }
            }
            None
        })?;
        match answered.flatten() {
            Some(message) => {
                *told = format!("{} bytes on {}", message.payload.len(), message.topic);
                Ok(to_dynamic(seen(&message, &context).into()))
            }
            None => {
                let (answer, waited) = (answer.written(), show_duration(timeout));
                Err(thrown("timeout", format!("no answer to {topic} came on {answer} within {waited}")))
            }
        }
    })
}

/// Says in the request where the answer goes, and what tells it from answers to others; returns the latter.
fn mark(sending: &mut Sending, answer: &Filter) -> Vec<u8> {
    let properties: &mut Properties = sending.publish.properties.get_or_insert_default();
    if crate::topic::check_topic(answer.wire()).is_ok() {
        properties.response_topic = Some(answer.wire().to_owned());
    }
    let mut unique = [0; 12];
    // Without randomness all requests look alike: then any answer will do.
    let _ = crate::random::fill(&mut unique);
    properties.correlation_data.get_or_insert_with(|| unique.to_vec().into()).to_vec()
}

/// Returns whether a message may be the answer: who speaks MQTT 5 repeats what came with the request, others can not.
fn answers(message: &Message, correlation: &[u8]) -> bool {
    match message.properties.get("correlation_data") {
        Some(Value::Bytes(bytes)) => bytes == correlation,
        _ => true,
    }
}
