//! Triggers of time and HTTP requests, with running scripts.

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

/// One running script with a virtual clock and a web server.
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

    fn advance(&self, seconds: u64) {
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
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    response
}

#[test]
fn a_webhook_responds_with_the_return_value_of_its_handler() {
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
    let response = program.call(&request("s3cret"));
    assert!(response.starts_with("HTTP/1.1 201 "), "{response}");
    assert!(response.ends_with("\r\n\r\n{\"by\":\"me\",\"id\":\"front\",\"open\":true}"), "{response}");
    assert!(program.call(&request("guess")).starts_with("HTTP/1.1 401 "));
    let response = program.call("GET /hooks/broken HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(response.starts_with("HTTP/1.1 500 ") && !response.contains("secret"), "{response}");
    program.close();
}

#[test]
fn an_interval_shorter_than_its_run_does_not_starve_others() {
    let program = Program::with(
        "2026-06-01T12:00[UTC]",
        r#"
        every("1s", |tick| { sleep("2500ms"); print(`slow ${tick.scheduled.second} ${tick.missed}`); });
        every("5s", |tick| print(`quick ${tick.scheduled.second}`));
        "#,
    );
    program.advance(16);
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
fn daily_hourly_and_ten_second_jobs_run_through_both_daylight_saving_changes() {
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
        program.advance(hours * 3_600);
        let printed = program.printed();
        let of = |word: &str| -> Vec<String> {
            printed.iter().filter_map(|line| line.strip_prefix(word)).map(|rest| rest.trim().to_owned()).collect()
        };
        assert_eq!(of("daily"), [daily], "{start}");
        assert_eq!(of("hourly").join(" "), hourly, "{start}");
        // The count is printed at xx:59:29; the last one is half an hour and 31 s before the end.
        let last: u64 = of("tens").last().unwrap().parse().unwrap();
        assert_eq!(last, tens - 180 - 4, "{start}");
        program.close();
    }
}

#[test]
fn a_timer_set_by_a_run_fires_its_handler_on_time() {
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
    program.advance(1_000);
    assert_eq!(program.printed(), ["nag 7 0.0 15:10"]);
    program.close();
}

#[test]
fn setting_the_clock_by_hours_neither_loses_nor_repeats_timers_and_runs() {
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
        .script("listener", r#"on_event("counted", || state.add("received", 1));"#)
        .start();
    bench.fire("work", "on_event set", Value::Null);
    let start = bench.now();
    let mut latest = start;
    for (round, hours) in [5, -9, 4, 2, -1, 8, -20, 19, 1, 30].into_iter().enumerate() {
        let runs = 20;
        let runtime = bench.runtime().clone();
        let (done, all_done) = tokio::sync::oneshot::channel();
        bench.spawn(async move {
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
        match round % 3 {
            0 => bench.restart(),
            1 => bench.cut_power(Duration::ZERO),
            _ => {}
        }
        bench.advance(Duration::ZERO);
        let counted = Value::Int((round as i64 + 1) * runs);
        assert_eq!(bench.state("work", "counted"), counted, "turn {round}");
        assert_eq!(bench.state("listener", "received"), counted, "turn {round}");
        for hour in 0..24 {
            let is_due = start + Duration::from_secs(3_600 * hour + 1_800) <= latest;
            let expected = if is_due { Value::Int(1) } else { Value::Null };
            assert_eq!(bench.state("work", &format!("timer {hour}")), expected, "turn {round}, timer {hour}");
        }
    }
    assert_eq!(bench.services().store.timers().unwrap(), []);
}
