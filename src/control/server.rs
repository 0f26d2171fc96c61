//! The answering end of the socket.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::control::http_tap::Overheard;
use crate::control::messages::{LogLevel, LogLine, Reply, Request, RunInfo, RunRow, StateSpace};
use crate::control::socket;
use crate::runtime::{self, Runtime};
use crate::services::store::{self, StateEdit};
use crate::value::Value;

/// How many commands are served at once; more wait for their turn.
const CONNECTIONS: usize = 64;

/// The longest request, in bytes: state that is imported comes in one.
const LONGEST: u64 = 256 << 20;

/// How long a command may be silent before it has asked, and how long it may take to read an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// The listening socket; removed when dropped.
pub struct Server {
    path: PathBuf,
    _accept: AbortOnDropHandle<()>,
}

impl Server {
    /// Listens in a data folder from now on, for this user only. The folder must be ours: a socket that lies there is dead.
    ///
    /// # Errors
    /// What the system says.
    pub fn start(data: &Path, runtime: Runtime) -> io::Result<Self> {
        let path = socket::choose(data)?;
        socket::remove_if_there(&path)?;
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        let accept = tokio::spawn(accept(listener, runtime));
        Ok(Self { path, _accept: AbortOnDropHandle::new(accept) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that is left behind is replaced by the next start.
        let _ = socket::remove_if_there(&self.path);
    }
}

async fn accept(listener: UnixListener, runtime: Runtime) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let runtime = runtime.clone();
                tokio::spawn(async move {
                    // A command that has gone needs no answer.
                    let _ = serve(stream, runtime).await;
                    drop(place);
                });
            }
            // Out of file descriptors, most likely: others have to go first.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn serve(stream: UnixStream, runtime: Runtime) -> io::Result<()> {
    let (lines, answers) = stream.into_split();
    let mut lines = BufReader::new(lines);
    let mut answers = Answers(answers);
    while let Some(line) = read(&mut lines).await? {
        match serde_json::from_slice(&line) {
            Err(error) => answers.refuse(format!("this is no request: {error}")).await?,
            Ok(Request::Logs { script, follow }) => {
                let log = Log { runtime: &runtime, script: script.as_deref() };
                if follow {
                    // Who follows asks nothing more: whatever comes from there is its end.
                    return tokio::select! {
                        told = log.follow(&mut answers) => told,
                        _ = lines.fill_buf() => Ok(()),
                    };
                }
                log.tell(&mut answers).await?;
            }
            Ok(Request::Overhear) => {
                return tokio::select! {
                    told = overhear(&runtime, &mut answers) => told,
                    _ = lines.fill_buf() => Ok(()),
                };
            }
            // Whoever has gone needs no outcome; the run goes on all the same.
            Ok(request) => match answer(request, &runtime).await {
                Ok(value) => answers.give(value).await?,
                Err(why) => answers.refuse(why).await?,
            },
        }
    }
    Ok(())
}

async fn read(lines: &mut BufReader<OwnedReadHalf>) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    timeout(PATIENCE, lines.take(LONGEST).read_until(b'\n', &mut line)).await??;
    Ok(Some(line).filter(|line| line.ends_with(b"\n")))
}

async fn answer(request: Request, runtime: &Runtime) -> Result<serde_json::Value, String> {
    match request {
        Request::List => json(runtime.list().await),
        Request::Fire { script, trigger, data } => {
            json(runtime.fire(&script, trigger.as_deref(), Value::from(data)).await?)
        }
        Request::Switch { script, enabled: true } => json(runtime.enable(&script).await?),
        Request::Switch { script, enabled: false } => json(runtime.disable(&script).await?),
        Request::Runs { query } => {
            let rows = runtime.runs(query).await.map_err(|error| error.to_string())?;
            json(rows.into_iter().map(RunRow::from).collect::<Vec<_>>())
        }
        Request::Run { id } => {
            let row = runtime.row(id).await.map_err(|error| error.to_string())?;
            json(row.map(RunInfo::from))
        }
        Request::Replay { id } => json(runtime.replay(id).await?),
        Request::StateSpaces => blocking(runtime, |runtime| runtime.store().namespaces())
            .await
            .and_then(|spaces| json(spaces.into_iter().map(StateSpace::from).collect::<Vec<_>>())),
        Request::StateValues { space } => {
            let values = blocking(runtime, move |runtime| runtime.store().values(&space)).await?;
            Ok(Value::Map(values).to_stored())
        }
        Request::StateEdit { cleared, values } => {
            let values =
                values.into_iter().map(|(space, key, value)| (space, key, Value::from_stored(value))).collect();
            let edit = StateEdit { cleared, values };
            blocking(runtime, move |runtime| runtime.edit_state(&edit)).await.and_then(json)
        }
        Request::Flush => {
            let flush = |runtime: &Runtime| {
                runtime.store().flush();
                Ok(())
            };
            blocking(runtime, flush).await.and_then(json)
        }
        Request::Logs { .. } | Request::Overhear => Err("this is answered line by line".into()),
    }
}

