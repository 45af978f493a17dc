//! The server's side of [`super::Upstream`]: connections, the recording, the playing of answers.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::{HEALTH_PATH, Received, Shared};
use crate::answer::{Answer, Before, Payload};

type AnswerBody = Pin<Box<dyn Body<Data = Bytes, Error = io::Error> + Send>>;

/// Accepts until it is aborted; its connections end with it.
pub(super) async fn accept(
    shared: Arc<Shared>,
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
) {
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let _ = socket.set_nodelay(true);
        let (shared, acceptor) = (shared.clone(), acceptor.clone());
        connections.spawn(async move {
            let Some(acceptor) = acceptor else { return serve(shared, socket).await };
            if let Ok(socket) = acceptor.accept(socket).await {
                serve(shared, socket).await;
            }
        });
    }
}

async fn serve<S>(shared: Arc<Shared>, socket: S)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connection = shared.connections.fetch_add(1, Ordering::Relaxed);
    let service = service_fn(move |request| respond(shared.clone(), connection, request));
    // An error here is a caller that left or an answer that was cut: both are what tests are about.
    let _ = auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(socket), service)
        .await;
}

async fn respond(
    shared: Arc<Shared>,
    connection: usize,
    request: Request<Incoming>,
) -> io::Result<Response<AnswerBody>> {
    if request.uri().path().ends_with(HEALTH_PATH) {
        let status = *shared.health.lock().unwrap();
        return Ok(Response::builder().status(status).body(whole(Bytes::new())).unwrap());
    }
    let caller = Caller { shared: shared.clone(), satisfied: false };
    let received = read(connection, request).await?;
    let scripted = shared.script.lock().unwrap().pop_front();
    let answer = scripted.unwrap_or_else(|| shared.standing.lock().unwrap().clone()).to(&received);
    // The count is raised last, so that whoever waits for it finds the record.
    shared.received.lock().unwrap().push(received);
    shared.count.send_modify(|count| *count += 1);
    play(answer, caller).await
}

async fn read(connection: usize, request: Request<Incoming>) -> io::Result<Received> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let path = head.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    Ok(Received {
        method: head.method,
        path,
        version: head.version,
        headers: head.headers,
        body,
        connection,
    })
}

async fn play(answer: Answer, mut caller: Caller) -> io::Result<Response<AnswerBody>> {
    match &answer.before {
        Before::Nothing => {}
        Before::Hang => std::future::pending().await,
        Before::Close => {
            caller.satisfied = true;
            return Err(io::Error::other("the script closes the connection"));
        }
        Before::Wait(time) => tokio::time::sleep(*time).await,
        Before::Gate(gate) => gate.pass().await,
    }
    let mut response = Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        response = response.header(name, value);
    }
    let body = match &answer.payload {
        Payload::Events(_) => events(answer, caller),
        Payload::Whole(bytes) => {
            caller.satisfied = true;
            whole(bytes.clone())
        }
        Payload::Natural => unreachable!("`to` gives every answer a body"),
    };
    Ok(response.body(body).unwrap())
}

fn whole(bytes: Bytes) -> AnswerBody {
    Box::pin(Full::new(bytes).map_err(|never: Infallible| match never {}))
}

/// The stream of an answer's events: one data frame each, so that each is written by itself.
fn events(answer: Answer, caller: Caller) -> AnswerBody {
    let frames = stream::unfold((answer, caller, 0), async |(answer, mut caller, index)| {
        let Payload::Events(events) = &answer.payload else { return None };
        // Giving way lets hyper write what came before: each event is sent by itself, and a cut
        // takes nothing with it.
        tokio::task::yield_now().await;
        if answer.cut_after == Some(index) {
            caller.satisfied = true;
            let cut = io::Error::other("the script cuts the stream");
            return Some((Err(cut), (answer, caller, usize::MAX)));
        }
        let event = events.get(index)?.clone();
        if index > 0 && !answer.pause.is_zero() {
            tokio::time::sleep(answer.pause).await;
        }
        if let Some((held, gate)) = &answer.gate
            && *held == index
        {
            gate.pass().await;
        }
        // A caller that leaves with the last event in hand has all it wanted.
        caller.satisfied = index + 1 == events.len();
        Some((Ok(Frame::data(event)), (answer, caller, index + 1)))
    });
    Box::pin(StreamBody::new(frames))
}

/// Notices a caller that leaves: it is dropped with the answer that it no longer wants.
struct Caller {
    shared: Arc<Shared>,
    satisfied: bool,
}

impl Drop for Caller {
    fn drop(&mut self) {
        if !self.satisfied {
            self.shared.cancelled.send_modify(|cancelled| *cancelled += 1);
        }
    }
}
