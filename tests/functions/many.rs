//! Many concurrent HTTP calls.

use std::net::SocketAddr;
use std::sync::Arc;

use rhaid::value::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::Barrier;

use crate::bench::Bench;

const MANY: usize = 200;

/// Starts a server that responds only once `MANY` requests wait.
async fn barrier_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let all = Arc::new(Barrier::new(MANY));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let all = all.clone();
            tokio::spawn(async move {
                while stream.read(&mut [0; 4096]).await.is_ok_and(|length| length > 0) {
                    all.wait().await;
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
                }
            });
        }
    });
    address
}

#[test]
fn two_hundred_parallel_handlers_wait_for_responses_concurrently() {
    let tokio = tokio::runtime::Runtime::new().unwrap();
    let server = tokio.block_on(barrier_server());
    let script =
        format!("on_event(\"go\", #{{ mode: \"parallel\", max: {MANY} }}, || http_get(\"http://{server}/\").text);");
    let bench = Bench::new().script("many", &script).start();
    for round in 0..2 {
        let waiting: Vec<_> = (0..MANY).map(|_| bench.start_fire("many", "on_event", Value::Null)).collect();
        for fired in waiting {
            let fired = bench.wait(fired).unwrap();
            assert_eq!((fired.outcome.as_str(), fired.value.as_str()), ("succeeded", Some("ok")), "round {round}");
        }
    }
}
