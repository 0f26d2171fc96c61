//! `webhook`: on an HTTP request; the return value of the handler is the response.

mod response;

use futures_util::future::BoxFuture;

use crate::event::{Event, ReceivedRequest};
use crate::options::{OptionFault, Options};
use crate::secrets::Secret;
use crate::services::Services;
use crate::services::clock::Clock;
use crate::services::routes::{Access, Pattern, RequestSink, Route, WebhookResponse};
use crate::triggers::event_sender::EventSender;
use crate::triggers::kind::{Kind, TryOption, one_argument, with_data};
use crate::triggers::manual;
use crate::triggers::trigger::{Trigger, TriggerContext};
use crate::triggers::watch::Watch;
use crate::value::{Map, Value, map_of};

/// `webhook(path, …)`.
pub const KIND: Kind = Kind {
    name: "webhook",
    arguments: &["path"],
    event: "`request`: `method`, `path`, `params`, `query`, `headers`, `text`, `bytes`, `json()`, `form()`, `remote`",
    docs: include_str!("webhook.md"),
    read,
    try_option: Some(TryOption {
        name: "webhook",
        value_name: Some("REQUEST"),
        help: "A request arrives: method (default POST) and path below /hooks/",
        read: read_try,
    }),
};

const MAX_BODY: u64 = 1 << 20;

/// Maximum of the option `max_body`: a run holds the body in memory.
const MAX_BODY_LIMIT: u64 = 64 << 20;

/// Default header of the signature, as used by GitHub.
const SIGNATURE: &str = "x-hub-signature-256";

const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

fn read(arguments: Vec<Value>, options: &mut Options, _: &TriggerContext) -> Result<Box<dyn Trigger>, OptionFault> {
    let path = match one_argument(arguments, "a path such as \"door/{id}\"")? {
        Value::Text(path) => Pattern::parse(&path).map_err(|why| OptionFault::new(format!("path: {why}")))?,
        other => return Err(OptionFault::new(format!("path: write text, not {}", other.type_name()))),
    };
    let methods = options.read("methods", methods)?.unwrap_or_default();
    let max_body = options.size("max_body")?.unwrap_or(MAX_BODY);
    if max_body > MAX_BODY_LIMIT {
        return Err(OptionFault {
            option: Some("max_body".into()),
            message: "max_body: write at most \"64MiB\"".into(),
        });
    }
    Ok(Box::new(WebhookTrigger { route: Route { path, methods, access: access(options)?, max_body } }))
}

/// Reads `METHOD PATH` or `PATH` of `rhaid try`. The body is given as `json`, `body` or `text`, as in tests; the handler receives `text`.
fn read_try(request: &str, data: Map) -> Result<Map, String> {
    let (method, path) = request.split_once(' ').unwrap_or(("POST", request));
    let path = path.trim_start_matches('/').trim_start_matches("hooks/");
    let mut given = with_data([("method", &method.to_uppercase()), ("path", path)], data);
    let json = given.remove("json").map(|json| Value::from(json.to_json_text()));
    let text = json.or_else(|| given.remove("body"));
    given.extend(text.map(|text| ("text".to_owned(), text)));
    Ok(given)
}

fn methods(written: Value) -> Result<Vec<String>, String> {
    let items = match written {
        Value::List(items) if !items.is_empty() => items,
        Value::Text(_) => vec![written],
        _ => return Err("write a list such as [\"GET\", \"POST\"]".into()),
    };
    items
        .iter()
        .map(|item| {
            let method = item.as_text().map(str::to_ascii_uppercase).unwrap_or_default();
            let known = METHODS.contains(&method.as_str());
            known.then_some(method).ok_or_else(|| format!("write some of {}", METHODS.join(", ")))
        })
        .collect()
}

