//! A client that behaves as the official SDKs do: it asks again on a connection that breaks, on 408,
//! 409, 429 and 5xx, unless `x-should-retry` says otherwise, and waits for `retry-after`.

use std::time::Duration;

use serde_json::{Value, json};
use support::Method;
use support::client::{Client, chat_with};
use support::events::Events;
use support::reply::Reply;

/// How often the client asks again, as the SDKs do by default.
const RETRIES: usize = 2;

/// What the client has in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// A whole answer.
    Whole,
    /// An error with this status.
    Status(u16),
}

/// A whole answer is asked for, or a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Chat,
    Stream,
}

/// Asks a model for a chat, until it has what it asked for or must give up.
pub(crate) async fn ask(client: &Client, model: &str, kind: Kind) -> End {
    let body = chat_with(model, &json!({"stream": kind == Kind::Stream}));
    for retry in 0.. {
        let request = client.request(Method::POST, "/v1/chat/completions").json(&body);
        let (end, wait) = match kind {
            Kind::Chat => whole(Reply::attempt(request).await),
            Kind::Stream => stream(Events::attempt(request).await).await,
        };
        match wait {
            // As an SDK waits that was told to.
            Some(wait) if retry < RETRIES => tokio::time::sleep(wait).await,
            _ => return end,
        }
    }
    unreachable!("the loop ends with its last retry")
}

/// How it ended, and how long to wait before asking again, where that may help.
fn whole(reply: support::Attempted<Reply>) -> (End, Option<Duration>) {
    let Ok(reply) = reply else { return (End::Status(0), Some(PAUSE)) };
    if reply.status == 200 {
        return (End::Whole, None);
    }
    (End::Status(reply.status), wait(reply.status, |name| reply.header(name).to_owned()))
}

async fn stream(events: support::Attempted<Events>) -> (End, Option<Duration>) {
    let Ok(events) = events else { return (End::Status(0), Some(PAUSE)) };
    let (status, headers) = (events.status, events.headers.clone());
    if status != 200 {
        let header = |name: &str| {
            headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        return (End::Status(status), wait(status, header));
    }
    if read_as_sdks_do(events).await { (End::Whole, None) } else { (End::Status(0), Some(PAUSE)) }
}

/// Whether a stream is good to its end. An SDK reads each event as JSON, stops at the first that
/// is none or that says `error`, and takes a clean end for the end: it does not miss `[DONE]`.
async fn read_as_sdks_do(mut events: Events) -> bool {
    loop {
        match events.next().await {
            Ok(None) => return true,
            Ok(Some(event)) if event == "[DONE]" => {}
            Ok(Some(event)) => match serde_json::from_str::<Value>(&event) {
                Ok(event) if event.get("error").is_none() => {}
                _ => return false,
            },
            Err(_) => return false,
        }
    }
}

/// An SDK's shortest pause before it asks again.
const PAUSE: Duration = Duration::from_millis(500);

fn wait(status: u16, header: impl Fn(&str) -> String) -> Option<Duration> {
    let retryable = matches!(status, 408 | 409 | 429 | 500..);
    if !retryable || header("x-should-retry") == "false" {
        return None;
    }
    Some(header("retry-after").parse().map_or(PAUSE, Duration::from_secs))
}
