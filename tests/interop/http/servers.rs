//! The servers: httpbin, nginx in front of it with TLS, and a proxy.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::TIMEOUT;

/// The configuration of nginx, with placeholders in capitals.
const NGINX: &str = include_str!("nginx.conf");

/// Returns a program of the Python environment that `.ci/run` creates.
pub(crate) fn python(program: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/python/bin").join(program);
    assert!(path.exists(), "{} is missing: `.ci/run` creates it", path.display());
    path
}

/// The servers, with a temporary folder; killed when dropped.
pub(super) struct Servers {
    folder: TempDir,
    /// Placeholders for addresses and files in cases, with their values.
    placeholders: Vec<(&'static str, String)>,
    children: Vec<Child>,
    /// A listener with a full backlog, and the connections that fill it.
    _full: (TcpListener, Vec<TcpStream>),
}

impl Servers {
    /// Starts all servers, and waits until they accept connections.
    pub(super) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [bin, plain, secure, expired, stranger, other, proxy, free] = ports();
        let (full, waiting) = full();
        let at = |port| format!("127.0.0.1:{port}");
        let placeholders = vec![
            ("PLAIN_AT", at(plain)),
            ("SECURE_AT", at(secure)),
            ("EXPIRED_AT", at(expired)),
            ("STRANGER_AT", at(stranger)),
            ("OTHER_AT", at(other)),
            ("FOLDER", folder.path().display().to_string()),
            ("BIN", format!("http://127.0.0.1:{bin}")),
            ("PLAIN", format!("http://127.0.0.1:{plain}")),
            ("SECURE", format!("https://localhost:{secure}")),
            ("OTHER", format!("https://localhost:{other}")),
            ("EXPIRED", format!("https://localhost:{expired}")),
            ("STRANGER", format!("https://localhost:{stranger}")),
            ("PROXY", at(proxy)),
            ("FULL", full.local_addr().unwrap().to_string()),
            ("REFUSED", format!("http://127.0.0.1:{free}")),
        ];
        let mut servers = Self { folder, placeholders, children: Vec::new(), _full: (full, waiting) };
        servers.write();
        let nginx = servers.folder().join("nginx.conf");
        let commands = [
            Command::new(python("gunicorn"))
                .args(["--bind", &format!("127.0.0.1:{bin}"), "--worker-class", "gthread", "--threads", "16"])
                .args(["--graceful-timeout", "1", "--no-control-socket", "httpbin:app"]),
            Command::new(if Path::new("/usr/sbin/nginx").exists() { "/usr/sbin/nginx" } else { "nginx" })
                .arg("-p")
                .arg(servers.folder())
                .args(["-e", "stderr", "-c"])
                .arg(&nginx),
            Command::new(python("proxy"))
                .args(["--hostname", "127.0.0.1", "--port", &proxy.to_string(), "--basic-auth", "ann:sesame"])
                .args(["--num-workers", "1", "--num-acceptors", "1", "--log-level", "ERROR"]),
        ]
        .map(|command| command.stdout(Stdio::null()).stderr(Stdio::null()).spawn());
        servers.children.extend(commands.map(|child| child.expect("`.ci/run` installs the servers")));
        [bin, plain, secure, expired, stranger, other, proxy].into_iter().for_each(wait);
        servers
    }

    /// Returns the folder of certificates and scripts.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Replaces the placeholders in a text.
    pub(super) fn interpolate(&self, text: &str) -> String {
        self.placeholders.iter().fold(text.to_owned(), |text, (placeholder, value)| text.replace(placeholder, value))
    }

