//! A store with its gateways: what a restart and a crash mean there, and what survives them.

use std::sync::Arc;

use tempfile::TempDir;

use super::IDS;
use super::gateway::Gateway;
use super::line::{Line, Place, Process};
use crate::context::store::memory::Memory;
use crate::context::store::valkey::tests::{Server, store_at};

/// What the store in memory holds at most: far more than all steps keep.
const MEMORY_BYTES: usize = 1 << 20;

/// The most clients at once.
const LINES: usize = 4;

/// What every key in Valkey begins with.
const PREFIX: &str = "model";

/// What has expired is gone: the server's own clock says so too.
const EXPIRE: &str = "for _, key in ipairs(redis.call('KEYS', '*:log')) do \
    if tonumber(redis.call('HGET', key, 'expires')) <= tonumber(ARGV[1]) then \
    redis.call('DEL', key) end end";

/// The time of all leases has passed.
const EXPIRE_LEASES: &str =
    "for _, key in ipairs(redis.call('KEYS', '*:lease')) do redis.call('DEL', key) end";

/// A store and its gateways. Moments are in milliseconds since 1970.
pub trait Site: Sized {
    /// Whether contexts survive the end of a gateway.
    const SURVIVES: bool;

    /// An empty one.
    async fn start(now: i64) -> Self;

    /// A client's line.
    fn line(&self, client: usize) -> Line;

    /// One line to each gateway.
    fn gateways(&self) -> Vec<Line>;

    /// Every gateway ends in order, and begins again.
    async fn restart(&mut self, now: i64);

    /// A gateway is killed, or the store's server, where it has one.
    async fn crash(&mut self, is_server: bool);

    /// What was killed is there again.
    async fn recover(&mut self, now: i64);

    /// The store's server, where it has one, notices that it is this moment.
    async fn notice(&mut self, _now: i64) {}

    /// Where contexts are forgotten for want of room: how much there is, and what each takes.
    async fn sizes(&self, _tenant: &str) -> Option<(usize, [usize; IDS.len()])> {
        None
    }
}

/// In a process's memory.
pub struct InMemory(Arc<Gateway>);

/// On a disk, with a gateway that can be killed.
pub struct OnDisk {
    directory: TempDir,
    process: Process,
}

/// In a Valkey that can be killed, with a gateway in this process and one that can be killed.
pub struct InValkey {
    server: Server,
    here: Arc<Gateway>,
    there: Process,
}

impl Site for InMemory {
    const SURVIVES: bool = false;

    async fn start(now: i64) -> Self {
        Self(Arc::new(Gateway::over(Memory::new(MEMORY_BYTES), now)))
    }

    fn line(&self, _: usize) -> Line {
        Line::Here(self.0.clone())
    }

    fn gateways(&self) -> Vec<Line> {
        vec![self.line(0)]
    }

    async fn restart(&mut self, now: i64) {
        *self = Self::start(now).await;
    }

    async fn crash(&mut self, _: bool) {}

    async fn recover(&mut self, now: i64) {
        *self = Self::start(now).await;
    }

    async fn sizes(&self, tenant: &str) -> Option<(usize, [usize; IDS.len()])> {
        let mut sizes = [0; IDS.len()];
        for (id, size) in sizes.iter_mut().enumerate() {
            *size = self.0.bytes(tenant, id).await;
        }
        Some((MEMORY_BYTES, sizes))
    }
}

impl OnDisk {
    fn place(&self) -> Place {
        Place::Embedded(self.directory.path().to_owned())
    }
}

impl Site for OnDisk {
    const SURVIVES: bool = true;

    async fn start(now: i64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let place = Place::Embedded(directory.path().to_owned());
        let process = Process::start(&place, LINES, now).await;
        Self { directory, process }
    }

    fn line(&self, client: usize) -> Line {
        self.process.line(client)
    }

    fn gateways(&self) -> Vec<Line> {
        vec![self.line(0)]
    }

    async fn restart(&mut self, now: i64) {
        self.process.end();
        self.recover(now).await;
    }

    async fn crash(&mut self, _: bool) {
        self.process.kill();
    }

    async fn recover(&mut self, now: i64) {
        self.process = Process::start(&self.place(), LINES, now).await;
    }
}

impl InValkey {
    async fn gateways_at(server: &Server, now: i64) -> (Arc<Gateway>, Process) {
        let socket = server.socket();
        let here = Gateway::over(store_at(&socket, PREFIX), now);
        let place = Place::Valkey { socket, prefix: PREFIX.to_owned() };
        (Arc::new(here), Process::start(&place, LINES, now).await)
    }
}

impl Site for InValkey {
    const SURVIVES: bool = true;

    async fn start(now: i64) -> Self {
        let server = Server::durable();
        server.ready().await;
        let (here, there) = Self::gateways_at(&server, now).await;
        Self { server, here, there }
    }

    fn line(&self, client: usize) -> Line {
        match client.is_multiple_of(2) {
            true => Line::Here(self.here.clone()),
            false => self.there.line(client / 2),
        }
    }

    fn gateways(&self) -> Vec<Line> {
        vec![self.line(0), self.line(1)]
    }

    async fn restart(&mut self, now: i64) {
        self.there.end();
        // What the process had not given back yet as it ended runs out.
        self.server.eval(EXPIRE_LEASES, 0).await;
        (self.here, self.there) = Self::gateways_at(&self.server, now).await;
    }

    async fn crash(&mut self, is_server: bool) {
        if is_server {
            return self.server.kill();
        }
        self.there.kill();
        // Behind this exchange the server has done all that the gateway sent.
        self.server.ready().await;
        // Those of the other gateway too: it goes on alone, and minds its own.
        self.server.eval(EXPIRE_LEASES, 0).await;
    }

    async fn recover(&mut self, now: i64) {
        if self.server.is_killed() {
            self.server.revive();
            self.server.ready().await;
            self.server.eval(EXPIRE_LEASES, 0).await;
        } else {
            (_, self.there) = Self::gateways_at(&self.server, now).await;
        }
        for gateway in self.gateways() {
            while gateway.readable("nobody", 0).await.is_none() {
                tokio::task::yield_now().await;
            }
        }
    }

    async fn notice(&mut self, now: i64) {
        self.server.eval(EXPIRE, now).await;
    }
}
