//! The routing table of webhooks.

mod pattern;

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

pub use self::pattern::Pattern;

/// Maximum number of queued requests of one webhook; further ones are refused.
const MAX_QUEUED: usize = 64;

/// The methods of a webhook without a `methods` option.
const ALL: &[&str] = &["DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"];

/// A webhook request: authenticated, with its whole body.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// `GET`, `POST`, …
    pub method: String,
    /// The path below `/hooks/`.
    pub path: String,
    /// The values of the path's named parts.
    pub params: BTreeMap<String, String>,
    /// The query, decoded; a repeated name keeps all its values.
    pub query: Vec<(String, String)>,
    /// Header names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// The peer's address.
    pub remote: String,
}

/// The response to a webhook request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookResponse {
    /// The status code.
    pub status: u16,
    /// Header names and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// A request that waits for its response.
#[derive(Debug)]
pub struct PendingRequest {
    /// The request.
    pub request: Request,
    /// Sends the response; dropping it means 503.
    pub response: oneshot::Sender<WebhookResponse>,
}

/// Authentication of a webhook.
#[derive(Debug, Clone)]
pub enum Access {
    /// No authentication.
    Public,
    /// A token, as `Authorization: Bearer …`, `X-Token: …` or `?token=…`; the handler does not receive it.
    Token(crate::secrets::Secret),
    /// An HMAC-SHA256 signature of the body in a header, as sent by GitHub (`X-Hub-Signature-256: sha256=HEX`).
    Hmac {
        /// The shared key.
        secret: crate::secrets::Secret,
        /// The header's name, in lower case.
        header: String,
    },
}

/// The requests that a webhook accepts.
#[derive(Debug, Clone)]
pub struct Route {
    /// The path below `/hooks/`.
    pub path: Pattern,
    /// Upper case; empty: DELETE, GET, HEAD, PATCH, POST and PUT. GET includes HEAD.
    pub methods: Vec<String>,
    /// Authentication.
    pub access: Access,
    /// Maximum body length, in bytes.
    pub max_body: u64,
}

impl Route {
    /// Returns whether the route accepts a method.
    pub fn accepts(&self, method: &str) -> bool {
        if self.methods.is_empty() {
            return ALL.contains(&method);
        }
        self.methods.iter().any(|known| known == method || (method == "HEAD" && known == "GET"))
    }

    fn collides_with(&self, other: &Self) -> bool {
        let overlap = self.methods.is_empty()
            || other.methods.is_empty()
            || self.methods.iter().any(|method| other.methods.contains(method));
        overlap && self.path.is_like(&other.path)
    }
}

/// The result of a route lookup.
#[derive(Debug, Clone)]
pub enum RouteLookup {
    /// A webhook.
    Match(RouteMatch),
    /// The path exists only with these methods.
    OtherMethods(Vec<String>),
    /// No webhook has this path.
    Nothing,
}

/// The routing table of webhooks; cheap to clone.
#[derive(Clone, Default)]
pub struct Routes(Arc<Mutex<Vec<RouteRegistration>>>);

/// A registered route; ends when its receiver is dropped.
#[derive(Debug, Clone)]
struct RouteRegistration {
    route: Arc<Route>,
    requests: mpsc::Sender<PendingRequest>,
}

impl Routes {
    /// Registers a route until the receiver is dropped.
    ///
    /// A later route with the same path and method takes effect when the earlier one ends, and is logged as a warning.
    pub fn register(&self, route: Route) -> mpsc::Receiver<PendingRequest> {
        let (requests, receiver) = mpsc::channel(MAX_QUEUED);
        let mut registrations = self.0.lock();
        registrations.retain(|registration| !registration.requests.is_closed());
        let taken = registrations.iter().any(|registration| registration.route.collides_with(&route));
        if taken {
            warn!(path = %route.path, "another webhook has this path: this one takes effect when the other ends");
        }
        registrations.push(RouteRegistration { route: Arc::new(route), requests });
        receiver
    }

