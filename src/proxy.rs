//! The gateway on Pingora's hooks: the only place that implements `ProxyHttp`.
//!
//! Each hook calls one named step. The steps before the upstream are in [`prepare`]; what is
//! known of a request after them is an [`exchange::Exchange`], what belongs to one try at one
//! endpoint an [`attempt::Attempt`].

mod access;
mod answer_header;
mod attempt;
mod bill;
mod contexts;
mod cut;
mod deadline;
mod exchange;
mod faces;
mod failure;
mod held;
mod keeping;
mod losses;
mod prepare;
mod quota;
mod refusal;
mod reply;
mod request_header;
mod request_id;
mod waiting;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::protocols::Digest;
use pingora::proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use pingora::upstreams::peer::HttpPeer;
use std::os::fd::RawFd;
use std::time::Duration;

pub use exchange::Context;

use crate::state::State;

/// The gateway as Pingora sees it.
pub struct Gateway {
    state: Arc<State>,
}

impl Gateway {
    /// A gateway that serves what the state holds.
    pub fn new(state: Arc<State>) -> Self {
        Self { state }
    }
}

#[async_trait]
impl ProxyHttp for Gateway {
    /// Boxed: Pingora moves it, with its own state, from future to future.
    type CTX = Box<Context>;

    fn new_ctx(&self) -> Box<Context> {
        Box::new(Context::new(self.state.metrics.started()))
    }

    /// No modules: Pingora's default would look at compressing each answer.
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn request_filter(&self, session: &mut Session, ctx: &mut Self::CTX) -> Result<bool> {
        match prepare::prepare(&self.state, session, ctx).await {
            Ok(prepare::Next::Forward(exchange)) => {
                ctx.hold(session, *exchange);
                Ok(false)
            }
            Ok(prepare::Next::Reply(reply)) => reply.send(session, ctx).await.map(|()| true),
            Err(error) => reply::refuse(session, ctx, error).await.map(|()| true),
        }
    }

    async fn upstream_peer(
        &self,
        _session: &mut Session,
        ctx: &mut Self::CTX,
    ) -> Result<Box<HttpPeer>> {
        ctx.back_off().await;
        ctx.start_attempt()
    }

    async fn connected_to_upstream(
        &self,
        _session: &mut Session,
        reused: bool,
        _peer: &HttpPeer,
        _fd: RawFd,
        _digest: Option<&Digest>,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        ctx.connected(reused);
        Ok(())
    }

    async fn upstream_request_filter(
        &self,
        _session: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        let version = request.version;
        *request = ctx.upstream_request(version)?;
        request.set_version(version);
        Ok(())
    }

    async fn request_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        _end: bool,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        *body = ctx.upstream_piece();
        Ok(())
    }

    async fn upstream_response_filter(
        &self,
        _session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        ctx.answered(response)
    }

    fn upstream_response_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        ctx: &mut Self::CTX,
    ) -> Result<Option<Duration>> {
        ctx.answer_bytes(body, end).map(|()| None)
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        ctx: &mut Self::CTX,
        error: Box<pingora::Error>,
    ) -> Box<pingora::Error> {
        failure::connect(ctx, error)
    }

    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        error: Box<pingora::Error>,
        ctx: &mut Self::CTX,
        reused: bool,
    ) -> Box<pingora::Error> {
        failure::proxy(ctx, session, error, reused)
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &pingora::Error,
        ctx: &mut Self::CTX,
    ) -> FailToProxy {
        reply::fail(session, ctx, error).await
    }

    async fn logging(
        &self,
        session: &mut Session,
        error: Option<&pingora::Error>,
        ctx: &mut Self::CTX,
    ) {
        match ctx.settle(session, error) {
            (record, None) => self.state.account(record),
            (record, Some(open)) => {
                self.state.account_later(record, move |record| open.settle(record));
            }
        }
    }

    /// Failures are told once, by the access log and the metrics.
    fn suppress_error_log(&self, _: &Session, _: &Self::CTX, _: &pingora::Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _session: &Session,
        _ctx: &Self::CTX,
        _error: &pingora::Error,
        _context: ProxyWarnLogContext,
    ) -> bool {
        true
    }
}
