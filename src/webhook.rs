//! Budgets' warnings, told to a receiver elsewhere: a document for each share that is passed, signed, and
//! tried again until it is taken.
//!
//! All of it happens on a thread of its own, behind a bounded queue, and goes on while the process drains. What
//! is told is told with an id that is the same at every gateway and after a restart, so that a receiver
//! can know it again; gateways that share a Valkey leave it to one of them.

mod claim;
mod document;

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use chrono::Utc;
use http::header::CONTENT_TYPE;
use log::{info, warn};
use reqwest::{Client, Response, StatusCode};
use tokio::runtime::Builder;
use tokio::sync::OnceCell;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use self::claim::{Claim, Claims};
use self::document::signature;
pub use self::document::{Document, Passed};
use crate::config::snapshot::webhook::Webhook;
use crate::telemetry::metrics::{Delivery, Metrics};
use crate::upstream;
use crate::valkey::Settings;

/// Documents that wait to be delivered.
const QUEUE_MAX: usize = 1000;

/// Documents that are being delivered.
const UNDER_WAY_MAX: usize = 64;

/// The longest wait between two attempts.
const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// How long until is looked again at what another gateway delivers.
const LOOK: Duration = Duration::from_secs(1);

/// How long a process that ends waits for what is under way.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// The way to the receiver.
pub struct Webhooks {
    /// Where it is now; `None`: nobody is told.
    receiver: ArcSwapOption<Webhook>,
    queue: Mutex<Option<Sender<Letter>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    metrics: Arc<Metrics>,
}

/// What is to be delivered, and where.
struct Letter {
    document: Document,
    receiver: Arc<Webhook>,
}

/// What delivers.
struct Post {
    /// Made for the first document: most processes never need one.
    client: OnceCell<Client>,
    claims: Option<Claims>,
    metrics: Arc<Metrics>,
}

impl Webhooks {
    /// Starts the thread that delivers. Gateways that share `valkey` deliver each document once.
    ///
    /// # Errors
    /// Where there is no thread to be had.
    pub fn start(metrics: Arc<Metrics>, valkey: Option<&Settings>) -> std::io::Result<Self> {
        let (queue, letters) = mpsc::channel(QUEUE_MAX);
        let claims = valkey.map(Claims::new).transpose()?;
        let post = Post { client: OnceCell::new(), claims, metrics: Arc::clone(&metrics) };
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("webhooks".to_owned());
        let thread =
            thread.spawn(move || runtime.block_on(deliver_all(letters, Arc::new(post))))?;
        Ok(Self {
            receiver: ArcSwapOption::empty(),
            queue: Mutex::new(Some(queue)),
            thread: Mutex::new(Some(thread)),
            metrics,
        })
    }

    /// From now on it is this receiver that is told.
    pub fn aim(&self, receiver: Option<Arc<Webhook>>) {
        self.receiver.store(receiver);
    }

    /// Tells the receiver, if there is one, soon.
    pub fn tell(&self, passed: &Passed<'_>) {
        let Some(receiver) = self.receiver.load_full() else { return };
        let letter = Letter { document: Document::new(passed, Utc::now()), receiver };
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.as_ref().is_none_or(|queue| queue.try_send(letter).is_err()) {
            self.metrics.admission.delivered(Delivery::Dropped);
        }
    }

    /// Waits, not for long, until what there is to tell is told. Not for a worker's thread.
    pub fn close(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A panic was told when it happened.
        let _ended = thread.map(JoinHandle::join);
    }
}

async fn deliver_all(mut letters: Receiver<Letter>, post: Arc<Post>) {
    let mut under_way = JoinSet::new();
    loop {
        tokio::select! {
            letter = letters.recv(), if under_way.len() < UNDER_WAY_MAX => {
                let Some(letter) = letter else { break };
                let post = Arc::clone(&post);
                under_way.spawn(async move {
                    post.metrics.admission.delivered(post.deliver(&letter).await);
                });
            }
            Some(_) = under_way.join_next() => {}
        }
    }
    let rest = async { while under_way.join_next().await.is_some() {} };
    if timeout(CLOSE_WAIT, rest).await.is_err() {
        warn!("budget webhook: the process ends before all warnings are delivered");
    }
}

impl Post {
    async fn deliver(&self, letter: &Letter) -> Delivery {
        if let Some(claims) = &self.claims {
            let patience = letter.receiver.patience();
            loop {
                match claims.claim(&letter.document.id, patience).await {
                    Claim::Ours => break,
                    Claim::Done => return Delivery::Elsewhere,
                    // Whoever has it may die; most are done within a moment.
                    Claim::Theirs(left) => sleep(left.min(LOOK)).await,
                }
            }
        }
        let end = self.post(letter).await;
        if let (Some(claims), Delivery::Delivered) = (&self.claims, end) {
            claims.done(&letter.document).await;
        }
        end
    }

    async fn post(&self, Letter { document, receiver }: &Letter) -> Delivery {
        let mut attempt = 1;
        loop {
            let why = match self.attempt(document, receiver).await {
                Ok(answer) if answer.status().is_success() => {
                    info!("budget webhook: {} is delivered", document.id);
                    return Delivery::Delivered;
                }
                Ok(answer) if !may_pass_later(answer.status()) => {
                    let status = answer.status();
                    warn!("budget webhook: {} is refused: status {status}", document.id);
                    return Delivery::Refused;
                }
                Ok(answer) => format!("status {}", answer.status()),
                Err(why) => why,
            };
            let attempts_max = receiver.attempts_max;
            warn!("budget webhook: {}, attempt {attempt} of {attempts_max}: {why}", document.id);
            if attempt >= attempts_max {
                return Delivery::Failed;
            }
            sleep(receiver.wait(attempt).mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            attempt += 1;
        }
    }

    async fn attempt(
        &self,
        document: &Document,
        receiver: &Webhook,
    ) -> Result<Response, upstream::Why> {
        let client = self.client.get_or_try_init(async || upstream::client()).await?;
        let now = Utc::now().timestamp();
        let mut request = client
            .post(receiver.url.expose())
            .timeout(receiver.timeout)
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", &document.id)
            .header("webhook-timestamp", now);
        if let Some(secret) = &receiver.signing {
            request = request.header("webhook-signature", signature(document, now, secret));
        }
        for (name, value) in &receiver.headers {
            request = request.header(name, value);
        }
        request.body(document.body.clone()).send().await.map_err(upstream::told)
    }
}

impl Webhook {
    /// The longest wait behind an attempt.
    fn wait(&self, attempt: u32) -> Duration {
        self.backoff.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(BACKOFF_MAX)
    }

    /// How long all attempts may take.
    fn patience(&self) -> Duration {
        let waits: Duration = (1..self.attempts_max).map(|attempt| self.wait(attempt)).sum();
        self.timeout.saturating_mul(self.attempts_max).saturating_add(waits)
    }
}

/// Whether the receiver may take later what it does not take now.
fn may_pass_later(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
}