/// Does what waits for the disk on a thread where that disturbs nobody.
async fn blocking<T: Send + 'static>(
    runtime: &Runtime,
    work: impl FnOnce(&Runtime) -> Result<T, store::Error> + Send + 'static,
) -> Result<T, String> {
    let runtime = runtime.clone();
    let done = tokio::task::spawn_blocking(move || work(&runtime)).await;
    done.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
}

fn json(value: impl Serialize) -> Result<serde_json::Value, String> {
    serde_json::to_value(value).map_err(|error| error.to_string())
}

/// What one command wants to see of the log.
struct Log<'a> {
    runtime: &'a Runtime,
    script: Option<&'a str>,
}

impl Log<'_> {
    fn is_wanted(&self, line: &runtime::LogLine) -> bool {
        self.script.is_none_or(|script| script == line.script)
    }

    /// Tells what is kept, and that it ends there.
    async fn tell(&self, answers: &mut Answers) -> io::Result<()> {
        for line in self.runtime.recent_logs().iter().filter(|line| self.is_wanted(line)) {
            answers.give(&**line).await?;
        }
        answers.give(()).await
    }

    /// Tells what is kept, and then what comes.
    async fn follow(&self, answers: &mut Answers) -> io::Result<()> {
        let mut news = self.runtime.logs();
        let kept = self.runtime.recent_logs();
        for line in kept.iter().filter(|line| self.is_wanted(line)) {
            answers.give(&**line).await?;
        }
        // What came between the two looks stands in both.
        let last = kept.last().map_or(jiff::Timestamp::MIN, |line| line.at);
        loop {
            match news.recv().await {
                Ok(line) if line.at <= last && kept.iter().any(|known| Arc::ptr_eq(known, &line)) => {}
                Ok(line) if self.is_wanted(&line) => answers.give(&*line).await?,
                Ok(_) => {}
                Err(RecvError::Lagged(missed)) => answers.give(missed_lines(missed)).await?,
                Err(RecvError::Closed) => return answers.give(()).await,
            }
        }
    }
}

/// Tells the answers of servers as they come, without secrets.
async fn overhear(runtime: &Runtime, answers: &mut Answers) -> io::Result<()> {
    let mut news = runtime.overhear();
    answers.give(Overheard::Begun).await?;
    loop {
        match news.recv().await {
            Ok(answered) => answers.give(Overheard::of(&answered, &runtime.config().mask())).await?,
            Err(RecvError::Lagged(missed)) => answers.give(Overheard::Missed { answers: missed }).await?,
            Err(RecvError::Closed) => return Ok(()),
        }
    }
}

fn missed_lines(missed: u64) -> LogLine {
    LogLine {
        at: jiff::Timestamp::UNIX_EPOCH,
        level: LogLevel::Warn,
        script: String::new(),
        run: String::new(),
        text: format!("{missed} lines were missed here"),
        fields: serde_json::Map::new(),
    }
}

/// The way back to a command.
struct Answers(OwnedWriteHalf);

impl Answers {
    async fn give(&mut self, value: impl Serialize) -> io::Result<()> {
        self.write(&Reply::Answer(serde_json::to_value(value)?)).await
    }

    async fn refuse(&mut self, why: String) -> io::Result<()> {
        self.write(&Reply::Refusal(why)).await
    }

    async fn write(&mut self, reply: &Reply) -> io::Result<()> {
        let mut line = serde_json::to_vec(reply)?;
        line.push(b'\n');
        timeout(PATIENCE, self.0.write_all(&line)).await?
    }
}
