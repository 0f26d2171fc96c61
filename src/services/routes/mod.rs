//! Webhook paths: who answers which.

mod pattern;

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

pub use self::pattern::Pattern;

/// How many requests wait for one webhook; the next is turned away.
const WAITING: usize = 64;

/// The methods of a webhook that names none.
const ALL: &[&str] = &["DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"];

/// A request that came in on a webhook path, checked and read whole.
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

/// What goes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Header names and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// A request and the way back.
#[derive(Debug)]
pub struct PendingRequest {
    /// The request.
    pub request: Request,
    /// The way back; dropped means 503.
    pub answer: oneshot::Sender<Answer>,
}

/// Who may call a webhook.
#[derive(Debug, Clone)]
pub enum Access {
    /// Anyone.
    Public,
    /// Who says the token, as `Authorization: Bearer …`, `X-Token: …` or `?token=…`; the handler does not see it.
    Token(crate::secrets::Secret),
    /// Who signs the body with HMAC-SHA256 in a header, as GitHub does (`X-Hub-Signature-256: sha256=HEX`).
    Hmac {
        /// The shared key.
        secret: crate::secrets::Secret,
        /// The header's name, in lower case.
        header: String,
    },
}

/// What a webhook accepts.
#[derive(Debug, Clone)]
pub struct Route {
    /// The path below `/hooks/`.
    pub path: Pattern,
    /// Upper case; empty: DELETE, GET, HEAD, PATCH, POST and PUT. GET lets HEAD in.
    pub methods: Vec<String>,
    /// Who may call.
    pub access: Access,
    /// The largest body, in bytes.
    pub max_body: u64,
}