    /// Finds the route for a method and a percent-encoded path below `/hooks/`; the most specific path wins, then the earlier registration.
    pub fn find(&self, method: &str, path: &str) -> RouteLookup {
        let Some(path) = pattern::split(path) else { return RouteLookup::Nothing };
        let registrations = self.0.lock();
        let mut matching: Vec<_> = registrations
            .iter()
            .filter(|registration| !registration.requests.is_closed())
            .filter_map(|registration| Some((registration, registration.route.path.matches(&path)?)))
            .collect();
        matching.sort_by_cached_key(|(registration, _)| registration.route.path.specificity_key());
        let best = matching.iter().position(|(registration, _)| registration.route.accepts(method));
        if let Some(best) = best {
            let (registration, params) = matching.swap_remove(best);
            return RouteLookup::Match(RouteMatch {
                route: Arc::clone(&registration.route),
                params,
                requests: registration.requests.clone(),
            });
        }
        if matching.is_empty() {
            return RouteLookup::Nothing;
        }
        let routes = matching.iter().map(|(registration, _)| &registration.route);
        if routes.clone().any(|route| route.methods.is_empty()) {
            return RouteLookup::OtherMethods(ALL.iter().map(|&method| method.to_owned()).collect());
        }
        let mut methods: Vec<_> = routes.flat_map(|route| route.methods.iter().cloned()).collect();
        if methods.iter().any(|method| method == "GET") {
            methods.push("HEAD".into());
        }
        methods.sort();
        methods.dedup();
        RouteLookup::OtherMethods(methods)
    }
}

/// A route that matches a request.
#[derive(Debug, Clone)]
pub struct RouteMatch {
    /// The route.
    pub route: Arc<Route>,
    /// The values of the path's named parts.
    pub params: BTreeMap<String, String>,
    requests: mpsc::Sender<PendingRequest>,
}

impl RouteMatch {
    /// Enqueues a request; `None` if the queue is full or the webhook has ended.
    pub fn submit(&self, request: Request) -> Option<oneshot::Receiver<WebhookResponse>> {
        let (response, receiver) = oneshot::channel();
        self.requests.try_send(PendingRequest { request, response }).ok().map(|()| receiver)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(path: &str, methods: &[&str]) -> Route {
        let methods = methods.iter().map(|&method| method.to_owned()).collect();
        Route { path: Pattern::parse(path).unwrap(), methods, access: Access::Public, max_body: 10 }
    }

    fn lookup(routes: &Routes, method: &str, path: &str) -> String {
        match routes.find(method, path) {
            RouteLookup::Match(door) => door.route.path.to_string(),
            RouteLookup::OtherMethods(methods) => format!("only {}", methods.join(" ")),
            RouteLookup::Nothing => "nothing".into(),
        }
    }

    #[test]
    fn the_most_specific_path_with_the_method_matches() {
        let routes = Routes::default();
        let _kept = [
            routes.register(route("{*all}", &["DELETE"])),
            routes.register(route("door/{id}", &[])),
            routes.register(route("door/front", &["POST"])),
            routes.register(route("lamp", &["GET", "PUT"])),
        ];
        assert_eq!(lookup(&routes, "POST", "door/front"), "door/front");
        assert_eq!(lookup(&routes, "GET", "door/front"), "door/{id}");
        assert_eq!(lookup(&routes, "DELETE", "lamp"), "{*all}");
        assert_eq!(lookup(&routes, "HEAD", "lamp"), "lamp");
        assert_eq!(lookup(&routes, "POST", "lamp"), "only DELETE GET HEAD PUT");
        assert_eq!(lookup(&routes, "OPTIONS", "door/x"), "only DELETE GET HEAD PATCH POST PUT");
        assert_eq!(lookup(&routes, "GET", "%ff"), "nothing");
    }

    #[test]
    fn a_later_registration_takes_effect_when_the_earlier_ends() {
        let routes = Routes::default();
        let mut first = routes.register(route("door/{id}", &["POST"]));
        let mut second = routes.register(route("door/{name}", &[]));
        let submit = |expected: &str| {
            let RouteLookup::Match(door) = routes.find("POST", "door/1") else { panic!("no route") };
            assert_eq!(door.params.keys().next().map(String::as_str), Some(expected));
            let request = Request { params: door.params.clone(), ..Request::default() };
            door.submit(request).is_some()
        };
        assert!(submit("id"));
        assert!(first.try_recv().is_ok() && second.try_recv().is_err());
        drop(first);
        assert!(submit("name"));
        assert!(second.try_recv().is_ok());
        drop(second);
        assert_eq!(lookup(&routes, "POST", "door/1"), "nothing");
    }

    #[test]
    fn requests_beyond_the_queue_limit_are_refused() {
        let routes = Routes::default();
        let _receiver = routes.register(route("slow", &[]));
        let RouteLookup::Match(door) = routes.find("GET", "slow") else { panic!("no route") };
        let submitted: Vec<_> = (0..MAX_QUEUED + 1).map(|_| door.submit(Request::default())).collect();
        assert!(submitted[..MAX_QUEUED].iter().all(Option::is_some));
        assert!(submitted[MAX_QUEUED].is_none());
    }
}
