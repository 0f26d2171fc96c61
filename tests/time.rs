//! Time and requests, through scripts that run.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Zoned;
use rhaid::config::Config;
use rhaid::runtime::Runtime;
use rhaid::services::Services;
use rhaid::services::clock::Clock;
use rhaid::services::store::Store;
use rhaid::value::Value;
use rhaid::web::{self, Server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::bench::Bench;

/// One script, running on a clock turned by hand, with a web server.
struct Program {
    tokio: tokio::runtime::Runtime,
    clock: Clock,
    runtime: Runtime,
    server: Server,
    _folder: tempfile::TempDir,
}

impl Program {
    fn with(start: &str, script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("scripts")).unwrap();
        std::fs::write(root.join("scripts/t.rhai"), script).unwrap();
        let clock = Clock::manual(start.parse::<Zoned>().unwrap());
        let tokio = tokio::runtime::Runtime::new().unwrap();
        let (runtime, server) = tokio.block_on(async {
            let store = Store::in_memory().unwrap();
            let services = Services::builder(clock.clone(), store).build();
            let server = web::serve("127.0.0.1:0".parse().unwrap(), services.routes.clone()).await.unwrap();
            (Runtime::start(Arc::new(Config::default_in(&root)), services).await.unwrap(), server)
        });
        Self { tokio, clock, runtime, server, _folder: folder }
    }

    fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    fn printed(&self) -> Vec<String> {
        let lines = self.runtime.recent_logs();
        lines.iter().filter(|line| !line.run.is_empty()).map(|line| line.text.clone()).collect()
    }

    fn call(&self, request: &str) -> String {
        self.tokio.block_on(call(self.server.address(), request))
    }

    fn close(self) {
        self.tokio.block_on(async {
            self.server.stop().await;
            self.runtime.stop().await;
        });
    }
}

async fn call(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[test]
fn a_webhook_answers_with_what_its_handler_returns() {
    let program = Program::with(
        "2026-06-01T12:00[UTC]",
        r#"
        webhook("door/{id}", #{ token: "s3cret" }, |request| {
            state[request.params.id] = request.json().open;
            #{ status: 201, body: #{ id: request.params.id, open: state[request.params.id], by: request.query.by } }
        });
        webhook("broken", #{ public: true }, |request| throw "a secret reason");
        "#,
    );
    let request = |token: &str| {
        let head = format!("POST /hooks/door/front?by=me HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Token: {token}");
        format!("{head}\r\nContent-Length: 13\r\n\r\n{{\"open\":true}}")
    };
    let answer = program.call(&request("s3cret"));
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    assert!(answer.ends_with("\r\n\r\n{\"by\":\"me\",\"id\":\"front\",\"open\":true}"), "{answer}");
    assert!(program.call(&request("guess")).starts_with("HTTP/1.1 401 "));
    let answer = program.call("GET /hooks/broken HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 500 ") && !answer.contains("secret"), "{answer}");
    program.close();
}

#[test]
fn an_interval_shorter_than_its_run_starves_nothing() {
    let program = Program::with(
        "2026-06-01T12:00[UTC]",
        r#"
        every("1s", |tick| { sleep("2500ms"); print(`slow ${tick.scheduled.second} ${tick.missed}`); });
        every("5s", |tick| print(`quick ${tick.scheduled.second}`));
        "#,
    );
    program.pass(16);
    let printed = program.printed();
    let quick: Vec<_> = printed.iter().filter(|line| line.starts_with("quick")).cloned().collect();
    assert_eq!(quick, ["quick 5", "quick 10", "quick 15"], "{printed:?}");
    let missed: i64 =
        printed.iter().filter_map(|line| line.strip_prefix("slow ")?.split(' ').nth(1)?.parse::<i64>().ok()).sum();
    let ran = printed.len() as i64 - 3;
    assert!((4..=6).contains(&ran) && missed >= 7, "{printed:?}");
    program.close();
}

