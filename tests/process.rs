//! The real program in a folder of its own: started, killed, started again, and what it says meanwhile.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long something may take that happens at once on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder with scripts.
pub(crate) struct Home(TempDir);

/// The program, running; killed when dropped.
pub(crate) struct Process {
    pub(crate) child: Child,
    lines: mpsc::Receiver<String>,
    heard: Vec<String>,
}

impl Home {
    /// Makes a folder with these scripts.
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

    /// Starts it, and waits until the scripts run.
    pub(crate) fn start(&self) -> Process {
        let mut process = self.spawn(&[]);
        process.expect("live");
        process
    }

    /// Starts it with these variables.
    pub(crate) fn spawn(&self, variables: &[(&str, &str)]) -> Process {
        // Who is killed again and again by a test is not set aside for it.
        let _ = fs::remove_file(self.path().join(".rhaid/rhaid.running"));
        let mut command = self.command();
        command.envs(variables.iter().copied()).stderr(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn().unwrap();
        let said = BufReader::new(child.stderr.take().unwrap());
        let (tell, lines) = mpsc::channel();
        std::thread::spawn(move || said.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        Process { child, lines, heard: Vec::new() }
    }

    /// Starts it where it can not run; returns what it says.
    #[track_caller]
    pub(crate) fn refusal(&self, variables: &[(&str, &str)]) -> String {
        let mut process = self.spawn(variables);
        let said = process.hear(|_| false);
        assert_eq!(process.child.wait().unwrap().code(), Some(2), "{said}");
        said
    }

    /// Runs another command of it to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().unwrap()
    }
}

impl Process {
    /// Waits until it says this, and returns the whole line.
    #[track_caller]
    pub(crate) fn expect(&mut self, words: &str) -> String {
        if let Some(line) = self.heard.iter().find(|line| line.contains(words)) {
            return line.clone();
        }
        self.hear(|line| line.contains(words));
        match self.heard.last() {
            Some(line) if line.contains(words) => line.clone(),
            _ => panic!("waited in vain for {words:?}, heard\n{}", self.heard.join("\n")),
        }
    }

    /// Returns everything it has said so far.
    pub(crate) fn said(&mut self) -> String {
        self.heard.extend(self.lines.try_iter());
        self.heard.join("\n")
    }

    /// Listens until a line will do, it ends, or patience does.
    fn hear(&mut self, will_do: impl Fn(&str) -> bool) -> String {
        let end = Instant::now() + PATIENCE;
        while let Ok(line) = self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            let is_enough = will_do(&line);
            self.heard.push(line);
            if is_enough {
                break;
            }
        }
        self.heard.join("\n")
    }

    /// Asks a webhook; `None` if there is no answer, or one that is no 200.
    pub(crate) fn ask(&mut self, hook: &str) -> Option<String> {
        ask(&self.address(), hook)
    }

    /// Returns where its webhooks are.
    pub(crate) fn address(&mut self) -> String {
        let line = self.expect("webhooks are at http://");
        line.split("http://").nth(1).unwrap().split('/').next().unwrap().to_owned()
    }

    /// Ends it at once, as a power cut would.
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

/// Asks a webhook at an address; `None` if there is no answer, or one that is no 200.
pub(crate) fn ask(address: &str, hook: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    write!(stream, "GET /hooks/{hook} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.starts_with("HTTP/1.1 200").then(|| body.to_owned())
}
