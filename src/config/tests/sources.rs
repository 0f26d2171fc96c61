//! Values from the environment, from files and from flags.

use std::time::Duration;

use super::{ConfigInput, config, faults};
use crate::config::{Level, variables};

#[test]
fn placeholders_take_variables_defaults_and_files() {
    let config = ConfigInput::text(
        "scripts: ${BASE}/s-${EMPTY:-default}-$${BASE}\nmqtt:\n  username: ${USER_ID}\n  password: ${file:token}\n  outbox: ${OUTBOX}\n  keep_alive: ${UNSET:-${ALSO_UNSET:-7s}}\n",
    )
    .variable("BASE", "/srv")
    .variable("EMPTY", "")
    .variable("USER_ID", "0123")
    .variable("OUTBOX", "5")
    .config();
    assert_eq!(config.scripts.to_str(), Some("/srv/s-default-${BASE}"));
    assert_eq!(config.mqtt.brokers[0].username.as_deref(), Some("0123"));
    assert_eq!(config.mqtt.brokers[0].password.as_ref().map(|secret| secret.expose()), Some("hunter22"));
    assert_eq!(config.mqtt.brokers[0].outbox, 5);
    assert_eq!(config.mqtt.brokers[0].session.keep_alive, Duration::from_secs(7));
}

#[test]
fn a_files_path_may_hold_a_variable() {
    let given = ConfigInput::text("secrets:\n  mqtt: ${file:${CREDENTIALS_DIRECTORY}/mqtt}\n");
    let config = given.variable("CREDENTIALS_DIRECTORY", "/run/credentials/rhaid").config();
    assert_eq!(config.secrets[0].1.expose(), "correct horse");
}

#[test]
fn a_placeholder_without_a_value_is_a_fault_at_its_location() {
    assert_eq!(
        faults("data: a-${UNSET}\nsecrets:\n  a: \"${file:gone}\"\n  b: ${1x}\n  c: ${open\n  d: ${file:}\n"),
        [
            "rhaid.yaml:1:9: the variable `UNSET` is not set: set it, or write a default as `${UNSET:-…}`",
            "rhaid.yaml:3:7: `/house/gone` cannot be read: no such file",
            "rhaid.yaml:4:6: `${1x}` is not a placeholder: write `${NAME}`, `${NAME:-default}` or `${file:PATH}`; `$${` is a literal `${`",
            "rhaid.yaml:5:6: `${` has no `}`: close it, or write `$${` for a literal `${`",
            "rhaid.yaml:6:6: `${file:}` has no path: write `${file:PATH}`",
        ]
    );
}

#[test]
fn variables_override_the_file_and_flags_override_both() {
    let given = ConfigInput::text("log:\n  level: warn\nlimits:\n")
        .variable("RHAID_LOG_LEVEL", "debug")
        .variable("RHAID_LIMITS_QUEUE", "7");
    assert_eq!(given.config().log.level, Level::Debug);
    assert_eq!(given.config().limits.queue, 7);
    assert_eq!(given.flag("log.level", "trace").config().log.level, Level::Trace);
    let config = ConfigInput::text("")
        .variable("RHAID_MQTT_EMBEDDED_LISTEN", "localhost:0")
        .variable("RHAID_WEB_LISTEN", "")
        .config();
    assert_eq!(config.mqtt.embedded.listen.to_string(), "127.0.0.1:0");
    assert_eq!(config.web.listen.port(), 7373);
}

#[test]
fn an_invalid_variable_or_flag_is_named_as_the_location() {
    let given = ConfigInput::text("")
        .variable("RHAID_MQTT_URL", "tcp://b")
        .flag("limits.timeout", "soon")
        .flag("limits.nothing", "1");
    assert_eq!(
        given.faults(),
        [
            "--limits-nothing: `limits.nothing` is not a key with a single value",
            "RHAID_MQTT_URL: `mqtt.url`: \"tcp\" is not an MQTT scheme: write mqtt://HOST or mqtts://HOST, with :PORT if it is not 1883 or 8883, or ws://, wss:// or unix://",
            "--limits-timeout: `limits.timeout`: \"soon\" is not a duration: write a number and a unit, such as \"250ms\", \"30s\", \"1h30m\" or \"2d\"",
        ]
    );
}

