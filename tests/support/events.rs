//! A streamed answer, event by event, as a client sees it.

use bytes::{Bytes, BytesMut};
use reqwest::header::HeaderMap;
use reqwest::{RequestBuilder, Response, Version};

/// A stream that is being read. Dropping it is leaving: the connection is closed.
pub struct Events {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// HTTP/1.1 or HTTP/2.
    pub version: Version,
    response: Response,
    unread: BytesMut,
}

/// How a stream went, once it is over.
#[derive(Debug)]
pub struct Told {
    /// The `data` of each event, in order.
    pub events: Vec<String>,
    /// Why the connection broke, if it did.
    pub broken: Option<String>,
}

impl Events {
    /// Sends a request and returns with the answer's header.
    pub async fn open(request: RequestBuilder) -> Self {
        Self::attempt(request).await.expect("an answer")
    }

    /// Sends a request and returns with the answer's header, if there is one.
    pub async fn attempt(request: RequestBuilder) -> reqwest::Result<Self> {
        let response = request.send().await?;
        Ok(Self {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            version: response.version(),
            response,
            unread: BytesMut::new(),
        })
    }

    /// The next event's data; `None` at the end; an error where the connection breaks.
    pub async fn next(&mut self) -> reqwest::Result<Option<String>> {
        loop {
            if let Some(event) = self.take_event() {
                return Ok(Some(event));
            }
            match self.response.chunk().await? {
                Some(chunk) => self.unread.extend_from_slice(&chunk),
                None => return Ok(None),
            }
        }
    }

    /// Reads to the end.
    pub async fn rest(mut self) -> Told {
        let mut told = Told { events: Vec::new(), broken: None };
        loop {
            match self.next().await {
                Ok(Some(event)) => told.events.push(event),
                Ok(None) => return told,
                Err(error) => {
                    told.broken = Some(format!("{error:?}"));
                    return told;
                }
            }
        }
    }

    /// Everything that is left, as it came.
    pub async fn raw(self) -> reqwest::Result<Bytes> {
        let mut bytes = self.unread;
        bytes.extend_from_slice(&self.response.bytes().await?);
        Ok(bytes.freeze())
    }

    fn take_event(&mut self) -> Option<String> {
        let end = self.unread.windows(2).position(|pair| pair == b"\n\n")?;
        let event = self.unread.split_to(end + 2);
        let text = String::from_utf8_lossy(&event);
        let data: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        Some(data.join("\n"))
    }
}

impl Told {
    /// Whether the client was told of a failure: the connection broke or an event says so.
    pub fn failed(&self) -> bool {
        let is_error = |event: &String| {
            serde_json::from_str::<serde_json::Value>(event)
                .is_ok_and(|event| event.get("error").is_some())
        };
        self.broken.is_some() || self.events.iter().any(is_error)
    }

    /// Whether the stream came to its proper end.
    pub fn is_whole(&self) -> bool {
        !self.failed() && self.events.last().is_some_and(|last| last == "[DONE]")
    }
}
