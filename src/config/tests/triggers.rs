//! `triggers:` binds triggers to jobs.

use super::{config, faults};
use crate::config::schema;
use crate::fault::SourceLocation;
use crate::options::Options;
use crate::run::Policy;
use crate::value::{Map, Value, map_of};

#[test]
fn a_trigger_is_bound_with_its_arguments_and_options() {
    let config = config(
        "triggers:\n  - cron: \"0 2 * * *\"\n    job: night/backup.rhai\n    timezone: Europe/Oslo\n    retry: {max: 2}\n  - job: door.rhai\n    mqtt_subscribe: [a, b]\n  - mqtt_silence: [a/#, 5m]\n    job: door.rhai\n  - on_start:\n    job: hello.rhai\n",
    );
    let [cron, mqtt, silence, start] = config.triggers.as_slice() else { panic!("{:?}", config.triggers) };
    assert_eq!((cron.kind.as_str(), cron.job.as_str()), ("cron", "night/backup.rhai"));
    assert_eq!(cron.arguments, [Value::from("0 2 * * *")]);
    assert_eq!(cron.location, SourceLocation { file: "rhaid.yaml".into(), line: 2, column: 5 });
    assert_eq!(cron.argument_location.column, 11);
    assert_eq!(cron.options["timezone"], Value::from("Europe/Oslo"));
    assert_eq!(cron.options["retry"], Value::Map(map_of([("max".into(), Value::Int(2))])));
    assert_eq!((cron.option_locations["timezone"].line, cron.option_locations["timezone"].column), (4, 5));
    assert_eq!(mqtt.arguments, [Value::List(vec![Value::from("a"), Value::from("b")])]);
    assert_eq!(silence.arguments, [Value::from("a/#"), Value::from("5m")]);
    assert_eq!(start.arguments, []);
}

#[test]
fn a_fault_of_a_binding_shows_its_line() {
    let config = config(
        "triggers:\n  - cron: \"x\"\n    job: a.rhai\n    jitter: often\n    token: abcdef\n    hmac: {secret: ghijkl, header: X-Signature}\n",
    );
    let binding = &config.triggers[0];
    assert_eq!(
        binding.fault(Some("jitter"), "write a duration").report(),
        "rhaid.yaml:4:5: write a duration\n  |\n4 |     jitter: often\n  |     ^"
    );
    assert_eq!(binding.fault(None, "x").to_string(), "rhaid.yaml:2:11: x");
    assert_eq!(binding.fault(Some("token"), "x").source_line.as_deref(), Some("    token: ***"));
    assert_eq!(config.mask().apply("abcdef ghijkl X-Signature"), "*** *** X-Signature");
}

#[test]
fn an_invalid_binding_says_what_to_write() {
    assert_eq!(
        faults(
            "triggers:\n  - cronn: \"* * * * *\"\n    job: a.rhai\n  - cron: x\n  - job: a.rhai\n  - cron: x\n    on_start:\n    job: ../a.rhai\n  - backup.rhai\n  - mqtt_silence: a\n    job: a.sh\n  - cron:\n    job: [a]\n  - on_start: 3\n    job: a.rhai\n"
        ),
        [
            "rhaid.yaml:2:5: unknown trigger `cronn`: did you mean `cron`?",
            "rhaid.yaml:4:5: this trigger has no job: add `job: FILE.rhai`, a file in the scripts folder",
            "rhaid.yaml:5:5: there is no trigger here: write one of cron, mqtt_subscribe, mqtt_silence, on_start",
            "rhaid.yaml:7:5: `on_start` is a second trigger beside `cron`: write it as a separate item",
            "rhaid.yaml:8:10: `job`: \"../a.rhai\" is outside the scripts folder: write a path below it, with `/` as the separator",
            "rhaid.yaml:9:5: write a trigger and its job: `cron: \"0 7 * * *\"` and `job: nightly.rhai`",
            "rhaid.yaml:10:19: `mqtt_silence`: write a list of its 2 values: [topic, duration]",
            "rhaid.yaml:11:10: `job`: \"a.sh\" is not a script: write a file that ends in `.rhai`",
            "rhaid.yaml:12:5: `cron`: write its expression",
            "rhaid.yaml:13:10: `job`: write the file's name, such as `nightly.rhai`",
            "rhaid.yaml:14:15: `on_start`: leave it empty, `on_start:`",
        ]
    );
    assert_eq!(
        faults("triggers: {cron: x}\n"),
        [
            "rhaid.yaml:1:11: `triggers`: write a list of items such as `- cron: \"0 7 * * *\"` with `job: nightly.rhai` below"
        ]
    );
}

#[test]
fn the_schema_knows_the_options_of_every_trigger() {
    let schema = schema(super::KINDS);
    let known = schema["properties"]["triggers"]["items"]["properties"].as_object().unwrap();
    let mut options = Options::new(Map::new());
    Policy::take(&mut options).unwrap();
    let left = Options::new(known.keys().map(|name| (name.clone(), Value::Null)).collect());
    // Asking for every option of a policy leaves the job and the kinds.
    let mut left = left;
    Policy::take(&mut left).unwrap();
    let left: Vec<_> = left.remaining().into_keys().collect();
    assert_eq!(left, ["cron", "job", "mqtt_silence", "mqtt_subscribe", "on_start"]);
}
