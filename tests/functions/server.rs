//! HTTP servers: one that echoes requests, similar to httpbin, and one that sends raw bytes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, LINK, LOCATION, RETRY_AFTER, SET_COOKIE, WWW_AUTHENTICATE,
};
use axum::http::{HeaderMap, Response};
use parking_lot::Mutex;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// Starts the server; it ends with the runtime.
pub(super) async fn start() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(respond)).await });
    address
}

/// Starts a server that sends these bytes on every connection, then endless chunks if `endless`, and never closes.
pub(super) async fn start_raw(respond: &'static [u8], endless: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(respond).await;
                while endless && stream.write_all(b"4000\r\n").await.is_ok() {
                    let _ = stream.write_all(&[b'x'; 0x4000]).await;
                    let _ = stream.write_all(b"\r\n").await;
                }
                tokio::time::sleep(Duration::from_secs(600)).await;
            });
        }
    });
    address
}

async fn respond(request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 32 << 20).await.unwrap();
    let path = parts.uri.path().to_owned();
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let steps: Vec<_> = path.trim_matches('/').split('/').collect();
    let plain = Response::builder();
    match steps.as_slice() {
        ["redirect" | "circle" | "to", ..] | ["cookies", "set"] => redirect(&steps, &query),
        ["status", status] => plain.status(status.parse::<u16>().unwrap()).body("sorry".into()),
        ["pages"] => plain.header(LINK, "</pages?page=2>; rel=\"next\", </pages?page=9>; rel=last").body("[]".into()),
        ["slow"] => {
            tokio::time::sleep(Duration::from_secs(600)).await;
            plain.body(Body::empty())
        }
        ["bytes", count] => plain.body(vec![b'x'; count.parse().unwrap()].into()),
        ["bomb"] => plain.header(CONTENT_ENCODING, "gzip").body(include_bytes!("bombs/bomb.gz").as_slice().into()),
        ["lines", count] => {
            let lines = (1..=count.parse::<u32>().unwrap())
                .map(|n| Ok::<_, std::convert::Infallible>(format!("{{\"n\":{n}}}\r\n")));
            plain.body(Body::from_stream(futures_util::stream::iter(lines)))
        }
        ["events"] => plain
            .header(CONTENT_TYPE, "text/event-stream")
            .body(": hello\n\nevent: door\ndata: open\nid: 1\n\ndata: closed\nid: 2\n\n".into()),
        ["flaky", id, failures] => flaky(id, failures.parse().unwrap()),
        ["digest"] if !parts.headers.contains_key(AUTHORIZATION) => plain
            .status(401)
            .header(WWW_AUTHENTICATE, "Digest realm=\"house\", nonce=\"abc\", qop=\"auth\", algorithm=SHA-256")
            .body("unauthorized".into()),
        ["late", after] => {
            tokio::time::sleep(Duration::from_millis(after.parse().unwrap())).await;
            plain.body("late".into())
        }
        ["zipped"] => plain.header(CONTENT_ENCODING, "gzip").body(b"\x1f\x8b".as_slice().into()),
        ["gbk", "page"] => {
            let page = encoding_rs::GBK.encode("<html><p>温度太高了，请检查冰箱的门是否关好</p></html>").0;
            plain.header(CONTENT_TYPE, "text/html").body(page.into_owned().into())
        }
        ["gbk"] => plain.header(CONTENT_TYPE, "text/html").body(b"\xce\xc2\xb6\xc8".as_slice().into()),
        ["wrong.json"] => plain.header(CONTENT_TYPE, "application/json").body("{\"a\": oops".into()),
        _ => {
            let echo = json!({
                "method": parts.method.as_str(),
                "path": path,
                "query": query,
                "headers": headers(&parts.headers),
                "body": String::from_utf8_lossy(&body),
            });
            plain.header(CONTENT_TYPE, "application/json").body(echo.to_string().into())
        }
    }
    .unwrap()
}

/// Returns a redirect.
fn redirect(steps: &[&str], query: &str) -> Result<Response<Body>, axum::http::Error> {
    let plain = Response::builder();
    match steps {
        ["redirect", left] => {
            let next = match left.parse::<u32>().unwrap() {
                1 => "/get".to_owned(),
                left => format!("/redirect/{}", left - 1),
            };
            plain
                .status(302)
                .header(LOCATION, next)
                .header(SET_COOKIE, format!("hop{left}=1; Path=/"))
                .body(Body::empty())
        }
        ["circle"] => plain.status(301).header(LOCATION, "/circle").body(Body::empty()),
        ["cookies", ..] => query
            .split('&')
            .fold(plain.status(302).header(LOCATION, "/get"), |respond, pair| {
                respond.header(SET_COOKIE, format!("{pair}; Path=/"))
            })
            .body(Body::empty()),
        _ => {
            let target = query.strip_prefix("url=").unwrap_or_default();
            plain.status(307).header(LOCATION, target).body(Body::empty())
        }
    }
}

/// Fails `failures` times per id, then succeeds.
fn flaky(id: &str, failures: u32) -> Result<Response<Body>, axum::http::Error> {
    static COUNTS: Mutex<BTreeMap<String, u32>> = Mutex::new(BTreeMap::new());
    let mut counts = COUNTS.lock();
    let count = counts.entry(id.to_owned()).or_default();
    *count += 1;
    let plain = Response::builder();
    let plain = if *count <= failures { plain.status(503).header(RETRY_AFTER, "0") } else { plain };
    plain.body(count.to_string().into())
}

fn headers(headers: &HeaderMap) -> serde_json::Map<String, serde_json::Value> {
    let text = |value: &axum::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned().into();
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect()
}
