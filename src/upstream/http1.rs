//! Connections to endpoints that speak HTTP/1.1 in clear text: made, kept and used without waste.
//!
//! Self-hosted engines are reached this way, and beside a fast one the gateway's own work is what
//! a request costs. Pingora's client writes header and body apart, asks the kernel for the peer's
//! name and starts a task for each connection that it keeps, and hands on each chunk of a stream
//! by itself. Here a request goes out in one write, a kept connection costs nothing, and what
//! arrived together is passed on together (RFC 9112).
//!
//! Pingora calls [`Connector`] for peers that ask for [`protocol`]; TLS and HTTP/2 stay with
//! Pingora's own connectors. Deadlines are the proxy's: here only connecting and writing have one.

mod body;
mod head;
mod kept;
mod session;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::connectors::http::custom;
use pingora::connectors::http::custom::Connection;
use pingora::protocols::TcpKeepalive;
use pingora::protocols::l4::ext::set_tcp_keepalive;
use pingora::protocols::tls::{ALPN, CustomALPN};
use pingora::upstreams::peer::Peer;
use pingora::{Error, ErrorType, Result};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

pub use kept::Kept;
use session::Session;

/// By this name a peer asks Pingora for this connector.
pub(super) fn protocol() -> ALPN {
    ALPN::Custom(CustomALPN::new(b"tollgate-http/1.1".to_vec()))
}

/// Connects to endpoints, and takes up connections that were kept.
pub struct Connector {
    kept: Arc<Kept>,
}

impl Connector {
    /// A connector that takes from `kept` and gives back to it.
    pub fn new(kept: Arc<Kept>) -> Self {
        Self { kept }
    }
}

#[async_trait]
impl custom::Connector for Connector {
    type Session = Session;

    async fn get_http_session<P: Peer + Send + Sync + 'static>(
        &self,
        peer: &P,
    ) -> Result<(Connection<Session>, bool)> {
        let address = address(peer)?;
        let options = peer.get_peer_options();
        let limit = options.and_then(|options| options.connection_timeout);
        let keepalive = options.and_then(|options| options.tcp_keepalive.as_ref());
        let stream = connect(address, limit, keepalive).await?;
        Ok((Connection::Session(Session::new(stream)), false))
    }

    async fn reused_http_session<P: Peer + Send + Sync + 'static>(
        &self,
        peer: &P,
    ) -> Option<Session> {
        self.kept.take(address(peer).ok()?, Instant::now())
    }

    async fn release_http_session<P: Peer + Send + Sync + 'static>(
        &self,
        mut session: Session,
        peer: &P,
        idle: Option<Duration>,
    ) {
        if let (true, Ok(address), Some(idle)) = (session.renew(), address(peer), idle) {
            self.kept.put(address, session, Instant::now() + idle);
        }
    }
}

fn address(peer: &impl Peer) -> Result<SocketAddr> {
    match peer.address().as_inet() {
        Some(address) => Ok(*address),
        None => Error::e_explain(ErrorType::ConnectNoRoute, "the peer has no internet address"),
    }
}

async fn connect(
    address: SocketAddr,
    limit: Option<Duration>,
    keepalive: Option<&TcpKeepalive>,
) -> Result<TcpStream> {
    let connecting = TcpStream::connect(address);
    let connected = match limit {
        None => connecting.await,
        Some(limit) => timeout(limit, connecting).await.map_err(|_| {
            Error::explain(ErrorType::ConnectTimedout, format!("no connection to {address}"))
        })?,
    };
    let stream = connected.map_err(|error| {
        let kind = match error.kind() {
            std::io::ErrorKind::ConnectionRefused => ErrorType::ConnectRefused,
            std::io::ErrorKind::TimedOut => ErrorType::ConnectTimedout,
            std::io::ErrorKind::HostUnreachable | std::io::ErrorKind::NetworkUnreachable => {
                ErrorType::ConnectNoRoute
            }
            _ => ErrorType::ConnectError,
        };
        Error::because(kind, format!("no connection to {address}"), error)
    })?;
    let delay = stream.set_nodelay(true);
    delay.map_err(|error| Error::because(ErrorType::SocketError, "setting TCP_NODELAY", error))?;
    if let Some(keepalive) = keepalive {
        set_tcp_keepalive(&stream, keepalive)?;
    }
    Ok(stream)
}

#[cfg(test)]
mod tests;
