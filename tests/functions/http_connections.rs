//! Connections that stay open between calls, and what becomes of them while no script waits.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::fixture::Fixture;

/// How long a connection may outlive what it was for, at the very most.
const SOON: Duration = Duration::from_secs(10);

/// Answers one request per connection, and has `then` do the rest; tells when the other side has closed it.
fn server(answer: &'static str, then: fn(&TcpStream)) -> (SocketAddr, Receiver<Instant>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (closed, is_closed) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, closed) = (stream.unwrap(), closed.clone());
            thread::spawn(move || {
                let asked = stream.read(&mut [0; 4_096]).unwrap();
                assert!(asked > 0, "a connection is made for a request");
                stream.write_all(answer.as_bytes()).unwrap();
                then(&stream);
                // Broken off counts, too.
                let left = stream.read(&mut [0; 1]).unwrap_or(0);
                assert_eq!(left, 0, "nobody asks on a connection that was closed");
                // Nobody may wait for it.
                let _ = closed.send(Instant::now());
            });
        }
    });
    (address, is_closed)
}

fn close(stream: &TcpStream) {
    stream.shutdown(std::net::Shutdown::Write).unwrap();
}

const WHOLE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn what_a_server_closes_is_closed_here_too_while_nobody_calls() {
    let fixture = Fixture::new();
    let (address, is_closed) = server(WHOLE, |stream| {
        // Long after the call is over.
        thread::sleep(Duration::from_millis(300));
        close(stream);
    });
    for _ in 0..2 {
        assert_eq!(fixture.run(&format!("http_get(\"http://{address}/\").text")), Ok("ok".into()));
        is_closed.recv_timeout(SOON).expect("it is closed");
    }
}

#[test]
fn a_server_that_closes_after_each_answer_is_asked_on_a_new_connection_each_time() {
    let fixture = Fixture::new();
    let (address, _closed) = server(WHOLE, close);
    let script = format!(
        "let texts = \"\";
        for n in 0..20 {{ texts += http_post(\"http://{address}/\", #{{ json: n }}).text; sleep(\"20ms\"); }}
        texts"
    );
    assert_eq!(fixture.run(&script), Ok("ok".repeat(20).into()));
}

#[test]
fn a_stream_that_is_dropped_closes_its_connection() {
    let fixture = Fixture::new();
    let (address, is_closed) = server("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\none\n", |_| ());
    // With something left open there is no other reason to look.
    let (open, _closed) = server(WHOLE, |_| ());
    fixture.run(&format!("http_get(\"http://{open}/\")")).unwrap();
    thread::sleep(Duration::from_millis(100));
    for _ in 0..5 {
        let script = format!("for line in http_get(\"http://{address}/\", #{{ stream: true }}).lines() {{ break; }}");
        fixture.run(&script).unwrap();
        is_closed.recv_timeout(SOON).expect("the connection is closed");
    }
}