fn access(options: &mut Options) -> Result<Access, OptionFault> {
    let public = options.bool("public")?.unwrap_or(false);
    let token = options.read("token", |value| secret(&value))?;
    let hmac = options.read("hmac", hmac)?;
    match (public, token, hmac) {
        (true, None, None) => Ok(Access::Public),
        (false, Some(token), None) => Ok(Access::Token(token)),
        (false, None, Some(hmac)) => Ok(hmac),
        (false, None, None) => Err(OptionFault::new(
            "its access is not declared: write `token: secret(\"NAME\")`, `hmac: secret(\"NAME\")`, or `public: true` for anyone",
        )),
        _ => Err(OptionFault::new("write only one of `token`, `hmac` and `public: true`")),
    }
}

fn secret(value: &Value) -> Result<Secret, String> {
    match value {
        Value::Text(text) if !text.trim().is_empty() => Ok(Secret::new(text.as_str())),
        Value::Text(_) => Err("write a secret, not empty text".into()),
        other => Err(format!("write text, not {}", other.type_name())),
    }
}

fn hmac(value: Value) -> Result<Access, String> {
    let Value::Map(map) = value else {
        return Ok(Access::Hmac { secret: secret(&value)?, header: SIGNATURE.into() });
    };
    let mut options = Options::new(map);
    let read = |options: &mut Options| -> Result<_, OptionFault> {
        let key = options.read("secret", |value| secret(&value))?;
        let header = options.text("header")?;
        Ok((key, header))
    };
    let (key, header) = read(&mut options).map_err(|fault| fault.message)?;
    options.finish().map_err(|fault| fault.message)?;
    let header = header.unwrap_or_else(|| SIGNATURE.into()).to_ascii_lowercase();
    if header.is_empty() || !header.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
        return Err("header: write a header's name, such as \"X-Hub-Signature-256\"".into());
    }
    let secret = key.ok_or("write `#{ secret: secret(\"NAME\"), header: \"X-Signature\" }`")?;
    Ok(Access::Hmac { secret, header })
}

struct WebhookTrigger {
    route: Route,
}

impl Trigger for WebhookTrigger {
    fn summary(&self) -> String {
        let methods = self.route.methods.join(",");
        format!("webhook {methods}{}{}", if methods.is_empty() { "" } else { " " }, self.route.path)
    }

    fn watch(&self, sender: EventSender, services: &Services) -> Watch {
        let listener = RequestListener { sender, clock: services.clock.clone() };
        Watch::hold(services.routes.register(self.route.clone(), listener))
    }

    fn example(&self, given: &Map, _: &Services) -> Map {
        example(&self.route, given)
    }

    fn matches(&self, given: &Map) -> bool {
        let text = |name: &str| given.get(name).and_then(Value::as_text);
        text("path").is_none_or(|path| self.route.path.params(path).is_some())
            && text("method").is_none_or(|method| self.route.accepts(method))
    }
}

/// Sends an event for each request.
struct RequestListener {
    sender: EventSender,
    clock: Clock,
}

impl RequestSink for RequestListener {
    fn submit(&self, request: ReceivedRequest) -> BoxFuture<'static, WebhookResponse> {
        let pending = self.sender.ask(Event::of_request(request, self.clock.now()));
        let sender = self.sender.clone();
        Box::pin(async move { response::from_outcome(pending.outcome().await, sender.owner()) })
    }
}

/// Returns the payload of a manual request: with the first accepted method and a matching path.
fn example(route: &Route, given: &Map) -> Map {
    let method = route.methods.first().map_or("POST", String::as_str);
    let path = match given.get("path") {
        Some(Value::Text(path)) => path.clone(),
        _ => manual::example_for(&route.path.to_string(), given),
    };
    let params = route.path.params(&path).into_iter().flatten().map(|(name, value)| (name, value.into()));
    let mut payload = map_of([
        ("method".into(), method.into()),
        ("params".into(), Value::Map(map_of(params))),
        ("query".into(), Map::new().into()),
        ("headers".into(), Map::new().into()),
        ("remote".into(), "127.0.0.1".into()),
        ("path".into(), path.into()),
    ]);
    payload.extend(manual::text_and_bytes("text", given));
    payload
}

#[cfg(test)]
mod tests;
