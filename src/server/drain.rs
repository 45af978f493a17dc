//! Leaving without losing a request.
//!
//! When Pingora stops accepting, it also closes every idle connection at once; a request that
//! the client has just sent on one, or is about to send on one just accepted, would be lost.
//! So the idle ones are kept a little longer: each answer already says `connection: close`, and
//! a client that is active has moved on before the rest is closed.

use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream};
use pingora::protocols::http::ServerSession;
use pingora::proxy::HttpProxy;
use pingora::server::ShutdownWatch;
use pingora::services::listening::Service;

use crate::proxy::Gateway;
use crate::upstream::Connector;

/// How long idle connections are kept once no new ones are accepted.
pub const LINGER: Duration = Duration::from_secs(5);

/// The proxy, which keeps idle connections for [`LINGER`] when it leaves.
pub struct Draining {
    proxy: Arc<Proxy>,
}

type Proxy = HttpProxy<Gateway, Connector>;

impl Draining {
    /// Takes the proxy out of a service that was never started. A proxy with a connector of its own
    /// can only be had within a service, which would close its idle connections at once.
    #[expect(unsafe_code, reason = "Pingora offers no other way to the proxy")]
    pub fn of(service: Service<Proxy>) -> Self {
        let service = ManuallyDrop::new(service);
        #[expect(clippy::expect_used, reason = "only starting a service takes its proxy away")]
        let proxy = service.app_logic().expect("a service that was not started has its proxy");
        // SAFETY: the reference is valid, and what it points to is not used again: the service,
        // its only owner, is never dropped.
        let proxy = unsafe { std::ptr::read(proxy) };
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
