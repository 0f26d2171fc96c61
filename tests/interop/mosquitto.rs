//! Mosquitto: the broker, `mosquitto_pub` and `mosquitto_sub`.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::TIMEOUT;

/// A broker with a temporary folder; killed when dropped.
pub(super) struct Mosquitto {
    folder: tempfile::TempDir,
    more: String,
    pub(super) address: SocketAddr,
    child: Option<Child>,
}

impl Mosquitto {
    /// Starts a broker with these additional configuration lines.
    pub(super) fn start(more: &str) -> Self {
        let free = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let folder = tempfile::tempdir().unwrap();
        let mut broker = Self { folder, more: more.to_owned(), address, child: None };
        broker.run();
        broker
    }

    /// Returns the folder of its files.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Sends a signal to the broker.
    pub(super) fn signal(&self, name: &str) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    /// Kills the broker with SIGKILL, before it can save anything.
    pub(super) fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Starts the broker at its address.
    pub(super) fn run(&mut self) {
        let config = self.folder.path().join("mosquitto.conf");
        let folder = self.folder.path().display();
        let lines = format!(
            "listener {} 127.0.0.1\nallow_anonymous true\nuser root\npersistence_location {folder}/\n{}\n",
            self.address.port(),
            self.more.replace("FOLDER", &folder.to_string()),
        );
        fs::write(&config, lines).unwrap();
        let program = if Path::new("/usr/sbin/mosquitto").exists() { "/usr/sbin/mosquitto" } else { "mosquitto" };
        let child = Command::new(program).arg("-c").arg(&config).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.child = Some(child.expect("mosquitto is not installed"));
        let began = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            assert!(began.elapsed() < TIMEOUT, "mosquitto does not start");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
    }
}

/// Runs `mosquitto_pub` with arguments such as `-t topic -m text`, and returns its output.
pub(super) fn try_publish(address: SocketAddr, arguments: &[&str]) -> Output {
    let port = address.port().to_string();
    Command::new("mosquitto_pub").args(["-h", "127.0.0.1", "-p", &port]).args(arguments).output().unwrap()
}

/// Runs `mosquitto_pub`, which must succeed.
pub(super) fn publish(address: SocketAddr, arguments: &[&str]) {
    let output = try_publish(address, arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A running `mosquitto_sub`, which prints a line for each message.
pub(super) struct Listener {
    child: Child,
    lines: Receiver<String>,
}

impl Listener {
    /// Starts `mosquitto_sub` with arguments such as `-t topic -F %p`, and waits for the SUBACK.
    pub(super) fn start(address: SocketAddr, arguments: &[&str]) -> Self {
        let port = address.port().to_string();
        // Debug lines and messages share standard output; `stdbuf` makes it line-buffered.
        let mut child = Command::new("stdbuf")
            .args(["-oL", "mosquitto_sub", "-d", "-h", "127.0.0.1", "-p", &port])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("mosquitto-clients is not installed");
        let (tx, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| tx.send(line)));
        let listener = Self { child, lines };
        while !listener.raw().starts_with("Subscribed") {}
        listener
    }

    /// Returns the line of the next message.
    pub(super) fn line(&self) -> String {
        loop {
            let line = self.raw();
            if !line.starts_with("Client ") && !line.starts_with("Subscribed") {
                return line;
            }
        }
    }

    /// Returns the lines of messages until none comes for 500 ms.
    pub(super) fn rest(&self) -> Vec<String> {
        let mut all = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(Duration::from_millis(500)) {
            if !line.starts_with("Client ") && !line.starts_with("Subscribed") {
                all.push(line);
            }
        }
        all
    }

    fn raw(&self) -> String {
        self.lines.recv_timeout(TIMEOUT).expect("mosquitto_sub prints a line")
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
