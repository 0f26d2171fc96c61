//! Faults: all at once, with location and advice.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{config, faults};
use crate::config::Config;

#[test]
fn without_a_file_everything_has_a_default() {
    let config = config("");
    assert_eq!(config.scripts, PathBuf::from("/house/scripts"));
    assert_eq!(config.data, PathBuf::from("/house/.rhaid"));
    assert_eq!(config.mqtt.embedded.listen.to_string(), "127.0.0.1:1883");
    assert_eq!(config.web.listen.to_string(), "127.0.0.1:7373");
    assert_eq!(config.limits.timeout, Duration::from_secs(30));
    assert_eq!(config.limits.memory, 64 << 20);
    assert_eq!(config.mqtt.max_packet(), 16 << 20);
    assert!(config.difference(&Config::default_in(Path::new("/house"))).is_empty());
}

#[test]
fn all_faults_are_reported_at_once_with_their_locations() {
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
            "rhaid.yaml:2:11: `timezone`: \"Europe/Osol\" is not a time zone: write an IANA name, did you mean `Europe/Oslo`?",
            "rhaid.yaml:4:8: `mqtt.url`: \"http\" is not an MQTT scheme: write mqtt://HOST or mqtts://HOST, with :PORT if it is not 1883 or 8883, or ws://, wss:// or unix://",
            "rhaid.yaml:5:15: `mqtt.keep_alive`: \"1s\" is not valid: write a duration from 5s to 18h12m",
            "rhaid.yaml:7:13: `mqtt.embedded.listen`: \"everywhere\" is not an address: write an IP address and a port, such as \"127.0.0.1:7373\" or \"0.0.0.0:7373\"",
            "rhaid.yaml:9:12: `limits.timeout`: \"30x\" is not a duration: write a number and a unit, such as \"250ms\", \"30s\", \"1h30m\" or \"2d\"",
            "rhaid.yaml:10:11: `limits.memory`: write a single value, not a list",
            "rhaid.yaml:11:10: `limits.queue`: 0 is not valid: write a whole number from 1 to 1000000",
            "rhaid.yaml:13:10: `log.level`: \"inof\" is not valid: did you mean `info`? write one of off, error, warn, info, debug, trace",
        ]
    );
}

#[test]
fn a_duplicate_key_is_rejected() {
    assert_eq!(
        faults("data: a\nweb:\n  listen: 127.0.0.1:1\n  listen: 127.0.0.1:2\ndata: b\n"),
        [
            "rhaid.yaml:4:3: the key `listen` is written twice, first on line 3: keep one",
            "rhaid.yaml:5:1: the key `data` is written twice, first on line 1: keep one",
        ]
    );
}

#[test]
fn a_renamed_key_is_rejected_with_its_new_name() {
    assert_eq!(faults("ledger:\n  rows: 500\n"), ["rhaid.yaml:1:1: unknown key `ledger`: its name is now `history`"]);
    let given = super::ConfigInput::text("").variable("RHAID_LEDGER_ROWS", "500");
    assert_eq!(
        super::shown(&given.parse().unwrap().warnings),
        ["RHAID_LEDGER_ROWS: unknown variable: did you mean `RHAID_HISTORY_ROWS`?"]
    );
}

#[test]
fn a_value_of_the_wrong_type_says_what_to_write() {
    assert_eq!(
        faults("scripts: true\nmqtt: 3\nlimits:\n  - timeout\nlog: {scripts: [a], level: [info]}\nmqtt_url: 1\n"),
        [
            "rhaid.yaml:1:10: `scripts`: write text, not a bool: \"true\" with quotes, if that is meant",
            "rhaid.yaml:2:7: `mqtt` must be a map: write `key: value` lines, not a single value",
            "rhaid.yaml:4:3: `limits` must be a map: write `key: value` lines, not a list",
            "rhaid.yaml:5:16: `log.scripts`: write `name: value` lines, not a list",
            "rhaid.yaml:5:28: `log.level`: write a single value, not a list",
            "rhaid.yaml:6:1: unknown key `mqtt_url`: did you mean `mqtt`?",
        ]
    );
    assert_eq!(faults("- a\n"), ["rhaid.yaml:1:1: the config must be a map: write `key: value` lines, not a list"]);
    assert_eq!(
        faults("mqtt:\n  clean_start: yes\n  outbox: many\n"),
        [
            "rhaid.yaml:2:16: `mqtt.clean_start`: \"yes\" is not a boolean: write true or false",
            "rhaid.yaml:3:11: `mqtt.outbox`: \"many\" is not valid: write a whole number from 1 to 1000000",
        ]
    );
}

