//! The way to a Valkey or Redis that several gateways share: one server, the one that sentinels name,
//! or a cluster, over one connection that is made when it is needed, and made again when it breaks. What is
//! kept there is its users' matter; what belongs together must lie in one slot of a cluster.

pub mod address;
mod connection;

use std::sync::OnceLock;
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::cluster::{ClusterClient, ClusterClientBuilder, ClusterConfig};
use redis::sentinel::{SentinelClient, SentinelNodeConnectionInfo, SentinelServerType};
use redis::{Client, ConnectionAddr, IntoConnectionInfo, RedisError, TlsMode};

use self::address::Address;
pub use self::connection::Connection;
use self::connection::Master;
use crate::types::Secret;

/// Where it is.
#[derive(Clone)]
pub struct Settings {
    /// What [`Address::parse`] takes.
    pub url: Secret,
    /// What every key begins with.
    pub prefix: Box<str>,
    /// How long a connection may take, and a command.
    pub timeout: Duration,
}

/// A server, or several that are one.
pub struct Valkey {
    way: Way,
    settings: Settings,
    /// Made with the first command, which comes from within a runtime.
    connection: OnceLock<Connection>,
}

/// How it is reached.
enum Way {
    One(Box<Client>),
    Master(Master),
    Cluster(Box<ClusterClient>),
}

impl Valkey {
    /// A server that is connected to when it is needed.
    ///
    /// # Errors
    /// Where the URL is none. What is said then may quote a password.
    pub fn new(settings: Settings) -> Result<Self, RedisError> {
        let address = Address::parse(settings.url.expose());
        let address = address.map_err(|why| (redis::ErrorKind::InvalidClientConfig, why))?;
        let way = match address {
            Address::One(url) => Way::One(Box::new(Client::open(url)?)),
            Address::Sentinels { urls, service, server } => {
                let client = sentinels(urls, &service, &server)?;
                Way::Master(Master::new(client, settings.timeout))
            }
            Address::Cluster(urls) => {
                // Also for all attempts of one command, at several nodes, together.
                let timeout = Some(settings.timeout);
                let builder = ClusterClientBuilder::new(urls).overall_response_timeout(timeout);
                Way::Cluster(Box::new(builder.build()?))
            }
        };
        Ok(Self { way, settings, connection: OnceLock::new() })
    }

    /// The connection: a handle, which all commands share.
    ///
    /// # Errors
    /// Where it cannot be set up. That the server is not there is told by the command.
    pub fn connection(&self) -> Result<Connection, RedisError> {
        if let Some(connection) = self.connection.get() {
            return Ok(connection.clone());
        }
        let timeout = self.settings.timeout;
        let made = match &self.way {
            Way::One(client) => {
                let config = ConnectionManagerConfig::new()
                    .set_number_of_retries(1)
                    .set_connection_timeout(Some(timeout))
                    .set_response_timeout(Some(timeout));
                let made = ConnectionManager::new_lazy_with_config(Client::clone(client), config)?;
                Connection::One(made)
            }
            Way::Master(master) => Connection::Master(master.clone()),
            Way::Cluster(client) => {
                let config = ClusterConfig::new()
                    .set_connection_timeout(timeout)
                    .set_response_timeout(timeout);
                Connection::Cluster(client.get_pending_async_connection_with_config(config))
            }
        };
        Ok(self.connection.get_or_init(|| made).clone())
    }

    /// What every key begins with.
    pub fn prefix(&self) -> &str {
        &self.settings.prefix
    }
}

/// Who is asked for a service's server; `server` says how that is reached, but for its host.
fn sentinels(urls: Vec<String>, service: &str, server: &str) -> Result<SentinelClient, RedisError> {
    let server = server.into_connection_info()?;
    let tls = matches!(server.addr(), ConnectionAddr::TcpTls { .. }).then_some(TlsMode::Secure);
    let node = SentinelNodeConnectionInfo::default();
    let node = node.set_redis_connection_info(server.redis_settings().clone());
    let node = tls.into_iter().fold(node, SentinelNodeConnectionInfo::set_tls_mode);
    SentinelClient::build(urls, service, Some(node), SentinelServerType::Master)
}
