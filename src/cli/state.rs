//! `rhaid state`: what scripts remember, seen and edited by hand.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, anyhow, bail};
use clap::Subcommand;
use serde_json::Value as Json;

use crate::api::{Request, StateSpace};
use crate::cli::exit::UsageError;
use crate::cli::settings::{self, Globals};
use crate::cli::table::{Cell, table};
use crate::cli::terminal::{self, Style, sanitize};
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
        Action::List { json } => list(&mut StateSource::find(&data)?, *json)?,
        Action::Show { space, key, json } => show(&mut StateSource::find(&data)?, space, key.as_deref(), *json)?,
        Action::Set { space, key, value } => {
            let value = written(value)?;
            set(&mut StateSource::find_or_make(&data)?, space, key, value)?;
        }
        Action::Delete { space, keys, .. } => delete(&mut StateSource::find(&data)?, space, keys)?,
        Action::Export { spaces } => export(&mut StateSource::find(&data)?, spaces)?,
        Action::Import { file, replace } => {
            let edit = read(file, *replace)?;
            import(&mut StateSource::find_or_make(&data)?, edit)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Who has the state: the rhaid that runs, or the store itself where none does.
enum StateSource {
    Running(Connection),
    Store(Store),
    /// There is not even a data folder.
    Missing,
}

impl StateSource {
    fn find(data: &Path) -> anyhow::Result<Self> {
        if data.is_dir() { Self::find_or_make(data) } else { Ok(Self::Missing) }
    }

    fn find_or_make(data: &Path) -> anyhow::Result<Self> {
        match Connection::open(data) {
            Ok(running) => Ok(Self::Running(running)),
            Err(error) if error.is::<NotRunning>() => Ok(Self::Store(Store::open(data)?)),
            Err(error) => Err(error),
        }
    }

    fn spaces(&mut self) -> anyhow::Result<Vec<StateSpace>> {
        match self {
            Self::Running(running) => running.ask(&Request::StateSpaces),
            Self::Store(store) => Ok(store.namespaces()?.into_iter().map(StateSpace::from).collect()),
            Self::Missing => Ok(Vec::new()),
        }
    }

    /// Returns the values of a space as they are stored.
    fn values(&mut self, space: &str) -> anyhow::Result<BTreeMap<String, Json>> {
        match self {
            Self::Running(running) => running.ask(&Request::StateValues { space: space.to_owned() }),
            Self::Store(store) => {
                Ok(store.values(space)?.into_iter().map(|(key, value)| (key, value.to_stored())).collect())
            }
            Self::Missing => Ok(BTreeMap::new()),
        }
    }

    fn edit(&mut self, edit: StateEdit) -> anyhow::Result<()> {
        match self {
            Self::Running(running) => {
                let stored = |(space, key, value): (_, _, Value)| (space, key, value.to_stored());
                let values = edit.values.into_iter().map(stored).collect();
                running.ask(&Request::StateEdit { cleared: edit.cleared, values })
            }
            Self::Store(store) => Ok(store.edit(&edit)?),
            Self::Missing => Ok(()),
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
            Err(UsageError("null is no value to remember: `rhaid state delete` takes a value away".into()).into())
        }
        Ok(json) => Ok(Value::from_stored(json)),
        Err(error) => {
            Err(UsageError(format!("this is no JSON: {error}; text is written in quotes: '{}'", Json::from(value)))
                .into())
        }
    }
}

fn list(source: &mut StateSource, json: bool) -> anyhow::Result<()> {
    let spaces = source.spaces()?;
    if json {
        return terminal::print_json(&spaces);
    }
    if spaces.is_empty() {
        terminal::print("no script remembers anything yet\n");
        return Ok(());
    }
    let row = |space: &StateSpace| {
        let name = Cell::styled(Style::Name, sanitize(short(&space.space)));
        vec![name, Cell::plain(space.values.to_string()), Cell::plain(show_size(space.bytes))]
    };
    terminal::print(&table(&["SPACE", "VALUES", "SIZE"], spaces.iter().map(row).collect()));
    Ok(())
}

fn show(source: &mut StateSource, space: &str, key: Option<&str>, json: bool) -> anyhow::Result<()> {
    let values = source.held(space)?;
    match key {
        Some(key) => {
            let value = values.get(key).ok_or_else(|| unknown(space, key, &values))?;
            terminal::print_json(value)
        }
        None if json => terminal::print_json(&values),
        None => {
            let row = |(key, value): (&String, &Json)| {
                vec![Cell::styled(Style::Name, sanitize(key)), Cell::plain(sanitize(&value.to_string()))]
            };
            terminal::print(&table(&["KEY", "VALUE"], values.iter().map(row).collect()));
            Ok(())
        }
    }
}

fn unknown(space: &str, key: &str, values: &BTreeMap<String, Json>) -> anyhow::Error {
    let near = nearest(key, values.keys().map(String::as_str));
    let near = near.map(|near| format!(": did you mean `{near}`?")).unwrap_or_default();
    anyhow!("`{space}` has no value `{key}`{near}")
}

fn set(source: &mut StateSource, space: &str, key: &str, value: Value) -> anyhow::Result<()> {
    let is_first = source.values(&full(space))?.is_empty();
    source.edit(StateEdit { values: vec![(full(space), key.to_owned(), value)], ..StateEdit::default() })?;
    let note = if is_first { " (the first value there)" } else { "" };
    terminal::print(&format!("set {} of {}{note}\n", sanitize(key), sanitize(space)));
    Ok(())
}

fn delete(source: &mut StateSource, space: &str, keys: &[String]) -> anyhow::Result<()> {
    let values = source.held(space)?;
    if let Some(key) = keys.iter().find(|key| !values.contains_key(*key)) {
        return Err(unknown(space, key, &values));
    }
    let gone = if keys.is_empty() { values.keys().cloned().collect() } else { keys.to_vec() };
    let names: Vec<_> = gone.iter().map(|key| sanitize(key)).collect();
    let values = gone.into_iter().map(|key| (full(space), key, Value::Null)).collect();
    source.edit(StateEdit { values, ..StateEdit::default() })?;
    terminal::print(&format!("deleted {} of {}\n", names.join(", "), sanitize(space)));
    Ok(())
}

fn export(source: &mut StateSource, spaces: &[String]) -> anyhow::Result<()> {
    let names: Vec<String> = match spaces {
        [] => source.spaces()?.into_iter().map(|space| space.space).collect(),
        spaces => spaces.iter().map(|space| full(space)).collect(),
    };
    let mut exported = BTreeMap::new();
    for name in names {
        let values = if spaces.is_empty() { source.values(&name)? } else { source.held(short(&name))? };
        exported.insert(name, values);
    }
    terminal::print_json(&exported)
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
    let spaces: BTreeMap<String, BTreeMap<String, Json>> = serde_json::from_str(&text).map_err(|error| {
        UsageError(format!("{}: {error}; `rhaid state export` shows how it is written", file.display()))
    })?;
    if let Some(space) = spaces.keys().find(|space| full(space) != **space) {
        bail!(UsageError(format!(
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

fn import(source: &mut StateSource, edit: StateEdit) -> anyhow::Result<()> {
    let count = edit.values.len();
    source.edit(edit)?;
    terminal::print(&format!("imported {count} {}\n", if count == 1 { "value" } else { "values" }));
    Ok(())
}
