//! `mqtt_receive` and `mqtt_request`.

use rhai::Dynamic;

use crate::config::Need;
use crate::functions::arguments::value;
use crate::functions::context::Context;
use crate::functions::effects::DryRun;
use crate::functions::mqtt::errors::mqtt_error;
use crate::functions::mqtt::message::{broker_suffix, message_fields};
use crate::functions::mqtt::publish::Publication;
use crate::functions::mqtt::sent::DEFAULT_TIMEOUT;
use crate::functions::phase::context;
use crate::functions::thrown::{Thrown, denied, invalid_argument, thrown};
use crate::options::Options;
use crate::services::mqtt::{Message, Properties, Retained, SubscribeOptions, Subscription};
use crate::topic::Filter;
use crate::units::show_duration;
use crate::value::Value;

/// The largest number of messages of one `mqtt_receive`.
const MAX_COUNT: i64 = 10_000;

fn subscribe(
    context: &Context,
    filters: &[Filter],
    options: SubscribeOptions,
    broker: Option<&str>,
) -> Result<Subscription, Thrown> {
    for filter in filters {
        let need = Need::Subscribe(filter.written());
        context.config.permissions.check(&context.script, need).map_err(|error| denied(&error))?;
    }
    context.services.mqtt.subscribe_all(filters, options, broker).map_err(|error| mqtt_error(&error))
}

/// Reads one or several topic filters.
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
    let timeout = options.duration("timeout").map_err(invalid_argument)?.unwrap_or(DEFAULT_TIMEOUT);
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
    let shown = format!("{topic}{}", broker_suffix(broker.as_deref()));
    let received = context.perform("mqtt_receive", shown, DryRun::Perform, |_| {
        let mut received = Vec::new();
        context.wait_for(timeout, collect(&context, &mut subscription, wanted, &mut received))?.unwrap_or(Ok(()))?;
        if received.len() < wanted {
            let waited = show_duration(timeout);
            let got =
                if wanted > 1 { format!("only {} of {wanted} messages", received.len()) } else { "no message".into() };
            return Err(thrown("timeout", format!("{got} arrived on {topic} within {waited}")));
        }
        Ok(received)
    })?;
    let single = count.is_none();
    let mut received = received.into_iter();
    Ok(if single { received.next().unwrap_or_default() } else { Dynamic::from_array(received.collect()) })
}

/// Receives messages until there are `wanted`.
async fn collect(
    context: &Context,
    subscription: &mut Subscription,
    wanted: usize,
    received: &mut Vec<Dynamic>,
) -> Result<(), Thrown> {
    // No message arrives on a subscription that the broker rejects.
    subscription.ready().await.map_err(|error| mqtt_error(&error))?;
    while received.len() < wanted
        && let Some(message) = subscription.messages.recv().await
    {
        received.push(message_fields(&message, message.qos, context).into());
    }
    Ok(())
}

/// `mqtt_request`.
///
/// Source: MQTT 5.0, section 4.10 (request and response).
pub(super) fn request(topic: &str, payload: &Dynamic, mut options: Options) -> Result<Dynamic, Thrown> {
    let context = context("mqtt_request")?;
    let response =
        options.text("response_topic").map_err(invalid_argument)?.unwrap_or_else(|| format!("{topic}/response"));
    let response_filter = Filter::parse(&response).map_err(invalid_argument)?;
    let mut publication = Publication::read(topic, payload, &mut options)?;
    options.finish().map_err(invalid_argument)?;
    let correlation = add_response_properties(&mut publication, &response_filter);
    let (timeout, qos) = (publication.timeout, publication.publish.qos);
    let broker = publication.publish.broker.clone();
    publication.check(&context)?;
    let shared_timeout = context.shared_timeout(timeout);
    context.perform("mqtt_request", publication.summary(), DryRun::Fail, |result| {
        let filters = std::slice::from_ref(&response_filter);
        let mut subscription =
            subscribe(&context, filters, SubscribeOptions { qos, ..SubscribeOptions::default() }, broker.as_deref())?;
        // Publishes only after SUBACK, so that the response is received. While the broker is offline, this waits until the timeout.
        let ready = context.wait_for(timeout, subscription.ready())?;
        ready.unwrap_or(Ok(())).map_err(|error| mqtt_error(&error))?;
        publication.send(&context)?;
        let received = context.wait_for(context.remaining(shared_timeout), async {
            while let Some(message) = subscription.messages.recv().await {
                if is_response(&message, &correlation) {
                    return Some(message);
                }
            }
            None
        })?;
        match received.flatten() {
            Some(message) => {
                *result = format!("{} bytes on {}", message.payload.len(), message.topic);
                Ok(message_fields(&message, message.qos, &context).into())
            }
            None => {
                let (filter, waited) = (response_filter.written(), show_duration(timeout));
                Err(thrown("timeout", format!("no response to {topic} arrived on {filter} within {waited}")))
            }
        }
    })
}

/// Sets the response topic and the correlation data of a request; returns the correlation data.
fn add_response_properties(publication: &mut Publication, response: &Filter) -> Vec<u8> {
    let properties: &mut Properties = publication.publish.properties.get_or_insert_default();
    if crate::topic::check_topic(response.wire()).is_ok() {
        properties.response_topic = Some(response.wire().to_owned());
    }
    let mut unique = [0; 12];
    // Without random bytes all requests have the same correlation data; then any response is accepted.
    let _ = crate::random::fill(&mut unique);
    properties.correlation_data.get_or_insert_with(|| unique.to_vec().into()).to_vec()
}

/// Returns whether a message is the response. A responder with MQTT 5 repeats the correlation data; one with MQTT 3.1.1 cannot.
fn is_response(message: &Message, correlation: &[u8]) -> bool {
    match message.properties.get("correlation_data") {
        Some(Value::Bytes(bytes)) => bytes == correlation,
        _ => true,
    }
}
