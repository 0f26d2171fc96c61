//! The routing table of webhooks.

mod pattern;
mod route;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use parking_lot::RwLock;
use tracing::warn;

pub use self::pattern::Pattern;
use self::route::ALL_METHODS;
pub use self::route::{Access, Route};
use crate::event::ReceivedRequest;

/// The response to a webhook request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookResponse {
    /// The status code.
    pub status: u16,
    /// Header names and values.
    pub headers: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    /// The body.
    pub body: Vec<u8>,
}

/// Receives the requests of a route as they arrive.
pub trait RequestSink: Send + Sync {
    /// Enqueues a request without blocking; the future waits for its response.
    fn submit(&self, request: ReceivedRequest) -> BoxFuture<'static, WebhookResponse>;
}

/// The result of a route lookup.
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
pub struct Routes(Arc<RwLock<Vec<Arc<RegisteredRoute>>>>);

/// A route with the sink of its requests. The table has the more specific paths first, and equal ones in the order of their registration.
struct RegisteredRoute {
    route: Route,
    sink: Box<dyn RequestSink>,
}

impl Routes {
    /// Registers a route until the registration is dropped.
    ///
    /// A later route with the same path and method takes effect when the earlier one ends, and is logged as a warning.
    pub fn register(&self, route: Route, sink: impl RequestSink + 'static) -> RouteRegistration {
        let mut table = self.0.write();
        if table.iter().any(|registered| registered.route.collides_with(&route)) {
            warn!(path = %route.path, "another webhook has this path: this one takes effect when the other ends");
        }
        let key = route.path.specificity_key();
        let place = table.partition_point(|registered| registered.route.path.specificity_key() <= key);
        let registered = Arc::new(RegisteredRoute { route, sink: Box::new(sink) });
        table.insert(place, registered.clone());
        RouteRegistration { routes: self.clone(), registered }
    }

    /// Finds the route for a method and a percent-encoded path below `/hooks/`; the most specific path wins, then the earlier registration.
    pub fn find(&self, method: &str, path: &str) -> RouteLookup {
        let Some(path) = pattern::split(path) else { return RouteLookup::Nothing };
        let table = self.0.read();
        let mut accepting = table.iter().filter(|registered| registered.route.accepts(method));
        let found = accepting.find_map(|registered| Some((registered, registered.route.path.matches(&path)?)));
        if let Some((registered, params)) = found {
            return RouteLookup::Match(RouteMatch { registered: registered.clone(), params });
        }
        let routes = table.iter().map(|registered| &registered.route);
        other_methods(routes.filter(|route| route.path.matches(&path).is_some()))
    }
}

/// Returns the methods of the routes that have a path.
fn other_methods<'a>(mut routes: impl Iterator<Item = &'a Route> + Clone) -> RouteLookup {
    if routes.clone().next().is_none() {
        return RouteLookup::Nothing;
    }
    let mut methods: Vec<_> = routes.clone().flat_map(|route| route.methods.iter().cloned()).collect();
    if routes.any(|route| route.methods.is_empty()) {
        methods = ALL_METHODS.iter().map(|&method| method.to_owned()).collect();
    }
    if methods.iter().any(|method| method == "GET") {
        methods.push("HEAD".into());
    }
    methods.sort();
    methods.dedup();
    RouteLookup::OtherMethods(methods)
}

/// A registered route; dropping it ends the route.
pub struct RouteRegistration {
    routes: Routes,
    registered: Arc<RegisteredRoute>,
}

impl Drop for RouteRegistration {
    fn drop(&mut self) {
        self.routes.0.write().retain(|registered| !Arc::ptr_eq(registered, &self.registered));
    }
}

/// A route that matches a request.
pub struct RouteMatch {
    registered: Arc<RegisteredRoute>,
    /// The values of the path's named parts.
    pub params: BTreeMap<String, String>,
}

impl RouteMatch {
    /// Returns the route.
    pub fn route(&self) -> &Route {
        &self.registered.route
    }

    /// Enqueues a request; the future waits for its response.
    pub fn submit(&self, request: ReceivedRequest) -> BoxFuture<'static, WebhookResponse> {
        self.registered.sink.submit(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Responds to every request with its name.
    struct Named(&'static str);

    impl RequestSink for Named {
        fn submit(&self, _: ReceivedRequest) -> BoxFuture<'static, WebhookResponse> {
            let body = self.0.into();
            Box::pin(async { WebhookResponse { status: 200, headers: Vec::new(), body } })
        }
    }

    fn route(path: &str, methods: &[&str]) -> Route {
        let methods = methods.iter().map(|&method| method.to_owned()).collect();
        Route { path: Pattern::parse(path).unwrap(), methods, access: Access::Public, max_body: 10 }
    }

    fn lookup(routes: &Routes, method: &str, path: &str) -> String {
        match routes.find(method, path) {
            RouteLookup::Match(door) => door.route().path.to_string(),
            RouteLookup::OtherMethods(methods) => format!("only {}", methods.join(" ")),
            RouteLookup::Nothing => "nothing".into(),
        }
    }

    #[test]
    fn the_most_specific_path_with_the_method_matches() {
        let routes = Routes::default();
        let _kept = [
            routes.register(route("{*all}", &["DELETE"]), Named("")),
            routes.register(route("door/{id}", &[]), Named("")),
            routes.register(route("door/front", &["POST"]), Named("")),
            routes.register(route("lamp", &["GET", "PUT"]), Named("")),
        ];
        assert_eq!(lookup(&routes, "POST", "door/front"), "door/front");
        assert_eq!(lookup(&routes, "GET", "door/front"), "door/{id}");
        assert_eq!(lookup(&routes, "DELETE", "lamp"), "{*all}");
        assert_eq!(lookup(&routes, "HEAD", "lamp"), "lamp");
        assert_eq!(lookup(&routes, "POST", "lamp"), "only DELETE GET HEAD PUT");
        assert_eq!(lookup(&routes, "OPTIONS", "door/x"), "only DELETE GET HEAD PATCH POST PUT");
        assert_eq!(lookup(&routes, "GET", "%ff"), "nothing");
    }

    #[tokio::test]
    async fn a_later_registration_takes_effect_when_the_earlier_ends() {
        let routes = Routes::default();
        let first = routes.register(route("door/{id}", &["POST"]), Named("first"));
        let second = routes.register(route("door/{name}", &[]), Named("second"));
        let submit = async |param: &str| {
            let RouteLookup::Match(door) = routes.find("POST", "door/1") else { panic!("no route") };
            assert_eq!(door.params.keys().collect::<Vec<_>>(), [param]);
            let request = ReceivedRequest::new(http::Method::POST, "door/1");
            String::from_utf8(door.submit(request).await.body).unwrap()
        };
        assert_eq!(submit("id").await, "first");
        drop(first);
        assert_eq!(submit("name").await, "second");
        drop(second);
        assert_eq!(lookup(&routes, "POST", "door/1"), "nothing");
    }
}
