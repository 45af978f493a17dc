//! Leaving without losing a request.
//!
//! When Pingora stops accepting, it also closes every idle connection at once; a request that
//! the client has just sent on one, or is about to send on one just accepted, would be lost.
//! So the idle ones are kept a little longer: each answer already says `connection: close`, and
//! a client that is active has moved on before the rest is closed.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream};
use pingora::protocols::http::ServerSession;
use pingora::proxy::HttpProxy;
use pingora::server::ShutdownWatch;

use crate::proxy::Gateway;

/// How long idle connections are kept once no new ones are accepted.
pub const LINGER: Duration = Duration::from_secs(5);

/// The proxy, which keeps idle connections for [`LINGER`] when it leaves.
pub struct Draining {
    proxy: Arc<HttpProxy<Gateway>>,
}

impl Draining {
    /// Wraps a proxy whose modules have been initialised.
    pub fn new(proxy: HttpProxy<Gateway>) -> Self {
        Self { proxy: Arc::new(proxy) }
    }
}

/// Written out where `async_trait` would put each request's future into another one.
impl HttpServerApp for Draining {
    fn process_new_http<'this, 'shutdown, 'call>(
        self: &'this Arc<Self>,
        session: ServerSession,
        shutdown: &'shutdown ShutdownWatch,
    ) -> Pin<Box<dyn Future<Output = Option<ReusedHttpStream>> + Send + 'call>>
    where
        'this: 'call,
        'shutdown: 'call,
        Self: 'call,
    {
        self.proxy.process_new_http(session, shutdown)
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        self.proxy.server_options()
    }

    fn http_cleanup<'this, 'call>(&'this self) -> Pin<Box<dyn Future<Output = ()> + Send + 'call>>
    where
        'this: 'call,
        Self: 'call,
    {
        Box::pin(async {
            tokio::time::sleep(LINGER).await;
            self.proxy.http_cleanup().await;
        })
    }
}
