//! Programs.

use std::process::Stdio;
use std::time::Duration;

use rhai::plugin::*;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use crate::config::Need;
use crate::functions::act::DryRun;
use crate::functions::arguments::{bytes, invalid_argument, parse_options, value};

use crate::functions::outside::{base, check, resolved};
use crate::functions::{Context, Thrown, context, thrown};
use crate::value::{Value, map_of};

pub(super) fn register(module: &mut Module) {
    combine_with_exported_module!(module, "exec", functions);
}

/// How much of each output is kept.
const MAX_OUTPUT: usize = 1 << 20;

/// How long the outputs of a program that has ended are read on, while others that it started hold them open.
const LINGER: Duration = Duration::from_millis(500);

/// What a program sees of rhaid's environment.
const PASSED_ON: &[&str] = &["PATH", "HOME", "USER", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR"];

/// A program as a script asked for it.
struct Call {
    command: Command,
    stdin: Vec<u8>,
    timeout: Option<Duration>,
}

impl Call {
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
            command.arg(String::from_utf8_lossy(&bytes(value(argument)?)).into_owned());
        }
        command.current_dir(match folder {
            Some(folder) => resolved(&folder, &context.config)?,
            None => base(&context.config),
        });
        command.env_clear();
        command.envs(PASSED_ON.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        for (name, text) in variables.unwrap_or_default() {
            if name.is_empty() || name.contains(['=', '\0']) {
                return Err(invalid_argument("env: a variable's name is not empty and has no `=`"));
            }
            command.env(name, String::from_utf8_lossy(&bytes(text)).into_owned());
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).process_group(0);
        Ok(Self { command, stdin, timeout })
    }
}

/// Ends a program and all that it started when dropped, unless it has ended by itself.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// What a program wrote, as far as it is kept.
#[derive(Default)]
struct Output {
    kept: Vec<u8>,
    cut: bool,
}

impl Output {
    /// Reads to the end; cancel-safe: what came so far is there.
    async fn read(&mut self, mut from: impl AsyncRead + Unpin) {
        let mut chunk = [0; 8 << 10];
        while let Ok(length @ 1..) = from.read(&mut chunk).await {
            let room = MAX_OUTPUT - self.kept.len();
            self.cut |= length > room;
            self.kept.extend_from_slice(&chunk[..length.min(room)]);
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.kept).into_owned()
    }
}

/// Feeds and hears a program until it has ended.
async fn finish(mut child: Child, stdin: Vec<u8>) -> std::io::Result<rhai::Map> {
    let (mut output, mut errors) = (Output::default(), Output::default());
    let (input, out, err) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let feed = async {
        if let Some(mut input) = input {
            // A program that does not read its input is no fault.
            let _ = input.write_all(&stdin).await;
        }
        std::future::pending::<()>().await;
    };
    let status = {
        let hear = async {
            if let (Some(out), Some(err)) = (out, err) {
                tokio::join!(output.read(out), errors.read(err));
            }
        };
        tokio::pin!(hear, feed);
        let mut heard = false;
        let status = loop {
            tokio::select! {
                status = child.wait() => break status?,
                () = &mut hear, if !heard => heard = true,
                () = &mut feed => {}
            }
        };
        if !heard {
            let _ = tokio::time::timeout(LINGER, &mut hear).await;
        }
        status
    };
    use std::os::unix::process::ExitStatusExt as _;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(-1);
    Ok(map_of([
        ("code".into(), i64::from(code).into()),
        ("stdout".into(), output.text().into()),
        ("stderr".into(), errors.text().into()),
        ("truncated".into(), (output.cut || errors.cut).into()),
    ]))
}

fn run(program: &str, arguments: &rhai::Array, options: &rhai::Map) -> Result<rhai::Map, Thrown> {
    let context = context("exec")?;
    if program.is_empty() || program.contains('\0') {
        return Err(invalid_argument("a program's name is not empty and has no NUL"));
    }
    let program = match program.contains('/') {
        true => resolved(program, &context.config)?.to_string_lossy().into_owned(),
        false => program.to_owned(),
    };
    check("exec", Need::Program(&program))?;
    let mut call = Call::read(&context, &program, arguments, options)?;
    let unusable = |error: std::io::Error| {
        let kind = if error.kind() == std::io::ErrorKind::NotFound { "not_found" } else { "io" };
        thrown(kind, format!("{program}: {error}"))
    };
    context.act("exec", program.clone(), DryRun::Refused, |told| {
        let child = {
            let _runtime = context.runtime.enter();
            call.command.spawn().map_err(unusable)?
        };
        let mut group = Group(child.id().and_then(|id| Pid::from_raw(id as i32)));
        let timeout = call.timeout.unwrap_or(Duration::MAX);
        let Some(done) = context.wait_for(timeout, finish(child, call.stdin))? else {
            let waited = crate::units::show_duration(timeout);
            return Err(thrown("timeout", format!("{program} has not ended within {waited}, and was killed")));
        };
        group.0 = None;
        let done = done.map_err(unusable)?;
        *told = done.get("code").map(|code| format!("exit code {code}")).unwrap_or_default();
        Ok(done)
    })
}

#[export_module]
#[expect(unreachable_pub, reason = "the macro wants public functions")]
mod functions {
    /// Runs a program and returns `code`, `stdout` and `stderr` (1 MiB of each is kept; `truncated` tells if there was more). No shell is involved.
    ///
    /// Options: `timeout`, `stdin` (text or a blob), `cwd` (a folder), `env` (a map of variables; of rhaid's own the
    /// program sees only `PATH`, `HOME`, `USER`, `LANG`, `LC_ALL`, `LC_CTYPE`, `TZ` and `TMPDIR`).
    /// When the run is cancelled or its time is up, the program and all that it started are killed.
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
