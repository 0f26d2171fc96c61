//! What `rhaid.yaml` promises.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::fault::Fault;
use crate::options::Options;
use crate::run::Policy;
use crate::value::Value;

const KINDS: &[KindInfo] = &[
    KindInfo { name: "cron", arguments: &["expression"] },
    KindInfo { name: "mqtt_subscribe", arguments: &["topic"] },
    KindInfo { name: "mqtt_silence", arguments: &["topic", "duration"] },
    KindInfo { name: "on_start", arguments: &[] },
];

/// A config about to be read.
#[derive(Default)]
struct Given<'a> {
    text: &'a str,
    environment: BTreeMap<String, String>,
    overrides: Vec<Override>,
}

impl<'a> Given<'a> {
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
    Given::text(text).config()
}

fn faults(text: &str) -> Vec<String> {
    Given::text(text).faults()
}

#[test]
fn without_a_file_everything_has_a_default() {
    let config = config("");
    assert_eq!(config.scripts, PathBuf::from("/house/scripts"));
    assert_eq!(config.data, PathBuf::from("/house/.rhaid"));
    assert_eq!(config.mqtt.embedded.listen.to_string(), "127.0.0.1:1883");
    assert_eq!(config.web.listen.to_string(), "127.0.0.1:7373");
    assert_eq!(config.limits.timeout, Duration::from_secs(30));
    assert_eq!(config.limits.memory, 64 << 20);
    assert_eq!(config.mqtt.max_packet, 16 << 20);
    assert!(config.difference(&Config::default_in(Path::new("/house"))).is_empty());
}

#[test]
fn all_faults_are_told_at_once_each_with_its_place() {
    let text = "\
scirpts: here
timezone: Europe/Osol
mqtt:
  url: http://broker
  keep_alive: 1s
  embedded:
    listen: everywhere
limits:
  timeout: 30x
  memory: [1]
  queue: 0
log:
  level: inof
";
    assert_eq!(
        faults(text),
        [
            "rhaid.yaml:1:1: unknown key `scirpts`: did you mean `scripts`?",
            "rhaid.yaml:2:11: `timezone`: \"Europe/Osol\" is no time zone: write an IANA name, did you mean `Europe/Oslo`?",
            "rhaid.yaml:4:8: `mqtt.url`: \"http\" is no scheme for MQTT: write mqtt://HOST or mqtts://HOST, with :PORT if it is not 1883 or 8883",
            "rhaid.yaml:5:15: `mqtt.keep_alive`: \"1s\" does not fit: write a duration from 5s to 18h12m",
            "rhaid.yaml:7:13: `mqtt.embedded.listen`: \"everywhere\" is no address: write an IP address and a port, such as \"127.0.0.1:7373\" or \"0.0.0.0:7373\"",
            "rhaid.yaml:9:12: `limits.timeout`: \"30x\" is no duration: write a number and a unit, such as \"250ms\", \"30s\", \"1h30m\" or \"2d\"",
            "rhaid.yaml:10:11: `limits.memory`: write a single value, not a list",
            "rhaid.yaml:11:10: `limits.queue`: 0 does not fit: write a whole number from 1 to 1000000",
            "rhaid.yaml:13:10: `log.level`: \"inof\" is none of them: did you mean `info`? write one of off, error, warn, info, debug, trace",
        ]
    );
}
