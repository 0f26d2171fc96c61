//! Global options, and the configuration that results from options, environment and rhaid.yaml.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;

use crate::cli::exit::UsageError;
use crate::config::{self, Config, KindInfo, Loaded, Override, Source};
use crate::fault::{self, Fault};
use crate::triggers::KINDS;

/// Default name of the configuration file.
pub(super) const FILE: &str = "rhaid.yaml";

/// Options of all commands.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Global options")]
pub(super) struct Globals {
    /// Configuration file [default: rhaid.yaml beside the scripts folder or in the current folder, if it exists]
    #[arg(long, global = true, value_name = "FILE", env = "RHAID_CONFIG", hide_env_values = true)]
    pub(super) config: Option<PathBuf>,
    /// Scripts folder [default: scripts]
    #[arg(long, global = true, value_name = "FOLDER")]
    pub(super) scripts: Option<PathBuf>,
    /// Data folder for state, timers and the run history [default: .rhaid]
    #[arg(long = "data-folder", global = true, value_name = "FOLDER", id = "data_folder")]
    pub(super) data: Option<PathBuf>,
    /// Log level: off, error, warn, info, debug or trace
    #[arg(long, global = true, value_name = "LEVEL")]
    pub(super) log_level: Option<String>,
    /// Log format: text or json
    #[arg(long, global = true, value_name = "FORMAT")]
    pub(super) log_format: Option<String>,
}

/// Reads the configuration from options, environment and file.
///
/// # Errors
/// [`UsageError`] with all faults.
pub(super) fn load(globals: &Globals) -> anyhow::Result<Config> {
    Ok(load_with_warnings(globals)?.config)
}

/// Reads the configuration with its warnings, like [`load`].
///
/// # Errors
/// As [`load`].
pub(super) fn load_with_warnings(globals: &Globals) -> anyhow::Result<Loaded> {
    let file = find(globals)?;
    read(globals, file.as_deref()).map_err(|faults| UsageError(refusal(&faults)).into())
}

/// Reads the configuration with a file, or without one.
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
    // Variables that are not Unicode are ignored: rhaid has none.
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

/// Reads the text of the configuration file.
///
/// # Errors
/// The reason, as a message.
fn read_file(file: &Path) -> Result<String, String> {
    let about = std::fs::metadata(file).map_err(|error| format!("it cannot be read: {error}"))?;
    // Reading a pipe without a writer would block.
    if !about.is_file() {
        let what = if about.is_dir() { "a folder" } else { "a pipe, socket or device" };
        return Err(format!("it is {what}, not a file: remove it, or use another file with `--config FILE`"));
    }
    let bytes = std::fs::read(file).map_err(|error| format!("it cannot be read: {error}"))?;
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
        format!("it is not UTF-8: line {line} has an invalid byte; save the file as UTF-8")
    })
}

/// Returns the kinds of triggers, for parsing `triggers:`.
pub(super) fn kinds() -> Vec<KindInfo> {
    KINDS.iter().map(|kind| KindInfo { name: kind.name, arguments: kind.arguments }).collect()
}

/// Returns the time zone with a name, or the time zone of the system.
///
/// # Errors
/// [`UsageError`] if the name is unknown.
pub(super) fn zone(name: Option<&str>) -> anyhow::Result<TimeZone> {
    match name {
        Some(name) => TimeZone::get(name).map_err(|_| {
            UsageError(format!("{name:?} is not a time zone: write one such as Europe/Oslo or UTC")).into()
        }),
        None => Ok(TimeZone::try_system().unwrap_or(TimeZone::UTC)),
    }
}

fn refusal(faults: &[Fault]) -> String {
    let count = if faults.len() == 1 { "a fault".to_owned() } else { format!("{} faults", faults.len()) };
    format!("the configuration has {count}\n\n{}", fault::reports(faults))
}

/// Returns the path of the configuration file, if it exists.
///
/// # Errors
/// [`UsageError`] if the file of `--config` does not exist.
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
    // Paths in rhaid.yaml are relative to it; paths in options are relative to the current folder.
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
    fn the_config_beside_the_scripts_folder_is_found_and_options_override_it() {
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
    fn the_file_of_the_config_option_must_exist() {
        let globals = Globals { config: Some("/nowhere/rhaid.yaml".into()), ..Globals::default() };
        let error = load(&globals).unwrap_err();
        assert!(error.is::<UsageError>());
        assert_eq!(error.to_string(), "there is no file /nowhere/rhaid.yaml (--config)");
    }
}
