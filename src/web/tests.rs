//! Tests of the web server over TCP.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};

use super::server_limits::{MAX_HEAD_BYTES, SERVER_LIMITS, ServerLimits};
use super::*;
use crate::event::ReceivedRequest;
use crate::secrets::Secret;
use crate::services::routes::{Access, Pattern, RequestSink, Route, RouteRegistration, Routes, WebhookResponse};

fn route(path: &str, access: Access) -> Route {
    Route { path: Pattern::parse(path).unwrap(), methods: Vec::new(), access, max_body: 64 }
}

fn token() -> Access {
    Access::Token(Secret::new("s3cret"))
}

/// Responds to every request with the result of a function.
struct Answers<F>(F);

impl<F: Fn(ReceivedRequest) -> String + Send + Sync> RequestSink for Answers<F> {
    fn submit(&self, request: ReceivedRequest) -> BoxFuture<'static, WebhookResponse> {
        let body = self.0(request).into_bytes();
        let headers = vec![("x-extra".into(), "1".into()), ("content-length".into(), "9999".into())];
        Box::pin(async { WebhookResponse { status: 200, headers, body } })
    }
}

fn answering(
    routes: &Routes,
    route: Route,
    answer: impl Fn(ReceivedRequest) -> String + Send + Sync + 'static,
) -> RouteRegistration {
    routes.register(route, Answers(answer))
}

/// A request, and the sender of its response.
type Pending = (ReceivedRequest, oneshot::Sender<WebhookResponse>);

impl RequestSink for mpsc::UnboundedSender<Pending> {
    fn submit(&self, request: ReceivedRequest) -> BoxFuture<'static, WebhookResponse> {
        let (answer, response) = oneshot::channel();
        self.send((request, answer)).unwrap();
        Box::pin(async { response.await.unwrap_or_else(|_| ok()) })
    }
}

fn ok() -> WebhookResponse {
    WebhookResponse { status: 200, headers: Vec::new(), body: Vec::new() }
}

async fn start(routes: &Routes) -> Server {
    serve("127.0.0.1:0".parse().unwrap(), routes.clone()).await.unwrap()
}

