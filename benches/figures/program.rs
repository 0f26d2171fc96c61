//! The compiled program as a child process.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A running rhaid process; killed when dropped.
pub(crate) struct Program(Child);

impl Program {
    /// Starts rhaid in a folder on free ports, and waits until its scripts are active.
    pub(crate) fn start(folder: &Path) -> Self {
        Self::start_with(folder, &[])
    }

    /// Does the same as [`Program::start`], with environment variables.
    pub(crate) fn start_with(folder: &Path, environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rhaid"));
        command.current_dir(folder).stderr(Stdio::piped());
        command.env("RHAID_WEB_LISTEN", "127.0.0.1:0").env("RHAID_MQTT_EMBEDDED_LISTEN", "127.0.0.1:0");
        command.envs(environment.iter().copied());
        let mut child = command.spawn().expect("cargo has built it");
        let log = BufReader::new(child.stderr.take().expect("standard error is piped"));
        let mut lines = log.lines().map_while(Result::ok);
        lines.find(|line| line.contains(" live")).expect("the log has a line when the scripts are active");
        // Drains the log, so that the pipe does not fill up.
        std::thread::spawn(move || lines.for_each(drop));
        Self(child)
    }

    /// Returns resident memory, in KiB.
    ///
    /// Source: proc(5), `/proc/pid/status`.
    pub(crate) fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).expect("this is Linux");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it runs");
        line.trim().trim_end_matches(" kB").parse().expect("it is a number")
    }

    /// Returns the id of the process.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // The process may have exited already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
