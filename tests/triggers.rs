//! The examples of the trigger reference load.

use std::path::Path;
use std::sync::Arc;

use jiff::tz::TimeZone;
use rhaid::config::{Config, Source, parse};
use rhaid::script::{Purpose, Script, Sources};
use rhaid::triggers::{KINDS, TriggerContext};

/// The source of one file, `example.rhai`.
struct SingleSource(String);

impl Sources for SingleSource {
    fn read(&self, file: &str) -> Result<Arc<str>, String> {
        if file == "example.rhai" { Ok(self.0.as_str().into()) } else { Err(format!("there is no file {file}")) }
    }
}

/// A config that lets an example read the files it watches.
fn config(folder: &Path) -> Arc<Config> {
    let source = Source {
        file: Some(&folder.join("rhaid.yaml")),
        name: "rhaid.yaml",
        text: "permissions: { \"*\": { read: [\"./**\"] } }",
        folder,
        environment: &Default::default(),
        reserved: &[],
        read_file: &|_| Err("no such file".into()),
        overrides: &[],
        kinds: &[],
    };
    Arc::new(parse(&source).unwrap().config)
}

#[test]
fn every_example_of_a_trigger_kind_declares_that_trigger() {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().canonicalize().unwrap();
    let config = config(&base);
    let trigger_context =
        TriggerContext { zone: TimeZone::UTC, location: Some((59.9, 10.7)), brokers: std::sync::Arc::default(), base };
    for kind in KINDS {
        let mut examples = kind.docs.split("```rhai\n").skip(1).filter_map(|rest| rest.split("```").next()).peekable();
        assert!(examples.peek().is_some(), "{} has no example", kind.name);
        for example in examples {
            let sources = Arc::new(SingleSource(example.into()));
            let script = Script::load("example.rhai", &Purpose::Handlers, sources, &config, &trigger_context)
                .unwrap_or_else(|faults| panic!("{}: {}", kind.name, faults[0].report()));
            assert!(script.declarations.iter().any(|declared| declared.kind == kind.name), "{}", kind.name);
        }
    }
}