/// Sends raw bytes and returns everything received until the server closes the connection.
async fn send_raw(server: &Server, request: &str) -> String {
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let _ = stream.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

async fn call(server: &Server, method: &str, path: &str, headers: &str, body: &str) -> String {
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    send_raw(
        server,
        &format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}{length}\r\n{body}"),
    )
    .await
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("none")
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

#[tokio::test]
async fn a_request_is_passed_to_the_handler_and_its_response_is_returned() {
    let routes = Routes::default();
    let _door = answering(&routes, route("door/{id}", Access::Public), |request| {
        let header = request.headers.get("x-colour").map(|value| value.to_str().unwrap());
        format!(
            "{} {} {:?} {:?} {header:?} {} {}",
            request.method,
            request.path,
            request.params,
            request.query,
            request.text(),
            request.remote
        )
    });
    let server = start(&routes).await;
    let answer = call(&server, "POST", "/hooks/door/a%20b?x=1&x=2&y=%C3%A9", "X-Colour: red\r\n", "hello").await;
    assert_eq!(status(&answer), "200");
    assert_eq!(
        body(&answer),
        r#"POST door/a b {"id": "a b"} [("x", "1"), ("x", "2"), ("y", "é")] Some("red") hello 127.0.0.1"#
    );
    assert!(answer.contains("x-extra: 1\r\n"), "{answer}");
    assert!(!answer.contains("9999"), "{answer}");
    let answer = call(&server, "HEAD", "/hooks/door/a", "", "").await;
    assert_eq!((status(&answer), body(&answer)), ("200", ""));
    server.stop().await;
}

#[tokio::test]
async fn requests_without_a_handler_get_the_matching_status() {
    let routes = Routes::default();
    let only_get = Route { methods: vec!["GET".into()], ..route("lamp", Access::Public) };
    let _door = answering(&routes, only_get, |request| request.method.to_string());
    let server = start(&routes).await;
    for (method, path, expected) in [
        ("GET", "/", "200"),
        ("GET", "/health", "200"),
        ("POST", "/health", "405"),
        ("GET", "/nowhere", "404"),
        ("GET", "/hooks/", "404"),
        ("GET", "/hooks/nobody", "404"),
        ("GET", "/hooks/%ff", "404"),
        ("GET", "/hooks/a/../lamp", "404"),
        ("GET", "/hooks/lamp", "200"),
        ("GET", "/hooks/lamp/", "200"),
        ("HEAD", "/hooks/lamp", "200"),
        ("POST", "/hooks/lamp", "405"),
        ("OPTIONS", "/hooks/lamp", "204"),
    ] {
        let answer = call(&server, method, path, "", "").await;
        assert_eq!(status(&answer), expected, "{method} {path}: {answer}");
        if path == "/hooks/lamp" && matches!(method, "POST" | "OPTIONS") {
            assert!(answer.contains("allow: GET, HEAD, OPTIONS\r\n"), "{answer}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn a_token_is_accepted_in_three_places_and_hidden_from_the_handler() {
    let routes = Routes::default();
    let _door =
        answering(&routes, route("door", token()), |request| format!("{:?} {:?}", request.headers, request.query));
    let server = start(&routes).await;
    for (path, header) in [
        ("/hooks/door", "Authorization: Bearer s3cret\r\n"),
        ("/hooks/door", "authorization: bearer  s3cret\r\n"),
        ("/hooks/door", "X-Token: s3cret\r\n"),
        ("/hooks/door?a=1&token=s3cret", ""),
    ] {
        let answer = call(&server, "GET", path, header, "").await;
        assert_eq!(status(&answer), "200", "{path} {header}");
        assert!(!answer.contains("s3cret"), "{answer}");
    }
    for (path, header) in [
        ("/hooks/door", ""),
        ("/hooks/door", "Authorization: Bearer s3cre\r\n"),
        ("/hooks/door", "Authorization: Bearer s3cret!\r\n"),
        ("/hooks/door", "Authorization: Basic s3cret\r\n"),
        ("/hooks/door?token=", "X-Token:\r\n"),
        ("/hooks/door?token=S3cret", ""),
    ] {
        let answer = call(&server, "GET", path, header, "").await;
        assert_eq!((status(&answer), body(&answer)), ("401", "unauthorized\n"), "{path} {header}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_signature_must_fit_the_body() {
    let routes = Routes::default();
    // Key, body and signature as in GitHub's documentation, "Validating webhook deliveries".
    let access =
        Access::Hmac { secret: Secret::new("It's a Secret to Everybody"), header: "x-hub-signature-256".into() };
    let _door = answering(&routes, route("hub", access), |request| request.text().into_owned());
    let server = start(&routes).await;
    let right = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    for (header, body, expected) in [
        (format!("X-Hub-Signature-256: sha256={right}\r\n"), "Hello, World!", "200"),
        (format!("X-Hub-Signature-256: {}\r\n", right.to_uppercase()), "Hello, World!", "200"),
        (format!("X-Hub-Signature-256: sha256={right}\r\n"), "Hello, World?", "401"),
        (format!("X-Hub-Signature-256: sha256={}\r\n", &right[..62]), "Hello, World!", "401"),
        ("X-Hub-Signature-256: sha256=\r\n".into(), "Hello, World!", "401"),
        ("X-Hub-Signature-256: what\r\n".into(), "Hello, World!", "401"),
        (String::new(), "Hello, World!", "401"),
    ] {
        let answer = call(&server, "POST", "/hooks/hub", &header, body).await;
        assert_eq!(status(&answer), expected, "{header}");
    }
    server.stop().await;
}

#[tokio::test]
async fn unauthenticated_requests_are_rejected_before_the_body_is_read() {
    let routes = Routes::default();
    let _door = answering(&routes, route("door", token()), |_| String::new());
    let server = start(&routes).await;
    // The body never comes.
    let head = "POST /hooks/door HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 50\r\n\r\n";
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 401");
    drop(stream);
    server.stop().await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_turned_away_with_and_without_a_length() {
    let routes = Routes::default();
    let _door = answering(&routes, route("door", Access::Public), |request| request.body.len().to_string());
    let server = start(&routes).await;
    let answer = call(&server, "POST", "/hooks/door", "", &"x".repeat(64)).await;
    assert_eq!((status(&answer), body(&answer)), ("200", "64"));
    let answer = call(&server, "POST", "/hooks/door", "", &"x".repeat(65)).await;
    assert_eq!((status(&answer), body(&answer)), ("413", "at most 64 bytes\n"));
    let chunk = format!("40\r\n{}\r\n", "x".repeat(64));
    let chunked = |chunks: &str| {
        format!(
            "POST /hooks/door HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"
        )
    };
    assert_eq!(status(&send_raw(&server, &chunked(&chunk)).await), "200");
    assert_eq!(status(&send_raw(&server, &chunked(&format!("{chunk}1\r\nx\r\n"))).await), "413");
    server.stop().await;
}

#[tokio::test]
async fn a_request_is_finished_after_its_webhook_is_removed() {
    let routes = Routes::default();
    let (sink, mut requests) = mpsc::unbounded_channel::<Pending>();
    let door = routes.register(route("door", Access::Public), sink);
    let server = start(&routes).await;
    let removed = tokio::spawn(async move {
        let (_, answer) = requests.recv().await.unwrap();
        drop(door);
        answer.send(ok()).unwrap();
    });
    assert_eq!(status(&call(&server, "GET", "/hooks/door", "", "").await), "200");
    removed.await.unwrap();
    assert_eq!(status(&call(&server, "GET", "/hooks/door", "", "").await), "404");
    server.stop().await;
}

#[tokio::test]
async fn shutdown_finishes_the_current_request_and_accepts_no_other() {
    let routes = Routes::default();
    let (sink, mut requests) = mpsc::unbounded_channel::<Pending>();
    let _slow = routes.register(route("slow", Access::Public), sink);
    let server = start(&routes).await;
    let address = server.address();
    let answered = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&answered);
    let client = tokio::spawn(async move {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /hooks/slow HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8(answer).unwrap()
    });
    let (_, answer) = requests.recv().await.unwrap();
    let stopping = tokio::spawn(async move {
        server.stop().await;
        assert!(answered.load(Ordering::SeqCst));
    });
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    flag.store(true, Ordering::SeqCst);
    answer.send(WebhookResponse { body: b"done".to_vec(), ..ok() }).unwrap();
    assert_eq!(body(&client.await.unwrap()), "done");
    stopping.await.unwrap();
}

#[tokio::test]
async fn a_port_in_use_is_reported_with_the_key_to_change() {
    let first = BoundServer::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let error = BoundServer::bind(first.address()).await.err().unwrap().to_string();
    let expected =
        format!("{} is in use by another program: set `web.listen` in rhaid.yaml to another port", first.address());
    assert_eq!(error, expected);
    let error = BoundServer::bind("192.0.2.1:0".parse().unwrap()).await.err().unwrap().to_string();
    assert!(error.contains("`web.listen`"), "{error}");
}

async fn start_within(routes: &Routes, limits: ServerLimits) -> Server {
    BoundServer::bind("127.0.0.1:0".parse().unwrap()).await.unwrap().serve_within(routes.clone(), limits).unwrap()
}

#[tokio::test]
async fn slow_clients_are_disconnected() {
    let routes = Routes::default();
    let _door = answering(&routes, route("door", Access::Public), |_| String::new());
    let short = Duration::from_millis(100);
    let server =
        start_within(&routes, ServerLimits { head_timeout: short, body_timeout: short, ..SERVER_LIMITS }).await;
    // An incomplete head, an incomplete body, and an idle connection.
    assert!(matches!(status(&send_raw(&server, "GET /hooks/door HTTP/1.1\r\nHost: x\r\n").await), "408" | "none"));
    let answer = send_raw(&server, "POST /hooks/door HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab").await;
    assert_eq!((status(&answer), body(&answer)), ("408", "timeout while reading the body\n"));
    assert_eq!(send_raw(&server, "").await, "");
    server.stop().await;
}

#[tokio::test]
async fn a_head_that_is_too_long_is_rejected() {
    let server = start(&Routes::default()).await;
    let answer = call(&server, "GET", "/health", &format!("X-Long: {}\r\n", "x".repeat(64 << 10)), "").await;
    assert!(matches!(status(&answer), "431" | "none"), "{answer}");
    assert_eq!(status(&call(&server, "GET", "/health", "", "").await), "200");
    server.stop().await;
}

#[tokio::test]
async fn requests_beyond_the_memory_wait_for_earlier_ones_up_to_a_timeout() {
    let routes = Routes::default();
    let (sink, mut requests) = mpsc::unbounded_channel::<Pending>();
    let _door = routes.register(route("door", Access::Public), sink);
    let limits = ServerLimits {
        request_memory: 2 * MAX_HEAD_BYTES as u32 + 50,
        body_timeout: Duration::from_millis(300),
        ..SERVER_LIMITS
    };
    let server = Arc::new(start_within(&routes, limits).await);
    let post = |body: String| {
        let server = server.clone();
        tokio::spawn(async move { call(&server, "POST", "/hooks/door", "", &body).await })
    };
    let long = "x".repeat(40);
    let first = post(long.clone());
    let (queued, answer) = requests.recv().await.unwrap();
    // The memory is used until the request is dropped, even if its client has disconnected.
    first.abort();
    drop(answer);
    let refused = post(long.clone()).await.unwrap();
    assert_eq!((status(&refused), body(&refused)), ("503", "busy\n"));
    assert!(refused.contains("retry-after: 1\r\n"), "{refused}");
    // A request that fits beside it does not wait.
    let short = post("x".repeat(10));
    requests.recv().await.unwrap().1.send(ok()).unwrap();
    assert_eq!(status(&short.await.unwrap()), "200");
    let second = post(long);
    drop(queued);
    requests.recv().await.unwrap().1.send(ok()).unwrap();
    assert_eq!(status(&second.await.unwrap()), "200");
}
