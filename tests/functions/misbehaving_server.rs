//! HTTP server for fault injection: malformed, contradictory and endless responses.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The status line of a valid response.
const OK: &str = "HTTP/1.1 200 OK\r\n";

/// The action after the bytes of a response.
enum Then {
    /// Waits for the next request on the connection.
    Next,
    /// Closes the connection.
    Close,
    /// Resets the connection (TCP RST).
    Reset,
    /// Keeps the connection open without sending more.
    Hold,
    /// Sends more bytes after 50 ms, and waits for the next request.
    Later(&'static [u8]),
    /// Sends these bytes in an endless loop.
    Repeat(Vec<u8>),
    /// Sends these bytes every 20 ms in an endless loop.
    Drip(Vec<u8>),
}

/// The bytes of a response, and the action after them.
type Response = (Vec<u8>, Then);

/// The server; it ends with the runtime.
#[derive(Clone)]
pub(super) struct MisbehavingServer {
    pub(super) address: SocketAddr,
    /// The heads of all requests.
    heads: Arc<Mutex<Vec<String>>>,
}

impl MisbehavingServer {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self { address: listener.local_addr().unwrap(), heads: Arc::default() };
        let accepting = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(accepting.clone().serve(stream));
            }
        });
        server
    }

    /// Returns the heads of all requests so far.
    pub(super) fn heads(&self) -> Vec<String> {
        self.heads.lock().clone()
    }

    async fn serve(self, mut stream: TcpStream) -> Option<()> {
        stream.set_nodelay(true).ok()?;
        loop {
            let head = head(&mut stream).await?;
            let path = head.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
            self.heads.lock().push(head);
            let (bytes, then) = response(&path);
            stream.write_all(&bytes).await.ok()?;
            match then {
                Then::Next => continue,
                Then::Later(bytes) => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    stream.write_all(bytes).await.ok()?;
                }
                Then::Close => return None,
                Then::Reset => {
                    #[expect(deprecated, reason = "a linger time of zero does not block")]
                    stream.set_linger(Some(Duration::ZERO)).ok()?;
                    return None;
                }
                Then::Hold => tokio::time::sleep(Duration::from_secs(600)).await,
                Then::Repeat(bytes) => loop {
                    stream.write_all(&bytes).await.ok()?;
                },
                Then::Drip(bytes) => loop {
                    stream.write_all(&bytes).await.ok()?;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                },
            }
        }
    }
}

/// Reads a request up to its body; `None` when there is none.
async fn head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
        // A TLS handshake gets a plain response.
        if head[0] == 0x16 {
            break;
        }
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}

/// Returns the response for a path.
fn response(path: &str) -> Response {
    let found = wrong_length(path).or_else(|| malformed_head(path)).or_else(|| malformed_body(path));
    found.unwrap_or_else(|| match path.strip_prefix("to/") {
        Some(target) => raw(
            &format!("HTTP/1.1 302 Found\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n", unescaped(target)),
            Then::Next,
        ),
        None => raw("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", Then::Next),
    })
}

/// Returns responses with wrong lengths or chunks.
fn wrong_length(path: &str) -> Option<Response> {
    Some(match path {
        "valid" => with("Content-Length: 5\r\n", b"valid", Then::Next),
        "too-short" => with("Content-Length: 1000\r\n", b"x", Then::Close),
        "too-long" => {
            with("Content-Length: 5\r\n", b"12345HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfake", Then::Next)
        }
        "two-halves" => with("Content-Length: 8\r\n", b"half", Then::Later(b"HALF")),
        "two-lengths" => with("Content-Length: 5\r\nContent-Length: 50\r\n", b"12345", Then::Close),
        "length-of-words" => with("Content-Length: five\r\n", b"12345", Then::Close),
        "length-below-zero" => with("Content-Length: -5\r\n", b"12345", Then::Close),
        "length-beyond-all" => with("Content-Length: 18446744073709551615\r\n", b"12345", Then::Hold),
        "broken-chunk" => chunks(b"zzz\r\n", Then::Hold),
        "huge-chunk" => chunks(b"FFFFFFFFFFFFFFFFF\r\nx", Then::Hold),
        "endless-chunk-name" => chunks(b"1;", Then::Repeat(vec![b'a'; 1 << 16])),
        "half-a-chunk" => chunks(b"10\r\nabc", Then::Close),
        "no-last-chunk" => chunks(b"3\r\nabc\r\n", Then::Close),
        "endless-trailers" => chunks(b"0\r\n", Then::Repeat(b"X-More: of this\r\n".repeat(4_096))),
        _ => return None,
    })
}

