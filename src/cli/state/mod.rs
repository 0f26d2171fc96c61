//! `rhaid state`: shows and edits the state of scripts.

mod source;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, anyhow, bail};
use clap::Subcommand;
use serde_json::Value as Json;

use self::source::{StateSource, display_name, stored_name};
use crate::api::StateSpace;
use crate::cli::exit::UsageError;
use crate::cli::settings::{self, Globals};
use crate::cli::table::{Cell, table};
use crate::cli::terminal::{self, Style, sanitize};
use crate::options::nearest;
use crate::services::store::StateEdit;
use crate::units::show_size;
use crate::value::Value;

/// Show and edit the state of scripts, whether rhaid is running or not
#[derive(clap::Args)]
#[command(after_help = "NAMESPACE is the name of a script, or shared:NAME for the values of shared(\"NAME\").
Values are JSON; {\"$time\": \"…\"} is a datetime, {\"$bytes\": \"BASE64\"} a blob. Running scripts use \
an edited value at once.

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
    /// List all namespaces with values
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the values of a namespace, or one value
    Show {
        /// Name of a script, or shared:NAMESPACE
        namespace: String,
        /// Show only this value, as JSON
        key: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Set a value
    Set {
        /// Name of a script, or shared:NAMESPACE
        namespace: String,
        /// Key of the value
        key: String,
        /// Value as JSON; text needs double quotes
        #[arg(value_name = "JSON", allow_hyphen_values = true)]
        value: String,
    },
    /// Delete values
    Delete {
        /// Name of a script, or shared:NAMESPACE
        namespace: String,
        /// Keys of the values
        #[arg(required_unless_present = "all")]
        keys: Vec<String>,
        /// Delete all values of the namespace
        #[arg(long, conflicts_with = "keys")]
        all: bool,
    },
    /// Print namespaces as JSON that `import` reads
    Export {
        /// Spaces to print [default: all]
        #[arg(value_name = "NAMESPACE")]
        namespaces: Vec<String>,
    },
    /// Import the output of `export` in one transaction
    Import {
        /// File to read; - for standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Delete all other values of these namespaces
        #[arg(long)]
        replace: bool,
    },
}

/// Shows or edits state.
pub(super) fn run(args: &Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    let data = settings::load(globals)?.data;
    match &args.action {
        Action::List { json } => list(&mut StateSource::open(&data)?, *json)?,
        Action::Show { namespace, key, json } => {
            show(&mut StateSource::open(&data)?, namespace, key.as_deref(), *json)?
        }
        Action::Set { namespace, key, value } => {
            let value = parse_value(value)?;
            set(&mut StateSource::open_or_create(&data)?, namespace, key, value)?;
        }
        Action::Delete { namespace, keys, .. } => delete(&mut StateSource::open(&data)?, namespace, keys)?,
        Action::Export { namespaces } => export(&mut StateSource::open(&data)?, namespaces)?,
        Action::Import { file, replace } => {
            let edit = read(file, *replace)?;
            import(&mut StateSource::open_or_create(&data)?, edit)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Parses a value of the command line.
fn parse_value(value: &str) -> anyhow::Result<Value> {
    match serde_json::from_str(value) {
        Ok(Json::Null) => {
            Err(UsageError("null cannot be stored: use `rhaid state delete` to delete a value".into()).into())
        }
        Ok(json) => Ok(Value::from_stored(json)),
        Err(error) => {
            Err(UsageError(format!("invalid JSON: {error}; text needs double quotes: '{}'", Json::from(value))).into())
        }
    }
}

fn list(source: &mut StateSource, json: bool) -> anyhow::Result<()> {
    let namespaces = source.namespaces()?;
    if json {
        return terminal::print_json(&namespaces);
    }
    if namespaces.is_empty() {
        terminal::print("there is no state yet\n");
        return Ok(());
    }
    let row = |namespace: &StateSpace| {
        let name = Cell::styled(Style::Name, sanitize(display_name(&namespace.space)));
        vec![name, Cell::plain(namespace.values.to_string()), Cell::plain(show_size(namespace.bytes))]
    };
    terminal::print(&table(&["NAMESPACE", "VALUES", "SIZE"], namespaces.iter().map(row).collect()));
    Ok(())
}

fn show(source: &mut StateSource, namespace: &str, key: Option<&str>, json: bool) -> anyhow::Result<()> {
    let values = source.existing_values(namespace)?;
    match key {
        Some(key) => {
            let value = values.get(key).ok_or_else(|| unknown_key(namespace, key, &values))?;
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

fn unknown_key(namespace: &str, key: &str, values: &BTreeMap<String, Json>) -> anyhow::Error {
    let near = nearest(key, values.keys().map(String::as_str));
    let near = near.map(|near| format!(": did you mean `{near}`?")).unwrap_or_default();
    anyhow!("`{namespace}` has no value `{key}`{near}")
}

fn set(source: &mut StateSource, namespace: &str, key: &str, value: Value) -> anyhow::Result<()> {
    let is_first = source.values(&stored_name(namespace))?.is_empty();
    source.edit(StateEdit { values: vec![(stored_name(namespace), key.to_owned(), value)], ..StateEdit::default() })?;
    let note = if is_first { " (the first value of this namespace)" } else { "" };
    terminal::print(&format!("set {} of {}{note}\n", sanitize(key), sanitize(namespace)));
    Ok(())
}

fn delete(source: &mut StateSource, namespace: &str, keys: &[String]) -> anyhow::Result<()> {
    let values = source.existing_values(namespace)?;
    if let Some(key) = keys.iter().find(|key| !values.contains_key(*key)) {
        return Err(unknown_key(namespace, key, &values));
    }
    let gone = if keys.is_empty() { values.keys().cloned().collect() } else { keys.to_vec() };
    let names: Vec<_> = gone.iter().map(|key| sanitize(key)).collect();
    let values = gone.into_iter().map(|key| (stored_name(namespace), key, Value::Null)).collect();
    source.edit(StateEdit { values, ..StateEdit::default() })?;
    terminal::print(&format!("deleted {} of {}\n", names.join(", "), sanitize(namespace)));
    Ok(())
}

fn export(source: &mut StateSource, namespaces: &[String]) -> anyhow::Result<()> {
    let names: Vec<String> = match namespaces {
        [] => source.namespaces()?.into_iter().map(|namespace| namespace.space).collect(),
        namespaces => namespaces.iter().map(|namespace| stored_name(namespace)).collect(),
    };
    let mut exported = BTreeMap::new();
    for name in names {
        let values =
            if namespaces.is_empty() { source.values(&name)? } else { source.existing_values(display_name(&name))? };
        exported.insert(name, values);
    }
    terminal::print_json(&exported)
}

/// Reads the output of `export`.
fn read(file: &Path, replace: bool) -> anyhow::Result<StateEdit> {
    let mut text = String::new();
    let what = || format!("reading {}", file.display());
    if file.as_os_str() == "-" {
        std::io::stdin().read_to_string(&mut text).with_context(what)?;
    } else {
        text = std::fs::read_to_string(file).with_context(what)?;
    }
    let namespaces: BTreeMap<String, BTreeMap<String, Json>> = serde_json::from_str(&text)
        .map_err(|error| UsageError(format!("{}: {error}: see `rhaid state export` for the format", file.display())))?;
    if let Some(namespace) = namespaces.keys().find(|namespace| stored_name(namespace) != **namespace) {
        bail!(UsageError(format!(
            "{}: {namespace:?} is not a namespace: write \"script:{namespace}\" or \"shared:{namespace}\"",
            file.display()
        )));
    }
    let cleared = if replace { namespaces.keys().cloned().collect() } else { Vec::new() };
    let values = namespaces.into_iter().flat_map(|(namespace, values)| {
        values.into_iter().map(move |(key, value)| (namespace.clone(), key, Value::from_stored(value)))
    });
    Ok(StateEdit { cleared, values: values.collect() })
}

fn import(source: &mut StateSource, edit: StateEdit) -> anyhow::Result<()> {
    let count = edit.values.len();
    source.edit(edit)?;
    terminal::print(&format!("imported {count} {}\n", if count == 1 { "value" } else { "values" }));
    Ok(())
}
