//! `rhaid state`: what scripts remember, seen and edited by hand.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, anyhow, bail};
use clap::Subcommand;
use serde_json::Value as Json;

use crate::api::{Request, StateSpace};
use crate::cli::exit::Wrong;
use crate::cli::screen::{self, Tone, harmless};
use crate::cli::settings::{self, Globals};
use crate::cli::table::{Cell, table};
use crate::control::{Connection, NotRunning};
use crate::options::nearest;
use crate::services::store::{StateEdit, Store};
use crate::units::show_size;
use crate::value::Value;

/// Show and edit what scripts remember, while rhaid runs or not
#[derive(clap::Args)]
#[command(after_help = "SPACE is a script's name, or shared:NAMESPACE for what shared(\"NAMESPACE\") holds.
Values are JSON; {\"$time\": \"…\"} is a datetime, {\"$bytes\": \"BASE64\"} a blob. A running script sees an edit at once.

Examples:
  rhaid state list
  rhaid state show kitchen
  rhaid state set kitchen count 3
  rhaid state set shared:house mode '\"away\"'
  rhaid state delete kitchen count
  rhaid state export > state.json
  rhaid state import state.json")]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// List the spaces that hold something
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the values of a space, or one of them
    Show {
        /// A script's name, or shared:NAMESPACE
        space: String,
        /// Only this one, as JSON
        key: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Set a value
    Set {
        /// A script's name, or shared:NAMESPACE
        space: String,
        /// The value's name
        key: String,
        /// The value; text in quotes, as JSON has it
        #[arg(value_name = "JSON", allow_hyphen_values = true)]
        value: String,
    },
    /// Take values away
    Delete {
        /// A script's name, or shared:NAMESPACE
        space: String,
        /// The values' names
        #[arg(required_unless_present = "all")]
        keys: Vec<String>,
        /// All of them
        #[arg(long, conflicts_with = "keys")]
        all: bool,
    },
    /// Print spaces as JSON that `import` reads
    Export {
        /// Only these; by default all
        #[arg(value_name = "SPACE")]
        spaces: Vec<String>,
    },
    /// Take over what `export` has printed, all or nothing
    Import {
        /// The file; - for standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Take away what the named spaces hold besides
        #[arg(long)]
        replace: bool,
    },
}

/// Shows or edits state.
pub(super) fn run(args: &Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    let data = settings::load(globals)?.data;
    match &args.action {
        Action::List { json } => list(&mut Keeper::find(&data)?, *json)?,
        Action::Show { space, key, json } => show(&mut Keeper::find(&data)?, space, key.as_deref(), *json)?,
        Action::Set { space, key, value } => {
            let value = written(value)?;
            set(&mut Keeper::find_or_make(&data)?, space, key, value)?;
        }
        Action::Delete { space, keys, .. } => delete(&mut Keeper::find(&data)?, space, keys)?,
        Action::Export { spaces } => export(&mut Keeper::find(&data)?, spaces)?,
        Action::Import { file, replace } => {
            let edit = read(file, *replace)?;
            import(&mut Keeper::find_or_make(&data)?, edit)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Who has the state: the rhaid that runs, or the store itself where none does.
enum Keeper {
    Running(Connection),
    Resting(Store),
    /// There is not even a data folder.
    Nobody,
}

impl Keeper {
    fn find(data: &Path) -> anyhow::Result<Self> {
        if data.is_dir() { Self::find_or_make(data) } else { Ok(Self::Nobody) }
    }

    fn find_or_make(data: &Path) -> anyhow::Result<Self> {
        match Connection::open(data) {
            Ok(running) => Ok(Self::Running(running)),
            Err(error) if error.is::<NotRunning>() => Ok(Self::Resting(Store::open(data)?)),
            Err(error) => Err(error),
        }
    }

    fn spaces(&mut self) -> anyhow::Result<Vec<StateSpace>> {
        match self {
            Self::Running(running) => running.ask(&Request::StateSpaces),
            Self::Resting(store) => Ok(store.namespaces()?.into_iter().map(StateSpace::from).collect()),
            Self::Nobody => Ok(Vec::new()),
        }
    }

    /// Returns the values of a space as they are stored.
    fn values(&mut self, space: &str) -> anyhow::Result<BTreeMap<String, Json>> {
        match self {
            Self::Running(running) => running.ask(&Request::StateValues { space: space.to_owned() }),
            Self::Resting(store) => {
                Ok(store.values(space)?.into_iter().map(|(key, value)| (key, value.to_stored())).collect())
            }
            Self::Nobody => Ok(BTreeMap::new()),
        }
    }

    fn edit(&mut self, edit: StateEdit) -> anyhow::Result<()> {
        match self {
            Self::Running(running) => {
                let stored = |(space, key, value): (_, _, Value)| (space, key, value.to_stored());
                let values = edit.values.into_iter().map(stored).collect();
                running.ask(&Request::StateEdit { cleared: edit.cleared, values })
            }
            Self::Resting(store) => Ok(store.edit(&edit)?),
            Self::Nobody => Ok(()),
        }
    }

    /// Returns the values of a space that must hold some.
    fn held(&mut self, space: &str) -> anyhow::Result<BTreeMap<String, Json>> {
        let values = self.values(&full(space))?;
        if !values.is_empty() {
            return Ok(values);
        }
        let spaces = self.spaces()?;
        let near = nearest(space, spaces.iter().map(|known| short(&known.space)));
        let near = near.map(|near| format!(": did you mean `{near}`?")).unwrap_or_default();
        Err(anyhow!("`{space}` remembers nothing{near}"))
    }
}

/// Returns a space's name as it is stored.
fn full(space: &str) -> String {
    let is_full = space.starts_with("shared:") || space.starts_with("script:");
    if is_full { space.to_owned() } else { format!("script:{space}") }
}

/// Returns a space's name as people write it.
fn short(space: &str) -> &str {
    space.strip_prefix("script:").unwrap_or(space)
}

/// Reads a value from the command line.
fn written(value: &str) -> anyhow::Result<Value> {
    match serde_json::from_str(value) {
        Ok(Json::Null) => {
            Err(Wrong("null is no value to remember: `rhaid state delete` takes a value away".into()).into())
        }
        Ok(json) => Ok(Value::from_stored(json)),
        Err(error) => {
            Err(Wrong(format!("this is no JSON: {error}; text is written in quotes: '{}'", Json::from(value))).into())
        }
    }
}

fn list(keeper: &mut Keeper, json: bool) -> anyhow::Result<()> {
    let spaces = keeper.spaces()?;
    if json {
        return screen::say_json(&spaces);
    }
    if spaces.is_empty() {
        screen::say("no script remembers anything yet\n");
        return Ok(());
    }
    let row = |space: &StateSpace| {
        let name = Cell::toned(Tone::Name, harmless(short(&space.space)));
        vec![name, Cell::plain(space.values.to_string()), Cell::plain(show_size(space.bytes))]
    };
    screen::say(&table(&["SPACE", "VALUES", "SIZE"], spaces.iter().map(row).collect()));
    Ok(())
}

fn show(keeper: &mut Keeper, space: &str, key: Option<&str>, json: bool) -> anyhow::Result<()> {
    let values = keeper.held(space)?;
    match key {
        Some(key) => {
            let value = values.get(key).ok_or_else(|| unknown(space, key, &values))?;
            screen::say_json(value)
        }
        None if json => screen::say_json(&values),
        None => {
            let row = |(key, value): (&String, &Json)| {
                vec![Cell::toned(Tone::Name, harmless(key)), Cell::plain(harmless(&value.to_string()))]
            };
            screen::say(&table(&["KEY", "VALUE"], values.iter().map(row).collect()));
            Ok(())
        }
    }
}

fn unknown(space: &str, key: &str, values: &BTreeMap<String, Json>) -> anyhow::Error {
    let near = nearest(key, values.keys().map(String::as_str));
    let near = near.map(|near| format!(": did you mean `{near}`?")).unwrap_or_default();
    anyhow!("`{space}` has no value `{key}`{near}")
}

fn set(keeper: &mut Keeper, space: &str, key: &str, value: Value) -> anyhow::Result<()> {
    let is_first = keeper.values(&full(space))?.is_empty();
    keeper.edit(StateEdit { values: vec![(full(space), key.to_owned(), value)], ..StateEdit::default() })?;
    let note = if is_first { " (the first value there)" } else { "" };
    screen::say(&format!("set {} of {}{note}\n", harmless(key), harmless(space)));
    Ok(())
}

fn delete(keeper: &mut Keeper, space: &str, keys: &[String]) -> anyhow::Result<()> {
    let values = keeper.held(space)?;
    if let Some(key) = keys.iter().find(|key| !values.contains_key(*key)) {
        return Err(unknown(space, key, &values));
    }
    let gone = if keys.is_empty() { values.keys().cloned().collect() } else { keys.to_vec() };
    let names: Vec<_> = gone.iter().map(|key| harmless(key)).collect();
    let values = gone.into_iter().map(|key| (full(space), key, Value::Null)).collect();
    keeper.edit(StateEdit { values, ..StateEdit::default() })?;
    screen::say(&format!("deleted {} of {}\n", names.join(", "), harmless(space)));
    Ok(())
}

fn export(keeper: &mut Keeper, spaces: &[String]) -> anyhow::Result<()> {
    let names: Vec<String> = match spaces {
        [] => keeper.spaces()?.into_iter().map(|space| space.space).collect(),
        spaces => spaces.iter().map(|space| full(space)).collect(),
    };
    let mut exported = BTreeMap::new();
    for name in names {
        let values = if spaces.is_empty() { keeper.values(&name)? } else { keeper.held(short(&name))? };
        exported.insert(name, values);
    }
    screen::say_json(&exported)
}

/// Reads what was exported.
fn read(file: &Path, replace: bool) -> anyhow::Result<StateEdit> {
    let mut text = String::new();
    let what = || format!("reading {}", file.display());
    if file.as_os_str() == "-" {
        std::io::stdin().read_to_string(&mut text).with_context(what)?;
    } else {
        text = std::fs::read_to_string(file).with_context(what)?;
    }
    let spaces: BTreeMap<String, BTreeMap<String, Json>> = serde_json::from_str(&text)
        .map_err(|error| Wrong(format!("{}: {error}; `rhaid state export` shows how it is written", file.display())))?;
    if let Some(space) = spaces.keys().find(|space| full(space) != **space) {
        bail!(Wrong(format!(
            "{}: {space:?} is no space: write \"script:{space}\" or \"shared:{space}\"",
            file.display()
        )));
    }
    let cleared = if replace { spaces.keys().cloned().collect() } else { Vec::new() };
    let values = spaces.into_iter().flat_map(|(space, values)| {
        values.into_iter().map(move |(key, value)| (space.clone(), key, Value::from_stored(value)))
    });
    Ok(StateEdit { cleared, values: values.collect() })
}

fn import(keeper: &mut Keeper, edit: StateEdit) -> anyhow::Result<()> {
    let count = edit.values.len();
    keeper.edit(edit)?;
    screen::say(&format!("imported {count} {}\n", if count == 1 { "value" } else { "values" }));
    Ok(())
}
