//! A rhaid as a person runs it: the program itself, in a folder of its own, spoken to through its commands.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tempfile::TempDir;

/// How long something may take that happens at once on an idle machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A folder with rhaid's files, in which one may run.
pub(crate) struct Program {
    folder: TempDir,
    running: Option<Running>,
}

struct Running {
    child: Child,
    log: Arc<Log>,
    broker: String,
    web: String,
}

#[derive(Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    news: Condvar,
}

impl Program {
    /// An empty folder.
    pub(crate) fn empty() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), running: None }
    }

    /// A copy of a folder of this project.
    pub(crate) fn copy_of(folder: &str) -> Self {
        let program = Self::empty();
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), program.folder.path());
        program
    }

    /// Writes a file, with its folders.
    pub(crate) fn write(&self, file: &str, text: &str) {
        let path = self.path(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Returns where a file of the folder is.
    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// Starts rhaid on free ports and waits until it says that it is ready.
    pub(crate) fn start(&mut self) {
        self.start_with(&[]);
    }

    /// As [`Program::start`], with environment variables.
    pub(crate) fn start_with(&mut self, environment: &[(&str, &str)]) {
        let mut command = self.command(&["--log-format", "text"]);
        command.envs(environment.iter().copied());
        let mut child = command.stderr(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
        let log = Arc::new(Log::default());
        let (stderr, heard) = (child.stderr.take().unwrap(), log.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines() {
                heard.lines.lock().push(line.unwrap());
                heard.news.notify_all();
            }
        });
        let mut running = Running { child, log, broker: String::new(), web: String::new() };
        running.find(" live");
        running.web = running.after("webhooks are at http://").trim_end_matches("/hooks/").to_owned();
        let elsewhere = environment.iter().find(|(name, _)| *name == "RHAID_MQTT_URL");
        running.broker = match elsewhere {
            Some((_, url)) => url.trim_start_matches("mqtt://").to_owned(),
            None => running.after("the embedded broker listens on "),
        };
        self.running = Some(running);
    }

    /// Waits until the log has a line with this in it, and returns the line.
    pub(crate) fn wait_for(&self, text: &str) -> String {
        self.running().find(text)
    }

    /// Returns the log so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.running().log.lines.lock().clone()
    }

    /// Returns how often this stands in the log so far.
    pub(crate) fn count(&self, text: &str) -> usize {
        self.running().log.lines.lock().iter().filter(|line| line.contains(text)).count()
    }

    /// Returns the address of a webhook.
    pub(crate) fn hook(&self, path: &str) -> String {
        format!("http://{}/hooks/{path}", self.running().web)
    }

    /// Returns where webhooks are answered, as `127.0.0.1:7373`.
    pub(crate) fn web(&self) -> &str {
        &self.running().web
    }

    /// Returns where its broker listens, as `127.0.0.1:1883`.
    pub(crate) fn broker(&self) -> &str {
        &self.running().broker
    }

    /// Runs a command of rhaid in the folder.
    pub(crate) fn rhaid(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs a command that has to go well; returns what it printed.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let output = self.rhaid(arguments);
        let (out, errors) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "rhaid {arguments:?} ended with {}:\n{out}\n{errors}", output.status);
        out
    }

    /// Evaluates an expression beside the running rhaid; returns what it printed.
    pub(crate) fn eval(&self, expression: &str) -> String {
        self.run(&["eval", expression]).trim_end().to_owned()
    }

    /// Publishes something and returns the payload that comes on another topic after it.
    pub(crate) fn answer_on(&self, topic: &str, publish: &str, payload: &str) -> String {
        self.eval(&format!(
            "mqtt_request({publish:?}, {payload:?}, #{{ response_topic: {topic:?}, timeout: \"20s\" }}).payload"
        ))
    }

    /// Returns a command of rhaid in the folder, with the environment that finds the running one.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rhaid"));
        self.surround(&mut command);
        command.args(arguments);
        command
    }

    /// Gives a command the folder, and the environment that finds the running rhaid.
    pub(crate) fn surround(&self, command: &mut Command) {
        let inherited = std::env::vars_os().map(|(name, _)| name);
        for name in inherited.filter(|name| name.to_string_lossy().starts_with("RHAID_")) {
            command.env_remove(name);
        }
        command.current_dir(self.folder.path()).env_remove("JOURNAL_STREAM").env("TZ", "UTC");
        match &self.running {
            Some(running) => {
                command.env("RHAID_MQTT_EMBEDDED_LISTEN", &running.broker);
            }
            None => {
                command.env("RHAID_MQTT_EMBEDDED_LISTEN", "127.0.0.1:0").env("RHAID_WEB_LISTEN", "127.0.0.1:0");
            }
        }
    }

    /// Asks rhaid to stop as a service manager does; returns the exit code.
    pub(crate) fn stop(&mut self) -> Option<i32> {
        self.signal("TERM");
        self.exit_code()
    }

    /// Sends rhaid a signal.
    pub(crate) fn signal(&self, name: &str) {
        let process = self.running().child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &process]).status().unwrap().success());
    }

    /// Waits until rhaid has ended; returns the exit code.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        self.running.take().unwrap().child.wait().unwrap().code()
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("it was started")
    }
}

impl Running {
    fn after(&self, mark: &str) -> String {
        let line = self.find(mark);
        line.split(mark).nth(1).unwrap().split_whitespace().next().unwrap().to_owned()
    }

    fn find(&self, text: &str) -> String {
        let until = Instant::now() + PATIENCE;
        let mut lines = self.log.lines.lock();
        loop {
            if let Some(line) = lines.iter().find(|line| line.contains(text)) {
                return line.clone();
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no {text:?} in\n{}", lines.join("\n"));
            self.log.news.wait_for(&mut lines, left);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns bytes as text.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_name() == ".rhaid" {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
