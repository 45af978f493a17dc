//! What a reload cannot take into use: it needs a new process, which an upgrade starts without
//! losing a connection.

use std::fmt::Debug;

use super::snapshot::{Listener, Server, Snapshot};

/// What differs between the running snapshot and a new one, and stays as it was until an upgrade:
/// one sentence each. Everything else in a snapshot is reloadable.
pub fn listener_changes(old: &Snapshot, new: &Snapshot) -> Vec<String> {
    let mut found = changes(&old.server, &new.server);
    let (old, new) = (&old.terms.journal, &new.terms.journal);
    if old != new {
        found.push(format!("usage.journal: {old:?} stays in use, {new:?} needs an upgrade"));
    }
    found
}

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
    let mut compare = Compare { changes: &mut changes };
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
    changes: &'a mut Vec<String>,
}

impl Compare<'_> {
    fn member<T: PartialEq + Debug>(&mut self, name: &str, old: &T, new: &T) {
        if old != new {
            self.changes
                .push(format!("server.{name}: {old:?} stays in use, {new:?} needs an upgrade"));
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
