//! The flags of every command, and the configuration that they lead to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;

use crate::cli::exit::UsageError;
use crate::config::{self, Config, KindInfo, Loaded, Override, Source};
use crate::fault::Fault;
use crate::triggers::KINDS;

/// The name of the configuration file where none is named.
pub(super) const FILE: &str = "rhaid.yaml";

/// The flags of every command.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Everywhere")]
pub(super) struct Globals {
    /// The configuration; by default rhaid.yaml beside the scripts folder or here, if there is one
    #[arg(long, global = true, value_name = "FILE", env = "RHAID_CONFIG", hide_env_values = true)]
    pub(super) config: Option<PathBuf>,
    /// The folder of scripts; by default `scripts`
    #[arg(long, global = true, value_name = "FOLDER")]
    pub(super) scripts: Option<PathBuf>,
    /// The folder for state, timers and the run history; by default `.rhaid`
    #[arg(long = "data-folder", global = true, value_name = "FOLDER", id = "data_folder")]
    pub(super) data: Option<PathBuf>,
    /// How much is logged: off, error, warn, info, debug or trace
    #[arg(long, global = true, value_name = "LEVEL")]
    pub(super) log_level: Option<String>,
    /// How log lines look: text or json
    #[arg(long, global = true, value_name = "FORMAT")]
    pub(super) log_format: Option<String>,
}

/// Reads the configuration that the flags, the environment and the file make together.
///
/// # Errors
/// [`UsageError`], with all faults.
pub(super) fn load(globals: &Globals) -> anyhow::Result<Config> {
    Ok(load_with_warnings(globals)?.config)
}

/// As [`load`], with what is odd about it.
///
/// # Errors
/// As [`load`].
pub(super) fn load_with_warnings(globals: &Globals) -> anyhow::Result<Loaded> {
    let file = find(globals)?;
    read(globals, file.as_deref()).map_err(|faults| UsageError(refusal(&faults)).into())
}

/// Reads the configuration from a file, or from none.
///
/// # Errors
/// All faults together.
pub(super) fn read(globals: &Globals, file: Option<&Path>) -> Result<Loaded, Vec<Fault>> {
    let whole = |place: &Path, why: String| {
        let place = crate::fault::SourceLocation { file: place.display().to_string(), ..Default::default() };
        vec![Fault::new(place, why)]
    };
    let text = match file {
        None => String::new(),
        Some(file) => read_file(file).map_err(|why| whole(file, why))?,
    };
    let folder = match file {
        Some(file) => parent(file),
        None => beside_scripts(globals).unwrap_or_else(|| PathBuf::from(".")),
    };
    let folder = folder.canonicalize().map_err(|error| whole(&folder, error.to_string()))?;
    let name = file.and_then(Path::file_name).map_or_else(|| FILE.into(), |name| name.to_string_lossy());
    // What is no Unicode can not be meant for us.
    let environment: BTreeMap<_, _> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    config::parse(&Source {
        file,
        name: &name,
        text: &text,
        folder: &folder,
        environment: &environment,
        reserved: &["RHAID_CONFIG"],
        read_file: &|path| std::fs::read_to_string(path).map_err(|error| error.to_string()),
        overrides: &overrides(globals),
        kinds: &kinds(),
    })
}

/// Reads the configuration's text.
///
/// # Errors
/// What stands in the way, in words.
fn read_file(file: &Path) -> Result<String, String> {
    let about = std::fs::metadata(file).map_err(|error| format!("it can not be read: {error}"))?;
    // Reading a pipe that nobody writes to would not end.
    if !about.is_file() {
        let what = if about.is_dir() { "a folder" } else { "a pipe, socket or device" };
        return Err(format!("it is {what}, not a file: move it away, or name another file with `--config FILE`"));
    }
    let bytes = std::fs::read(file).map_err(|error| format!("it can not be read: {error}"))?;
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
        format!("it is no UTF-8 text: line {line} has a byte that does not belong there; save it as UTF-8")
    })
}

/// Returns what the configuration must know of every kind of trigger.
pub(super) fn kinds() -> Vec<KindInfo> {
    KINDS.iter().map(|kind| KindInfo { name: kind.name, arguments: kind.arguments }).collect()
}

/// Returns the zone of that name, or the system's.
///
/// # Errors
/// [`UsageError`] if there is no such zone.
pub(super) fn zone(name: Option<&str>) -> anyhow::Result<TimeZone> {
    match name {
        Some(name) => TimeZone::get(name)
            .map_err(|_| UsageError(format!("{name:?} is no time zone: write one such as Europe/Oslo or UTC")).into()),
        None => Ok(TimeZone::try_system().unwrap_or(TimeZone::UTC)),
    }
}

/// Returns the reports of faults, each after an empty line.
pub(super) fn reports(faults: &[Fault]) -> String {
    faults.iter().map(Fault::report).collect::<Vec<_>>().join("\n\n")
}

fn refusal(faults: &[Fault]) -> String {
    let count = if faults.len() == 1 { "a fault".to_owned() } else { format!("{} faults", faults.len()) };
    format!("the configuration has {count}\n\n{}", reports(faults))
}

/// Returns the configuration file, if there is one.
///
/// # Errors
/// [`UsageError`] if one is named that is not there.
pub(super) fn find(globals: &Globals) -> anyhow::Result<Option<PathBuf>> {
    if let Some(file) = &globals.config {
        return match file.is_file() {
            true => Ok(Some(file.clone())),
            false => Err(UsageError(format!("there is no file {} (--config)", file.display())).into()),
        };
    }
    let folders = beside_scripts(globals).into_iter().chain([PathBuf::from(".")]);
    Ok(folders.map(|folder| folder.join(FILE)).find(|file| file.symlink_metadata().is_ok()))
}

fn beside_scripts(globals: &Globals) -> Option<PathBuf> {
    let scripts = std::path::absolute(globals.scripts.as_ref()?).ok()?;
    Some(parent(&scripts)).filter(|folder| folder.is_dir())
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => PathBuf::from("."),
        Some(folder) => folder.to_owned(),
        None => path.to_owned(),
    }
}

fn overrides(globals: &Globals) -> Vec<Override> {
    // The config reads folders from its own place, flags mean them from here.
    let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone()).display().to_string();
    let given = [
        ("scripts", "--scripts", globals.scripts.as_ref().map(absolute)),
        ("data", "--data-folder", globals.data.as_ref().map(absolute)),
        ("log.level", "--log-level", globals.log_level.clone()),
        ("log.format", "--log-format", globals.log_format.clone()),
    ];
    let given = given
        .into_iter()
        .filter_map(|(key, origin, value)| Some(Override { key: key.into(), value: value?, origin: origin.into() }));
    given.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_beside_the_scripts_folder_is_found_and_flags_stand_above_it() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), "log:\n  level: warn\n").unwrap();
        let mut globals = Globals { scripts: Some(folder.path().join("scripts")), ..Globals::default() };
        let config = load(&globals).unwrap();
        assert_eq!(config.log.level, config::Level::Warn);
        assert_eq!(config.data, folder.path().canonicalize().unwrap().join(".rhaid"));
        globals.log_level = Some("debug".into());
        assert_eq!(load(&globals).unwrap().log.level, config::Level::Debug);
    }

    #[test]
    fn a_config_that_is_named_must_be_there() {
        let globals = Globals { config: Some("/nowhere/rhaid.yaml".into()), ..Globals::default() };
        let error = load(&globals).unwrap_err();
        assert!(error.is::<UsageError>());
        assert_eq!(error.to_string(), "there is no file /nowhere/rhaid.yaml (--config)");
    }
}
