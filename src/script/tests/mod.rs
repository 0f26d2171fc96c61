//! Loading scripts, calling handlers and reporting faults.

mod declarations;
mod faults;
mod hostile;
mod modules;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;

use super::files::Files;
use super::{JobResult, MIN_STACK_SIZE, Purpose, Script, Sources, errors, guard};
use crate::config::Config;
use crate::fault::Fault;
use crate::functions::Thrown;
use crate::triggers::TriggerContext;
use crate::value::{Map, Value};

/// A scripts folder in memory.
pub(super) struct Folder(BTreeMap<&'static str, &'static str>);

impl Sources for Folder {
    fn read(&self, file: &str) -> Result<Arc<str>, String> {
        self.0.get(file).map(|text| Arc::from(*text)).ok_or_else(|| format!("there is no file {file}"))
    }
}

pub(super) fn load_all(files: &[(&'static str, &'static str)], purpose: &Purpose) -> Result<Script, Vec<Fault>> {
    let config = Arc::new(Config::default_in(Path::new("/nowhere")));
    let trigger_context = TriggerContext {
        zone: TimeZone::UTC,
        location: None,
        brokers: std::sync::Arc::default(),
        base: Path::new("/nowhere").to_owned(),
    };
    let folder = Folder(files.iter().copied().collect());
    Script::load(files[0].0, purpose, Arc::new(folder), &config, &trigger_context)
}

fn load(text: &'static str) -> Script {
    load_all(&[("t.rhai", text)], &Purpose::Handlers).unwrap_or_else(|faults| panic!("{}", reports(&faults)))
}

fn faults(text: &'static str) -> Vec<String> {
    load_all(&[("t.rhai", text)], &Purpose::Handlers).err().unwrap_or_default().iter().map(Fault::to_string).collect()
}

fn reports(faults: &[Fault]) -> String {
    faults.iter().map(Fault::report).collect::<Vec<_>>().join("\n")
}

/// Runs code within the limits of a run, but without a context, so without access to services.
fn within_limits<T: Send>(code: impl FnOnce() -> Result<T, Thrown> + Send) -> Result<T, Thrown> {
    let limits = Config::default_in(Path::new("/nowhere")).limits;
    std::thread::scope(|scope| {
        let run = || guard::run_top_level(&limits, Instant::now() + Duration::from_secs(20), code).0;
        std::thread::Builder::new().stack_size(MIN_STACK_SIZE).spawn_scoped(scope, run).unwrap().join().unwrap()
    })
}

fn call(script: &Script, handler: usize, payload: &[(&str, Value)]) -> Result<Value, Box<Fault>> {
    let payload: Map = payload.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    within_limits(|| script.invoke(handler, &payload.into()))
        .map_err(|error| errors::thrown(&Files(script.files.clone()), &error).into())
}

fn run(text: &'static str, args: &[&str]) -> Result<JobResult, Box<Fault>> {
    let script = load_all(&[("t.rhai", text)], &Purpose::Job).unwrap_or_else(|faults| panic!("{}", reports(&faults)));
    let args: Vec<_> = args.iter().map(|arg| (*arg).to_owned()).collect();
    within_limits(|| script.run_whole(None, &args))
        .map_err(|error| errors::thrown(&Files(script.files.clone()), &error).into())
}
