//! What is left of a request's limits, as OpenAI's headers say it.

use std::sync::LazyLock;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::reply::number;
use crate::types::{Left, Quota};

/// The limit, what remains of it, and how long until all of it is there again; each with what stands for its
/// value in a frame.
const REQUESTS: [(HeaderName, HeaderValue); 3] = [
    (HeaderName::from_static("x-ratelimit-limit-requests"), HeaderValue::from_static("RL")),
    (HeaderName::from_static("x-ratelimit-remaining-requests"), HeaderValue::from_static("RR")),
    (HeaderName::from_static("x-ratelimit-reset-requests"), HeaderValue::from_static("RT")),
];
const TOKENS: [(HeaderName, HeaderValue); 3] = [
    (HeaderName::from_static("x-ratelimit-limit-tokens"), HeaderValue::from_static("TL")),
    (HeaderName::from_static("x-ratelimit-remaining-tokens"), HeaderValue::from_static("TR")),
    (HeaderName::from_static("x-ratelimit-reset-tokens"), HeaderValue::from_static("TT")),
];

/// The lengths of the windows as OpenAI writes times, in the order of `WINDOWS`.
const RESETS: [&str; 4] = ["1s", "1m0s", "1h0m0s", "24h0m0s"];

/// Most answers have no more headers; a map has room for a power of two, less a quarter.
const HEADERS_USUAL: usize = 12;

/// The headers without their values: a copy of the names costs less than to hash them for each answer.
static FRAMES: LazyLock<Frames> = LazyLock::new(|| Frames {
    requests: frame(&REQUESTS),
    tokens: frame(&TOKENS),
    both: frame(&[REQUESTS, TOKENS].concat()),
});

struct Frames {
    requests: HeaderMap,
    tokens: HeaderMap,
    both: HeaderMap,
}

fn frame(headers: &[(HeaderName, HeaderValue)]) -> HeaderMap {
    let mut frame = HeaderMap::with_capacity(HEADERS_USUAL);
    frame.extend(headers.iter().cloned());
    frame
}

/// What is left of the tightest limits, in a map with room for an answer's other headers.
pub fn headers(quota: &Quota) -> HeaderMap {
    let Quota { requests, tokens } = quota;
    let mut headers = match (requests, tokens) {
        (None, None) => return HeaderMap::with_capacity(HEADERS_USUAL),
        (Some(_), None) => FRAMES.requests.clone(),
        (None, Some(_)) => FRAMES.tokens.clone(),
        (Some(_), Some(_)) => FRAMES.both.clone(),
    };
    for value in headers.values_mut() {
        let known = match value.as_bytes() {
            [b'R', what] => requests.map(|left| said(&left, *what)),
            [b'T', what] => tokens.map(|left| said(&left, *what)),
            _ => None,
        };
        if let Some(known) = known {
            *value = known;
        }
    }
    headers
}

fn said(left: &Left, what: u8) -> HeaderValue {
    match what {
        b'L' => number(left.limit),
        b'R' => number(left.remaining),
        _ => HeaderValue::from_static(RESETS.get(left.window).copied().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::headers;
    use crate::types::{Left, Quota};

    #[test]
    fn each_header_says_what_its_name_says() {
        let requests = Left { limit: 60, remaining: 59, window: 1 };
        let tokens = Left { limit: 1000, remaining: 7, window: 3 };
        let rows = [
            ("x-ratelimit-limit-requests", "60"),
            ("x-ratelimit-remaining-requests", "59"),
            ("x-ratelimit-reset-requests", "1m0s"),
            ("x-ratelimit-limit-tokens", "1000"),
            ("x-ratelimit-remaining-tokens", "7"),
            ("x-ratelimit-reset-tokens", "24h0m0s"),
        ];
        for (with_requests, with_tokens) in
            [(false, false), (true, false), (false, true), (true, true)]
        {
            let quota = Quota {
                requests: with_requests.then_some(requests),
                tokens: with_tokens.then_some(tokens),
            };
            let given = headers(&quota);
            let is_said = |name: &str| {
                if name.ends_with("requests") { with_requests } else { with_tokens }
            };
            assert_eq!(given.len(), rows.iter().filter(|(name, _)| is_said(name)).count());
            for (name, value) in rows.iter().filter(|(name, _)| is_said(name)) {
                assert_eq!(given[*name], value, "{name}");
            }
        }
    }
}
