//! The background service that keeps credentials fresh: one task for each that must be fetched.

use std::collections::HashMap;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use log::{info, warn};
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use reqwest::Client;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::LiveCredential;
use super::fetch::{self, Fresh, Why};
use super::schedule::{DOUBT_PAUSE, LIFETIME_MAX, refresh_in, retry_in};
use crate::types::ProviderId;
use crate::upstream::Registry;

/// Keeps a registry's credentials fresh.
pub struct Keeper(Arc<Registry>);

impl Keeper {
    /// Keeps all credentials that must be fetched, also those that a reload will bring.
    pub fn new(registry: Arc<Registry>) -> Self {
        Self(registry)
    }
}

#[async_trait]
impl BackgroundService for Keeper {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let mut generation = self.0.generation();
        let mut tasks = Tasks::default();
        loop {
            generation.borrow_and_update();
            tasks.renew(self.0.credentials());
            tokio::select! {
                _ = shutdown.changed() => return,
                changed = generation.changed() => if changed.is_err() { return },
            }
        }
    }
}

/// The tasks that run: dropped, they end.
#[derive(Default)]
struct Tasks {
    /// Made with the first credential that needs it: most processes have none.
    client: Option<Client>,
    tasks: JoinSet<()>,
    running: HashMap<ProviderId, (Arc<LiveCredential>, AbortHandle)>,
}

impl Tasks {
    /// Keeps exactly these credentials; those that are the same go on.
    fn renew(&mut self, credentials: Vec<Arc<LiveCredential>>) {
        let mut before = std::mem::take(&mut self.running);
        for live in credentials.into_iter().filter(|live| live.needs_fetching()) {
            let entry = match before.remove(&live.provider) {
                Some((old, task)) if Arc::ptr_eq(&old, &live) => (old, task),
                other => {
                    if let Some((_, task)) = other {
                        task.abort();
                    }
                    let Some(client) = self.client() else { continue };
                    (Arc::clone(&live), self.tasks.spawn(fetched_by(client, live)))
                }
            };
            self.running.insert(entry.0.provider.clone(), entry);
        }
        for (_, task) in before.into_values() {
            task.abort();
        }
        // What was aborted is let go of.
        while self.tasks.try_join_next().is_some() {}
    }

    fn client(&mut self) -> Option<Client> {
        if self.client.is_none() {
            let made = fetch::client();
            self.client = made.map_err(|why| warn!("credentials cannot be fetched: {why}")).ok();
        }
        self.client.clone()
    }
}

/// Keeps a credential fresh that a client fetches.
async fn fetched_by(client: Client, live: Arc<LiveCredential>) {
    let fetch = |live: Arc<LiveCredential>| {
        let client = client.clone();
        async move { live.fetch(&client).await }
    };
    keep(live, fetch).await;
}

/// Keeps one credential fresh, for ever.
pub(super) async fn keep<F>(live: Arc<LiveCredential>, fetch: impl Fn(Arc<LiveCredential>) -> F)
where
    F: Future<Output = Result<Fresh, Why>>,
{
    if !live.is_usable() {
        live.metrics.lost();
    }
    let mut failures = 0;
    let mut ends_at = None;
    loop {
        let fetched = fetch(Arc::clone(&live)).await.and_then(held);
        let now = Instant::now();
        let wait = match fetched {
            Ok(fresh) => {
                if failures > 0 || ends_at.is_none() {
                    info!("provider {}: its credential is fetched", live.provider);
                }
                failures = 0;
                ends_at = fresh.lifetime.map(|lifetime| now + lifetime);
                let wait = fresh.lifetime.map(refresh_in);
                live.replace(fresh);
                wait
            }
            Err(why) => {
                failures += 1;
                warn!("provider {}: its credential cannot be fetched: {why}", live.provider);
                live.failed();
                Some(retry_in(failures))
            }
        };
        rest(&live, now, wait, &mut ends_at).await;
    }
}

/// A credential that has ended before it came is none; one that lasts absurdly long is replaced in time all the same.
fn held(fresh: Fresh) -> Result<Fresh, Why> {
    match fresh.lifetime {
        Some(Duration::ZERO) => Err("what was given out has expired already".into()),
        lifetime => Ok(Fresh { lifetime: lifetime.map(|left| left.min(LIFETIME_MAX)), ..fresh }),
    }
}

/// Waits until the next fetch is due; a credential that ends meanwhile is taken away.
async fn rest(
    live: &LiveCredential,
    since: Instant,
    wait: Option<Duration>,
    ends_at: &mut Option<Instant>,
) {
    let due = wait.map(|wait| since + wait);
    loop {
        tokio::select! {
            () = at(due) => return,
            () = at(*ends_at) => {
                warn!("provider {}: its credential has expired", live.provider);
                live.expire();
                *ends_at = None;
            }
            () = doubted(live, since) => return,
        }
    }
}

async fn doubted(live: &LiveCredential, since: Instant) {
    live.doubted.notified().await;
    sleep_until(since + DOUBT_PAUSE).await;
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => pending().await,
    }
}
