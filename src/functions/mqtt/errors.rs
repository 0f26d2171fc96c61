//! Errors of MQTT functions.

use crate::functions::thrown::{Thrown, thrown};
use crate::services::mqtt::Error;

pub(super) fn mqtt_error(error: &Error) -> Thrown {
    let kind = match error {
        Error::NotConnected { .. } => "not_connected",
        Error::TooLarge { .. } => "too_large",
        Error::NotStored(_) => "store",
        Error::InvalidTopic(_) | Error::UnknownBroker(_) => "invalid_argument",
        _ => "refused",
    };
    thrown(kind, error.to_string())
}
