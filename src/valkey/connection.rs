//! A connection to whatever an address names, as one type, so that users of it need not know.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::{ConnectionLike, ConnectionManager, MultiplexedConnection};
use redis::cluster_async::ClusterConnection;
use redis::sentinel::SentinelClient;
use redis::{
    AsyncConnectionConfig, Cmd, ErrorKind, Pipeline, RedisError, RedisFuture, RedisResult,
    ServerErrorKind, Value,
};
use tokio::sync::Mutex;

/// A handle, which all commands share.
#[derive(Clone)]
pub enum Connection {
    /// To one server.
    One(ConnectionManager),
    /// To the server that sentinels name.
    Master(Master),
    /// To the nodes of a cluster, by the keys of each command.
    Cluster(ClusterConnection),
}

/// The way to the server that sentinels name. They are asked anew when a connection breaks, and when the
/// server says that it is no longer the one to write to.
#[derive(Clone)]
pub struct Master {
    timeout: Duration,
    found: Arc<Mutex<Found>>,
}

struct Found {
    sentinels: SentinelClient,
    connection: Option<MultiplexedConnection>,
    /// How often it was looked for.
    times: u64,
}

impl Master {
    /// A server that is looked for with the first command.
    pub fn new(sentinels: SentinelClient, timeout: Duration) -> Self {
        let found = Arc::new(Mutex::new(Found { sentinels, connection: None, times: 0 }));
        Self { timeout, found }
    }

    async fn connection(&self) -> RedisResult<(MultiplexedConnection, u64)> {
        let mut found = self.found.lock().await;
        if let Some(connection) = &found.connection {
            return Ok((connection.clone(), found.times));
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.timeout))
            .set_response_timeout(Some(self.timeout));
        let looking = found.sentinels.get_async_connection_with_config(&config);
        let looked = tokio::time::timeout(self.timeout, looking).await;
        let late = || RedisError::from((ErrorKind::Io, "the sentinels name no server in time"));
        let connection = looked.unwrap_or_else(|_| Err(late()))?;
        found.times += 1;
        found.connection = Some(connection.clone());
        Ok((connection, found.times))
    }

    /// Forgets a connection that fails in a way that another one may not.
    async fn tell<T>(&self, times: u64, answer: RedisResult<T>) -> RedisResult<T> {
        if answer.as_ref().is_err_and(is_lost) {
            let mut found = self.found.lock().await;
            if found.times == times {
                found.connection = None;
            }
        }
        answer
    }
}

fn is_lost(error: &RedisError) -> bool {
    let is_replica = error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly);
    is_replica || error.is_io_error() || error.is_timeout() || error.is_unrecoverable_error()
}

impl ConnectionLike for Master {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let (mut connection, times) = self.connection().await?;
            let answer = connection.req_packed_command(cmd).await;
            self.tell(times, answer).await
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let (mut connection, times) = self.connection().await?;
            let answer = connection.req_packed_commands(pipeline, offset, count).await;
            self.tell(times, answer).await
        })
    }

    fn get_db(&self) -> i64 {
        // Nobody asks: it is chosen when the connection is made.
        0
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::One(connection) => connection.req_packed_command(cmd),
            Self::Master(connection) => connection.req_packed_command(cmd),
            Self::Cluster(connection) => connection.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::One(connection) => connection.req_packed_commands(pipeline, offset, count),
            Self::Master(connection) => connection.req_packed_commands(pipeline, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::One(connection) => connection.get_db(),
            Self::Master(connection) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}
