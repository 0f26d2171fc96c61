//! Server side of the control socket.

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

use crate::api::{HttpTapMessage, LogLevel, LogLine, Reply, Request, RunEntry, RunInfo, StateSpace};
use crate::control::{http_tap, socket};
use crate::runtime::{self, Runtime};
use crate::services::store::{self, StateEdit};
use crate::value::Value;

/// The number of concurrent connections; further ones wait to be accepted.
const MAX_CONNECTIONS: usize = 64;

/// The longest request, in bytes. An import of state is a single request.
const MAX_REQUEST_BYTES: u64 = 256 << 20;

/// Timeout for reading a request and for writing a response.
const IO_TIMEOUT: Duration = Duration::from_secs(30);

/// The listening socket. Dropping it closes and removes the socket.
pub struct Server {
    path: PathBuf,
    _accept: AbortOnDropHandle<()>,
}

impl Server {
    /// Listens in a data folder; only this user can connect. The caller must hold the lock of the folder: an existing socket is
    /// taken as stale and replaced.
    ///
    /// # Errors
    /// The error of the operating system.
    pub fn start(data: &Path, runtime: Runtime) -> io::Result<Self> {
        let path = socket::choose(data)?;
        socket::remove_if_exists(&path)?;
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        let accept = tokio::spawn(accept(listener, runtime));
        Ok(Self { path, _accept: AbortOnDropHandle::new(accept) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A socket that cannot be removed is replaced at the next start.
        let _ = socket::remove_if_exists(&self.path);
    }
}

async fn accept(listener: UnixListener, runtime: Runtime) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let runtime = runtime.clone();
                tokio::spawn(async move {
                    // An error means that the client has disconnected.
                    let _ = serve(stream, runtime).await;
                    drop(permit);
                });
            }
            // Most likely out of file descriptors: retry after other connections have closed.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn serve(stream: UnixStream, runtime: Runtime) -> io::Result<()> {
    let (reader, writer) = stream.into_split();
    let mut requests = BufReader::new(reader);
    let mut replies = ReplyWriter(writer);
    while let Some(line) = read(&mut requests).await? {
        match serde_json::from_slice(&line) {
            Err(error) => replies.error(format!("invalid request: {error}")).await?,
            Ok(Request::Logs { script, follow }) => {
                let log = LogReader { runtime: &runtime, script: script.as_deref() };
                if follow {
                    // A following client sends no further request: readable input means that it has disconnected.
                    return tokio::select! {
                        sent = log.follow(&mut replies) => sent,
                        _ = requests.fill_buf() => Ok(()),
                    };
                }
                log.send_recent(&mut replies).await?;
            }
            Ok(Request::TapHttp) => {
                return tokio::select! {
                    sent = tap_http(&runtime, &mut replies) => sent,
                    _ = requests.fill_buf() => Ok(()),
                };
            }
            // A run continues when the client disconnects.
            Ok(request) => match respond(request, &runtime).await {
                Ok(value) => replies.value(value).await?,
                Err(why) => replies.error(why).await?,
            },
        }
    }
    Ok(())
}

async fn read(requests: &mut BufReader<OwnedReadHalf>) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    timeout(IO_TIMEOUT, requests.take(MAX_REQUEST_BYTES).read_until(b'\n', &mut line)).await??;
    Ok(Some(line).filter(|line| line.ends_with(b"\n")))
}

async fn respond(request: Request, runtime: &Runtime) -> Result<serde_json::Value, String> {
    match request {
        Request::List => json(runtime.list().await),
        Request::Fire { script, trigger, data } => {
            json(runtime.fire(&script, trigger.as_deref(), Value::from(data)).await?)
        }
        Request::SetEnabled { script, enabled: true } => json(runtime.enable(&script).await?),
        Request::SetEnabled { script, enabled: false } => json(runtime.disable(&script).await?),
        Request::Runs { query } => {
            let entries = blocking(runtime, move |runtime| runtime.store().history(&query)).await?;
            json(entries.into_iter().map(RunEntry::from).collect::<Vec<_>>())
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
        Request::Logs { .. } | Request::TapHttp => Err("this request has a stream of responses".into()),
    }
}

/// Runs disk I/O on the blocking thread pool.
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

/// Sends the log lines of one request.
struct LogReader<'a> {
    runtime: &'a Runtime,
    script: Option<&'a str>,
}

impl LogReader<'_> {
    fn is_wanted(&self, line: &runtime::LogLine) -> bool {
        self.script.is_none_or(|script| script == line.script)
    }

    /// Sends the most recent lines and the end marker.
    async fn send_recent(&self, replies: &mut ReplyWriter) -> io::Result<()> {
        for line in self.runtime.recent_logs().iter().filter(|line| self.is_wanted(line)) {
            replies.value(&**line).await?;
        }
        replies.value(()).await
    }

    /// Sends the most recent lines, then new lines as they are written.
    async fn follow(&self, replies: &mut ReplyWriter) -> io::Result<()> {
        let mut new_lines = self.runtime.logs();
        let recent = self.runtime.recent_logs();
        for line in recent.iter().filter(|line| self.is_wanted(line)) {
            replies.value(&**line).await?;
        }
        // Lines written between the subscription and the snapshot are in both.
        let last = recent.last().map_or(jiff::Timestamp::MIN, |line| line.at);
        loop {
            match new_lines.recv().await {
                Ok(line) if line.at <= last && recent.iter().any(|known| Arc::ptr_eq(known, &line)) => {}
                Ok(line) if self.is_wanted(&line) => replies.value(&*line).await?,
                Ok(_) => {}
                Err(RecvError::Lagged(missed)) => replies.value(missed_lines(missed)).await?,
                Err(RecvError::Closed) => return replies.value(()).await,
            }
        }
    }
}

/// Sends the HTTP responses that scripts receive, without secrets.
async fn tap_http(runtime: &Runtime, replies: &mut ReplyWriter) -> io::Result<()> {
    let mut responses = runtime.tap_http();
    replies.value(HttpTapMessage::Subscribed).await?;
    loop {
        match responses.recv().await {
            Ok(answered) => replies.value(http_tap::message(&answered, &runtime.config().mask())).await?,
            Err(RecvError::Lagged(missed)) => replies.value(HttpTapMessage::Missed { responses: missed }).await?,
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
        text: format!("{missed} lines are missing here"),
        fields: serde_json::Map::new(),
    }
}

/// Writes replies to a client.
struct ReplyWriter(OwnedWriteHalf);

impl ReplyWriter {
    async fn value(&mut self, value: impl Serialize) -> io::Result<()> {
        self.write(&Reply::Value(serde_json::to_value(value)?)).await
    }

    async fn error(&mut self, why: String) -> io::Result<()> {
        self.write(&Reply::Error(why)).await
    }

    async fn write(&mut self, reply: &Reply) -> io::Result<()> {
        let mut line = serde_json::to_vec(reply)?;
        line.push(b'\n');
        timeout(IO_TIMEOUT, self.0.write_all(&line)).await?
    }
}
