//! What is made at run time, taken into use: by this process at once, by others that share the roster
//! when they next look.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use log::{info, warn};
use serde_json::Value;
use tokio::sync::{Mutex, watch};

use super::State;
use crate::config;
use crate::config::objects::{Objects, SetAside};
use crate::config::snapshot::Snapshot;
use crate::config::snapshot::made::Names;
use crate::roster::edit::{Edit, Edited, Refusal};
use crate::roster::{Author, Edition, Entry, Failure, Roster};
use crate::types::Secret;

/// How often is looked whether others have changed something: they wait a second at most.
const LOOK: Duration = Duration::from_millis(250);

/// How long a starting process waits for the roster before it serves without it.
const FIRST_WAIT: Duration = Duration::from_secs(5);

/// How often a change is tried that others come before.
const TRIES_MAX: usize = 32;

/// What is made at run time, as it was last seen.
pub struct Runtime {
    roster: Roster,
    /// One look or change at a time.
    seen: Mutex<Option<Edition>>,
    /// Whether it was seen once.
    read: watch::Sender<bool>,
}

/// A change that is in effect.
pub struct Changed {
    /// How it is; null where it is no more.
    pub after: Value,
    /// The secret that was made with it: to be shown once.
    pub secret: Option<Secret>,
}

impl Runtime {
    /// Over a roster, and what is known of it at the start.
    pub(super) fn new(roster: Roster, seen: Option<Edition>) -> Self {
        let read = watch::Sender::new(seen.is_some());
        Self { roster, seen: Mutex::new(seen), read }
    }

    /// Where it is kept.
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// Returns once the roster was read, or is late.
    pub async fn read(&self) {
        let mut read = self.read.subscribe();
        // The sender lives as long as this does.
        let _late = tokio::time::timeout(FIRST_WAIT, read.wait_for(|read| *read)).await;
    }
}

impl State {
    /// What is made at run time, where it is kept.
    ///
    /// # Errors
    /// `Nowhere`.
    pub fn runtime(&self) -> Result<&Runtime, Refusal> {
        self.runtime.as_ref().ok_or(Refusal::Nowhere)
    }

    /// Looks at the roster for as long as the process runs.
    pub async fn keep_runtime(&self) {
        let Some(runtime) = &self.runtime else { return };
        let mut is_failing = false;
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let looked = self.look(&mut *runtime.seen.lock().await, runtime).await;
            self.metrics.roster.looked(looked.is_ok());
            match &looked {
                Ok(()) if is_failing => info!("the roster can be read again"),
                Err(failure) if !is_failing => warn!("{failure}; what is known stays in effect"),
                _ => {}
            }
            is_failing = looked.is_err();
        }
    }

    /// Takes the last edition into use, if it is not yet.
    async fn look(&self, seen: &mut Option<Edition>, runtime: &Runtime) -> Result<(), Failure> {
        let last = runtime.roster.edition().await?;
        if seen.as_ref() == Some(&last) {
            return Ok(());
        }
        let (edition, objects) = runtime.roster.read().await?;
        if seen.is_some() && edition == Edition::default() {
            warn!("the roster is empty now: it was lost, or removed");
        }
        self.lay(Arc::new(objects)).await;
        *seen = Some(edition);
        runtime.read.send_replace(true);
        Ok(())
    }

    /// Makes a change: it is kept and in effect here when this returns. `edit` may be called several
    /// times, where others change the roster too.
    ///
    /// # Errors
    /// What `edit` says; `Invalid` where the result could not be in effect, `InUse` where something
    /// else could not be any more; `Nowhere`, `Failed` and `Busy`.
    pub async fn change(
        &self,
        author: &Author,
        edit: impl Fn(Edit<'_>) -> Result<Edited, Refusal>,
    ) -> Result<Changed, Refusal> {
        let runtime = self.runtime()?;
        let mut seen = runtime.seen.lock().await;
        for _ in 0..TRIES_MAX {
            self.look(&mut seen, runtime).await.map_err(Refusal::Failed)?;
            let (file, objects) = self.sources();
            let (now, names) = (Utc::now(), Names::of(&file));
            let mut next = Objects::clone(&objects);
            let edited = edit(Edit { objects: &mut next, names: &names, now })?;
            judge(&edited, &config::lay_over(&file, &next), &self.active().snapshot)?;
            let Edited { action, name, before, after, secret, .. } = edited;
            let entry = Entry { at: now, author: author.clone(), action, name, before, after };
            let expected = seen.clone().unwrap_or_default();
            let replaced = runtime.roster.replace(&expected, &next, &entry).await;
            if let Some(edition) = replaced.map_err(Refusal::Failed)? {
                self.lay(Arc::new(next)).await;
                *seen = Some(edition);
                info!("{} `{}` by {}", entry.action, entry.name, entry.author.by);
                return Ok(Changed { after: entry.after, secret });
            }
        }
        Err(Refusal::Busy)
    }

    /// Notes in the audit log what is done beside the roster.
    pub async fn note(&self, author: Author, action: &'static str, name: &str, after: Value) {
        let Some(runtime) = &self.runtime else { return };
        let (at, name, before) = (Utc::now(), name.to_owned(), Value::Null);
        let entry = Entry { at, author, action, name, before, after };
        if let Err(failure) = runtime.roster.note(&entry).await {
            warn!("{action} is not in the audit log: {failure}");
        }
    }
}

/// Whether a change leaves everything in effect that was, and what it made too.
fn judge(edited: &Edited, next: &Snapshot, active: &Snapshot) -> Result<(), Refusal> {
    let is_own = |other: &&SetAside| other.sort == edited.sort && other.name == edited.name;
    let set_aside = &next.made.set_aside;
    if let Some(own) = set_aside.iter().find(is_own) {
        return Err(Refusal::Invalid(own.why.clone()));
    }
    let is_new = |other: &&SetAside| {
        let mut before = active.made.set_aside.iter();
        !before.any(|before| (before.sort, &before.name) == (other.sort, &other.name))
    };
    match set_aside.iter().find(is_new) {
        None => Ok(()),
        Some(SetAside { sort, name, why }) => Err(Refusal::InUse(format!(
            "the {} `{name}` needs it as it is: {}",
            sort.name(),
            why.join("; ")
        ))),
    }
}

/// Says what is set aside now and was not before.
pub(super) fn tell(before: &[SetAside], now: &[SetAside]) {
    for SetAside { sort, name, why } in now.iter().filter(|other| !before.contains(other)) {
        let (sort, why) = (sort.name(), why.join("; "));
        warn!("the {sort} `{name}`, made at run time, is set aside: {why}");
    }
}
