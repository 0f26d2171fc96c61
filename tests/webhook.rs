//! Webhooks of the compiled program, called over HTTP.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use crate::program::{Program, text};

/// Sends a request on a connection of its own, and returns the connection.
fn send(program: &Program, path: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(program.web()).unwrap();
    let head = format!("POST /hooks/{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}", body.len());
    stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).unwrap();
    stream
}

fn receive(mut stream: TcpStream) -> String {
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

/// Sends 200 requests to a script whose only run is in progress, and returns the responses that come before and after the end of that run.
fn send_200_during_a_run(environment: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
    let gate = TcpListener::bind("127.0.0.1:0").unwrap();
    let gate_url = format!("http://{}/", gate.local_addr().unwrap());
    let mut program = Program::empty();
    program.write(
        "scripts/order.rhai",
        r#"
        webhook("slow", #{ public: true }, |request| http_get(request.text).text);
        webhook("order", #{ public: true }, |request| #{ ok: true, n: request.json().n + 1 });
        "#,
    );
    program.start_with(environment);
    let slow = send(&program, "slow", &gate_url);
    let (mut running, _) = gate.accept().unwrap();
    let requests: Vec<_> = (0..200).map(|n| send(&program, "order", &format!("{{\"n\": {n}}}"))).collect();
    // A response that is there at once is a refusal: the script runs serially.
    let queue = environment.iter().find(|(name, _)| *name == "RHAID_LIMITS_QUEUE").map(|(_, queue)| queue.parse());
    let queue = queue.map_or(requests.len(), Result::unwrap);
    let (mut refused, mut queued) = (Vec::new(), Vec::new());
    let mut waiting = requests;
    while waiting.len() > queue {
        let mut first = [0];
        waiting.retain(|stream| {
            stream.set_nonblocking(true).unwrap();
            let is_refused = stream.peek(&mut first).is_ok();
            stream.set_nonblocking(false).unwrap();
            if is_refused {
                refused.push(receive(stream.try_clone().unwrap()));
            }
            !is_refused
        });
        std::thread::yield_now();
    }
    running.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\ndone").unwrap();
    assert!(receive(slow).ends_with("\r\n\r\ndone"));
    queued.extend(waiting.into_iter().map(receive));
    (refused, queued)
}

#[test]
fn concurrent_requests_to_one_script_are_queued_and_none_is_refused() {
    let (refused, queued) = send_200_during_a_run(&[]);
    assert_eq!((refused.len(), queued.len()), (0, 200));
    for (n, response) in queued.iter().enumerate() {
        assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
        assert!(response.ends_with(&format!(r#"{{"n":{},"ok":true}}"#, n + 1)), "{response}");
    }
}

#[test]
fn requests_beyond_the_queue_of_a_script_are_refused() {
    let (refused, queued) = send_200_during_a_run(&[("RHAID_LIMITS_QUEUE", "20")]);
    assert_eq!((refused.len(), queued.len()), (180, 20));
    for response in refused {
        assert!(response.starts_with("HTTP/1.1 503 ") && response.contains("\r\nretry-after: 1\r\n"), "{response}");
    }
    for response in queued {
        assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    }
}

#[test]
fn a_handler_gets_the_whole_request() {
    let mut program = Program::empty();
    program.write(
        "scripts/a.rhai",
        r#"
        webhook("door/{id}", #{ public: true }, |request| {
            request.bytes = request.bytes.len();
            request.has = ["text" in request, "none" in request];
            request
        });
        "#,
    );
    program.start();
    let response = receive(send(&program, "door/a%20b?x=1&y=%C3%A9&x=2", "n=1"));
    let (_, body) = response.split_once("\r\n\r\n").unwrap();
    let expected = serde_json::json!({
        "method": "POST", "path": "door/a b", "params": { "id": "a b" }, "query": { "x": ["1", "2"], "y": "é" },
        "headers": { "host": "x", "connection": "close", "content-length": "3" },
        "text": "n=1", "bytes": 3, "remote": "127.0.0.1", "has": [true, false],
    });
    assert_eq!(serde_json::from_str::<serde_json::Value>(body).unwrap(), expected);
}

#[test]
fn a_response_of_another_server_is_passed_on() {
    let mut program = Program::empty();
    program.write(
        "scripts/a.rhai",
        r##"
        webhook("up", #{ public: true }, |request| #{
            status: 418, headers: #{ "content-type": "text/html", "x-own": "1" }, body: "<b>tea</b>"
        });
        webhook("picture", #{ public: true }, |request| #{
            status: 200, headers: #{ "content-type": "image/png" }, body: hex_decode("89ff00")
        });
        webhook("nothing", #{ public: true }, |request| ());
        "##,
    );
    // A script runs serially, so another script makes the call.
    program.write("scripts/b.rhai", r#"webhook("pass", #{ public: true }, |request| http_get(request.query.url));"#);
    program.start();
    let passed = |what: &str, shown: &str| {
        let url = format!("{}?url={}", program.hook("pass"), program.hook(what));
        program.eval(&format!(
            "let r = http_get({url:?}); `${{r.status_code}} ${{r.headers[\"content-type\"]}} ${{{shown}}}`"
        ))
    };
    assert_eq!(passed("up", "r.text"), "418 text/html <b>tea</b>");
    assert_eq!(passed("picture", "hex_encode(r.content)"), "200 image/png 89ff00");
    assert_eq!(passed("nothing", "r.text"), "204");
    let data = format!(r#"{{ "query": {{ "url": {:?} }} }}"#, program.hook("up"));
    let fired = program.run(&["fire", "b", "webhook pass", "--data", &data]);
    assert!(fired.starts_with("succeeded") && fired.contains("<b>tea</b>"), "{fired}");
}

#[test]
fn a_401_response_has_a_challenge() {
    let mut program = Program::empty();
    program.write(
        "scripts/a.rhai",
        r#"
        webhook("signed", #{ hmac: #{ secret: "k3y", header: "X-Signature" } }, |request| "in");
        webhook("token", #{ token: "t0ken" }, |request| "in");
        "#,
    );
    program.start();
    let challenge = |hook: &str, headers: &str| {
        let url = program.hook(hook);
        let call = format!("let r = http_post({url:?}, #{{ headers: {headers} }}); ");
        program.eval(&format!("{call} `${{r.status_code}} ${{r.headers[\"www-authenticate\"]}}`"))
    };
    assert_eq!(challenge("signed", "#{}"), "401 HMAC-SHA256 header=\"x-signature\"");
    assert_eq!(challenge("signed", "#{ \"X-Signature\": \"00\" }"), "401 HMAC-SHA256 header=\"x-signature\"");
    assert_eq!(challenge("token", "#{}"), "401 Bearer");
    let right = "let body = \"hello\"; http_post(URL, #{ data: body, headers: #{ \"X-Signature\": hmac_sha256(\"k3y\", body) } }).text";
    let right = program.rhaid(&["eval", &right.replace("URL", &format!("{:?}", program.hook("signed")))]);
    assert_eq!(text(&right.stdout), "in\n", "{}", text(&right.stderr));
}
