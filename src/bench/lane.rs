//! One request after the other: take what is due, send it, read the answer, note what it took.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::Barrier;
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::timeout;

use super::events::Arrivals;
use super::load::{Load, Work};
use super::schedule::{Schedule, Ticket};
use super::tally::{Fault, Tally};
use super::target::{Sender, Target};

/// Time between two tries to connect, so that a server that is down is not asked without a pause.
const CONNECT_PAUSE: Duration = Duration::from_millis(10);

/// The most of an error's body that is kept to be shown, in bytes.
const EXCERPT_BYTES: usize = 300;

/// What all lanes of a run share.
pub(super) struct Run {
    pub(super) target: Target,
    pub(super) load: Arc<Load>,
    pub(super) schedule: Schedule,
    /// The most time for a request, from when it is sent.
    pub(super) timeout: Duration,
    /// Everyone is connected before the clock starts.
    pub(super) ready: Barrier,
}

/// What one thread measures, shared by its lanes.
pub(super) type Measured = Arc<Mutex<Tally>>;

/// One connection, on which one lane (HTTP/1) or several (HTTP/2) send.
pub(super) struct Line {
    run: Arc<Run>,
    measured: Measured,
    shared: AsyncMutex<Option<Sender>>,
}

/// A whole answer.
struct Answer {
    body_bytes: u64,
    arrivals: Option<Arrivals>,
}

/// Why there is none.
struct Failure {
    fault: Fault,
    what: String,
}

impl Line {
    pub(super) fn new(run: Arc<Run>, measured: Measured) -> Self {
        Self { run, measured, shared: AsyncMutex::default() }
    }

    /// Sends until the run is over.
    pub(super) async fn lane(&self) {
        let mut sender = self.connect().await;
        self.run.ready.wait().await;
        self.run.schedule.start();
        while let Some(ticket) = self.run.schedule.next().await {
            let Some((at, work)) = self.run.load.pick(ticket.number) else { return };
            let sent = Instant::now();
            let outcome = timeout(self.run.timeout, self.ask(&mut sender, at, work)).await;
            match outcome.unwrap_or_else(|_| Err(late(self.run.timeout))) {
                Ok(answer) => self.note(ticket, work, sent, &answer),
                Err(failure) => {
                    let waited =
                        matches!(failure.fault, Fault::Timeout).then(|| ticket.due.elapsed());
                    self.measured().failed(failure.fault, waited, &failure.what);
                    if failure.fault.breaks_connection() {
                        // HTTP/2 tells its streams apart, and goes on.
                        sender = sender.filter(|sender| sender.share().is_some());
                    }
                    if failure.fault == Fault::Connect {
                        tokio::time::sleep(CONNECT_PAUSE).await;
                    }
                }
            }
        }
    }

    fn note(&self, ticket: Ticket, work: &Work, sent: Instant, answer: &Answer) {
        let mut measured = self.measured();
        measured.answered(work.kind, ticket.due, answer.body_bytes);
        measured.send_delay.add(sent.saturating_duration_since(ticket.due), 1);
        if let Some(arrivals) = &answer.arrivals {
            measured.streamed(ticket.due, arrivals);
        }
    }

    async fn ask(
        &self,
        kept: &mut Option<Sender>,
        at: usize,
        work: &Work,
    ) -> Result<Answer, Failure> {
        if let Some(sender) = kept
            && !sender.is_ready().await
        {
            *kept = None;
        }
        let sender = match kept {
            Some(sender) => sender,
            None => kept.insert(self.sender().await.map_err(no_connection)?),
        };
        let response = sender.send(self.run.target.request(at, work)).await;
        let response =
            response.map_err(|error| Failure { fault: Fault::Lost, what: told(&error) })?;
        let (status, body) = (response.status(), response.into_body());
        if status.is_success() {
            return read(body, work).await;
        }
        let fault = match status.as_u16() {
            ..400 => Fault::Redirect,
            400..500 => Fault::Client,
            _ => Fault::Server,
        };
        Err(Failure { fault, what: format!("status {}: {}", status.as_u16(), excerpt(body).await) })
    }

    /// The first connection; a failure is counted, and tried again with the first request.
    async fn connect(&self) -> Option<Sender> {
        match self.sender().await {
            Ok(sender) => Some(sender),
            Err(error) => {
                self.measured().failed(Fault::Connect, None, &no_connection(error).what);
                None
            }
        }
    }

    async fn sender(&self) -> io::Result<Sender> {
        let mut shared = self.shared.lock().await;
        let open = shared.as_ref().filter(|sender| !sender.is_closed());
        if let Some(sender) = open.and_then(Sender::share) {
            return Ok(sender);
        }
        let sender = self.run.target.connect().await?;
        self.measured().connections += 1;
        *shared = sender.share();
        Ok(sender)
    }

    fn measured(&self) -> MutexGuard<'_, Tally> {
        // What another lane has counted so far is good even if it panicked.
        self.measured.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read(mut body: Incoming, work: &Work) -> Result<Answer, Failure> {
    let mut arrivals = work.stream.then(|| Arrivals::new(Instant::now()));
    let mut body_bytes = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| broken(told(&error)))?;
        let Some(data) = frame.data_ref() else { continue };
        body_bytes += data.len() as u64;
        if let Some(arrivals) = &mut arrivals {
            arrivals.see(data, Instant::now());
        }
    }
    if let Some(arrivals) = &arrivals {
        check_end(arrivals, &work.path).map_err(broken)?;
    }
    Ok(Answer { body_bytes, arrivals })
}

/// Whether a stream came to its end, as far as the API of this path says what ends it.
fn check_end(arrivals: &Arrivals, path: &str) -> Result<(), String> {
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    let ends: &[&str] = match path.rsplit(['/', ':']).next() {
        Some("completions") => &["[DONE]"],
        Some("messages") => &["message_stop"],
        Some("responses") => &["response.completed", "response.incomplete"],
        // There is no last event here, as events or as an array: the last piece says why it is the last.
        Some("streamGenerateContent") => &["\"finishReason\"", "\"blockReason\""],
        _ => return Ok(()),
    };
    if ends.iter().any(|end| arrivals.ended_with(end)) {
        return Ok(());
    }
    if arrivals.ended_with("response.failed") {
        return Err("the stream ended with `response.failed`".to_owned());
    }
    Err(format!("the stream ended without `{}`", ends.join("` or `")))
}

/// The beginning of a body, in one line. The rest is read too, so that the connection is kept.
async fn excerpt(mut body: Incoming) -> String {
    let mut bytes = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        bytes.extend(frame.into_data().unwrap_or_default());
        bytes.truncate(EXCERPT_BYTES);
    }
    String::from_utf8_lossy(&bytes).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn late(limit: Duration) -> Failure {
    Failure {
        fault: Fault::Timeout,
        what: format!("no whole answer within {} ms", limit.as_millis()),
    }
}

fn broken(what: String) -> Failure {
    Failure { fault: Fault::Broken, what }
}

fn no_connection(error: io::Error) -> Failure {
    Failure { fault: Fault::Connect, what: format!("no connection: {error}") }
}

/// An error with what lies behind it: hyper's own text says little.
fn told(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