#[test]
fn values_that_would_end_the_process_later_are_rejected() {
    for (text, fault) in [
        (
            "mqtt: {keep_alive: 0.5s}",
            "1:20: `mqtt.keep_alive`: \"0.5s\" is not valid: write a duration from 5s to 18h12m",
        ),
        ("mqtt: {client_id: \"\"}", "1:19: `mqtt.client_id`: write some text, not \"\""),
        (
            "mqtt: {url: broker}",
            "1:13: `mqtt.url`: \"broker\" is not a URL: write mqtt://HOST or mqtts://HOST, with :PORT if it is not 1883 or 8883, or ws://, wss:// or unix://",
        ),
        (
            "mqtt: {url: \"mqtt://\"}",
            "1:13: `mqtt.url`: the URL has no host: write mqtt://HOST or mqtts://HOST, with :PORT if it is not 1883 or 8883, or ws://, wss:// or unix://",
        ),
        (
            "mqtt: {url: \"mqtt://b/x\"}",
            "1:13: `mqtt.url`: the URL may not have a path, query or fragment: write mqtt://HOST or mqtts://HOST, with :PORT if it is not 1883 or 8883, or ws://, wss:// or unix://",
        ),
        (
            "mqtt: {max_packet: 1GiB}",
            "1:20: `mqtt.max_packet`: \"1GiB\" is not valid: write a size from 1KiB to 268435455B",
        ),
        ("limits: {timeout: 0s}", "1:19: `limits.timeout`: \"0s\" is not valid: write a duration from 1ms to 52w1d"),
        (
            "limits: {call_depth: 1000}",
            "1:22: `limits.call_depth`: 1000 is not valid: write a whole number from 1 to 128",
        ),
        (
            "location: {latitude: 91, longitude: 0}",
            "1:22: `location.latitude`: 91 is not valid: write a number from -90 to 90",
        ),
        (
            "location: {latitude: .nan, longitude: 0}",
            "1:22: `location.latitude`: .nan is not valid: write a number from -90 to 90",
        ),
        (
            "web: {listen: 7373}",
            "1:15: `web.listen`: \"7373\" is not an address: write an IP address and a port, such as \"127.0.0.1:7373\" or \"0.0.0.0:7373\"",
        ),
        (
            "log: {scripts: {\"[\": info}}",
            "1:17: `log.scripts`: \"[\" is not a glob: unclosed character class; missing ']'",
        ),
    ] {
        assert_eq!(faults(text), [format!("rhaid.yaml:{fault}")], "{text}");
    }
}

#[test]
fn websocket_headers_and_reconnect_delays_are_checked() {
    for (text, fault) in [
        (
            "mqtt: {url: \"mqtt://b\", headers: {a: b}}",
            "1:34: `mqtt.headers`: this needs a WebSocket: write the `url` with ws:// or wss://",
        ),
        (
            "mqtt: {url: \"ws://b\", headers: {\"a b\": c}}",
            "1:32: `mqtt.headers`: \"a b\": this is not a header name: write one such as Authorization",
        ),
        (
            "mqtt: {url: \"ws://b\", headers: {upgrade: c}}",
            "1:32: `mqtt.headers`: \"upgrade\": rhaid sets this header itself: remove it",
        ),
        (
            "mqtt: {url: \"ws://b\", headers: {a: \"b\\nc\"}}",
            "1:32: `mqtt.headers`: \"a\": a header value is a single line of ASCII",
        ),
        ("mqtt: {reconnect_delay: 2m}", "1:25: `mqtt.reconnect_delay`: this is longer than `max_reconnect_delay`"),
        (
            "mqtt: {max_reconnect_delay: 200ms}",
            "1:29: `mqtt.max_reconnect_delay`: this is shorter than `reconnect_delay`",
        ),
    ] {
        assert_eq!(faults(text), [format!("rhaid.yaml:{fault}")], "{text}");
    }
}

