//! The compiled program in a temporary folder: started, killed and restarted, with its log captured.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Limit for operations that take milliseconds on an idle machine.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A temporary folder with scripts.
pub(crate) struct Home(TempDir);

/// The running program; killed when dropped.
pub(crate) struct Process {
    pub(crate) child: Child,
    lines: mpsc::Receiver<String>,
    received: Vec<String>,
}

impl Home {
    /// Creates a folder with these scripts.
    pub(crate) fn new(scripts: &[(&str, &str)]) -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        fs::create_dir(home.scripts()).unwrap();
        scripts.iter().for_each(|(file, text)| fs::write(home.script(file), text).unwrap());
        home
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn scripts(&self) -> PathBuf {
        self.path().join("scripts")
    }

    pub(crate) fn script(&self, file: &str) -> PathBuf {
        self.scripts().join(file)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rhaid"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("RHAID_")) {
            command.env_remove(name);
        }
        command.env("RHAID_MQTT_EMBEDDED_LISTEN", "127.0.0.1:0").env("RHAID_WEB_LISTEN", "127.0.0.1:0");
        command.current_dir(self.path());
        command
    }

    /// Starts the program, and waits until the scripts are active.
    pub(crate) fn start(&self) -> Process {
        let mut process = self.spawn(&[]);
        process.expect("live");
        process
    }

    /// Starts the program with these environment variables.
    pub(crate) fn spawn(&self, variables: &[(&str, &str)]) -> Process {
        // Without this, scripts that run during repeated kills would be quarantined.
        let _ = fs::remove_file(self.path().join(".rhaid/rhaid.running"));
        let mut command = self.command();
        command.envs(variables.iter().copied()).stderr(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Process { child, lines, received: Vec::new() }
    }

    /// Starts the program where the start must fail with exit code 2; returns its log.
    #[track_caller]
    pub(crate) fn failed_start(&self, variables: &[(&str, &str)]) -> String {
        let mut process = self.spawn(variables);
        let output = process.read_until(|_| false);
        assert_eq!(process.child.wait().unwrap().code(), Some(2), "{output}");
        output
    }

    /// Runs another command in the folder and waits for its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().unwrap()
    }
}

impl Process {
    /// Waits until a log line contains `words`, and returns the line.
    #[track_caller]
    pub(crate) fn expect(&mut self, words: &str) -> String {
        if let Some(line) = self.received.iter().find(|line| line.contains(words)) {
            return line.clone();
        }
        self.read_until(|line| line.contains(words));
        match self.received.last() {
            Some(line) if line.contains(words) => line.clone(),
            _ => panic!("timed out waiting for {words:?}; the log is\n{}", self.received.join("\n")),
        }
    }

    /// Returns the log so far.
    pub(crate) fn output(&mut self) -> String {
        self.received.extend(self.lines.try_iter());
        self.received.join("\n")
    }

    /// Reads log lines until one matches, the process exits, or the timeout expires.
    fn read_until(&mut self, matches: impl Fn(&str) -> bool) -> String {
        let end = Instant::now() + TIMEOUT;
        while let Ok(line) = self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            let is_match = matches(&line);
            self.received.push(line);
            if is_match {
                break;
            }
        }
        self.received.join("\n")
    }

    /// Sends a GET request to a webhook; `None` without a response of status 200.
    pub(crate) fn get(&mut self, hook: &str) -> Option<String> {
        get(&self.address(), hook)
    }

    /// Returns the address of its web server.
    pub(crate) fn address(&mut self) -> String {
        let line = self.expect("webhooks are at http://");
        line.split("http://").nth(1).unwrap().split('/').next().unwrap().to_owned()
    }

    /// Kills the process with SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a GET request to a webhook at an address; `None` without a response of status 200.
pub(crate) fn get(address: &str, hook: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(TIMEOUT)).ok()?;
    write!(stream, "GET /hooks/{hook} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").ok()?;
    let mut response = String::new();
    stream.read_to_string(&mut response).ok()?;
    let (head, body) = response.split_once("\r\n\r\n")?;
    head.starts_with("HTTP/1.1 200").then(|| body.to_owned())
}
