//! `exec`: runs programs.

use std::process::Stdio;
use std::time::Duration;

use rhai::plugin::*;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use crate::config::Need;
use crate::functions::arguments::{bytes, parse_options, to_bytes};
use crate::functions::context::Context;
use crate::functions::effects::DryRun;
use crate::functions::outside::paths::{base, resolved};
use crate::functions::outside::permissions::check;
use crate::functions::phase::context;
use crate::functions::thrown::{Thrown, invalid_argument, thrown};
use crate::value::{Value, map_of};

pub(super) fn register(module: &mut Module) {
    combine_with_exported_module!(module, "exec", functions);
}

/// The largest number of bytes kept of each output.
const MAX_OUTPUT: usize = 1 << 20;

/// Limit for reading the outputs after the program has exited, while its child processes keep them open.
const OUTPUT_TIMEOUT: Duration = Duration::from_millis(500);

/// Environment variables of rhaid that a program inherits.
const INHERITED: &[&str] = &["PATH", "HOME", "USER", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR"];

/// A program with the options that a script wrote.
struct ProgramCall {
    command: Command,
    stdin: Vec<u8>,
    timeout: Option<Duration>,
}

impl ProgramCall {
    fn read(context: &Context, program: &str, arguments: &rhai::Array, written: &rhai::Map) -> Result<Self, Thrown> {
        let mut options = parse_options(written)?;
        let stdin = options.take("stdin").map(bytes).unwrap_or_default();
        let timeout = options.duration("timeout").map_err(invalid_argument)?;
        let folder = options.text("cwd").map_err(invalid_argument)?;
        let variables = options
            .read("env", |value| match value {
                Value::Map(map) => Ok(map),
                other => Err(format!("write a map of variables, not {}", other.type_name())),
            })
            .map_err(invalid_argument)?;
        options.finish().map_err(invalid_argument)?;
        let mut command = Command::new(program);
        for argument in arguments {
            command.arg(String::from_utf8_lossy(&to_bytes(argument)?).into_owned());
        }
        command.current_dir(match folder {
            Some(folder) => resolved(&folder, &context.config)?,
            None => base(&context.config),
        });
        command.env_clear();
        command.envs(INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        for (name, text) in variables.unwrap_or_default() {
            if name.is_empty() || name.contains(['=', '\0']) {
                return Err(invalid_argument("env: the name of a variable must not be empty or contain `=`"));
            }
            command.env(name, String::from_utf8_lossy(&bytes(text)).into_owned());
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).process_group(0);
        Ok(Self { command, stdin, timeout })
    }
}

/// Kills the process group of a program on drop, unless the program has exited.
struct ProcessGroup(Option<Pid>);

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Output of a program, up to [`MAX_OUTPUT`].
#[derive(Default)]
struct Output {
    bytes: Vec<u8>,
    is_truncated: bool,
}

impl Output {
    /// Reads to the end. Cancel-safe: bytes that were read are kept.
    async fn read(&mut self, mut from: impl AsyncRead + Unpin) {
        let mut chunk = [0; 8 << 10];
        while let Ok(length @ 1..) = from.read(&mut chunk).await {
            let room = MAX_OUTPUT - self.bytes.len();
            self.is_truncated |= length > room;
            self.bytes.extend_from_slice(&chunk[..length.min(room)]);
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// Writes the input of a program and reads its outputs until it has exited.
async fn finish(mut child: Child, stdin: Vec<u8>) -> std::io::Result<rhai::Map> {
    let (mut output, mut errors) = (Output::default(), Output::default());
    let (input, out, err) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let write = async {
        if let Some(mut input) = input {
            // Ignored: a program need not read its input.
            let _ = input.write_all(&stdin).await;
        }
        std::future::pending::<()>().await;
    };
    let status = {
        let read = async {
            if let (Some(out), Some(err)) = (out, err) {
                tokio::join!(output.read(out), errors.read(err));
            }
        };
        tokio::pin!(read, write);
        let mut is_read = false;
        let status = loop {
            tokio::select! {
                status = child.wait() => break status?,
                () = &mut read, if !is_read => is_read = true,
                () = &mut write => {}
            }
        };
        if !is_read {
            let _ = tokio::time::timeout(OUTPUT_TIMEOUT, &mut read).await;
        }
        status
    };
    use std::os::unix::process::ExitStatusExt as _;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(-1);
    Ok(map_of([
        ("code".into(), i64::from(code).into()),
        ("stdout".into(), output.text().into()),
        ("stderr".into(), errors.text().into()),
        ("truncated".into(), (output.is_truncated || errors.is_truncated).into()),
    ]))
}

fn run(program: &str, arguments: &rhai::Array, options: &rhai::Map) -> Result<rhai::Map, Thrown> {
    let context = context("exec")?;
    if program.is_empty() || program.contains('\0') {
        return Err(invalid_argument("the name of a program must not be empty or contain NUL"));
    }
    let program = match program.contains('/') {
        true => resolved(program, &context.config)?.to_string_lossy().into_owned(),
        false => program.to_owned(),
    };
    check("exec", Need::Program(&program))?;
    let mut call = ProgramCall::read(&context, &program, arguments, options)?;
    let io_error = |error: std::io::Error| {
        let kind = if error.kind() == std::io::ErrorKind::NotFound { "not_found" } else { "io" };
        thrown(kind, format!("{program}: {error}"))
    };
    context.perform("exec", program.clone(), DryRun::Fail, |result| {
        let child = {
            let _runtime = context.runtime.enter();
            call.command.spawn().map_err(io_error)?
        };
        let mut group = ProcessGroup(child.id().and_then(|id| Pid::from_raw(id as i32)));
        let timeout = call.timeout.unwrap_or(Duration::MAX);
        let Some(done) = context.wait_for(timeout, finish(child, call.stdin))? else {
            let waited = crate::units::show_duration(timeout);
            return Err(thrown("timeout", format!("{program} did not exit within {waited} and was killed")));
        };
        group.0 = None;
        let done = done.map_err(io_error)?;
        *result = done.get("code").map(|code| format!("exit code {code}")).unwrap_or_default();
        Ok(done)
    })
}

#[export_module]
#[expect(unreachable_pub, reason = "`export_module` requires public functions")]
mod functions {
    /// Runs a program, without a shell, and returns `code`, `stdout` and `stderr`. At most 1 MiB of each output is kept; `truncated` is true
    /// if there was more.
    ///
    /// Options: `timeout`, `stdin` (text or a blob), `cwd` (a folder), `env` (a map of environment variables). From rhaid the program
    /// inherits only `PATH`, `HOME`, `USER`, `LANG`, `LC_ALL`, `LC_CTYPE`, `TZ` and `TMPDIR`. When the run is cancelled or its deadline
    /// passes, the program and its child processes are killed.
    ///
    /// # Example
    /// ```rhai
    /// let done = exec("sort", ["-r"], #{ stdin: "a\nb\n", timeout: "5s" });
    /// assert_eq(done.code, 0);
    /// assert_eq(done.stdout, "b\na\n");
    /// ```
    #[rhai_fn(name = "exec", return_raw)]
    pub fn exec(program: &str, arguments: rhai::Array) -> Result<rhai::Map, Thrown> {
        run(program, &arguments, &rhai::Map::new())
    }

    #[rhai_fn(name = "exec", return_raw)]
    pub fn exec_with(program: &str, arguments: rhai::Array, options: rhai::Map) -> Result<rhai::Map, Thrown> {
        run(program, &arguments, &options)
    }
}
