//! `rhaid replay`: an event that is in the ledger wakes its handler again, for real or dry.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::Context as _;
use serde::Serialize;
use serde_json::{Map, Value as Json};

use crate::cli::exit::{FAULTS, Wrong};
use crate::cli::fire::{self, shown};
use crate::cli::run_info::{find, row};
use crate::cli::screen::{self, Tone, harmless, paint};
use crate::cli::settings::{self, Globals};
use crate::cli::table::aligned;
use crate::cli::world;
use crate::config::{Config, Level};
use crate::control::{Connection, Request, RunInfo};
use crate::effect::Effect;
use crate::event::Event;
use crate::functions::{Context, Journal, Stop};
use crate::runtime::{Fired, FolderSources, Replayed, bind, name_of, restored};
use crate::script::{Ended, Purpose, Script, Sources};
use crate::services::clock::Clock;
use crate::services::store::{Kept, Store};
use crate::triggers::Surroundings;
use crate::value::Value;

/// Wake a handler again with an event of the ledger
#[derive(clap::Args)]
#[command(after_help = "Examples:
  rhaid replay 7hk2                            # in the rhaid that runs
  rhaid replay 7hk2 --dry                      # shows what the script would do now, and does nothing
  rhaid replay 7hk2 --script edited.rhai       # the same with another version of the script

A dry run needs no running rhaid. It reads state, timers and files as they are, and what MQTT brings; it publishes, writes and waits for
nothing. What has an answer that nothing can stand in for (http_*, exec, mqtt_request) throws an error of kind `dry`.")]
pub(super) struct Args {
    /// The run, as `rhaid runs` and the log show it: its id, or the end of it
    #[arg(value_name = "RUN")]
    run: String,
    /// Show what the script would do, and do nothing
    #[arg(long)]
    dry: bool,
    /// The same with this file in the place of the script
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Replays, and prints how it ended.
pub(super) fn run(args: &Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    let config = Arc::new(settings::load(globals)?);
    if !args.dry && args.script.is_none() {
        let replayed: Replayed = Connection::open(&config.data)?.ask(&Request::Replay { id: args.run.clone() })?;
        if args.json {
            screen::say_json(&replayed)?;
        } else {
            let id = crate::cli::log::short(&replayed.run);
            screen::say(&format!("{}rhaid run-info {id} shows what it did\n", shown(&replayed.fired)));
        }
        return Ok(fire::code(&replayed.fired));
    }
    let Some(info) = find(&args.run, &config.data)? else {
        screen::complain(&format!("there is no run {}: `rhaid runs` lists them\n", harmless(&args.run)));
        return Ok(ExitCode::from(FAULTS));
    };
    let rehearsal = Rehearsal::new(args, &info, &config)?;
    let played = match rehearsal.play(info)? {
        Ok(played) => played,
        Err(faults) => {
            screen::complain(&format!("{}\n", harmless(&faults)));
            return Ok(ExitCode::from(FAULTS));
        }
    };
    if args.json {
        screen::say_json(&played)?;
    } else {
        screen::say(&played.shown());
    }
    Ok(fire::code(&played.fired))
}

/// What a dry run would have done.
#[derive(Serialize)]
struct Played {
    #[serde(flatten)]
    fired: Fired,
    effects: Vec<Effect>,
    /// Whether what woke it is the same as then.
    kept: Kept,
}

impl Played {
    fn shown(&self) -> String {
        let mut text = String::new();
        match self.kept {
            Kept::Whole => {}
            Kept::Masked => text.push_str(&format!("{} secrets in what woke it are ***\n", paint(Tone::Warn, "note"))),
            Kept::Cut => text.push_str(&format!("{} what woke it was kept in part\n", paint(Tone::Warn, "note"))),
        }
        if !self.effects.is_empty() {
            let rows: Vec<_> = self.effects.iter().map(|effect| row(effect, true)).collect();
            text.push_str(&format!("{}\n{}", paint(Tone::Strong, "what it would do"), aligned(&rows)));
        }
        text.push_str(&shown(&self.fired));
        text
    }
}

/// A script that is to be run dry.
struct Rehearsal<'a> {
    config: &'a Arc<Config>,
    file: String,
    sources: Arc<dyn Sources>,
    root: PathBuf,
}

/// The scripts folder with another text in one file's place.
struct Edited {
    file: String,
    text: Arc<str>,
    folder: FolderSources,
}

impl Sources for Edited {
    fn read(&self, file: &str) -> Result<Arc<str>, String> {
        if file == self.file { Ok(self.text.clone()) } else { self.folder.read(file) }
    }
}

