//! The compiled program in a temporary folder, controlled through its commands.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tempfile::TempDir;

/// Limit for operations that take milliseconds on an idle machine.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A temporary folder with rhaid's files, and the process that runs in it, if any.
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
    new_line: Condvar,
}

impl Program {
    /// Creates an empty folder.
    pub(crate) fn empty() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), running: None }
    }

    /// Copies a folder of this project.
    pub(crate) fn copy_of(folder: &str) -> Self {
        let program = Self::empty();
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), program.folder.path());
        program
    }

    /// Writes a file and creates its parent folders.
    pub(crate) fn write(&self, file: &str, text: &str) {
        let path = self.path(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Returns the path of a file of the folder.
    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// Starts rhaid on free ports and waits until it logs that it is ready.
    pub(crate) fn start(&mut self) {
        self.start_with(&[]);
    }

    /// Does the same as [`Program::start`], with environment variables.
    pub(crate) fn start_with(&mut self, environment: &[(&str, &str)]) {
        let mut command = self.command(&["--log-format", "text"]);
        command.envs(environment.iter().copied());
        let mut child = command.stderr(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
        let log = Arc::new(Log::default());
        let (stderr, receiver) = (child.stderr.take().unwrap(), log.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines() {
                receiver.lines.lock().push(line.unwrap());
                receiver.new_line.notify_all();
            }
        });
        let mut running = Running { child, log, broker: String::new(), web: String::new() };
        running.find(" live");
        running.web = running.after("webhooks are at http://").trim_end_matches("/hooks/").to_owned();
        let external_broker = environment.iter().find(|(name, _)| *name == "RHAID_MQTT_URL");
        running.broker = match external_broker {
            Some((_, url)) => url.trim_start_matches("mqtt://").to_owned(),
            None => running.after("the embedded broker listens on "),
        };
        self.running = Some(running);
    }

    /// Waits until a log line contains `text`, and returns the line.
    pub(crate) fn wait_for(&self, text: &str) -> String {
        self.running().find(text)
    }

    /// Returns the log lines so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.running().log.lines.lock().clone()
    }

    /// Returns the number of log lines so far that contain `text`.
    pub(crate) fn count(&self, text: &str) -> usize {
        self.running().log.lines.lock().iter().filter(|line| line.contains(text)).count()
    }

    /// Returns the URL of a webhook.
    pub(crate) fn hook(&self, path: &str) -> String {
        format!("http://{}/hooks/{path}", self.running().web)
    }

    /// Returns the address of the web server, such as `127.0.0.1:7373`.
    pub(crate) fn web(&self) -> &str {
        &self.running().web
    }

    /// Returns the address of the broker, such as `127.0.0.1:1883`.
    pub(crate) fn broker(&self) -> &str {
        &self.running().broker
    }

    /// Runs a command of rhaid in the folder.
    pub(crate) fn rhaid(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs a command that must succeed; returns its standard output.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let output = self.rhaid(arguments);
        let (out, errors) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "rhaid {arguments:?} ended with {}:\n{out}\n{errors}", output.status);
        out
    }

    /// Evaluates an expression with `rhaid eval`; returns its output.
    pub(crate) fn eval(&self, expression: &str) -> String {
        self.run(&["eval", expression]).trim_end().to_owned()
    }

    /// Publishes a message and returns the payload of the response on another topic.
    pub(crate) fn answer_on(&self, topic: &str, publish: &str, payload: &str) -> String {
        self.eval(&format!(
            "mqtt_request({publish:?}, {payload:?}, #{{ response_topic: {topic:?}, timeout: \"20s\" }}).payload"
        ))
    }

    /// Returns a command of rhaid in the folder, with the environment to reach the running process.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rhaid"));
        self.surround(&mut command);
        command.args(arguments);
        command
    }

    /// Sets the working directory and the environment to reach the running process.
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

    /// Sends SIGTERM, as a service manager does; returns the exit code.
    pub(crate) fn stop(&mut self) -> Option<i32> {
        self.signal("TERM");
        self.exit_code()
    }

    /// Sends a signal to the process.
    pub(crate) fn signal(&self, name: &str) {
        let process = self.running().child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &process]).status().unwrap().success());
    }

    /// Waits for the exit of the process; returns its exit code.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        self.running.take().unwrap().child.wait().unwrap().code()
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("`start` was called")
    }
}

impl Running {
    fn after(&self, mark: &str) -> String {
        let line = self.find(mark);
        line.split(mark).nth(1).unwrap().split_whitespace().next().unwrap().to_owned()
    }

    fn find(&self, text: &str) -> String {
        let until = Instant::now() + TIMEOUT;
        let mut lines = self.log.lines.lock();
        loop {
            if let Some(line) = lines.iter().find(|line| line.contains(text)) {
                return line.clone();
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no {text:?} in\n{}", lines.join("\n"));
            self.log.new_line.wait_for(&mut lines, left);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The process may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Decodes UTF-8, with replacement characters.
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
