//! The option `auth`.

use crate::services::http::Credentials;
use crate::value::{Map, Value};

/// Reads the option `auth`.
pub(super) fn credentials(value: Value) -> Result<Credentials, String> {
    let wrong =
        || "write [\"user\", \"password\"], #{ digest: [\"user\", \"password\"] } or #{ bearer: \"token\" }".to_owned();
    match value {
        Value::List(pair) => {
            pair_of_texts(pair).map(|(user, password)| Credentials::Basic(user, password)).ok_or_else(wrong)
        }
        Value::Map(map) => named_credentials(map).ok_or_else(wrong),
        _ => Err(wrong()),
    }
}

fn named_credentials(map: Map) -> Option<Credentials> {
    let mut entries = map.into_iter();
    let (Some((name, value)), None) = (entries.next(), entries.next()) else { return None };
    match (name.as_str(), value) {
        ("bearer", Value::Text(token)) => Some(Credentials::Bearer(token)),
        ("basic", Value::List(pair)) => pair_of_texts(pair).map(|(user, password)| Credentials::Basic(user, password)),
        ("digest", Value::List(pair)) => {
            pair_of_texts(pair).map(|(user, password)| Credentials::Digest(user, password))
        }
        _ => None,
    }
}

fn pair_of_texts(pair: Vec<Value>) -> Option<(String, String)> {
    match <[Value; 2]>::try_from(pair) {
        Ok([Value::Text(user), Value::Text(password)]) => Some((user, password)),
        _ => None,
    }
}
