//! `rhaid try`: one event for one script, and what it does or would do.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use crate::cli::environment;
use crate::cli::exec::place;
use crate::cli::exit::{FAILURE, UsageError};
use crate::cli::local_run::{self, LocalScript};
use crate::cli::settings::{self, Globals};
use crate::event::Event;
use crate::runtime::name_of;
use crate::services::Services;
use crate::services::clock::Clock;
use crate::services::store::Store;
use crate::triggers::manual;
use crate::value::{Map, Value, map_of};

/// Wake one script with one event, and show what it does
#[derive(clap::Args)]
#[command(after_help = "Examples:
  rhaid try scripts/door.rhai --mqtt demo/door=open --dry
  rhaid try scripts/clock.rhai --cron --at 2026-03-29T03:00+02:00[Europe/Oslo] --dry
  rhaid try scripts/hook.rhai --webhook 'GET hello/ann' --data '{\"query\": {\"lang\": \"no\"}}'
  rhaid try scripts/door.rhai --timer 'left open'

The script need not be live, and the rhaid that runs does not notice: state and timers are a copy, which is forgotten at the end.
What it publishes and asks for goes out for real; with --dry nothing does, and what has an answer that nothing can stand in for
(http_*, exec, mqtt_request) throws an error of kind `dry`.

Ends with 0 if the run succeeded, else with 1.")]
pub(super) struct Args {
    /// The script: its file, or its name
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    what: EventArgs,
    /// More fields of the handler's argument, as an object
    #[arg(long, value_name = "JSON")]
    data: Option<String>,
    /// What the clock shows; only with --dry, since the world outside knows better
    #[arg(long, value_name = "TIME", requires = "dry")]
    at: Option<String>,
    /// Show what the script would do, and do nothing
    #[arg(long)]
    dry: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What happens; not needed if the script has only one trigger.
#[derive(clap::Args)]
#[group(multiple = false)]
struct EventArgs {
    /// A message comes
    #[arg(long, value_name = "TOPIC=PAYLOAD")]
    mqtt: Option<String>,
    /// A request comes: the method (or else POST) and the path below /hooks/
    #[arg(long, value_name = "REQUEST")]
    webhook: Option<String>,
    /// A time of a cron expression has come
    #[arg(long)]
    cron: bool,
    /// A beat is due
    #[arg(long)]
    every: bool,
    /// A timer runs out
    #[arg(long, value_name = "NAME")]
    timer: Option<String>,
    /// A script emits
    #[arg(long, value_name = "NAME")]
    event: Option<String>,
    /// A file changes
    #[arg(long, value_name = "PATH")]
    change: Option<String>,
    /// The trigger of this name or kind fires, as `rhaid check` shows them
    #[arg(long, value_name = "TRIGGER")]
    trigger: Option<String>,
}

/// Which trigger is meant, and what is known of the event.
struct TriggerQuery {
    kind: Option<&'static str>,
    name: Option<String>,
    given: Map,
}

impl EventArgs {
    fn query(&self) -> anyhow::Result<TriggerQuery> {
        let of = |kind, given: &[(&str, &str)]| {
            let given = map_of(given.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))));
            Ok(TriggerQuery { kind: Some(kind), name: None, given })
        };
        if let Some(message) = &self.mqtt {
            let (topic, payload) = message
                .split_once('=')
                .ok_or_else(|| UsageError(format!("--mqtt: write the topic and the payload, such as {message}=on")))?;
            return of("mqtt_subscribe", &[("topic", topic), ("payload", payload)]);
        }
        if let Some(request) = &self.webhook {
            let (method, path) = request.split_once(' ').unwrap_or(("POST", request));
            let path = path.trim_start_matches('/').trim_start_matches("hooks/");
            return of("webhook", &[("method", &method.to_uppercase()), ("path", path)]);
        }
        match (&self.timer, &self.event, &self.change) {
            (Some(name), ..) => of("on_timer", &[("name", name)]),
            (_, Some(name), _) => of("on_event", &[("name", name)]),
            (.., Some(path)) => of("watch_file", &[("path", path)]),
            _ if self.cron => of("cron", &[]),
            _ if self.every => of("every", &[]),
            _ => Ok(TriggerQuery { kind: None, name: self.trigger.clone(), given: Map::new() }),
        }
    }
}

