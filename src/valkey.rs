//! The way to a Valkey or Redis that several gateways share: one connection that is made when it is
//! needed, and made again when it breaks. What is kept there is its users' matter.

use std::sync::OnceLock;
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, RedisError};

use crate::types::Secret;

/// Where it is.
#[derive(Clone)]
pub struct Settings {
    /// `redis://`, or `rediss://` for TLS; with user and password where they are needed.
    pub url: Secret,
    /// What every key begins with.
    pub prefix: Box<str>,
    /// How long a connection may take, and a command.
    pub timeout: Duration,
}

/// A server that is reached over one connection.
pub struct Valkey {
    client: Client,
    settings: Settings,
    /// Made with the first command, which comes from within a runtime.
    connection: OnceLock<ConnectionManager>,
}

impl Valkey {
    /// A server that is connected to when it is needed.
    ///
    /// # Errors
    /// Where the URL is none. What is said then may quote a password.
    pub fn new(settings: Settings) -> Result<Self, RedisError> {
        let client = Client::open(settings.url.expose())?;
        Ok(Self { client, settings, connection: OnceLock::new() })
    }

    /// The connection: a handle, which all commands share.
    ///
    /// # Errors
    /// Where it cannot be set up. That the server is not there is told by the command.
    pub fn connection(&self) -> Result<ConnectionManager, RedisError> {
        if let Some(connection) = self.connection.get() {
            return Ok(connection.clone());
        }
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(1)
            .set_connection_timeout(Some(self.settings.timeout))
            .set_response_timeout(Some(self.settings.timeout));
        let made = ConnectionManager::new_lazy_with_config(self.client.clone(), config)?;
        Ok(self.connection.get_or_init(|| made).clone())
    }

    /// What every key begins with.
    pub fn prefix(&self) -> &str {
        &self.settings.prefix
    }
}
