//! Summaries: what stands for the oldest messages of a context in prompts that grow too long.
//!
//! A model makes one behind the turn whose prompt came near the window ([`Contexts::fold_later`]), so
//! no client waits for it, and a turn that comes before it is there lets the oldest turns stay behind.
//! It is kept beside its context, as a context of its own under an id that no client can name: it is
//! seen by every node, expires like the other, and makes no version that a client did not ask for. It
//! says which messages it stands for by a digest, so one that is outdated by a rollback is not used.

mod patience;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use log::warn;
use reqwest::Client;
use reqwest::header::CONTENT_TYPE;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use self::patience::Patience;
use super::log::{Change, Document, Entry};
use super::message::Message;
use super::store::{Keep, Key};
use super::{Contexts, now};
use crate::config::snapshot::contexts::Summary;
use crate::error::Result;
use crate::telemetry::metrics::SummaryEnd;
use crate::types::Version;
use crate::upstream::credential::fetch;

/// What the ids of summaries begin with: no client can name such a context.
const BESIDE: &str = "~summary:";

/// How a summary begins in a prompt.
const OPENING: &str = "What was said before, in short:\n";

/// Summaries that are made at one time; beyond that, a later turn asks again.
const UNDER_WAY_MAX: usize = 32;

/// A summary, and how many messages it stands for.
#[derive(Debug)]
pub struct Fold {
    /// From the first on; those that must stay are sent beside it.
    pub count: usize,
    /// Sent in their place.
    pub message: Message,
}

/// A summary that is wanted.
pub struct Wanted {
    /// How many messages it will stand for.
    pub count: usize,
    /// Their digest.
    pub digest: String,
    /// What is to be summarised: the summary before, and what came behind it.
    pub messages: Vec<Message>,
    /// Who does it.
    pub summary: Arc<Summary>,
}

/// Summaries on their way, and what they are asked for with.
#[derive(Default)]
pub struct Summaries {
    asked: Mutex<AskedFor>,
    client: OnceLock<Client>,
}

#[derive(Default)]
struct AskedFor {
    under_way: HashSet<Key>,
    failed: Patience,
}

/// What is kept with a summary.
#[derive(Serialize, Deserialize)]
struct About {
    count: usize,
    digest: String,
}

/// Of a chat completion, what is read.
#[derive(Deserialize)]
struct Completion {
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    message: Answer,
}

#[derive(Deserialize)]
struct Answer {
    content: Option<String>,
}

impl Contexts {
    /// The summary of these messages' beginning, where there is one.
    ///
    /// # Errors
    /// `ContextStore`.
    pub async fn fold(&self, key: &Key, messages: &[&Message]) -> Result<Option<Fold>> {
        let Some(log) = self.read(&beside(key)).await? else { return Ok(None) };
        let kept = log.latest();
        let about = serde_json::from_str(kept.data).ok();
        Ok(about.zip(kept.messages.first()).and_then(|(about, message): (About, _)| {
            let count = about.count;
            let covered = messages.get(..count)?;
            let is_same = digest(covered) == about.digest;
            is_same.then(|| Fold { count, message: (*message).clone() })
        }))
    }

    /// Has a summary made in the background, unless one of this context is under way, or failed and is
    /// to be waited for.
    pub fn fold_later(self: &Arc<Self>, key: Key, wanted: Wanted, keep: Keep) {
        {
            let mut asked = self.summaries.lock();
            let is_full = asked.under_way.len() >= UNDER_WAY_MAX;
            let is_early = !asked.failed.is_over(&key, Instant::now());
            if is_full || is_early || !asked.under_way.insert(key.clone()) {
                return;
            }
        }
        let contexts = self.clone();
        tokio::spawn(async move {
            let made = contexts.make(&key, &wanted, &keep).await;
            contexts.summaries.over(&key, made.is_ok(), Instant::now());
            if let Err(why) = &made {
                warn!("no summary of a context: {why}");
            }
            let end = if made.is_ok() { SummaryEnd::Made } else { SummaryEnd::Failed };
            contexts.metrics.contexts.summary(end);
        });
    }

    async fn make(
        &self,
        key: &Key,
        wanted: &Wanted,
        keep: &Keep,
    ) -> std::result::Result<(), String> {
        let text = self.summaries.ask(wanted).await?;
        let text = json!({"role": "system", "content": format!("{OPENING}{text}")}).to_string();
        let message = Message::read(&text).map_err(|error| error.to_string())?;
        let before: u64 = wanted.messages.iter().map(|message| u64::from(message.tokens)).sum();
        if u64::from(message.tokens) >= before {
            return Err("it is no shorter than what it stands for".into());
        }
        let about = About { count: wanted.count, digest: wanted.digest.clone() };
        let data = serde_json::to_string(&about).map_err(|error| error.to_string())?;
        let document = Document { messages: vec![message], data: data.into() };
        let key = beside(key);
        let told = |error: crate::error::Error| error.to_string();
        let last = self.read(&key).await.map_err(told)?;
        let version = last.map_or(Version(0), |log| log.version()).next();
        // Of two nodes that do this at one time, one meets a conflict, and the other's is as good.
        let entry = Entry { version, at: now(), change: Change::Whole(document) };
        let keep = Keep { versions_max: 1, ..*keep };
        self.append(&key, entry, &keep).await.map_err(told)
    }

    /// Removes the summary of a context that is removed. Where it cannot be, it expires.
    pub async fn unfold(&self, key: &Key) {
        self.summaries.lock().failed.forget(key);
        let _removed = self.store.remove(&beside(key)).await;
    }
}

impl Summaries {
    /// Asks the model.
    async fn ask(&self, wanted: &Wanted) -> std::result::Result<String, String> {
        let Wanted { messages, summary, .. } = wanted;
        let lines: Vec<&str> = messages.iter().map(|message| &*message.text).collect();
        let body = json!({
            "model": summary.model,
            "max_completion_tokens": summary.tokens_max,
            "messages": [
                {"role": "system", "content": summary.prompt},
                {"role": "user", "content": lines.join("\n")},
            ],
        });
        let request = self.client()?.post(&*summary.url).timeout(summary.timeout);
        let request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        let request = match &summary.key {
            Some(key) => request.bearer_auth(key.expose()),
            None => request,
        };
        let answer: Completion = fetch::json(request).await?;
        let text = answer.choices.into_iter().next().and_then(|choice| choice.message.content);
        let text = text.filter(|text| !text.trim().is_empty());
        text.ok_or_else(|| "the model's answer has no text".into())
    }

    fn client(&self) -> std::result::Result<&Client, String> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let made = fetch::client()?;
        Ok(self.client.get_or_init(|| made))
    }

    /// One is no longer under way.
    fn over(&self, key: &Key, is_made: bool, now: Instant) {
        let mut asked = self.lock();
        asked.under_way.remove(key);
        match is_made {
            true => asked.failed.forget(key),
            false => asked.failed.failed(key, now),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, AskedFor> {
        // No code that can panic runs under the lock, so there is nothing broken to see.
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What messages say, in 64 digits.
pub fn digest(messages: &[&Message]) -> String {
    let mut digest = Sha256::new();
    for message in messages {
        digest.update((message.text.len() as u64).to_le_bytes());
        digest.update(message.text.as_bytes());
    }
    hex::encode(digest.finalize())
}

/// Where the summary of a context is kept.
fn beside(key: &Key) -> Key {
    Key { tenant: key.tenant.clone(), id: format!("{BESIDE}{}", key.id).as_str().into() }
}
