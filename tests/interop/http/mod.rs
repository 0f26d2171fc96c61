//! HTTP calls of scripts, compared with the same calls by Python's `requests` to the same third-party servers.

mod case;
mod environment;
mod faults;
mod requests;
mod responses;
mod secure;
mod servers;
mod sessions;

pub(crate) use self::servers::python;
