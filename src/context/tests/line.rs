//! A client's way to a gateway: in this process, or in one of its own, which can be killed.
//!
//! The other process is this test binary again, with nothing but [`a_gateway_of_its_own`] to run. It
//! connects back over a socket, once for each client; a question and its answer are a line of JSON each.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Mutex;

use super::gateway::Gateway;
use super::model::{Answer, Ask, Document};
use crate::context::store::Store;
use crate::context::store::embedded::Embedded;
use crate::context::store::valkey::tests::store_at;

/// What the other process is to do, as JSON.
const ORDERS: &str = "TOLLGATE_TEST_GATEWAY";

/// The test that is the other process, as the test binary names it.
const NAME: &str = "context::tests::line::a_gateway_of_its_own";

/// A client's way to a gateway.
#[derive(Clone)]
pub enum Line {
    Here(Arc<Gateway>),
    There(Arc<Mutex<BufReader<UnixStream>>>),
}

/// What goes over a line.
#[derive(Serialize, Deserialize)]
enum Question {
    Ask { tenant: String, ask: Ask },
    Readable { tenant: String, id: usize },
    Press { bytes: usize },
    Clock { now: i64 },
}

#[derive(Serialize, Deserialize)]
struct Orders {
    /// Where the test listens.
    socket: PathBuf,
    lines: usize,
    at: Place,
    now: i64,
}

/// Where contexts are kept.
#[derive(Clone, Serialize, Deserialize)]
pub enum Place {
    Embedded(PathBuf),
    Valkey { socket: PathBuf, prefix: String },
}

/// A gateway in a process of its own; killed when dropped.
pub struct Process {
    child: Child,
    lines: Vec<Line>,
}

impl Line {
    /// What is answered; `None` where the gateway was killed before it answered.
    pub async fn ask(&self, tenant: &str, ask: &Ask) -> Option<Answer> {
        match self {
            Self::Here(gateway) => Some(gateway.ask(tenant, ask).await),
            Self::There(_) => {
                let tenant = tenant.to_owned();
                self.exchange(&Question::Ask { tenant, ask: ask.clone() }).await
            }
        }
    }

    /// What can be read of a context; `None` where the store is not there.
    pub async fn readable(&self, tenant: &str, id: usize) -> Option<Vec<Option<Document>>> {
        match self {
            Self::Here(gateway) => gateway.readable(tenant, id).await,
            Self::There(_) => {
                let tenant = tenant.to_owned();
                self.exchange(&Question::Readable { tenant, id }).await.unwrap()
            }
        }
    }

    /// Takes room for a context of another tenant, and gives it back; how much it was.
    pub async fn press(&self, bytes: usize) -> usize {
        match self {
            Self::Here(gateway) => gateway.press(bytes).await,
            Self::There(_) => self.exchange(&Question::Press { bytes }).await.unwrap(),
        }
    }

    /// It is this moment there.
    pub async fn set_clock(&self, now: i64) {
        match self {
            Self::Here(gateway) => gateway.set_clock(now),
            Self::There(_) => self.exchange(&Question::Clock { now }).await.unwrap(),
        }
    }

    async fn exchange<T: for<'de> Deserialize<'de>>(&self, question: &Question) -> Option<T> {
        let Self::There(stream) = self else { unreachable!() };
        let mut stream = stream.lock().await;
        write(&mut stream, question).await?;
        read(&mut stream).await
    }
}

impl Process {
    /// Starts a process with lines for so many clients, over what is kept at a place.
    pub async fn start(at: &Place, lines: usize, now: i64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("socket");
        let listener = UnixListener::bind(&socket).unwrap();
        let orders = Orders { socket, lines, at: at.clone(), now };
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", NAME, "--nocapture"])
            .env(ORDERS, serde_json::to_string(&orders).unwrap())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut process = Self { child, lines: Vec::new() };
        while process.lines.len() < lines {
            let accepted = tokio::time::timeout(Duration::from_secs(60), listener.accept()).await;
            let (stream, _) = accepted.expect("the other process connects").unwrap();
            process.lines.push(Line::There(Arc::new(Mutex::new(BufReader::new(stream)))));
        }
        process
    }

    /// A client's line.
    pub fn line(&self, client: usize) -> Line {
        self.lines[client % self.lines.len()].clone()
    }

    /// Kills the process in the middle of whatever it does.
    pub fn kill(&mut self) {
        // SIGKILL, by its id; it may have been killed before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Ends the process in order: it closes its store.
    pub fn end(&mut self) {
        self.lines.clear();
        let ended = self.child.wait().unwrap();
        assert!(ended.success(), "{ended}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What the other process runs. Among all tests it has no orders, and there is nothing to do.
#[test]
fn a_gateway_of_its_own() {
    let Ok(orders) = std::env::var(ORDERS) else { return };
    let orders: Orders = serde_json::from_str(&orders).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let gateway = Arc::new(match &orders.at {
            Place::Embedded(path) => Gateway::over(open(path), orders.now),
            Place::Valkey { socket, prefix } => Gateway::over(store_at(socket, prefix), orders.now),
        });
        let mut serving = tokio::task::JoinSet::new();
        for _ in 0..orders.lines {
            let stream = UnixStream::connect(&orders.socket).await.unwrap();
            serving.spawn(serve(gateway.clone(), BufReader::new(stream)));
        }
        serving.join_all().await;
    });
}

/// The store on disk; what was killed before has left its directory.
fn open(path: &Path) -> Embedded {
    let store = Embedded::open(path, Duration::from_millis(1)).unwrap();
    assert!(store.stock().is_some(), "the directory is free");
    store
}

/// Answers what comes over a line, until it is closed.
async fn serve(gateway: Arc<Gateway>, mut stream: BufReader<UnixStream>) {
    while let Some(question) = read(&mut stream).await {
        let answered = match question {
            Question::Ask { tenant, ask } => {
                write(&mut stream, &gateway.ask(&tenant, &ask).await).await
            }
            Question::Readable { tenant, id } => {
                write(&mut stream, &gateway.readable(&tenant, id).await).await
            }
            Question::Press { bytes } => write(&mut stream, &gateway.press(bytes).await).await,
            Question::Clock { now } => {
                gateway.set_clock(now);
                write(&mut stream, &()).await
            }
        };
        if answered.is_none() {
            return;
        }
    }
}

async fn write(stream: &mut BufReader<UnixStream>, value: &impl Serialize) -> Option<()> {
    let mut line = serde_json::to_vec(value).unwrap();
    line.push(b'\n');
    stream.write_all(&line).await.ok()
}

async fn read<T: for<'de> Deserialize<'de>>(stream: &mut BufReader<UnixStream>) -> Option<T> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    // A process that is killed may have written a part of a line.
    let line = line.strip_suffix('\n')?;
    Some(serde_json::from_str(line).unwrap())
}
