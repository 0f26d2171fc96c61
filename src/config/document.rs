//! The top level of `rhaid.yaml`. One pass over the keys reads the file, applies the defaults and builds the JSON Schema, so that these always agree.

use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use super::binding::Binding;
use super::history::{self, History};
use super::limits::{self, Limits};
use super::log::{self, Log};
use super::mqtt::{self, Mqtt};
use super::node::Node;
use super::permissions::{self, Permissions};
use super::report::Report;
use super::section::Section;
use super::triggers::{self, KindInfo};
use super::value_type;
use super::web::{self, Web};
use crate::secrets::{Mask, Secret};

/// The configuration from `rhaid.yaml`, environment variables and flags.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file, if there is one.
    pub file: Option<PathBuf>,
    /// The folder that is watched for scripts.
    pub scripts: PathBuf,
    /// The data folder, for everything that persists.
    pub data: PathBuf,
    /// The time zone of clock times in scripts; `None`: that of the system.
    pub timezone: Option<String>,
    /// The location for sunrise and sunset: latitude and longitude in degrees, north and east positive.
    pub location: Option<(f64, f64)>,
    /// Broker connections.
    pub mqtt: Mqtt,
    /// The web server.
    pub web: Web,
    /// Resource limits.
    pub limits: Limits,
    /// The run history and its retention limits.
    pub history: History,
    /// Permissions of scripts.
    pub permissions: Permissions,
    /// Log levels and format.
    pub log: Log,
    /// Values for `secret(name)`.
    pub secrets: Vec<(String, Secret)>,
    /// Triggers bound to jobs.
    pub triggers: Vec<Binding>,
    /// Additional secret values, such as those read from files.
    pub(super) hidden: Vec<Secret>,
}

impl Config {
    /// Returns the default configuration of a folder.
    pub fn default_in(folder: &Path) -> Self {
        read(None, folder, &[], &mut Report::default()).0
    }

    /// Returns the mask for all secret values: `secrets:`, passwords, header fields, and values read from files.
    pub fn mask(&self) -> Mask {
        let passwords = self.mqtt.brokers.iter().map(|broker| &broker.password);
        let headers = self.mqtt.brokers.iter().flat_map(|broker| &broker.headers).map(|(_, value)| value);
        let passwords = passwords.chain([&self.mqtt.embedded.password]).flatten().chain(headers);
        let secrets = self.secrets.iter().map(|(_, secret)| secret);
        Mask::new(secrets.chain(passwords).chain(&self.hidden).cloned())
    }
}

/// Reads a document, or the defaults if there is none; also returns the JSON Schema.
pub(super) fn read(node: Option<&Node>, folder: &Path, kinds: &[KindInfo], report: &mut Report) -> (Config, Json) {
    let mut section = Section::new("", node, report);
    let config = Config {
        file: None,
        scripts: folder.join(section.value(
            "scripts",
            "scripts",
            "The folder that is watched for scripts, relative to this file.",
            &value_type::non_empty_text(),
        )),
        data: folder.join(section.value(
            "data",
            ".rhaid",
            "The data folder, for state, timers and the run history; relative to this file.",
            &value_type::non_empty_text(),
        )),
        timezone: section.optional(
            "timezone",
            "The IANA time zone of clock times in scripts. Default: that of the system.",
            &value_type::time_zone(),
        ),
        location: location(&mut section),
        mqtt: section.section(
            "mqtt",
            "Connections to one or more external brokers, or the embedded broker.",
            |section| mqtt::read(section, folder),
        ),
        web: section.section("web", "The web server: webhooks.", web::read),
        limits: section.section("limits", "Resource limits of runs, and lengths of queues.", limits::read),
        history: section.section("history", "The run history (`rhaid runs`) and its retention limits.", history::read),
        permissions: permissions::read(&mut section, folder),
        log: section.section("log", "Log levels and format.", log::read),
        secrets: secrets(&mut section),
        triggers: triggers::read(&mut section, kinds),
        hidden: Vec::new(),
    };
    section.rename("ledger", "history");
    let description = section.finish();
    (config, description)
}

fn location(section: &mut Section<'_>) -> Option<(f64, f64)> {
    let description = "The location for sunrise and sunset.";
    section.section("location", description, |section| {
        let north = "Degrees north of the equator; south is negative.";
        let latitude = section.optional("latitude", north, &value_type::number(-90.0..=90.0));
        let east = "Degrees east of Greenwich; west is negative.";
        let longitude = section.optional("longitude", east, &value_type::number(-180.0..=180.0));
        if section.is_written("latitude") != section.is_written("longitude") {
            section.reject("latitude", "add `longitude`");
            section.reject("longitude", "add `latitude`");
        }
        latitude.zip(longitude)
    })
}

fn secrets(section: &mut Section<'_>) -> Vec<(String, Secret)> {
    let description = "Values for `secret(name)` in scripts; prefer ${NAME} or ${file:PATH} to plain text.";
    section
        .map("secrets", description, &value_type::secret())
        .into_iter()
        .map(|(entry, secret)| (entry.key.clone(), secret))
        .collect()
}