/// Returns responses with malformed heads.
fn malformed_head(path: &str) -> Option<Response> {
    Some(match path {
        "endless-headers" => raw(OK, Then::Repeat(b"X-More: of this\r\n".repeat(4_096))),
        "endless-header" => raw(&format!("{OK}X-Long: "), Then::Repeat(vec![b'a'; 1 << 16])),
        "long-header" => with(&format!("X-Long: {}\r\nContent-Length: 0\r\n", "a".repeat(8 << 20)), b"", Then::Next),
        "endless-status" => raw("HTTP/1.1 200 ", Then::Repeat(vec![b'a'; 1 << 16])),
        "half-the-headers" => raw(&format!("{OK}X-Half"), Then::Close),
        "headers-without-names" => with(": nothing\r\nno colon\r\n", b"", Then::Close),
        "wild-header" => with("X-Wild: \u{1}\u{7}\r\nContent-Length: 0\r\n", b"", Then::Next),
        "dripping-headers" => raw(OK, Then::Drip(b"X: y\r\n".to_vec())),
        "garbage" => raw("SSH-2.0-OpenSSH_9.6\r\n\r\n", Then::Hold),
        "http-0.9" => raw("<html>hello</html>", Then::Close),
        "wild-status" => raw("HTTP/1.1 99999 What\r\n\r\n", Then::Hold),
        "status-below" => raw("HTTP/1.1 99 What\r\n\r\n", Then::Hold),
        "other-version" => raw("HTTP/7.1 200 OK\r\nContent-Length: 0\r\n\r\n", Then::Hold),
        "continue-flood" => raw("", Then::Drip(b"HTTP/1.1 100 Continue\r\n\r\n".repeat(100))),
        "hints-flood" => raw("", Then::Drip(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(100))),
        "switching" => raw("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", Then::Hold),
        _ => return None,
    })
}

/// Returns responses with malformed bodies and encodings.
fn malformed_body(path: &str) -> Option<Response> {
    Some(match path {
        "gzip-bomb" => packed("gzip", include_bytes!("bombs/bomb.gz")),
        "brotli-bomb" => packed("br", include_bytes!("bombs/bomb.br")),
        "zstd-bomb" => packed("zstd", include_bytes!("bombs/bomb.zst")),
        "bomb-in-a-bomb" => packed("gzip, gzip", include_bytes!("bombs/bomb.gz.gz")),
        "no-gzip" => packed("gzip", b"this is plain text"),
        "half-a-gzip" => packed("gzip", &include_bytes!("bombs/bomb.gz")[..100]),
        "no-zstd" => packed("zstd", b"this is plain text"),
        "endless" => chunks(b"", Then::Repeat([&b"10000\r\n"[..], &[b'x'; 0x10000], b"\r\n"].concat())),
        "endless-without-chunks" => with("", b"", Then::Repeat(vec![b'x'; 1 << 16])),
        "drip" => chunks(b"", Then::Drip(b"1\r\nx\r\n".to_vec())),
        "body-that-stops" => with("Content-Length: 1000\r\n", b"x", Then::Hold),
        "silence" => (Vec::new(), Then::Hold),
        "nothing" => (Vec::new(), Then::Close),
        "reset" => (Vec::new(), Then::Reset),
        "reset-in-the-body" => with("Content-Length: 1000\r\n", b"x", Then::Reset),
        "redirect-without-target" => raw("HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", Then::Next),
        "redirect-with-endless-body" => raw(
            "HTTP/1.1 302 Found\r\nLocation: /valid\r\nTransfer-Encoding: chunked\r\n\r\n",
            Then::Repeat([&b"10000\r\n"[..], &[b'x'; 0x10000], b"\r\n"].concat()),
        ),
        "deep-json" => {
            let deep = "[".repeat(100_000);
            with(&format!("Content-Length: {}\r\n", deep.len()), deep.as_bytes(), Then::Next)
        }
        "no-text" => {
            with("Content-Length: 4\r\nContent-Type: text/plain; charset=utf-8\r\n", b"\xff\xfe\xc0\xaf", Then::Next)
        }
        "foreign-cookie" => with(
            "Content-Length: 0\r\nSet-Cookie: a=1; Domain=example.com\r\nSet-Cookie: b=2; Domain=com\r\nSet-Cookie: c=3; Path=/elsewhere\r\n",
            b"",
            Then::Next,
        ),
        _ => return None,
    })
}

/// Returns a response with a valid status line.
fn with(headers: &str, body: &[u8], then: Then) -> Response {
    let mut bytes = format!("{OK}{headers}\r\n").into_bytes();
    bytes.extend_from_slice(body);
    (bytes, then)
}

/// Returns a response with a `Content-Encoding`.
fn packed(encoding: &str, body: &[u8]) -> Response {
    with(&format!("Content-Length: {}\r\nContent-Encoding: {encoding}\r\n", body.len()), body, Then::Next)
}

/// Returns a chunked response.
fn chunks(body: &[u8], then: Then) -> Response {
    with("Transfer-Encoding: chunked\r\n", body, then)
}

/// Returns a response of exactly these bytes.
fn raw(text: &str, then: Then) -> Response {
    (text.as_bytes().to_vec(), then)
}

fn unescaped(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}
