//! Connections kept open between calls, and their close while no call is active.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::fixture::Fixture;

/// Limit for the close of an unneeded connection.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// Starts a server that responds to one request per connection and then calls `then`; the receiver gets the time of each close by the client.
fn server(response: &'static str, then: fn(&TcpStream)) -> (SocketAddr, Receiver<Instant>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (closed, is_closed) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, closed) = (stream.unwrap(), closed.clone());
            thread::spawn(move || {
                let read = stream.read(&mut [0; 4_096]).unwrap();
                assert!(read > 0, "each connection carries a request");
                stream.write_all(response.as_bytes()).unwrap();
                then(&stream);
                // A reset also counts as closed.
                let left = stream.read(&mut [0; 1]).unwrap_or(0);
                assert_eq!(left, 0, "there is no request on a closed connection");
                // The test may have dropped the receiver.
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
fn a_connection_closed_by_the_server_is_closed_while_no_call_is_active() {
    let fixture = Fixture::new();
    let (address, is_closed) = server(WHOLE, |stream| {
        // Closes the connection long after the call.
        thread::sleep(Duration::from_millis(300));
        close(stream);
    });
    for _ in 0..2 {
        assert_eq!(fixture.run(&format!("http_get(\"http://{address}/\").text")), Ok("ok".into()));
        is_closed.recv_timeout(CLOSE_TIMEOUT).expect("the connection is closed");
    }
}

#[test]
fn each_call_to_a_closing_server_uses_a_new_connection() {
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
    // Another idle connection rules out other reasons to poll the connections.
    let (open, _closed) = server(WHOLE, |_| ());
    fixture.run(&format!("http_get(\"http://{open}/\")")).unwrap();
    thread::sleep(Duration::from_millis(100));
    for _ in 0..5 {
        let script = format!("for line in http_get(\"http://{address}/\", #{{ stream: true }}).lines() {{ break; }}");
        fixture.run(&script).unwrap();
        is_closed.recv_timeout(CLOSE_TIMEOUT).expect("the connection is closed");
    }
}