    /// Returns a command in the folder, without the proxy and CA settings of this machine.
    pub(super) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.folder()).env_remove("REQUESTS_CA_BUNDLE").env_remove("CURL_CA_BUNDLE");
        for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
            command.env_remove(name).env_remove(name.to_uppercase());
        }
        command
    }

    fn write(&self) {
        let folder = self.folder();
        fs::create_dir(folder.join("pages")).unwrap();
        fs::create_dir(folder.join("temporary")).unwrap();
        for (name, bytes) in [
            ("pages/hello.txt", &b"hello\n"[..]),
            ("pages/latin.html", b"<p>22 \xb0C</p>"),
            ("pages/gbk.html", b"<html><head><meta charset=gbk></head>\xce\xc2\xb6\xc8</html>"),
            ("pages/marked.txt", b"\xef\xbb\xbf22 \xc2\xb0C"),
            ("pages/marked.json", b"\xef\xbb\xbf{\"a\": 1}"),
            ("pages/wide.json", b"{\0\"\0a\0\"\0:\0\x31\0}\0"),
            ("pages/wrong.json", b"{\"a\": oops"),
            ("pages/empty.json", b""),
            ("rhaid.yaml", b"permissions: { \"*\": { read: [\"./**\"], write: [\"./**\"] } }\n"),
            ("upload.txt", "22 °C\n".as_bytes()),
        ] {
            fs::write(folder.join(name), bytes).unwrap();
        }
        fs::write(folder.join("pages/big.bin"), vec![b'x'; 1 << 20]).unwrap();
        fs::write(folder.join("nginx.conf"), self.interpolate(NGINX)).unwrap();
        certificates(folder);
        let compress = r"
try:
    from compression import zstd
except ImportError:
    from backports import zstd
whole = zstd.compress('22 °C\n'.encode() * 500)
open('pages/whole.zst', 'wb').write(whole)
open('pages/cut.zst', 'wb').write(whole[:-3])
";
        let compressed = Command::new(python("python")).args(["-c", compress]).current_dir(folder).status().unwrap();
        assert!(compressed.success(), "zstd is installed by `.ci/run`");
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for child in &mut self.children {
            // SIGTERM lets servers stop their worker processes.
            let _ = Command::new("kill").arg(child.id().to_string()).status();
        }
        for child in &mut self.children {
            let _ = child.wait();
        }
    }
}

/// Returns unused ports.
fn ports<const N: usize>() -> [u16; N] {
    let free = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    free.map(|listener| listener.local_addr().unwrap().port())
}

/// Returns a listener with a full backlog, so that further connections time out.
fn full() -> (TcpListener, Vec<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let timeout = Duration::from_millis(300);
    let waiting = std::iter::from_fn(|| TcpStream::connect_timeout(&address, timeout).ok()).take(10_000).collect();
    (listener, waiting)
}

fn wait(port: u16) {
    let began = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(began.elapsed() < TIMEOUT, "a server does not start");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Creates a CA and certificates: for the server, expired, self-signed, for another name, and for a client.
fn certificates(folder: &Path) {
    let script = r#"
        set -e
        key() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout $1.key -subj "/CN=$1" "${@:2}"; }
        key ca -x509 -days 2 -out ca.pem
        key stranger -x509 -days 2 -out stranger.pem -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE
        for name in server expired client other; do
            key $name -out $name.csr
            echo "subjectAltName=DNS:localhost,IP:127.0.0.1" > $name.ext
        done
        echo "subjectAltName=DNS:other.example" > other.ext
        sign() { openssl x509 -req -in $1.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile $1.ext -out $1.pem "${@:2}"; }
        sign server -days 2
        sign client -days 2
        sign other -days 2
        mkdir -p old && : > index.txt && echo 01 > serial
        printf '[ca]\ndefault_ca=c\n[c]\ndatabase=index.txt\nserial=serial\nnew_certs_dir=old\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n' > ca.conf
        openssl ca -batch -config ca.conf -in expired.csr -cert ca.pem -keyfile ca.key -extfile expired.ext -out expired.pem -notext \
            -startdate 20200101000000Z -enddate 20200201000000Z
        cat client.pem client.key > both.pem
    "#;
    let made = Command::new("bash").args(["-c", script]).current_dir(folder).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}
