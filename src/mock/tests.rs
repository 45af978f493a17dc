//! The mock on real sockets: a server in the test's own process, and a client that sees bytes.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{Options, serve};

mod anthropic;
mod bedrock;
mod dialect_faults;
mod endpoints;
mod faults;
mod gemini;
mod responses;
mod wire;

/// What no test should take: it turns a hang into a failure.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running mock; it ends with the test.
struct Mock {
    address: SocketAddr,
    task: JoinHandle<std::io::Result<()>>,
}

impl Drop for Mock {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts an instance with settings such as `status=503;fail-first=2`.
async fn mock(settings: &str) -> Mock {
    let mut options = Options { models: vec!["mock".into(), "a/b".into()], ..Options::default() };
    options.instance.set_all(settings).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    Mock { address, task: tokio::spawn(serve(options, listener)) }
}

impl Mock {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes on a connection of their own and reads to its end.
    async fn exchange(&self, request: &[u8]) -> Answer {
        let mut stream = self.connect().await;
        stream.write_all(request).await.unwrap();
        Answer::read(stream).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.exchange(request("GET", path, "", b"").as_bytes()).await
    }

    /// A POST with settings for this request, sent as headers.
    async fn post_with(&self, settings: &str, path: &str, body: &Value) -> Answer {
        let body = body.to_string();
        self.exchange(request("POST", path, &headers(settings), body.as_bytes()).as_bytes()).await
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_with("", path, body).await
    }

    async fn stats(&self) -> Value {
        self.get("/mock/stats").await.json()
    }

    /// Asks for the counters until they are as expected.
    async fn until(&self, expected: impl Fn(&Value) -> bool) -> Value {
        let look = async {
            loop {
                let stats = self.stats().await;
                if expected(&stats) {
                    return stats;
                }
            }
        };
        timeout(PATIENCE, look).await.expect("the counters never came to be as expected")
    }
}

/// The names of events in their order, each once where it repeats.
fn outline(events: &[(String, Value)]) -> Vec<&str> {
    let mut names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
    names.dedup();
    names
}

/// The texts at a place in the events, joined.
fn joined(events: &[(String, Value)], place: &str) -> String {
    events.iter().filter_map(|(_, data)| data.pointer(place)?.as_str()).collect()
}

/// A body with further members.
fn with(mut body: Value, more: Value) -> Value {
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

/// Settings as request headers.
fn headers(settings: &str) -> String {
    let entries = settings.split(';').filter(|entry| !entry.is_empty());
    let header = |entry: &str| {
        let (name, value) = entry.split_once('=').unwrap_or((entry, "1"));
        format!("x-mock-{name}: {value}\r\n")
    };
    entries.map(header).collect()
}

/// A request whose answer ends with the connection. The body must be text.
fn request(method: &str, path: &str, headers: &str, body: &[u8]) -> String {
    let length = body.len();
    let body = std::str::from_utf8(body).unwrap();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: mock\r\nconnection: close\r\n{headers}\
         content-length: {length}\r\n\r\n{body}"
    )
}

/// What came back on a connection until it ended.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    /// The HTTP chunks of a chunked body, or the body as one.
    chunks: Vec<Vec<u8>>,
    /// Whether the body came to the end that its header promised.
    complete: bool,
    /// Whether the connection was reset.
    reset: bool,
}

impl Answer {
    async fn read(mut stream: TcpStream) -> Self {
        let mut bytes = Vec::new();
        let read = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
        let reset = read.expect("the answer never ended").is_err();
        Self::parse(&bytes, reset)
    }

    fn parse(bytes: &[u8], reset: bool) -> Self {
        let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
            assert!(bytes.is_empty(), "half a header: {}", String::from_utf8_lossy(bytes));
            return Self { status: 0, head: String::new(), chunks: vec![], complete: false, reset };
        };
        let head = String::from_utf8(bytes[..end + 2].to_vec()).unwrap();
        let status = head[9..12].parse().unwrap();
        let mut answer = Self { status, head, chunks: vec![], complete: false, reset };
        let body = &bytes[end + 4..];
        if answer.header("transfer-encoding") == Some("chunked") {
            answer.read_chunks(body);
        } else {
            let length = answer.header("content-length").map(|length| length.parse().unwrap());
            answer.complete = length.is_none_or(|length: usize| length == body.len());
            answer.chunks.push(body.to_vec());
        }
        answer
    }

    fn read_chunks(&mut self, mut rest: &[u8]) {
        while let Some(line) = memchr::memchr(b'\n', rest) {
            let size = std::str::from_utf8(&rest[..line - 1]).unwrap();
            let size = usize::from_str_radix(size, 16).unwrap();
            let data = line + 1;
            assert_eq!(&rest[data + size..data + size + 2], b"\r\n");
            if size == 0 {
                self.complete = true;
                assert_eq!(rest.len(), data + 2, "bytes behind the last chunk");
                return;
            }
            self.chunks.push(rest[data..data + size].to_vec());
            rest = &rest[data + size + 2..];
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    fn text(&self) -> String {
        String::from_utf8(self.chunks.concat()).unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text()).unwrap()
    }

    /// The data of a stream's events; each must have come as an HTTP chunk of its own.
    fn events(&self) -> Vec<String> {
        let data = |chunk: &Vec<u8>| {
            let text = std::str::from_utf8(chunk).unwrap();
            text.strip_prefix("data: ").unwrap().strip_suffix("\n\n").unwrap().to_owned()
        };
        self.chunks.iter().map(data).collect()
    }

    /// Names and data of a stream's events, where events have names.
    fn named_events(&self) -> Vec<(String, Value)> {
        let event = |chunk: &Vec<u8>| {
            let text = std::str::from_utf8(chunk).unwrap();
            let (name, data) = text.strip_prefix("event: ").unwrap().split_once('\n').unwrap();
            let data = data.strip_prefix("data: ").unwrap().strip_suffix("\n\n").unwrap();
            let data: Value = serde_json::from_str(data).unwrap_or_default();
            assert!(data.is_null() || data["type"] == name, "{text}");
            (name.to_owned(), data)
        };
        self.chunks.iter().map(event).collect()
    }

    /// The events of a stream, without `[DONE]`, which must be the last.
    fn event_values(&self) -> Vec<Value> {
        let mut events = self.events();
        assert_eq!(events.pop().as_deref(), Some("[DONE]"));
        events.iter().map(|event| serde_json::from_str(event).unwrap()).collect()
    }
}
