//! `rhaid try`: runs a handler with an event from the command line, and shows its effects.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command, FromArgMatches};

use crate::cli::environment;
use crate::cli::exec::place;
use crate::cli::exit::{FAILURE, UsageError};
use crate::cli::local_run;
use crate::cli::settings::{self, Globals};
use crate::event::Event;
use crate::runtime::trigger_name;
use crate::services::Services;
use crate::services::clock::Clock;
use crate::services::store::Store;
use crate::sim::{LocalScript, ephemeral_brokers};
use crate::triggers::{KINDS, Kind, TryOption, manual_payload};
use crate::units::parse_time;
use crate::value::{Map, Value, map_of};

/// Name of the option that selects a trigger by its name or kind.
const TRIGGER: &str = "trigger";

/// Run a handler with an event, and show its effects
#[derive(clap::Args)]
#[command(after_help = "Examples:
  rhaid try scripts/door.rhai --mqtt demo/door=open --dry
  rhaid try scripts/clock.rhai --cron --at 2026-03-29T03:00+02:00[Europe/Oslo] --dry
  rhaid try scripts/hook.rhai --webhook 'GET hello/ann' --data '{\"query\": {\"lang\": \"no\"}}'
  rhaid try scripts/door.rhai --timer 'left open'

The script need not be live. The running rhaid is not affected: the run uses a copy of state and timers, which is discarded. \
Messages and requests are sent. With --dry nothing is sent or written, and functions that need a response (http_*, exec, \
mqtt_request) throw an error of kind `dry`.

Exits with 0 if the run succeeded, else with 1.")]
pub(super) struct Args {
    /// Script, as a file or a name
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    event: EventArgs,
    /// Further fields of the handler's argument, as a JSON object
    #[arg(long, value_name = "JSON")]
    data: Option<String>,
    /// Virtual time of the run; requires --dry
    #[arg(long, value_name = "TIME", requires = "dry")]
    at: Option<String>,
    /// Show the effects without carrying them out
    #[arg(long)]
    dry: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Event to try: of the kind that an option selects, or of the trigger that `--trigger` names.
struct EventArgs {
    option: Option<(&'static Kind, &'static TryOption, String)>,
    trigger: Option<String>,
}

fn options() -> impl Iterator<Item = (&'static Kind, &'static TryOption)> {
    KINDS.iter().filter_map(|kind| Some((*kind, kind.try_option.as_ref()?)))
}

impl clap::Args for EventArgs {
    fn augment_args(command: Command) -> Command {
        let trigger = Arg::new(TRIGGER)
            .long(TRIGGER)
            .value_name("TRIGGER")
            .help("Fire the trigger with this name or kind, as shown by `rhaid check`");
        let args = options().map(|(_, option)| {
            let arg = Arg::new(option.name).long(option.name).help(option.help);
            match option.value_name {
                Some(value) => arg.value_name(value),
                None => arg.action(ArgAction::SetTrue),
            }
        });
        let args: Vec<_> = args.chain([trigger]).collect();
        let group = ArgGroup::new("EventArgs").args(args.iter().map(Arg::get_id)).multiple(false);
        command.args(args).group(group)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for EventArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let is_given = |name: &str| matches.value_source(name) == Some(ValueSource::CommandLine);
        let option = options().find(|(_, option)| is_given(option.name)).map(|(kind, option)| {
            let value = option.value_name.and_then(|_| matches.get_one::<String>(option.name));
            (kind, option, value.cloned().unwrap_or_default())
        });
        Ok(Self { option, trigger: matches.get_one::<String>(TRIGGER).cloned() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Runs the handler and prints the result.
pub(super) fn run(args: &Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    let config = Arc::new(settings::load(globals)?);
    let zone = settings::zone(config.timezone.as_deref())?;
    let data = data(args.data.as_deref())?;
    let (kind, given) = match &args.event.option {
        Some((kind, option, value)) => (Some(kind.name), (option.read)(value, data).map_err(UsageError)?),
        None => (None, data),
    };
    let clock = match &args.at {
        None => Clock::system(zone.clone()),
        Some(at) => Clock::manual(parse_time(at, &zone).map_err(|why| UsageError(format!("--at: {why}")))?),
    };
    let (root, file) = place(&args.file, &config)?;
    let script = LocalScript::load(&config, &root, &file, None, zone)?;
    let Some(script) = local_run::loaded_or_print_faults(script) else { return Ok(ExitCode::from(FAILURE)) };
    let at = choose(&script, kind, args.event.trigger.as_deref(), &given)?;
    let declared = &script.declarations()[at];
    let payload = {
        let tokio = environment::tokio_runtime()?;
        let _inside = tokio.enter();
        let services =
            Services::builder(clock.clone(), Store::in_memory()?).brokers(ephemeral_brokers(&config)?).build();
        manual_payload(&*declared.trigger, given, &services)
    };
    let event = Event::new(clock.now(), format!("{} (tried)", declared.trigger.summary()), payload);
    let run = local_run::run(&script, at, &event, clock, args.dry)?;
    local_run::print(&run, args.json)
}

fn data(json: Option<&str>) -> anyhow::Result<Map> {
    match json.map(serde_json::from_str::<serde_json::Value>) {
        None => Ok(Map::new()),
        Some(Ok(data)) => match Value::from(data) {
            Value::Map(payload) => Ok(payload),
            other => Ok(map_of([("data".to_owned(), other)])),
        },
        Some(Err(error)) => Err(UsageError(format!("--data: invalid JSON: {error}")).into()),
    }
}

/// Returns the index of the selected trigger.
fn choose(script: &LocalScript<'_>, kind: Option<&str>, name: Option<&str>, given: &Map) -> anyhow::Result<usize> {
    let declared = script.declarations();
    let fitting: Vec<_> = (0..declared.len())
        .filter(|at| match (kind, name) {
            (Some(kind), _) => declared[*at].kind == kind && declared[*at].trigger.matches(given),
            (_, Some(name)) => trigger_name(&declared[*at]) == name || declared[*at].kind == name,
            (None, None) => true,
        })
        .collect();
    match (fitting.as_slice(), name) {
        ([one], _) => Ok(*one),
        ([], _) => {
            let wanted = match (kind, name) {
                (Some(kind), _) => format!("{kind} trigger for this event"),
                (_, Some(name)) => format!("trigger `{name}`"),
                (None, None) => "trigger".to_owned(),
            };
            Err(local_run::missing_trigger(script, &wanted).into())
        }
        (several, _) => {
            let names: Vec<_> = several.iter().map(|at| trigger_name(&declared[*at])).collect();
            Err(UsageError(format!("several triggers match: select one with --trigger: `{}`", names.join("`, `")))
                .into())
        }
    }
}
