//! Where the load goes, and how a connection to it is made: TCP or TLS, HTTP/1 or HTTP/2.

use std::fmt::Display;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Url;

use super::load::Work;
use super::trust::trust_anyone;
use super::{Options, Version};
use crate::types::Secret;

/// What a stream may have on its way to us, in bytes, so that HTTP/2 never waits for our window.
const STREAM_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
/// The same for all streams of a connection.
const CONNECTION_WINDOW_BYTES: u32 = 64 * 1024 * 1024;

/// A server under load.
pub(super) struct Target {
    /// As given on the command line.
    pub(super) url: Url,
    address: String,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    version: Version,
    connect_timeout: Duration,
    /// Of each request of the load, in its order.
    heads: Vec<(Uri, HeaderMap)>,
}

/// One side of a connection, for one request at a time.
pub(super) enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Target {
    /// Makes everything that requests have in common.
    ///
    /// # Errors
    /// Where the URL, the key or a certificate is of no use.
    pub(super) fn new(url: &Url, options: &Options, works: &[Work]) -> io::Result<Self> {
        let refuse = |what: &dyn Display| io::Error::other(format!("{url}: {what}"));
        let host = url.host_str().ok_or_else(|| refuse(&"names no host"))?;
        let port = url.port_or_known_default().ok_or_else(|| refuse(&"names no port"))?;
        let tls = match url.scheme() {
            "http" => None,
            "https" => Some((connector(options)?, server_name(url).map_err(|e| refuse(&e))?)),
            _ => return Err(refuse(&"is neither http:// nor https://")),
        };
        let authority = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        // HTTP/1 takes the path and a Host header, HTTP/2 the whole URI.
        let origin = match options.http {
            Version::Http1 => String::new(),
            Version::Http2 => format!("{}://{authority}", url.scheme()),
        };
        let prefix = url.path().trim_end_matches('/');
        let head = |work: &Work| {
            let uri = Uri::try_from(format!("{origin}{prefix}{}", work.path));
            Ok((uri.map_err(|error| refuse(&error))?, headers(options, &authority, work)?))
        };
        Ok(Self {
            url: url.clone(),
            address: format!("{host}:{port}"),
            tls,
            version: options.http,
            connect_timeout: options.timeout(),
            heads: works.iter().map(head).collect::<io::Result<_>>()?,
        })
    }

    /// The request for a piece of work, by its place in the load.
    pub(super) fn request(&self, at: usize, work: &Work) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(work.body.clone()));
        *request.method_mut() = Method::POST;
        if let Some((uri, headers)) = self.heads.get(at) {
            request.uri_mut().clone_from(uri);
            request.headers_mut().clone_from(headers);
        }
        request
    }

    /// Makes a connection, within the time of a request.
    pub(super) async fn connect(&self) -> io::Result<Sender> {
        let late = || io::Error::new(io::ErrorKind::TimedOut, "no connection in time");
        tokio::time::timeout(self.connect_timeout, self.connect_now()).await.map_err(|_| late())?
    }

    async fn connect_now(&self) -> io::Result<Sender> {
        let stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        let Some((connector, name)) = &self.tls else {
            return handshake(stream, self.version).await;
        };
        let stream = connector.connect(name.clone(), stream).await?;
        let agreed = stream.get_ref().1.alpn_protocol();
        if self.version == Version::Http2 && agreed != Some(b"h2") {
            return Err(io::Error::other("the server offers no HTTP/2"));
        }
        handshake(stream, self.version).await
    }
}

impl Sender {
    /// Waits until the connection can take a request; false where it was closed.
    pub(super) async fn is_ready(&mut self) -> bool {
        match self {
            Self::Http1(sender) => sender.ready().await.is_ok(),
            Self::Http2(sender) => sender.ready().await.is_ok(),
        }
    }

    /// Sends a request and waits for the head of its answer.
    pub(super) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> hyper::Result<Response<Incoming>> {
        match self {
            Self::Http1(sender) => sender.send_request(request).await,
            Self::Http2(sender) => sender.send_request(request).await,
        }
    }

    /// Whether the other side has closed the connection.
    pub(super) fn is_closed(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_closed(),
            Self::Http2(sender) => sender.is_closed(),
        }
    }

    /// Another sender on the same connection, where the protocol allows that.
    pub(super) fn share(&self) -> Option<Self> {
        match self {
            Self::Http1(_) => None,
            Self::Http2(sender) => Some(Self::Http2(sender.clone())),
        }
    }
}

async fn handshake<S>(stream: S, version: Version) -> io::Result<Sender>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // A connection's own error says nothing that its requests do not say.
    let stream = TokioIo::new(stream);
    match version {
        Version::Http1 => {
            let (sender, connection) = http1::handshake(stream).await.map_err(io::Error::other)?;
            tokio::spawn(async move { drop(connection.await) });
            Ok(Sender::Http1(sender))
        }
        Version::Http2 => {
            let (sender, connection) = http2::Builder::new(TokioExecutor::new())
                .initial_stream_window_size(STREAM_WINDOW_BYTES)
                .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
                .handshake(stream)
                .await
                .map_err(io::Error::other)?;
            tokio::spawn(async move { drop(connection.await) });
            Ok(Sender::Http2(sender))
        }
    }
}

fn headers(options: &Options, authority: &str, work: &Work) -> io::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(USER_AGENT, HeaderValue::from_static("tollgate-bench"));
    if options.http == Version::Http1 {
        headers.insert(HOST, HeaderValue::from_str(authority).map_err(io::Error::other)?);
    }
    if let Some(key) = options.key(work.key_env.as_deref())?.as_ref().map(Secret::expose) {
        let mut value = HeaderValue::from_str(&format!("Bearer {key}"))
            .map_err(|_| io::Error::other("the key has characters that no header may have"))?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
}

fn connector(options: &Options) -> io::Result<TlsConnector> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    let mut config = if options.insecure {
        let verifier = Arc::new(trust_anyone(&provider));
        builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
    } else {
        builder.with_root_certificates(roots(options.ca.as_deref())?).with_no_client_auth()
    };
    config.alpn_protocols = vec![match options.http {
        Version::Http1 => b"http/1.1".to_vec(),
        Version::Http2 => b"h2".to_vec(),
    }];
    Ok(TlsConnector::from(Arc::new(config)))
}

fn roots(ca: Option<&Path>) -> io::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let Some(file) = ca else {
        let system = rustls_native_certs::load_native_certs()?;
        roots.add_parsable_certificates(system);
        return Ok(roots);
    };
    let refuse = |what: &dyn Display| io::Error::other(format!("{}: {what}", file.display()));
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| refuse(&error))? {
        let certificate = certificate.map_err(|error| refuse(&error))?;
        roots.add(certificate).map_err(|error| refuse(&error))?;
    }
    if roots.is_empty() {
        return Err(refuse(&"holds no certificate in PEM"));
    }
    Ok(roots)
}

fn server_name(url: &Url) -> Result<ServerName<'static>, String> {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())
}