impl Route {
    /// Returns whether it answers a method.
    pub fn takes(&self, method: &str) -> bool {
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

/// Who answers a request.
#[derive(Debug, Clone)]
pub enum Found {
    /// This webhook.
    RouteMatch(RouteMatch),
    /// The path is known, but only for these methods.
    OtherMethods(Vec<String>),
    /// Nobody.
    Nothing,
}

/// Webhook paths; cheap to clone.
#[derive(Clone, Default)]
pub struct Routes(Arc<Mutex<Vec<RouteRegistration>>>);

/// A route that someone answers, as long as the other end is there.
#[derive(Debug, Clone)]
struct RouteRegistration {
    route: Arc<Route>,
    visits: mpsc::Sender<PendingRequest>,
}

impl Routes {
    /// Claims a path from now on; given back when the receiver is dropped.
    ///
    /// A later claim of the same path and method waits behind an earlier one, and a warning says so.
    pub fn claim(&self, route: Route) -> mpsc::Receiver<PendingRequest> {
        let (visits, receiver) = mpsc::channel(WAITING);
        let mut claims = self.0.lock();
        claims.retain(|claim| !claim.visits.is_closed());
        let taken = claims.iter().any(|claim| claim.route.collides_with(&route));
        if taken {
            warn!(path = %route.path, "another webhook has this path already: this one waits until that is gone");
        }
        claims.push(RouteRegistration { route: Arc::new(route), visits });
        receiver
    }

    /// Finds who answers a method and a path below `/hooks/`, still encoded; the most exact path wins, then the earlier claim.
    pub fn find(&self, method: &str, path: &str) -> Found {
        let Some(path) = pattern::split(path) else { return Found::Nothing };
        let claims = self.0.lock();
        let mut matching: Vec<_> = claims
            .iter()
            .filter(|claim| !claim.visits.is_closed())
            .filter_map(|claim| Some((claim, claim.route.path.matches(&path)?)))
            .collect();
        matching.sort_by_cached_key(|(claim, _)| claim.route.path.vagueness());
        let best = matching.iter().position(|(claim, _)| claim.route.takes(method));
        if let Some(best) = best {
            let (claim, params) = matching.swap_remove(best);
            return Found::RouteMatch(RouteMatch {
                route: Arc::clone(&claim.route),
                params,
                visits: claim.visits.clone(),
            });
        }
        if matching.is_empty() {
            return Found::Nothing;
        }
        let routes = matching.iter().map(|(claim, _)| &claim.route);
        if routes.clone().any(|route| route.methods.is_empty()) {
            return Found::OtherMethods(ALL.iter().map(|&method| method.to_owned()).collect());
        }
        let mut methods: Vec<_> = routes.flat_map(|route| route.methods.iter().cloned()).collect();
        if methods.iter().any(|method| method == "GET") {
            methods.push("HEAD".into());
        }
        methods.sort();
        methods.dedup();
        Found::OtherMethods(methods)
    }
}

/// A webhook that answers a request.
#[derive(Debug, Clone)]
pub struct RouteMatch {
    /// What it accepts.
    pub route: Arc<Route>,
    /// The values of the path's named parts.
    pub params: BTreeMap<String, String>,
    visits: mpsc::Sender<PendingRequest>,
}

impl RouteMatch {
    /// Sends a request in; none if too many wait already, or the webhook has just gone.
    pub fn enter(&self, request: Request) -> Option<oneshot::Receiver<Answer>> {
        let (answer, receiver) = oneshot::channel();
        self.visits.try_send(PendingRequest { request, answer }).ok().map(|()| receiver)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(path: &str, methods: &[&str]) -> Route {
        let methods = methods.iter().map(|&method| method.to_owned()).collect();
        Route { path: Pattern::parse(path).unwrap(), methods, access: Access::Public, max_body: 10 }
    }

    fn who(routes: &Routes, method: &str, path: &str) -> String {
        match routes.find(method, path) {
            Found::RouteMatch(door) => door.route.path.to_string(),
            Found::OtherMethods(methods) => format!("only {}", methods.join(" ")),
            Found::Nothing => "nothing".into(),
        }
    }

    #[test]
    fn the_most_exact_path_that_takes_the_method_answers() {
        let routes = Routes::default();
        let _kept = [
            routes.claim(route("{*all}", &["DELETE"])),
            routes.claim(route("door/{id}", &[])),
            routes.claim(route("door/front", &["POST"])),
            routes.claim(route("lamp", &["GET", "PUT"])),
        ];
        assert_eq!(who(&routes, "POST", "door/front"), "door/front");
        assert_eq!(who(&routes, "GET", "door/front"), "door/{id}");
        assert_eq!(who(&routes, "DELETE", "lamp"), "{*all}");
        assert_eq!(who(&routes, "HEAD", "lamp"), "lamp");
        assert_eq!(who(&routes, "POST", "lamp"), "only DELETE GET HEAD PUT");
        assert_eq!(who(&routes, "OPTIONS", "door/x"), "only DELETE GET HEAD PATCH POST PUT");
        assert_eq!(who(&routes, "GET", "%ff"), "nothing");
    }

    #[test]
    fn a_later_claim_waits_behind_the_earlier_and_gets_its_turn() {
        let routes = Routes::default();
        let mut first = routes.claim(route("door/{id}", &["POST"]));
        let mut second = routes.claim(route("door/{name}", &[]));
        let visit = |expected: &str| {
            let Found::RouteMatch(door) = routes.find("POST", "door/1") else { panic!("nobody answers") };
            assert_eq!(door.params.keys().next().map(String::as_str), Some(expected));
            let request = Request { params: door.params.clone(), ..Request::default() };
            door.enter(request).is_some()
        };
        assert!(visit("id"));
        assert!(first.try_recv().is_ok() && second.try_recv().is_err());
        drop(first);
        assert!(visit("name"));
        assert!(second.try_recv().is_ok());
        drop(second);
        assert_eq!(who(&routes, "POST", "door/1"), "nothing");
    }

    #[test]
    fn who_comes_when_too_many_wait_is_turned_away() {
        let routes = Routes::default();
        let _receiver = routes.claim(route("slow", &[]));
        let Found::RouteMatch(door) = routes.find("GET", "slow") else { panic!("nobody answers") };
        let entered: Vec<_> = (0..WAITING + 1).map(|_| door.enter(Request::default())).collect();
        assert!(entered[..WAITING].iter().all(Option::is_some));
        assert!(entered[WAITING].is_none());
    }
}
