//! HTTP: a crowd of calls that wait, and one call after another beside `reqwest` alone and Python's `requests`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::folder;
use crate::live;
use crate::program::Program;

/// How many events are answered at once, and how often: no more than a script may run without being paused.
const CROWD: usize = 200;
const CROWDS: usize = 5;
/// How many calls wait at once.
const WAITING: usize = 1_000;
/// How many calls make one round, one after another.
const CALLS: usize = 1_000;
const ROUNDS: usize = 15;

const BODY: &str =
    r#"{"celsius": 21.5, "room": "bath", "at": "2026-03-01T07:30:00Z", "by": "a thermometer of the house"}"#;

/// Calls a URL as often as it is told on its input, and says how long that took.
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
    crowd().await;
    waiting();
    one_by_one().await;
}

/// Prints how long it takes until many events are answered by a server that takes 50 ms.
async fn crowd() {
    let server = Server::start(Duration::from_millis(50));
    let go = format!(
        "on_event(\"go\", #{{ mode: \"parallel\", max: {CROWD} }}, || http_get(\"{}\").text.len());",
        server.url()
    );
    let place = folder::folder([("crowd.rhai".to_owned(), go)]);
    let runtime = live::live(place.path()).await;
    let mut times = Vec::new();
    for _ in 0..CROWDS {
        let began = Instant::now();
        let fired: Vec<_> = (0..CROWD)
            .map(|_| {
                let runtime = runtime.clone();
                tokio::spawn(async move { live::fire(&runtime, "crowd").await })
            })
            .collect();
        for fired in fired {
            fired.await.expect("it does not panic");
        }
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    let first = times[0];
    let median = live::percentile(&mut times, 50);
    println!(
        "http: {CROWD} events answered by a server that takes 50 ms: {median:.0} ms ({first:.0} ms the first time)"
    );
    runtime.stop().await;
}

/// Prints how much memory a rhaid holds in which many calls wait.
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
    while server.asked.load(Ordering::Relaxed) < WAITING {
        assert!(began.elapsed() < Duration::from_secs(25), "only {:?} of {WAITING} wait", server.asked);
        std::thread::sleep(Duration::from_millis(10));
    }
    let took = began.elapsed().as_secs_f64() * 1e3;
    println!("http: {WAITING} calls wait after {took:.0} ms: {} KiB resident", rhaid.resident());
}

/// Prints how long one call takes that follows another, and the ratio to others who make the same calls.
async fn one_by_one() {
    let server = Server::start(Duration::ZERO);
    let url = server.url();
    let script = format!("on_event(\"go\", || for n in 0..{CALLS} {{ http_get(\"{url}\").json().celsius; }});");
    let place = folder::folder([("one.rhai".to_owned(), script)]);
    let runtime = live::live(place.path()).await;
    let client = reqwest::Client::builder().no_proxy().build().expect("there is nothing to be wrong");
    let mut python = Python::start(&url);
    let (mut ours, mut bare, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let began = Instant::now();
        live::fire(&runtime, "one").await;
        ours.push(began.elapsed().as_secs_f64());
        let began = Instant::now();
        tokio::task::block_in_place(|| reqwest_alone(&client, &url));
        bare.push(began.elapsed().as_secs_f64());
        theirs.extend(python.as_mut().map(Python::call));
    }
    let micros = |times: &mut [f64]| live::percentile(times, 50) * 1e6 / CALLS as f64;
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

/// Makes the calls of a round as a program without scripts would, from a thread that is not of the runtime.
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

/// A Python that calls as often as it is told; ended when dropped.
struct Python(Child);

impl Python {
    /// Starts the one that `.ci/run` makes, or any that knows `requests`.
    fn start(url: &str) -> Option<Self> {
        let made = concat!(env!("CARGO_MANIFEST_DIR"), "/target/tools/python/bin/python");
        let knows = |program: &&str| {
            let asked = Command::new(program).args(["-c", "import requests"]).stderr(Stdio::null()).status();
            asked.is_ok_and(|status| status.success())
        };
        let program = [made, "python3"].into_iter().find(knows)?;
        let mut command = Command::new(program);
        command.args(["-c", PYTHON, url]).stdin(Stdio::piped()).stdout(Stdio::piped());
        Some(Self(command.spawn().expect("it ran a moment ago")))
    }

    /// Has it make the calls of a round, and returns how long they took, in seconds.
    fn call(&mut self) -> f64 {
        let (input, output) = (self.0.stdin.as_mut(), self.0.stdout.as_mut());
        let (input, output) = (input.expect("it was asked for"), output.expect("it was asked for"));
        writeln!(input, "{CALLS}").expect("it listens");
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).expect("it answers");
        line.trim().parse().expect("it is a number")
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server with a thread of its own, which takes its time.
struct Server {
    address: SocketAddr,
    /// How many requests have come.
    asked: Arc<AtomicUsize>,
}

impl Server {
    fn start(delay: Duration) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        listener.set_nonblocking(true).expect("it can be");
        let address = listener.local_addr().expect("it listens");
        let asked = Arc::<AtomicUsize>::default();
        let counter = asked.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("there is memory");
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).expect("it listens");
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, delay, counter.clone()));
                }
            });
        });
        Self { address, asked }
    }

    fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

/// Answers all requests of a connection.
async fn serve(mut stream: TcpStream, delay: Duration, asked: Arc<AtomicUsize>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json";
    let answer = format!("{head}\r\nContent-Length: {}\r\n\r\n{BODY}", BODY.len());
    let mut request = [0; 4_096];
    while stream.read(&mut request).await? > 0 {
        asked.fetch_add(1, Ordering::Relaxed);
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        stream.write_all(answer.as_bytes()).await?;
    }
    Ok(())
}
