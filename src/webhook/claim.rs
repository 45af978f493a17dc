//! Which of the gateways that share a Valkey delivers a document.
//!
//! The first to claim it does. A claim that is not followed by a delivery runs out, and another one takes it
//! over: so a document is delivered once, and not lost with the gateway that was about to. While Valkey
//! cannot be asked, each gateway delivers; the id is the same.

use std::io;
use std::time::Duration;

use chrono::Utc;
use redis::{RedisError, cmd};

use super::document::Document;
use crate::valkey::{Settings, Valkey};

/// What stands in the place of a document that is delivered.
const DONE: &str = "delivered";

/// What stands there while somebody delivers it.
const CLAIMED: &str = "claimed";

/// A claim lasts so much longer than all attempts may take: for the way to Valkey and back.
const MARGIN: Duration = Duration::from_secs(5);

/// How long a delivery is remembered behind the end of its period.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// The claims of all gateways.
pub struct Claims {
    server: Valkey,
}

/// Whose a document is.
#[derive(Debug, PartialEq, Eq)]
pub enum Claim {
    /// This gateway's.
    Ours,
    /// Another's, for so long.
    Theirs(Duration),
    /// It is delivered.
    Done,
}

impl Claims {
    /// Claims in a Valkey.
    ///
    /// # Errors
    /// Where its URL is none.
    pub fn new(settings: &Settings) -> io::Result<Self> {
        // What is said of the URL may quote a password.
        let unusable = |_| io::Error::other("`valkey.url` is no address of Valkey");
        Ok(Self { server: Valkey::new(settings.clone()).map_err(unusable)? })
    }

    /// Claims a document for as long as its delivery may take.
    pub async fn claim(&self, id: &str, patience: Duration) -> Claim {
        self.ask(id, patience.saturating_add(MARGIN)).await.unwrap_or_else(|error| {
            log::warn!(
                "budget webhook: whether another gateway delivers {id} is not known: {error}"
            );
            Claim::Ours
        })
    }

    /// Notes that a document is delivered.
    pub async fn done(&self, document: &Document) {
        if let Err(error) = self.note(document).await {
            log::warn!("budget webhook: others cannot be told of {}: {error}", document.id);
        }
    }

    async fn ask(&self, id: &str, lasts: Duration) -> Result<Claim, RedisError> {
        let (place, mut connection) = (self.place(id), self.server.connection()?);
        let mut set = cmd("SET");
        set.arg(&place).arg(CLAIMED).arg("NX").arg("PX").arg(millis(lasts));
        if set.query_async::<Option<String>>(&mut connection).await?.is_some() {
            return Ok(Claim::Ours);
        }
        let said: Option<String> = cmd("GET").arg(&place).query_async(&mut connection).await?;
        if said.as_deref() == Some(DONE) {
            return Ok(Claim::Done);
        }
        let left: i64 = cmd("PTTL").arg(&place).query_async(&mut connection).await?;
        // Negative where it has just run out.
        Ok(Claim::Theirs(Duration::from_millis(u64::try_from(left).unwrap_or(0).saturating_add(1))))
    }

    async fn note(&self, document: &Document) -> Result<(), RedisError> {
        let left = (document.ends - Utc::now()).to_std().unwrap_or_default();
        let mut set = cmd("SET");
        set.arg(self.place(&document.id)).arg(DONE);
        set.arg("PX").arg(millis(left.saturating_add(REMEMBERED)));
        set.query_async(&mut self.server.connection()?).await
    }

    fn place(&self, id: &str) -> String {
        format!("{}:webhook:{id}", self.server.prefix())
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