#[test]
fn daily_hourly_and_ten_second_jobs_go_through_both_clock_changes() {
    for (start, hours, daily, hourly, tens) in [
        ("2026-03-29T00:30[Europe/Berlin]", 4, "3:0", "1 3 4 5", 4 * 360),
        ("2026-10-25T00:30[Europe/Berlin]", 4, "2:30", "1 2 2 3", 4 * 360),
    ] {
        let program = Program::with(
            start,
            r#"
            cron("30 2 * * *", |tick| print(`daily ${tick.now.hour}:${tick.now.minute}`));
            cron("0 * * * *", |tick| print(`hourly ${tick.now.hour}`));
            cron("*/10 * * * * *", |tick| { state.add("tens", 1); });
            cron("29 59 * * * *", |tick| print(`tens ${state.tens}`));
            "#,
        );
        program.pass(hours * 3_600);
        let printed = program.printed();
        let of = |word: &str| -> Vec<String> {
            printed.iter().filter_map(|line| line.strip_prefix(word)).map(|rest| rest.trim().to_owned()).collect()
        };
        assert_eq!(of("daily"), [daily], "{start}");
        assert_eq!(of("hourly").join(" "), hourly, "{start}");
        // Counted at 29 s past each 59th minute, the last time 31 s and half an hour before the end.
        let last: u64 = of("tens").last().unwrap().parse().unwrap();
        assert_eq!(last, tens - 180 - 4, "{start}");
        program.close();
    }
}

#[test]
fn a_timer_that_a_run_sets_wakes_its_handler_in_time() {
    let program = Program::with(
        "2026-06-01T12:00[UTC]",
        r#"
        on_start(|start| { timer_start("nag", "15m", #{ id: 7 }); });
        on_timer("nag", |timer| {
            sleep("10s");
            print(`nag ${timer.data.id} ${timer.late} ${now().minute}:${now().second}`);
        });
        "#,
    );
    program.pass(1_000);
    assert_eq!(program.printed(), ["nag 7 0.0 15:10"]);
    program.close();
}

#[test]
fn a_clock_set_by_hours_while_rhaid_works_loses_and_doubles_no_timer_and_no_count() {
    let mut bench = Bench::new()
        .config("limits: { breaker: 1000000 }")
        .script(
            "work",
            r#"
            on_event("count", || { state.add("counted", 1); emit("counted"); });
            on_event("set", || { for hour in 0..24 { timer_start(`timer ${hour}`, 3600 * hour + 1800); } });
            for hour in 0..24 { on_timer(`timer ${hour}`, |timer| state.add(timer.name, 1)); }
            "#,
        )
        .script("ear", r#"on_event("counted", || state.add("heard", 1));"#)
        .start();
    bench.fire("work", "on_event set", Value::Null);
    let start = bench.now();
    let mut latest = start;
    for (turn, hours) in [5, -9, 4, 2, -1, 8, -20, 19, 1, 30].into_iter().enumerate() {
        let runs = 20;
        let runtime = bench.runtime().clone();
        let (done, all_done) = tokio::sync::oneshot::channel();
        bench.beside(async move {
            for _ in 0..runs {
                assert_eq!(
                    runtime.fire("work", Some("on_event count"), Value::Null).await.unwrap().outcome,
                    "succeeded"
                );
            }
            let _ = done.send(());
        });
        let moment = bench.now() + jiff::SignedDuration::from_hours(hours);
        latest = latest.max(moment);
        bench.set_clock(moment);
        bench.wait(all_done).unwrap();
        match turn % 3 {
            0 => bench.restart(),
            1 => bench.cut_power(Duration::ZERO),
            _ => {}
        }
        bench.pass(Duration::ZERO);
        let counted = Value::Int((turn as i64 + 1) * runs);
        assert_eq!(bench.state("work", "counted"), counted, "turn {turn}");
        assert_eq!(bench.state("ear", "heard"), counted, "turn {turn}");
        for hour in 0..24 {
            let is_due = start + Duration::from_secs(3_600 * hour + 1_800) <= latest;
            let rang = if is_due { Value::Int(1) } else { Value::Null };
            assert_eq!(bench.state("work", &format!("timer {hour}")), rang, "turn {turn}, timer {hour}");
        }
    }
    assert_eq!(bench.services().store.timers().unwrap(), []);
}