#[test]
fn keys_that_depend_on_each_other_are_checked_together() {
    for (text, fault) in [
        ("location: {latitude: 1}", "1:22: `location.latitude`: add `longitude`"),
        ("mqtt: {password: secret}", "1:18: `mqtt.password`: a password needs a user name: add `username`"),
        (
            "mqtt: {client_id: x, brokers: {a: {}}}",
            "1:19: `mqtt.client_id`: this applies to the broker at `mqtt.url`: move it below a name in `mqtt.brokers`",
        ),
        (
            "mqtt: {brokers: {a: {}, b: {}}}",
            "1:17: `mqtt.brokers`: only one of them can be the embedded broker: add a `url` to the others",
        ),
        (
            "mqtt: {url: \"mqtt://b\", brokers: {default: {url: \"mqtt://c\"}}}",
            "1:34: `mqtt.brokers`: the name \"default\" belongs to the broker at `mqtt.url`: use another name",
        ),
        (
            "mqtt: {default: c, brokers: {a: {}, b: {url: \"ws://b/mqtt\"}}}",
            "1:17: `mqtt.default`: there is no broker \"c\": write one of a, b",
        ),
        (
            "mqtt: {brokers: {a: {user: x}}}",
            "1:22: unknown key `mqtt.brokers.\"a\".user`: did you mean `mqtt.brokers.\"a\".username`?",
        ),
        ("mqtt: {will: {payload: x}}", "1:24: `mqtt.will.payload`: a will needs a topic: add `topic`"),
        (
            "mqtt: {will: {topic: a/+}}",
            "1:22: `mqtt.will.topic`: \"a/+\": a publish topic cannot contain `+`: write one topic",
        ),
        ("mqtt: {url: \"unix://x\"}", "1:13: `mqtt.url`: write a socket as unix:///run/mosquitto.sock"),
        (
            "mqtt: {url: \"mqtt://b\", proxy: squid}",
            "1:32: `mqtt.proxy`: write a proxy as http://HOST:PORT or socks5://HOST:PORT",
        ),
        ("mqtt: {proxy: \"http://p\"}", "1:15: `mqtt.proxy`: this broker is local and cannot have a proxy: remove it"),
        ("mqtt: {embedded: {username: u}}", "1:29: `mqtt.embedded.username`: add `mqtt.embedded.password`"),
        ("mqtt: {url: \"mqtts://b\", tls: {key: k.pem}}", "1:37: `mqtt.tls.key`: add `certificate`"),
        (
            "mqtt: {url: \"mqtt://b\", tls: {insecure: true}}",
            "1:30: `mqtt.tls`: this needs TLS: write the `url` with mqtts:// or wss://",
        ),
    ] {
        assert_eq!(faults(text), [format!("rhaid.yaml:{fault}")], "{text}");
    }
}

#[test]
fn invalid_yaml_has_a_location_and_a_hint() {
    for (text, location, hint) in [
        ("web:\n\tlisten: x\n", "rhaid.yaml:2:", "indent with spaces, not with tabs"),
        ("scripts: a: b\n", "rhaid.yaml:1:11:", "check the indentation; a value that contains `: ` needs quotes"),
        ("data: \"never closed\nweb:\n", "rhaid.yaml:1:7:", "check quotes, brackets and indentation above this place"),
        (
            "permissions:\n  *: {}\n",
            "rhaid.yaml:2:",
            "a key or value that starts with `*`, `@`, `&`, `!`, `%` or a backtick needs quotes",
        ),
    ] {
        let faults = super::ConfigInput::text(text).parse().unwrap_err();
        assert!(faults[0].to_string().starts_with(location), "{}", faults[0]);
        assert_eq!(faults[0].hint.as_deref(), Some(hint), "{}", faults[0]);
    }
}

