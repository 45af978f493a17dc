//! The public keys of issuers: fetched in the background, read by requests without a lock.
//!
//! A request never waits for an issuer. A token that names an unknown key is refused, and the set is asked
//! for again, not sooner than [`DOUBT_PAUSE`] after the last time: whoever sends nonsense causes no more.

use std::collections::HashMap;
use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use futures_util::future::join_all;
use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, PublicKeyUse};
use log::{info, warn};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};

use crate::config::snapshot::jwt::{Issuer, JwkSet, Jwks};
use crate::telemetry::metrics::{IssuerMetrics, Metrics};
use crate::upstream;

/// The shortest time between two fetches of one set, whatever tokens say.
const DOUBT_PAUSE: Duration = Duration::from_secs(10);

/// How long after a failure is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// How long a process waits for keys before it serves without those that are late.
const FIRST_WAIT: Duration = Duration::from_secs(5);

/// The keys of all issuers in use.
pub struct KeySets {
    metrics: Arc<Metrics>,
    /// Locked at reloads and by the background service.
    live: Mutex<HashMap<Jwks, Weak<LiveSet>>>,
    wake: Arc<Notify>,
}

/// The keys of one issuer, as they are now.
pub struct LiveSet {
    source: Jwks,
    name: String,
    keys: ArcSwapOption<Keys>,
    metrics: Arc<IssuerMetrics>,
    wake: Arc<Notify>,
    clock: Mutex<Clock>,
    /// Whether it was fetched once, well or not.
    tried: watch::Sender<bool>,
}

/// One state of a set.
pub struct Keys(Vec<(Option<String>, DecodingKey)>);

/// When a set was asked for, and when it will be.
struct Clock {
    last: Option<Instant>,
    next: Instant,
}

impl KeySets {
    /// No sets yet.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, live: Mutex::default(), wake: Arc::default() }
    }

    /// The keys of an issuer; the same for the same source, while anybody holds them.
    pub fn of(&self, issuer: &Issuer) -> Arc<LiveSet> {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.retain(|_, set| set.strong_count() > 0);
        if let Some(set) = live.get(&issuer.jwks).and_then(Weak::upgrade) {
            return set;
        }
        let metrics = self.metrics.issuer(&issuer.name);
        let set = Arc::new(LiveSet::new(issuer, metrics, Arc::clone(&self.wake)));
        live.insert(issuer.jwks.clone(), Arc::downgrade(&set));
        self.wake.notify_one();
        set
    }

    /// Fetches what is due, for ever.
    pub async fn keep(&self) {
        let mut client = None;
        loop {
            let (due, next) = self.due(Instant::now());
            if !due.is_empty() && client.is_none() {
                let made = upstream::client();
                client = made.map_err(|why| warn!("public keys cannot be fetched: {why}")).ok();
            }
            if let Some(client) = &client {
                join_all(due.iter().map(|set| set.fetch(client))).await;
            }
            if due.is_empty() {
                let sleep = async {
                    match next {
                        Some(next) => sleep_until(next).await,
                        None => pending().await,
                    }
                };
                tokio::select! { () = sleep => {}, () = self.wake.notified() => {} }
            }
        }
    }

    /// The sets to be fetched now, and when the next one is.
    fn due(&self, now: Instant) -> (Vec<Arc<LiveSet>>, Option<Instant>) {
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        let sets = live.values().filter_map(Weak::upgrade);
        let (mut due, mut first) = (Vec::new(), None);
        for set in sets.filter(|set| matches!(set.source, Jwks::Url(..))) {
            let next = set.clock().next;
            if next <= now {
                due.push(set);
            } else {
                first = Some(first.map_or(next, |first: Instant| first.min(next)));
            }
        }
        (due, first)
    }
}

impl LiveSet {
    fn new(issuer: &Issuer, metrics: Arc<IssuerMetrics>, wake: Arc<Notify>) -> Self {
        let set = Self {
            source: issuer.jwks.clone(),
            name: issuer.name.clone(),
            keys: ArcSwapOption::empty(),
            metrics,
            wake,
            clock: Mutex::new(Clock { last: None, next: Instant::now() }),
            tried: watch::Sender::new(false),
        };
        if let Jwks::Text(text) = &set.source {
            // It was parsed when the configuration was read.
            set.replace(serde_json::from_str(text).unwrap_or(JwkSet { keys: Vec::new() }));
        }
        set
    }

    /// The keys now; `None` before the first were fetched.
    pub fn keys(&self) -> Option<Arc<Keys>> {
        self.keys.load_full()
    }

    /// A token names a key that is not there: it may be new.
    pub fn doubt(&self) {
        let mut clock = self.clock();
        let soon = clock.last.map_or_else(Instant::now, |last| last + DOUBT_PAUSE);
        if soon < clock.next {
            clock.next = soon;
            self.wake.notify_one();
        }
    }

    /// Returns once the set was fetched, or could not be, or is late.
    pub async fn tried(&self) {
        let mut tried = self.tried.subscribe();
        // The sender lives as long as this does.
        let _late = timeout(FIRST_WAIT, tried.wait_for(|tried| *tried)).await;
    }

    async fn fetch(&self, client: &reqwest::Client) {
        let Jwks::Url(url, refresh) = &self.source else { return };
        self.clock().last = Some(Instant::now());
        let answer = upstream::json::<JwkSet>(client.get(&**url)).await;
        let wait = match answer {
            Ok(set) => {
                self.replace(set);
                *refresh
            }
            Err(why) => {
                warn!("issuer {}: its public keys cannot be fetched: {why}", self.name);
                self.metrics.failed();
                self.tried.send_replace(true);
                RETRY.min(*refresh)
            }
        };
        self.clock().next = Instant::now() + wait;
    }

    fn replace(&self, set: JwkSet) {
        let keys: Vec<_> = set.keys.into_iter().filter_map(verifying).collect();
        if self.keys.load().is_none() {
            info!("issuer {}: {} public keys are in use", self.name, keys.len());
        }
        self.metrics.fetched(keys.len());
        self.keys.store(Some(Arc::new(Keys(keys))));
        self.tried.send_replace(true);
    }

    fn clock(&self) -> std::sync::MutexGuard<'_, Clock> {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keys {
    /// The keys that may have signed a token: the one it names, or all where it names none.
    pub fn named(&self, kid: Option<&str>) -> impl Iterator<Item = &DecodingKey> {
        let fits =
            move |named: &Option<String>| kid.is_none_or(|kid| named.as_deref() == Some(kid));
        self.0.iter().filter(move |(named, _)| fits(named)).map(|(_, key)| key)
    }
}

/// A key of the set that verifies signatures. A symmetric one does not: whoever can verify could sign.
fn verifying(key: serde_json::Value) -> Option<(Option<String>, DecodingKey)> {
    let key: Jwk = serde_json::from_value(key).ok()?;
    let symmetric = matches!(key.algorithm, AlgorithmParameters::OctetKey(_));
    let signs = matches!(key.common.public_key_use, None | Some(PublicKeyUse::Signature));
    let usable = DecodingKey::from_jwk(&key).ok().filter(|_| signs && !symmetric)?;
    Some((key.common.key_id, usable))
}