impl<'a> Rehearsal<'a> {
    fn new(args: &Args, info: &RunInfo, config: &'a Arc<Config>) -> anyhow::Result<Self> {
        let file = format!("{}.rhai", info.run.script);
        let root = std::path::absolute(&config.scripts)?;
        let folder = FolderSources::new(&root, config.limits.script_size);
        let sources: Arc<dyn Sources> = match &args.script {
            None => Arc::new(folder),
            Some(edited) => {
                let text = std::fs::read_to_string(edited).with_context(|| edited.display().to_string())?;
                Arc::new(Edited { file: file.clone(), text: text.into(), folder })
            }
        };
        Ok(Self { config, file, sources, root })
    }

    /// Runs it; or returns the faults of the script.
    fn play(&self, info: RunInfo) -> anyhow::Result<Result<Played, String>> {
        let zone = settings::zone(self.config.timezone.as_deref())?;
        let clock = Clock::system(zone.clone());
        let (script, is_job) = match self.load(zone) {
            Ok(loaded) => loaded,
            Err(faults) => return Ok(Err(settings::reports(&faults))),
        };
        let names: Vec<_> = script.declared.iter().map(name_of).collect();
        let Some(at) = names.iter().position(|name| *name == info.run.trigger) else {
            let names = if names.is_empty() { "none".to_owned() } else { format!("`{}`", names.join("`, `")) };
            let wrong = format!("{} has no trigger `{}` (it has {names})", self.file, info.run.trigger);
            return Err(Wrong(harmless(&wrong)).into());
        };
        let handler = script.declared[at].handler;
        let queued = info.run.queued.to_zoned(clock.zone());
        let facts = restored(Value::from_stored(info.payload));
        let event = Event::new(queued, info.run.event, facts);
        let tokio = world::runtime()?;
        let stage = Arc::new(Stage { config: self.config.clone(), started: Instant::now(), effects: Mutex::default() });
        let context = {
            let _inside = tokio.enter();
            let store = Store::copy_of(&self.config.data)?;
            let context = world::context(self.config, clock, store, stage.clone(), tokio.handle())?;
            Arc::new(Context { script: info.run.script.as_str().into(), dry: true, ..context })
        };
        world::cancel_on_interrupt(&tokio, &context);
        let ended = world::on_a_script_thread(&context, || match is_job {
            true => script.run(Some(&event), &[], &context).map(|finished| finished.value),
            false => script.call(handler, &event, &context),
        })?;
        let _ = tokio.block_on(context.services.mqtt.close());
        let effects = std::mem::take(&mut *stage.effects.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(Ok(Played { fired: self.fired(ended), effects, kept: info.kept }))
    }

    fn load(&self, zone: jiff::tz::TimeZone) -> Result<(Script, bool), Vec<crate::fault::Fault>> {
        let base = self.root.parent().unwrap_or(Path::new("/")).to_owned();
        let surroundings =
            Surroundings { zone, location: self.config.location, brokers: self.config.mqtt.names(), base };
        let bindings: Vec<_> = self.config.triggers.iter().filter(|binding| binding.job == self.file).collect();
        let is_job = !bindings.is_empty();
        let purpose = if is_job { Purpose::Job } else { Purpose::Handlers };
        let mut script = Script::load(&self.file, &purpose, self.sources.clone(), self.config, &surroundings)?;
        if is_job {
            script.declared = bind(bindings, self.config, &surroundings)?;
        }
        Ok((script, is_job))
    }

    fn fired(&self, ended: Result<Value, Ended>) -> Fired {
        let (outcome, value, fault) = match ended {
            Ok(value) => ("succeeded", value.to_json(), None),
            Err(Ended::Stopped(Stop::Cancelled, _)) => ("cancelled", Json::Null, None),
            Err(Ended::Stopped(Stop::Deadline, fault)) => ("timed out", Json::Null, Some(fault)),
            Err(Ended::Fault(fault) | Ended::Stopped(_, fault)) => ("failed", Json::Null, Some(fault)),
        };
        let why = fault.map(|fault| self.config.mask().apply(&fault.report()).into_owned());
        Fired { outcome: outcome.to_owned(), value, why }
    }
}

/// Keeps what a dry run would do.
struct Stage {
    config: Arc<Config>,
    started: Instant,
    effects: Mutex<Vec<Effect>>,
}

impl Journal for Stage {
    fn line(&self, level: Level, text: &str, fields: &Map<String, Json>) {
        let text = fields.iter().fold(text.to_owned(), |text, (name, value)| format!("{text} {name}={value}"));
        self.did(Effect::new(level.word(), text));
    }

    fn did(&self, mut effect: Effect) {
        let mask = self.config.mask();
        effect.after = self.started.elapsed().saturating_sub(effect.took);
        effect.with = mask.apply(&effect.with).into_owned();
        effect.fault = mask.apply(&effect.fault).into_owned();
        self.effects.lock().unwrap_or_else(PoisonError::into_inner).push(effect);
    }
}
