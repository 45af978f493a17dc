//! Clients: HTTP/1, HTTP/2 in clear text, HTTP/2 over TLS.

use bytes::Bytes;
use futures_util::stream;
use reqwest::{Body, Certificate, ClientBuilder, Method, RequestBuilder};
use serde_json::{Value, json};

use crate::conf::KEY;
use crate::events::Events;
use crate::reply::Reply;
use crate::tls::{Identity, install_provider};
use crate::wait::PATIENCE;

/// The size of the pieces in which a body of unknown length is sent.
const PIECE: usize = 16 * 1024;

/// A client of one server. Clones share their connections.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    credential: Option<(String, String)>,
}

impl Client {
    /// HTTP/1, without a credential.
    pub fn new(base: String) -> Self {
        Self::with(base, ClientBuilder::http1_only)
    }

    /// HTTP/1 with a new connection for each request.
    pub fn unpooled(base: String) -> Self {
        Self::with(base, |builder| builder.http1_only().pool_max_idle_per_host(0))
    }

    /// HTTP/2 in clear text, by prior knowledge.
    pub fn h2c(base: String) -> Self {
        Self::with(base, ClientBuilder::http2_prior_knowledge)
    }

    /// TLS, trusting one authority; HTTP/2 where the server offers it.
    pub fn tls(base: String, authority_pem: &str) -> Self {
        let root = root(authority_pem);
        Self::with(base, |builder| builder.add_root_certificate(root).tls_info(true))
    }

    /// TLS, trusting one authority, with HTTP/1 only.
    pub fn tls_http1(base: String, authority_pem: &str) -> Self {
        let root = root(authority_pem);
        Self::with(base, |builder| builder.add_root_certificate(root).http1_only())
    }

    /// TLS with a certificate of its own, where the server asks for one.
    pub fn tls_as(base: String, authority_pem: &str, own: &Identity) -> Self {
        let (root, own) = (root(authority_pem), own.of_client());
        Self::with(base, |builder| builder.add_root_certificate(root).identity(own))
    }

    /// The same, with HTTP/1 and a new connection for each request, which resumes the session of the one before.
    pub fn tls_resuming(base: String, authority_pem: &str, own: Option<&Identity>) -> Self {
        let root = root(authority_pem);
        Self::with(base, |builder| {
            let builder = builder.add_root_certificate(root).http1_only().pool_max_idle_per_host(0);
            match own {
                Some(own) => builder.identity(own.of_client()),
                None => builder,
            }
        })
    }

    fn with(base: String, kind: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Self {
        install_provider();
        let builder = ClientBuilder::new().no_proxy().timeout(PATIENCE).tcp_nodelay(true);
        let http = kind(builder).build().expect("a client");
        Self { http, base, credential: None }
    }

    /// Sends the test's key as a bearer token.
    pub fn with_test_key(self) -> Self {
        self.with_header("authorization", &format!("Bearer {KEY}"))
    }

    /// Sends this header in place of any other credential.
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.credential = Some((name.to_owned(), value.to_owned()));
        self
    }

    /// A request with the credential and nothing else.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.credential {
            Some((name, value)) => request.header(name, value),
            None => request,
        }
    }

    /// `GET path`.
    pub async fn get(&self, path: &str) -> Reply {
        Reply::from(self.request(Method::GET, path)).await
    }

    /// `POST path` with JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        Reply::from(self.request(Method::POST, path).json(body)).await
    }

    /// `POST /v1/chat/completions` with these bytes as JSON, their number known or not.
    pub async fn send(&self, body: Bytes, length: Length) -> Reply {
        let request = self
            .request(Method::POST, "/v1/chat/completions")
            .header("content-type", "application/json");
        Reply::from(request.body(length.body(body))).await
    }

    /// A chat of one message.
    pub async fn chat(&self, model: &str) -> Reply {
        self.post("/v1/chat/completions", &chat(model)).await
    }

    /// A chat whose answer is streamed; returns with the answer's header.
    pub async fn stream(&self, model: &str) -> Events {
        let body = chat_with(model, &json!({"stream": true}));
        Events::open(self.request(Method::POST, "/v1/chat/completions").json(&body)).await
    }
}

fn root(authority_pem: &str) -> Certificate {
    Certificate::from_pem(authority_pem.as_bytes()).expect("a certificate")
}

/// The body of a chat of one message.
pub fn chat(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "Hello"}]})
}

/// The body of a chat of one message, with further members or others in place of its own.
pub fn chat_with(model: &str, members: &Value) -> Value {
    let mut body = chat(model);
    let members = members.as_object().expect("an object").clone();
    body.as_object_mut().expect("an object").extend(members);
    body
}

/// Whether the receiver is told a body's length before it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// `content-length` is sent.
    Known,
    /// Chunked over HTTP/1; frames without `content-length` over HTTP/2.
    Unknown,
}

impl Length {
    fn body(self, bytes: Bytes) -> Body {
        if self == Length::Known {
            return Body::from(bytes);
        }
        let pieces: Vec<_> = (0..bytes.len())
            .step_by(PIECE)
            .map(|start| Ok(bytes.slice(start..bytes.len().min(start + PIECE))))
            .collect();
        Body::wrap_stream(stream::iter(pieces.into_iter().map(|piece: std::io::Result<_>| piece)))
    }
}