#[test]
fn an_unknown_variable_is_a_warning() {
    let given = ConfigInput::text("secrets: {a: \"${RHAID_TOKEN}\"}")
        .variable("RHAID_TOKEN", "t")
        .variable("RHAID_MQTT_URI", "x")
        .variable("RHAID_CONFIG", "y")
        .variable("OTHER", "z");
    let warnings = given.parse().unwrap().warnings;
    assert_eq!(super::shown(&warnings), ["RHAID_MQTT_URI: unknown variable: did you mean `RHAID_MQTT_URL`?"]);
}

#[test]
fn every_single_value_has_a_variable_of_its_own() {
    let names: Vec<_> = variables().into_iter().map(|(_, name)| name).collect();
    let mut unique = names.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), names.len());
    for name in
        ["RHAID_SCRIPTS", "RHAID_MQTT_TLS_CA", "RHAID_LOCATION_LATITUDE", "RHAID_LIMITS_HTTP_BODY", "RHAID_LOG_FORMAT"]
    {
        assert!(names.iter().any(|known| known == name), "{name} is missing in {names:?}");
    }
    for name in ["RHAID_LOG_SCRIPTS", "RHAID_SECRETS", "RHAID_PERMISSIONS", "RHAID_TRIGGERS", "RHAID_MQTT"] {
        assert!(!names.iter().any(|known| known == name), "{name} is not a single value");
    }
}

#[test]
fn secrets_are_masked() {
    let text = "mqtt:\n  url: \"mqtt://b\"\n  username: u\n  password: passw0rd\n  client_id: x${file:token}\n  embedded: {username: u, password: inner-word}\n  brokers: {c: {url: \"ws://c\", headers: {Authorization: Bearer w0rd}}}\nsecrets:\n  ntfy: tk_123456\n";
    let config = config(text);
    let shown = config.mask().apply("passw0rd inner-word tk_123456 hunter22 Bearer w0rd else").into_owned();
    assert_eq!(shown, "*** *** *** *** *** else");
    assert!(!format!("{config:?}").contains("tk_123456"));
}

#[test]
fn secrets_are_masked_in_faults() {
    let text = "mqtt:\n  url: \"mqtt://me:passw0rd@b\"\n  password: [other-word]\nsecrets: {a: tk_123456, b: }\nweb:\n  listen: ${file:token}\nlimits: {timeout: tk_123456}\n";
    let faults = ConfigInput::text(text).parse().unwrap_err();
    let all = faults.iter().map(|fault| fault.report()).collect::<Vec<_>>().join("\n");
    for secret in ["passw0rd", "other-word", "tk_123456", "hunter22"] {
        assert!(!all.contains(secret), "{secret} shows in\n{all}");
    }
    assert_eq!(faults.len(), 6, "{all}");
}

#[test]
fn brokers_have_names_and_one_is_the_default() {
    let names = |yaml: &str| {
        let brokers = ConfigInput::text(yaml).config().mqtt.brokers;
        brokers.into_iter().map(|broker| (broker.name, broker.url)).collect::<Vec<_>>()
    };
    let named = |name: &str, url: Option<&str>| (name.to_owned(), url.map(str::to_owned));
    assert_eq!(names(""), [named("default", None)]);
    assert_eq!(
        names("mqtt: {url: \"mqtt://a\", brokers: {b: {url: \"ws://b/mqtt?x=1\"}, c: {}}}"),
        [named("default", Some("mqtt://a")), named("b", Some("ws://b/mqtt?x=1")), named("c", None)]
    );
    assert_eq!(
        names("mqtt: {default: c, brokers: {b: {url: \"unix:///run/b\"}, c: {}}}"),
        [named("c", None), named("b", Some("unix:///run/b"))]
    );
    let broker = &ConfigInput::text(
        "mqtt: {brokers: {b: {session_expiry: 1h, will: {topic: t, qos: 1, user_properties: {a: 1}}}}}",
    )
    .config()
    .mqtt;
    assert_eq!(broker.brokers[0].session.expiry, Duration::from_secs(3_600));
    assert_eq!(broker.brokers[0].will.as_ref().map(|will| (will.topic.as_str(), will.qos)), Some(("t", 1)));
    let properties = broker.brokers[0].will.as_ref().map(|will| will.user_properties.clone());
    assert_eq!(properties, Some(vec![("a".to_owned(), "1".to_owned())]));
    assert!(broker.wants_embedded());
}
