//! HTTP from scripts, each call made by Python's `requests` too, against servers that were not written for this project.

mod case;
mod environment;
mod faults;
mod requests;
mod responses;
mod secure;
mod servers;
mod sessions;

pub(crate) use self::servers::python;
