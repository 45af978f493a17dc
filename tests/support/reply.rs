//! A whole answer, as a client sees it.

use bytes::Bytes;
use reqwest::header::HeaderMap;
use reqwest::tls::TlsInfo;
use reqwest::{RequestBuilder, Version};
use serde_json::Value;

/// An answer that was read to its end.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// HTTP/1.1 or HTTP/2.
    pub version: Version,
    /// The server's certificate in DER, where TLS was spoken.
    pub certificate: Option<Vec<u8>>,
}

impl Reply {
    /// Sends a request and reads the whole answer; panics where there is none.
    pub async fn from(request: RequestBuilder) -> Self {
        Self::attempt(request).await.expect("an answer")
    }

    /// Sends a request and reads the whole answer.
    pub async fn attempt(request: RequestBuilder) -> reqwest::Result<Self> {
        let response = request.send().await?;
        let (status, version) = (response.status().as_u16(), response.version());
        let headers = response.headers().clone();
        let tls = response.extensions().get::<TlsInfo>();
        let certificate = tls.and_then(TlsInfo::peer_certificate).map(<[u8]>::to_vec);
        Ok(Self { status, headers, version, certificate, body: response.bytes().await? })
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in the answer `{}`", self.text()))
    }

    /// A header's text; empty where absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The text of a chat's first choice.
    pub fn content(&self) -> String {
        let content = self.json();
        let content = content.pointer("/choices/0/message/content").and_then(Value::as_str);
        content.unwrap_or_else(|| panic!("no content in `{}`", self.text())).to_owned()
    }

    /// `error.code` of an error; empty where there is none.
    pub fn error_code(&self) -> String {
        let code = self.json().pointer("/error/code").and_then(Value::as_str).map(str::to_owned);
        code.unwrap_or_default()
    }

    /// `error.message` of an error; empty where there is none.
    pub fn error_message(&self) -> String {
        let error = self.json();
        error.pointer("/error/message").and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// Asserts an error of the admin API.
    #[track_caller]
    pub fn assert_refused(&self, status: u16, code: &str) {
        assert_eq!((self.status, &*self.error_code()), (status, code), "{}", self.text());
    }

    /// Asserts an error in OpenAI's shape: status, type, code, a message, a request id.
    #[track_caller]
    pub fn assert_error(&self, status: u16, code: &str) {
        assert_eq!((self.status, &*self.error_code()), (status, code), "{}", self.text());
        let kind = match status {
            401 => "authentication_error",
            403 => "permission_error",
            429 => "rate_limit_error",
            400..=499 => "invalid_request_error",
            _ => "server_error",
        };
        let error = &self.json()["error"];
        assert_eq!(error["type"], kind, "{error}");
        assert!(!self.error_message().is_empty(), "{error}");
        assert!(error.get("param").is_some(), "OpenAI's error object has `param`: {error}");
        assert!(self.header("content-type").starts_with("application/json"), "{self:?}");
        assert!(!self.header("x-request-id").is_empty(), "{self:?}");
    }
}
