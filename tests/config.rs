//! `rhaid.yaml` with the real program.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rhaid"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("RHAID_")) {
        command.env_remove(name);
    }
    command.current_dir(folder);
    command
}

fn rhaid(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    command(folder).args(arguments).envs(variables.iter().copied()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Creates a folder with an empty scripts folder and this config.
fn program(config: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("scripts")).unwrap();
    std::fs::write(folder.path().join("rhaid.yaml"), config).unwrap();
    folder
}

#[test]
fn check_prints_all_faults_of_the_config_in_compact_format() {
    let program = program("limits:\n  timeuot: 3s\n  queue: none\ndata: ${NOT_SET_ANYWHERE}\n");
    let output = rhaid(program.path(), &["check", "--format", "compact"], &[]);
    assert_eq!(
        text(&output.stdout),
        "rhaid.yaml:2:3: unknown key `limits.timeuot`: did you mean `limits.timeout`?\n\
         rhaid.yaml:3:10: `limits.queue`: \"none\" is not valid: write a whole number from 1 to 1000000\n\
         rhaid.yaml:4:7: the variable `NOT_SET_ANYWHERE` is not set: set it, or write a default as `${NOT_SET_ANYWHERE:-…}`\n"
    );
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_job_without_a_file_is_a_fault_at_its_binding() {
    let program = program("triggers:\n  - cron: \"0 2 * * *\"\n    job: backup.rhai\n");
    let output = rhaid(program.path(), &["check", "--format", "compact"], &[]);
    assert_eq!(text(&output.stdout), "rhaid.yaml:3:10: there is no file `backup.rhai`\n");
    let running = Running::start(program.path());
    running.expect("backup: not started: rhaid.yaml:3:10: there is no file `backup.rhai`");
    running.expect("3 |     job: backup.rhai");
}

#[test]
fn a_broken_config_ends_the_start_with_every_fault() {
    let program = program("web:\n  listen: nowhere\nlogs: {}\n");
    let output = rhaid(program.path(), &["run"], &[]);
    let errors = text(&output.stderr);
    assert!(errors.contains("rhaid.yaml:2:11: `web.listen`: \"nowhere\" is not an address"), "{errors}");
    assert!(errors.contains("2 |   listen: nowhere"), "{errors}");
    assert!(errors.contains("rhaid.yaml:3:1: unknown key `logs`: did you mean `log`?"), "{errors}");
    assert!(!output.status.success());
    assert!(!program.path().join(".rhaid").exists(), "nothing was started");
}

#[test]
fn an_invalid_environment_variable_is_named() {
    let program = program("");
    let output = rhaid(program.path(), &["check", "--format", "compact"], &[("RHAID_LIMITS_QUEUE", "0")]);
    assert_eq!(
        text(&output.stdout),
        "RHAID_LIMITS_QUEUE:1:1: `limits.queue`: 0 is not valid: write a whole number from 1 to 1000000\n"
    );
    let output = rhaid(program.path(), &["check"], &[("RHAID_LIMITS_QUEU", "1")]);
    let errors = text(&output.stderr);
    assert!(errors.contains("RHAID_LIMITS_QUEU: unknown variable: did you mean `RHAID_LIMITS_QUEUE`?"), "{errors}");
    assert_eq!(output.status.code(), Some(0), "{errors}");
}

#[test]
fn init_writes_a_valid_config_and_its_schema() {
    let folder = tempfile::tempdir().unwrap();
    let output = rhaid(folder.path(), &["init"], &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let config = std::fs::read_to_string(folder.path().join("rhaid.yaml")).unwrap();
    assert_eq!(config, rhaid::config::template());
    let written = std::fs::read_to_string(folder.path().join("rhaid.schema.json")).unwrap();
    let written: serde_json::Value = serde_json::from_str(&written).unwrap();
    assert_eq!(written["properties"]["limits"]["properties"]["timeout"]["default"], "30s");
    assert!(written["properties"]["triggers"]["items"]["properties"]["cron"].is_object(), "{written:#}");
    let output = rhaid(folder.path(), &["check"], &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
}

/// A running process and its log.
struct Running {
    process: std::process::Child,
    lines: mpsc::Receiver<String>,
}

impl Running {
    fn start(folder: &Path) -> Self {
        let mut process = command(folder)
            .env("RHAID_MQTT_EMBEDDED_LISTEN", "127.0.0.1:0")
            .env("RHAID_WEB_LISTEN", "127.0.0.1:0")
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let (sender, lines) = mpsc::channel();
        let stderr = BufReader::new(process.stderr.take().unwrap());
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { process, lines }
    }

    /// Waits until the log contains `words`.
    fn expect(&self, words: &str) {
        let output = self.read_until(words, Duration::from_secs(60));
        assert!(output.contains(words), "waiting for {words:?}; the log is\n{output}");
    }

    /// Returns the log lines up to one that contains `words`, or until none comes for `timeout`.
    fn read_until(&self, words: &str, timeout: Duration) -> String {
        let mut output = String::new();
        while let Ok(line) = self.lines.recv_timeout(timeout) {
            output.push_str(&line);
            output.push('\n');
            if line.contains(words) {
                break;
            }
        }
        output
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn an_edit_is_applied_while_rhaid_runs_and_a_broken_one_changes_nothing() {
    let program = program("limits:\n  queue: 10\n");
    std::fs::write(program.path().join("scripts/hello.rhai"), "on_start(|| info(\"hello there\"));").unwrap();
    let rhaid = Running::start(program.path());
    rhaid.expect("hello there");
    let edit = |text: &str| std::fs::write(program.path().join("rhaid.yaml"), text).unwrap();
    // The file watcher starts shortly after the scripts, so the first edits may be missed.
    let applied = (0..20).any(|queue| {
        edit(&format!("limits:\n  queue: 2{queue}\ndata: elsewhere\n"));
        rhaid.read_until("limits applied", Duration::from_secs(3)).contains("limits applied")
    });
    assert!(applied);
    rhaid.expect("data needs a restart");
    edit("limits:\n  queue: lots\n");
    rhaid.expect("rhaid.yaml:2:10: `limits.queue`: \"lots\" is not valid");
    edit("triggers:\n  - on_event: never\n    job: nowhere.rhai\n    modus: x\n");
    rhaid.expect("rhaid.yaml:4:5: unknown option `modus`");
}