/// Plays the event, and prints what became of it.
pub(super) fn run(args: &Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    let config = Arc::new(settings::load(globals)?);
    let zone = settings::zone(config.timezone.as_deref())?;
    let TriggerQuery { kind, name, mut given } = args.what.query()?;
    given.extend(data(args.data.as_deref())?);
    if kind == Some("webhook") {
        // As a test says it; the handler gets the text.
        let json = given.remove("json").map(|json| Value::from(json.to_json().to_string()));
        let text = json.or_else(|| given.remove("body"));
        given.extend(text.map(|text| ("text".to_owned(), text)));
    }
    let clock = match &args.at {
        None => Clock::system(zone.clone()),
        Some(at) => Clock::manual(parse_time(at, &zone)?),
    };
    let (root, file) = place(&args.file, &config)?;
    let script = LocalScript::load(&config, &root, &file, None, zone)?;
    let Some(script) = local_run::loaded_or_print_faults(script) else { return Ok(ExitCode::from(FAILURE)) };
    let at = choose(&script, kind, name.as_deref(), &given)?;
    let declared = &script.declarations()[at];
    let payload = {
        let tokio = environment::tokio_runtime()?;
        let _inside = tokio.enter();
        let services =
            Services::builder(clock.clone(), Store::in_memory()?).brokers(environment::ephemeral_brokers(&config)?).build();
        manual(&*declared.trigger, given, &services)
    };
    let event = Event::new(clock.now_zoned(), format!("{} (tried)", declared.trigger.summary()), payload);
    script.play(at, &event, clock, args.dry)?.tell(args.json)
}

fn data(json: Option<&str>) -> anyhow::Result<Map> {
    match json.map(serde_json::from_str::<serde_json::Value>) {
        None => Ok(Map::new()),
        Some(Ok(data)) => match Value::from(data) {
            Value::Map(payload) => Ok(payload),
            other => Ok(map_of([("data".to_owned(), other)])),
        },
        Some(Err(error)) => Err(UsageError(format!("--data: this is no JSON: {error}")).into()),
    }
}

/// Reads a moment with its zone, with an offset, or in the zone of the config.
pub(super) fn parse_time(text: &str, zone: &TimeZone) -> anyhow::Result<Zoned> {
    let zoned = text.parse::<Zoned>().ok();
    let instant = || text.parse::<Timestamp>().ok().map(|moment| moment.to_zoned(zone.clone()));
    let local = || text.parse::<jiff::civil::DateTime>().ok()?.to_zoned(zone.clone()).ok();
    let wrong =
        || UsageError(format!("--at: write a time such as 2026-03-29T07:00 or 2026-03-29T07:00:00Z, not {text}"));
    zoned.or_else(instant).or_else(local).ok_or_else(|| wrong().into())
}

/// Returns which trigger is meant.
fn choose(script: &LocalScript<'_>, kind: Option<&str>, name: Option<&str>, given: &Map) -> anyhow::Result<usize> {
    let declared = script.declarations();
    let fitting: Vec<_> = (0..declared.len())
        .filter(|at| match (kind, name) {
            (Some(kind), _) => declared[*at].kind == kind && declared[*at].trigger.fits(given),
            (_, Some(name)) => name_of(&declared[*at]) == name || declared[*at].kind == name,
            (None, None) => true,
        })
        .collect();
    match (fitting.as_slice(), name) {
        ([one], _) => Ok(*one),
        ([], _) => Err(script
            .no_such(&match (kind, name) {
                (Some(kind), _) => format!("{kind} that this wakes"),
                (_, Some(name)) => format!("trigger `{name}`"),
                (None, None) => "trigger".to_owned(),
            })
            .into()),
        (several, _) => {
            let names: Vec<_> = several.iter().map(|at| name_of(&declared[*at])).collect();
            Err(UsageError(format!("several triggers fit, say which with --trigger: `{}`", names.join("`, `"))).into())
        }
    }
}
