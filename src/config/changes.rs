//! What a reload cannot take into use: it needs a new process, which an upgrade starts without
//! losing a connection.

use std::fmt::Debug;

use super::snapshot::contexts::ContextStore;
use super::snapshot::terms::{Export, Journal};
use super::snapshot::{Listener, Server, Snapshot};

/// What differs between the running snapshot and a new one, and stays as it was until an upgrade:
/// one sentence each. Everything else in a snapshot is reloadable.
pub fn listener_changes(old: &Snapshot, new: &Snapshot) -> Vec<String> {
    let mut found = changes(&old.server, &new.server);
    journal(old.terms.journal.as_ref(), new.terms.journal.as_ref(), &mut found);
    let mut compare = Compare { section: "state", changes: &mut found };
    compare.member("path", &old.made.path, &new.made.path);
    let mut compare = Compare { section: "contexts", changes: &mut found };
    for (name, of) in STORE {
        compare.member(name, &of(&old.contexts.store), &of(&new.contexts.store));
    }
    shared(old, new, &mut found);
    found
}

/// How the usage journal is kept.
fn journal(old: Option<&Journal>, new: Option<&Journal>, found: &mut Vec<String>) {
    let mut compare = Compare { section: "usage", changes: found };
    let mut member = |name, of: &dyn Fn(&Journal) -> Option<String>| {
        compare.member(name, &old.and_then(of), &new.and_then(of));
    };
    member("journal", &|journal| Some(journal.directory.display().to_string()));
    member("sync_ms", &|journal| Some(journal.sync.as_millis().to_string()));
    member("keep_days", &|journal| journal.keep_days.map(|days| days.to_string()));
    let export =
        |of: fn(&Export) -> String| move |journal: &Journal| journal.export.as_ref().map(of);
    member("export.dir", &export(|export| export.directory.display().to_string()));
    member("export.format", &export(|export| export.format.name().to_owned()));
}

/// What several gateways share. User and password stay out of it.
fn shared(old: &Snapshot, new: &Snapshot, found: &mut Vec<String>) {
    let server =
        |snapshot: &Snapshot| snapshot.valkey.as_ref().map(|v| without_user(v.url.expose()));
    let prefix = |snapshot: &Snapshot| snapshot.valkey.as_ref().map(|v| v.prefix.clone());
    let timeout = |snapshot: &Snapshot| snapshot.valkey.as_ref().map(|v| v.timeout);
    let mut compare = Compare { section: "valkey", changes: found };
    compare.member("url", &server(old), &server(new));
    compare.member("prefix", &prefix(old), &prefix(new));
    compare.member("timeout_ms", &timeout(old), &timeout(new));
    let mut compare = Compare { section: "quotas", changes: found };
    compare.member("lease_percent", &old.quotas.lease_percent, &new.quotas.lease_percent);
    compare.member("lease_ms", &old.quotas.lease, &new.quotas.lease);
    let allows =
        |snapshot: &Snapshot| if snapshot.quotas.allows_when_down { "allow" } else { "refuse" };
    compare.member("valkey_down", &allows(old), &allows(new));
}

fn without_user(url: &str) -> String {
    url.rsplit_once('@').map_or(url, |(_, server)| server).to_owned()
}

/// What a store of contexts says under one of its keys, as text.
type Said = fn(&ContextStore) -> Option<String>;

/// The keys of a store of contexts.
const STORE: [(&str, Said); 7] = [
    ("store.memory_bytes_max", |store| match store {
        ContextStore::Memory { bytes_max } => Some(bytes_max.to_string()),
        _ => None,
    }),
    ("store.path", |store| match store {
        ContextStore::Embedded { path, .. } => Some(path.display().to_string()),
        _ => None,
    }),
    ("store.sync_ms", |store| match store {
        ContextStore::Embedded { sync, .. } => Some(sync.as_millis().to_string()),
        _ => None,
    }),
    // User and password stay out of it.
    ("store.url", |store| match store {
        ContextStore::Valkey { server, .. } => Some(without_user(server.url.expose())),
        _ => None,
    }),
    ("store.prefix", |store| match store {
        ContextStore::Valkey { server, .. } => Some(server.prefix.to_string()),
        _ => None,
    }),
    ("store.timeout_ms", |store| match store {
        ContextStore::Valkey { server, .. } => Some(server.timeout.as_millis().to_string()),
        _ => None,
    }),
    ("store.lease_ms", |store| match store {
        ContextStore::Valkey { lease, .. } => Some(lease.as_millis().to_string()),
        _ => None,
    }),
];

fn changes(old: &Server, new: &Server) -> Vec<String> {
    let mut changes = Vec::new();
    // Every member by name: a new one does not compile until it is placed here.
    let Server {
        listeners,
        admin,
        threads,
        work_stealing,
        listener_tasks,
        upstream_keepalive_max,
        upstream_keepalive,
        client_keepalive: _,
        body_bytes_max: _,
        body_timeout: _,
        drain,
        pid_file,
        upgrade_socket,
    } = old;
    let sockets = |listeners: &[Listener]| listeners.iter().map(socket).collect::<Vec<_>>();
    let mut compare = Compare { section: "server", changes: &mut changes };
    compare.member("listeners", &sockets(listeners), &sockets(&new.listeners));
    compare.member("admin.address", &admin.address, &new.admin.address);
    compare.member("threads", threads, &new.threads);
    compare.member("work_stealing", work_stealing, &new.work_stealing);
    compare.member("listener_tasks", listener_tasks, &new.listener_tasks);
    compare.member(
        "upstream_keepalive_max, for each thread",
        upstream_keepalive_max,
        &new.upstream_keepalive_max,
    );
    compare.member("upstream_keepalive_seconds", upstream_keepalive, &new.upstream_keepalive);
    compare.member("drain_seconds", drain, &new.drain);
    compare.member("pid_file", pid_file, &new.pid_file);
    compare.member("upgrade_socket", upgrade_socket, &new.upgrade_socket);
    changes
}

struct Compare<'a> {
    section: &'static str,
    changes: &'a mut Vec<String>,
}

impl Compare<'_> {
    fn member<T: PartialEq + Debug>(&mut self, name: &str, old: &T, new: &T) {
        if old != new {
            let section = self.section;
            self.changes
                .push(format!("{section}.{name}: {old:?} stays in use, {new:?} needs an upgrade"));
        }
    }
}

/// What is bound, in words. The files of a certificate are not part of it: they are read again.
fn socket(listener: &Listener) -> String {
    let protocol = match (&listener.tls, listener.h2c) {
        (Some(_), _) => " with TLS",
        (None, true) => " with h2c",
        (None, false) => "",
    };
    format!("{}{protocol}", listener.address)
}
