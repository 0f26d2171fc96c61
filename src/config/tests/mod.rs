//! Tests of `rhaid.yaml`.

mod faults;
mod permissions;
mod sources;
mod template;
mod triggers;

use std::collections::BTreeMap;
use std::path::Path;

use super::*;
use crate::fault::Fault;

const KINDS: &[KindInfo] = &[
    KindInfo { name: "cron", arguments: &["expression"] },
    KindInfo { name: "mqtt_subscribe", arguments: &["topic"] },
    KindInfo { name: "mqtt_silence", arguments: &["topic", "duration"] },
    KindInfo { name: "on_start", arguments: &[] },
];

/// The input of a configuration.
#[derive(Default)]
struct ConfigInput<'a> {
    text: &'a str,
    environment: BTreeMap<String, String>,
    overrides: Vec<Override>,
}

impl<'a> ConfigInput<'a> {
    fn text(text: &'a str) -> Self {
        Self { text, ..Self::default() }
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    fn flag(mut self, key: &str, value: &str) -> Self {
        let origin = format!("--{}", key.replace('.', "-"));
        self.overrides.push(Override { key: key.into(), value: value.into(), origin });
        self
    }

    fn parse(&self) -> Result<Loaded, Vec<Fault>> {
        parse(&Source {
            file: Some(Path::new("/house/rhaid.yaml")),
            name: "rhaid.yaml",
            text: self.text,
            folder: Path::new("/house"),
            environment: &self.environment,
            reserved: &["RHAID_CONFIG"],
            read_file: &|path| match path.to_str() {
                Some("/house/token") => Ok("hunter22\n".into()),
                Some("/run/credentials/rhaid/mqtt") => Ok("correct horse\r\n".into()),
                _ => Err("no such file".into()),
            },
            overrides: &self.overrides,
            kinds: KINDS,
        })
    }

    fn config(&self) -> Config {
        self.parse().unwrap_or_else(|faults| panic!("{}", shown(&faults).join("\n"))).config
    }

    fn faults(&self) -> Vec<String> {
        shown(&self.parse().unwrap_err())
    }
}

fn shown(faults: &[Fault]) -> Vec<String> {
    faults.iter().map(ToString::to_string).collect()
}

fn config(text: &str) -> Config {
    ConfigInput::text(text).config()
}

fn faults(text: &str) -> Vec<String> {
    ConfigInput::text(text).faults()
}
