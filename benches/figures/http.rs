//! HTTP: many concurrent calls, and sequential calls compared with plain `reqwest` and Python's `requests`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::folder;
use crate::in_process;
use crate::program::Program;

/// The concurrent events of one round, and the rounds: below the circuit breaker's limit.
const CONCURRENT: usize = 200;
const CONCURRENT_ROUNDS: usize = 5;
/// The number of concurrently waiting calls.
const WAITING: usize = 1_000;
/// The sequential calls of one round.
const CALLS: usize = 1_000;
const ROUNDS: usize = 15;

const BODY: &str = r#"{"celsius": 21.5, "room": "bath", "at": "2026-03-01T07:30:00Z", "by": "a thermometer"}"#;

/// Reads numbers of calls from standard input, makes them, and prints the seconds that each batch took.
const PYTHON: &str = "
import sys, time, requests
session = requests.Session()
for line in sys.stdin:
    began = time.perf_counter()
    for _ in range(int(line)):
        session.get(sys.argv[1]).json()['celsius']
    print(time.perf_counter() - began, flush=True)
";

pub(crate) async fn measure() {
    concurrent().await;
    waiting();
    sequential().await;
}

/// Prints the time to handle many concurrent events with a server that takes 50 ms.
async fn concurrent() {
    let server = Server::start(Duration::from_millis(50));
    let go = format!(
        "on_event(\"go\", #{{ mode: \"parallel\", max: {CONCURRENT} }}, || http_get(\"{}\").text.len());",
        server.url()
    );
    let place = folder::folder([("concurrent.rhai".to_owned(), go)]);
    let runtime = in_process::start(place.path()).await;
    let mut times = Vec::new();
    for _ in 0..CONCURRENT_ROUNDS {
        let began = Instant::now();
        let fired: Vec<_> = (0..CONCURRENT)
            .map(|_| {
                let runtime = runtime.clone();
                tokio::spawn(async move { in_process::fire(&runtime, "concurrent").await })
            })
            .collect();
        for fired in fired {
            fired.await.expect("it does not panic");
        }
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    let first = times[0];
    let median = in_process::percentile(&mut times, 50);
    println!(
        "http: {CONCURRENT} events answered by a server that takes 50 ms: {median:.0} ms ({first:.0} ms the first time)"
    );
    runtime.stop().await;
}

/// Prints the memory of a process with many waiting calls.
fn waiting() {
    let server = Server::start(Duration::from_secs(600));
    let script = format!(
        "on_event(\"go\", #{{ mode: \"parallel\", max: {WAITING} }}, || http_get(\"{}\"));
        on_start(|| for n in 0..{WAITING} {{ emit(\"go\"); }});",
        server.url()
    );
    let place = folder::folder([("waiting.rhai".to_owned(), script)]);
    let limits = format!("limits: {{ runs: {WAITING}, parallel: {WAITING}, breaker: {} }}\n", 2 * WAITING);
    std::fs::write(place.path().join("rhaid.yaml"), limits).expect("the folder is ours");
    let rhaid = Program::start(place.path());
    let began = Instant::now();
    while server.requests.load(Ordering::Relaxed) < WAITING {
        assert!(began.elapsed() < Duration::from_secs(25), "only {:?} of {WAITING} wait", server.requests);
        std::thread::sleep(Duration::from_millis(10));
    }
    let took = began.elapsed().as_secs_f64() * 1e3;
    println!("http: {WAITING} calls wait after {took:.0} ms: {} KiB resident", rhaid.resident());
}

/// Prints the time of a sequential call, and its ratio to other clients.
async fn sequential() {
    let server = Server::start(Duration::ZERO);
    let url = server.url();
    let script = format!("on_event(\"go\", || for n in 0..{CALLS} {{ http_get(\"{url}\").json().celsius; }});");
    let place = folder::folder([("one.rhai".to_owned(), script)]);
    let runtime = in_process::start(place.path()).await;
    let client = reqwest::Client::builder().no_proxy().build().expect("the options are valid");
    let mut python = Python::start(&url);
    let (mut ours, mut bare, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let began = Instant::now();
        in_process::fire(&runtime, "one").await;
        ours.push(began.elapsed().as_secs_f64());
        let began = Instant::now();
        tokio::task::block_in_place(|| reqwest_alone(&client, &url));
        bare.push(began.elapsed().as_secs_f64());
        theirs.extend(python.as_mut().map(Python::call));
    }
    let micros = |times: &mut [f64]| in_process::percentile(times, 50) * 1e6 / CALLS as f64;
    let (ours, bare) = (micros(&mut ours), micros(&mut bare));
    println!("http: one call after another: {ours:.0} µs each, {:.2} times reqwest alone ({bare:.0} µs)", ours / bare);
    if theirs.is_empty() {
        println!("http: no Python with `requests` here to compare with");
    } else {
        let theirs = micros(&mut theirs);
        println!("http: Python's requests.Session: {theirs:.0} µs each, {:.1} times as long", theirs / ours);
    }
    runtime.stop().await;
}

/// Makes the calls of a round with plain `reqwest`, from a thread outside the runtime.
fn reqwest_alone(client: &reqwest::Client, url: &str) {
    let runtime = tokio::runtime::Handle::current();
    let calls = || {
        for _ in 0..CALLS {
            let body = runtime.block_on(async { client.get(url).send().await?.bytes().await });
            let json: serde_json::Value = serde_json::from_slice(&body.expect("it answers")).expect("it is JSON");
            assert!(json["celsius"].is_f64());
        }
    };
    std::thread::scope(|scope| scope.spawn(calls).join().expect("it answers"));
}

/// A Python process that makes calls on request; killed when dropped.
struct Python(Child);

impl Python {
    /// Starts the Python that `.ci/run` creates, or any with `requests`.
    fn start(url: &str) -> Option<Self> {
        let prepared = concat!(env!("CARGO_MANIFEST_DIR"), "/target/tools/python/bin/python");
        let has_requests = |program: &&str| {
            let status = Command::new(program).args(["-c", "import requests"]).stderr(Stdio::null()).status();
            status.is_ok_and(|status| status.success())
        };
        let program = [prepared, "python3"].into_iter().find(has_requests)?;
        let mut command = Command::new(program);
        command.args(["-c", PYTHON, url]).stdin(Stdio::piped()).stdout(Stdio::piped());
        Some(Self(command.spawn().expect("it ran before")))
    }

    /// Makes the calls of a round, and returns their time in seconds.
    fn call(&mut self) -> f64 {
        let (input, output) = (self.0.stdin.as_mut(), self.0.stdout.as_mut());
        let (input, output) = (input.expect("the stream is piped"), output.expect("the stream is piped"));
        writeln!(input, "{CALLS}").expect("the process reads");
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).expect("it answers");
        line.trim().parse().expect("it is a number")
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // The process may have exited already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server with its own thread, which delays its responses.
struct Server {
    address: SocketAddr,
    /// The number of received requests.
    requests: Arc<AtomicUsize>,
}

impl Server {
    fn start(delay: Duration) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        listener.set_nonblocking(true).expect("it can be");
        let address = listener.local_addr().expect("the listener is bound");
        let requests = Arc::<AtomicUsize>::default();
        let counter = requests.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("there is memory");
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).expect("the listener is bound");
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, delay, counter.clone()));
                }
            });
        });
        Self { address, requests }
    }

    fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

/// Serves the requests of a connection.
async fn serve(mut stream: TcpStream, delay: Duration, requests: Arc<AtomicUsize>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json";
    let response = format!("{head}\r\nContent-Length: {}\r\n\r\n{BODY}", BODY.len());
    let mut request = [0; 4_096];
    while stream.read(&mut request).await? > 0 {
        requests.fetch_add(1, Ordering::Relaxed);
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        stream.write_all(response.as_bytes()).await?;
    }
    Ok(())
}
