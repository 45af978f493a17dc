//! From `Raw` to `Snapshot`: what the values mean, each and together.
//!
//! Every check reports where it stands and goes on with a value that does no harm; a snapshot
//! built after any report is thrown away by the caller. Files and environment variables are read
//! here, once, so that what was checked is what is used.

mod added;
mod contexts;
mod credential;
mod headers;
mod jwt;
mod key;
mod limits;
mod model;
mod platform;
mod prices;
mod provider;
mod rewrite;
mod secret;
mod server;
mod shares;
mod template;
mod terms;
mod tls;
mod url;
mod usage;
mod valkey;
mod webhook;

pub use added::lay_over;
pub use tls::{certified_key, client_verifier};

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::raw::prices::Unpriced;
use super::raw::{self, Raw};
use super::snapshot::terms::Terms;
use super::snapshot::{AccessLog, Model, Reload, Snapshot};
use super::spot::Spot;
use crate::types::Revision;

/// The longest name of anything, in bytes: names become metric labels and log members.
const NAME_BYTES_MAX: usize = 200;

/// Where relative files lie and environment variables come from.
pub(super) struct Surroundings<'a> {
    /// The directory of the configuration.
    pub(super) base_dir: &'a Path,
    /// The environment.
    pub(super) variable: &'a dyn Fn(&str) -> Option<OsString>,
    /// The files of secrets that were read, whether they could be or not.
    pub(super) read: RefCell<Vec<PathBuf>>,
}

impl Surroundings<'_> {
    fn path(&self, path: &Path) -> PathBuf {
        self.base_dir.join(path)
    }

    /// A directory that may be created: the one it lies in must be there.
    fn new_directory(&self, path: &Path, spot: &Spot<'_>) -> PathBuf {
        let path = self.path(path);
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        if path.exists() && !path.is_dir() {
            spot.refuse(format!("`{}` is not a directory", path.display()));
        } else if parent.is_some_and(|parent| !parent.is_dir()) {
            spot.refuse(format!("`{}` lies in no directory", path.display()));
        }
        path
    }

    /// A file that will be created: the directory must be there.
    fn new_file(&self, path: &Path, spot: &Spot<'_>) -> PathBuf {
        let path = self.path(path);
        let directory = path.parent().unwrap_or(Path::new("/"));
        let here = directory.as_os_str().is_empty();
        if path.file_name().is_none() || path.is_dir() {
            spot.refuse(format!("`{}` is not the name of a file", path.display()));
        } else if !here && !directory.is_dir() {
            spot.refuse(format!("there is no directory `{}`", directory.display()));
        }
        path
    }

    /// A directory that may have to be created: what it lies in must be there.
    fn directory(&self, path: &Path, spot: &Spot<'_>) -> PathBuf {
        let path = self.path(path);
        let parent = path.parent().unwrap_or(Path::new("/"));
        if path.exists() && !path.is_dir() {
            spot.refuse(format!("`{}` is not a directory", path.display()));
        } else if !parent.as_os_str().is_empty() && !parent.is_dir() {
            spot.refuse(format!("there is no directory `{}`", parent.display()));
        }
        path
    }
}

/// Builds the snapshot. It may be used only where nothing was reported.
pub(super) fn build(
    raw: &Raw,
    root: &Spot<'_>,
    around: &Surroundings<'_>,
    revision: Revision,
) -> Snapshot {
    let providers = provider::providers(&raw.providers, &root.key("providers"), around);
    let general = model::General {
        retry: limits::retry(&raw.retry, &root.key("retry"), &limits::default_retry()),
        timeouts: limits::timeouts(&raw.timeouts, &root.key("timeouts"), &limits::TIMEOUTS),
        prices: prices::prices(&raw.prices, &root.key("prices"), around),
    };
    let spot = root.key("models");
    let models = raw.models.iter().enumerate().map(|(number, (alias, model))| {
        let model = model::model(alias, model, &spot, &providers, &general);
        let model = Model { number, ..model };
        (model.alias.clone(), Arc::new(model))
    });
    let models: HashMap<_, _> = models.collect();
    let aliases = spot.keys();
    let tenants = key::tenants(raw, root, &aliases);
    let server = server::server(&raw.server, &root.key("server"), around);
    let keys = key::keys(&raw.keys, root, &tenants, server.asks_for_certificates());
    Snapshot {
        revision,
        server,
        access_log: access_log(&raw.access_log, &root.key("access_log"), around),
        reload: reload(&raw.reload, &root.key("reload")),
        contexts: contexts::contexts(&raw.contexts, &root.key("contexts"), around),
        keys: keys.by_digest,
        certificates: keys.by_certificate,
        bearers: key::bearers(raw, root, &tenants, around),
        endpoints: providers.into_values().flatten().collect(),
        models,
        terms: terms(raw, root, around, !general.prices.is_empty()),
        valkey: valkey::valkey(&raw.valkey, &root.key("valkey"), around),
        quotas: valkey::quotas(&raw.quotas, &root.key("quotas")),
        made: added::nothing_yet(raw, root, around),
        secret_files: around.read.take(),
    }
}

fn terms(raw: &Raw, root: &Spot<'_>, around: &Surroundings<'_>, is_priced: bool) -> Terms {
    let models = raw.models.iter().filter_map(|(alias, model)| {
        let rules = terms::of_model(alias, &model.limits, &root.key("models").key(alias))?;
        Some((alias.as_str().into(), rules))
    });
    Terms {
        models: models.collect(),
        is_priced,
        refuses_unpriced: matches!(raw.prices.unpriced, Unpriced::Refuse),
        waiting: raw.waiting.as_ref().map(|raw| terms::waiting(raw, &root.key("waiting"))),
        webhook: raw
            .budget_webhook
            .as_ref()
            .map(|raw| Arc::new(webhook::webhook(raw, &root.key("budget_webhook"), around))),
        price_file: raw.prices.file.as_ref().map(|path| around.path(path)),
        tokenizer: usage::tokenizer(raw.usage.tokenizer),
        journal: usage::journal(&raw.usage, &root.key("usage"), around),
    }
}

fn access_log(raw: &raw::AccessLog, spot: &Spot<'_>, around: &Surroundings<'_>) -> AccessLog {
    let file = raw.path.as_ref().map(|path| around.new_file(path, &spot.key("path")));
    match (raw.enabled.unwrap_or(true), file) {
        (false, _) => AccessLog::Off,
        (true, None) => AccessLog::Stdout,
        (true, Some(path)) => AccessLog::File(path),
    }
}

fn reload(raw: &raw::Reload, spot: &Spot<'_>) -> Reload {
    Reload {
        watch: raw.watch.unwrap_or(true),
        interval: limits::millis(raw.interval_ms, 1000, &spot.key("interval_ms")),
    }
}

/// Checks a name that will stand in logs and metrics.
fn name(name: &str, spot: &Spot<'_>) {
    if name.is_empty() {
        spot.refuse("a name must not be empty");
    } else if name.len() > NAME_BYTES_MAX {
        spot.refuse(format!(
            "a name must have at most {NAME_BYTES_MAX} bytes, this one has {}",
            name.len()
        ));
    } else if name.trim() != name || name.chars().any(char::is_control) {
        spot.refuse(format!(
            "the name {name:?} must not begin or end with a space, nor hold control characters"
        ));
    }
}