#[test]
fn ambiguous_input_is_rejected() {
    assert_eq!(
        faults("data: a\n---\ndata: b\n"),
        ["rhaid.yaml:2:1: a second document starts here: use a single document"]
    );
    assert_eq!(
        faults("data: !secret x\n"),
        [
            "rhaid.yaml:1:7: the tag `!secret` is not supported: write `${NAME}` for a variable or `${file:PATH}` for the content of a file"
        ]
    );
    assert_eq!(
        faults("web:\n  <<: {listen: x}\n"),
        ["rhaid.yaml:2:3: merge keys (`<<`) are not supported: repeat the keys"]
    );
    assert_eq!(
        faults("[a, b]: c\n"),
        ["rhaid.yaml:1:1: a key must be a single value: quote it if it contains brackets or braces"]
    );
}

#[test]
fn an_expansion_bomb_is_rejected_quickly() {
    let mut laughs = String::from("a: &a [x, x, x, x, x, x, x, x, x, x]\n");
    for (name, before) in "bcdefghijk".chars().zip("abcdefghij".chars()) {
        laughs.push_str(&format!("{name}: &{name} [{}]\n", vec![format!("*{before}"); 10].join(", ")));
    }
    assert!(faults(&laughs)[0].contains("more than 100000 values"), "{:?}", faults(&laughs));
    assert!(faults(&"[".repeat(500_000))[0].contains("nested deeper than 32 levels"));
    assert!(faults(&"- ".repeat(500_000))[0].contains("nested deeper than 32 levels"));
    assert_eq!(faults(&"#".repeat(2 << 20)), ["rhaid.yaml: the file has 2MiB; the limit is 1MiB"]);
    assert_eq!(faults("data: &a [*a]\n").len(), 1);
}

#[test]
fn a_large_number_of_faults_is_truncated() {
    let many: String = (0..40_000).map(|number| format!("k{number}: 1\n")).collect();
    let many = faults(&many);
    assert_eq!((many.len(), many[100].as_str()), (101, "rhaid.yaml: 39900 more faults: fix those above first"));
    let long = super::ConfigInput::text(&format!("limits: {{timeout: {}}}", "x".repeat(900_000))).parse().unwrap_err();
    assert!(long[0].report().len() < 1_500, "{}", long[0].report());
}

#[test]
fn a_report_shows_the_line_with_a_caret() {
    let fault = &super::ConfigInput::text("limits:\n  timeuot: 3s\n").parse().unwrap_err()[0];
    assert_eq!(
        fault.report(),
        "rhaid.yaml:2:3: unknown key `limits.timeuot`: did you mean `limits.timeout`?\n  |\n2 |   timeuot: 3s\n  |   ^"
    );
}

#[test]
fn an_anchor_may_be_used_again() {
    let config = config("permissions:\n  a: &open\n    read: [\"./data\"]\n  b: *open\n");
    assert_eq!(config.permissions.check("b", crate::config::Need::Read(Path::new("/house/data/x"))), Ok(()));
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_are_accepted() {
    let config = config("\u{feff}web:\r\n  listen: 127.0.0.1:80\r\n");
    assert_eq!(config.web.listen.to_string(), "127.0.0.1:80");
}

#[test]
fn no_input_causes_a_panic() {
    let alphabet: Vec<char> = "\n\n  :-?#&*!|>'\"%@`{}[],${}~<.\t\r0a\u{feff}é\0\u{7f}".chars().collect();
    let template: Vec<char> = crate::config::template().replace("\n# ", "\n").chars().collect();
    // A fixed pseudo-random sequence (Marsaglia's xorshift).
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below as u64) as usize
    };
    for round in 0..300 {
        let mut text = if round % 2 == 0 { template.clone() } else { Vec::new() };
        for _ in 0..=next(40) {
            let at = next(text.len() + 1);
            let end = (at + next(3)).min(text.len());
            text.splice(at..end, (0..next(4)).map(|_| alphabet[next(alphabet.len())]).collect::<Vec<_>>());
        }
        let text: String = text.into_iter().collect();
        let _ = super::ConfigInput::text(&text).parse();
    }
}
