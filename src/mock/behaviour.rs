//! How an answer is given: its length, its pace, its faults.
//!
//! Every setting has one name and one meaning, whether it comes from a flag (`--status 503`), a
//! request header (`x-mock-status: 503`), the body's `metadata` (`{"mock": "status=503"}`) or
//! `POST /mock/behaviour`. This module knows nothing of HTTP or of what is answered.

use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderName, HeaderValue};

/// The longest answer: what one stream may cost in memory is this many events.
const TOKENS_MAX: usize = 100_000;

/// The most calls of one answer.
const CALLS_MAX: usize = 128;

/// Every name that [`Behaviour::set`] knows, in the order of the documentation.
pub(crate) const SETTINGS: &[&str] = &[
    "tokens",
    "chunks",
    "calls",
    "delay-ms",
    "first-token-ms",
    "tokens-per-second",
    "chunk-ms",
    "piece-bytes",
    "echo",
    "status",
    "header",
    "hang",
    "cut-after",
    "reset",
    "malformed-at",
    "error-at",
    "no-usage",
    "no-done",
];

/// The length, pace and faults of one answer.
#[derive(clap::Args, Clone, Debug)]
pub struct Behaviour {
    /// Length of an answer in tokens; a smaller `max_tokens` of the request wins
    #[arg(long, default_value_t = 20)]
    pub tokens: usize,
    /// Events that a stream's content is cut into; default: one a token
    #[arg(long)]
    pub chunks: Option<usize>,
    /// Calls in an answer that calls a function, all alike
    #[arg(long, default_value_t = 1)]
    pub calls: usize,
    /// Wait before the answer's header
    #[arg(long, default_value_t = 0)]
    pub delay_ms: u32,
    /// Wait before the first token; a stream's header is sent at once
    #[arg(long, default_value_t = 0)]
    pub first_token_ms: u32,
    /// Pace of the tokens behind the first; 0: no pace
    #[arg(long, default_value_t = 0)]
    pub tokens_per_second: u32,
    /// Wait between two events of a stream, instead of a pace
    #[arg(long, default_value_t = 0)]
    pub chunk_ms: u32,
    /// Cut a stream into HTTP chunks of this many bytes, wherever that falls
    #[arg(long)]
    pub piece_bytes: Option<usize>,
    /// Answer with a description of the request
    #[arg(long)]
    pub echo: bool,
    /// Status of the answer; from 400 on with an error body
    #[arg(long, value_parser = clap::value_parser!(u16).range(200..=599))]
    pub status: Option<u16>,
    /// A further header of the answer; may be repeated
    #[arg(long = "header", value_name = "NAME=VALUE")]
    pub headers: Vec<Header>,
    /// Never answer
    #[arg(long)]
    pub hang: bool,
    /// Close the connection after this many events of a stream, or bytes of a whole answer
    #[arg(long)]
    pub cut_after: Option<usize>,
    /// Make the cut a TCP reset
    #[arg(long)]
    pub reset: bool,
    /// Put an event that is not JSON before the event with this number, from 0
    #[arg(long)]
    pub malformed_at: Option<usize>,
    /// End a stream with an error event in place of the event with this number, from 0
    #[arg(long)]
    pub error_at: Option<usize>,
    /// Leave out the token counts
    #[arg(long)]
    pub no_usage: bool,
    /// Leave out the last event of a stream, such as `[DONE]`
    #[arg(long)]
    pub no_done: bool,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            tokens: 20,
            chunks: None,
            calls: 1,
            delay_ms: 0,
            first_token_ms: 0,
            tokens_per_second: 0,
            chunk_ms: 0,
            piece_bytes: None,
            echo: false,
            status: None,
            headers: Vec::new(),
            hang: false,
            cut_after: None,
            reset: false,
            malformed_at: None,
            error_at: None,
            no_usage: false,
            no_done: false,
        }
    }
}

impl Behaviour {
    /// Changes one setting. The error names the setting, its value and what would be right.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "tokens" => self.tokens = number(name, value)?,
            "chunks" => self.chunks = Some(number(name, value)?),
            "calls" => self.calls = number(name, value)?,
            "delay-ms" => self.delay_ms = number(name, value)?,
            "first-token-ms" => self.first_token_ms = number(name, value)?,
            "tokens-per-second" => self.tokens_per_second = number(name, value)?,
            "chunk-ms" => self.chunk_ms = number(name, value)?,
            "piece-bytes" => self.piece_bytes = Some(number(name, value)?),
            "echo" => self.echo = switch(name, value)?,
            "status" => self.status = Some(status(value)?),
            "header" => self.headers.push(value.parse()?),
            "hang" => self.hang = switch(name, value)?,
            "cut-after" => self.cut_after = Some(number(name, value)?),
            "reset" => self.reset = switch(name, value)?,
            "malformed-at" => self.malformed_at = Some(number(name, value)?),
            "error-at" => self.error_at = Some(number(name, value)?),
            "no-usage" => self.no_usage = switch(name, value)?,
            "no-done" => self.no_done = switch(name, value)?,
            _ => return Err(format!("`{name}` is no setting: there are {}", SETTINGS.join(", "))),
        }
        Ok(())
    }

    /// Changes settings from a list such as `status=503;header=retry-after=2;no-done`.
    pub fn set_all(&mut self, list: &str) -> Result<(), String> {
        entries(list).try_for_each(|(name, value)| self.set(name, value))
    }

    /// The answer's length in tokens, within what one answer may cost.
    pub fn length(&self) -> usize {
        self.tokens.clamp(1, TOKENS_MAX)
    }

    /// How many calls an answer makes that makes any, within what one answer may cost.
    pub fn calls(&self) -> usize {
        self.calls.clamp(1, CALLS_MAX)
    }

    /// The same length and pace, and nothing wrong.
    fn healthy(&self) -> Self {
        Self {
            tokens: self.tokens,
            chunks: self.chunks,
            calls: self.calls,
            delay_ms: self.delay_ms,
            first_token_ms: self.first_token_ms,
            tokens_per_second: self.tokens_per_second,
            chunk_ms: self.chunk_ms,
            piece_bytes: self.piece_bytes,
            echo: self.echo,
            ..Self::default()
        }
    }

    fn is_healthy(&self) -> bool {
        self.status.is_none()
            && self.headers.is_empty()
            && !(self.hang || self.no_usage || self.no_done)
            && self.cut_after.or(self.malformed_at).or(self.error_at).is_none()
    }
}

/// A whole instance's behaviour, and how its faults are spread over its requests.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Instance {
    /// What each answer is like.
    #[command(flatten)]
    pub behaviour: Behaviour,
    /// Faults meet only the first requests, this many
    #[arg(long)]
    pub fail_first: Option<u64>,
    /// Faults meet only this share of the requests, 0 to 1, evenly spread
    #[arg(long)]
    pub fail_rate: Option<f64>,
}

impl Instance {
    /// Changes settings from a list, in which `fail-first` and `fail-rate` may stand too.
    pub fn set_all(&mut self, list: &str) -> Result<(), String> {
        for (name, value) in entries(list) {
            match name {
                "fail-first" => self.fail_first = Some(number(name, value)?),
                "fail-rate" => self.fail_rate = Some(number(name, value)?),
                _ => self.behaviour.set(name, value)?,
            }
        }
        Ok(())
    }
}

/// An instance's behaviour in use: it counts the requests that its faults are spread over.
pub(crate) struct Active {
    instance: Instance,
    spread: bool,
    seen: AtomicU64,
}

impl Active {
    /// Faults that are spread but not named are a 503.
    pub(crate) fn new(mut instance: Instance) -> Self {
        let spread = instance.fail_first.is_some() || instance.fail_rate.is_some();
        if spread && instance.behaviour.is_healthy() {
            instance.behaviour.status = Some(503);
        }
        Self { instance, spread, seen: AtomicU64::new(0) }
    }

    /// What the next model request meets.
    pub(crate) fn next(&self) -> Behaviour {
        if self.spread && !self.fails(self.seen.fetch_add(1, Ordering::Relaxed)) {
            return self.instance.behaviour.healthy();
        }
        self.instance.behaviour.clone()
    }

    /// What a health check meets: it is not counted, and faults that are spread spare it.
    pub(crate) fn unspread(&self) -> Behaviour {
        if self.spread {
            return self.instance.behaviour.healthy();
        }
        self.instance.behaviour.clone()
    }

    fn fails(&self, number: u64) -> bool {
        let first = self.instance.fail_first.is_none_or(|first| number < first);
        first && self.instance.fail_rate.is_none_or(|rate| falls_due(number, rate))
    }
}

/// Whether the whole part of `rate × requests` grows with request `number`: the even spread.
fn falls_due(number: u64, rate: f64) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "no run has 2^53 requests")]
    let number = number as f64;
    ((number + 1.0) * rate).floor() > (number * rate).floor()
}

/// A header that an answer carries besides its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its name.
    pub name: HeaderName,
    /// Its value.
    pub value: HeaderValue,
}

impl FromStr for Header {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no header: write it as name=value");
        let (name, value) = text.split_once('=').ok_or_else(wrong)?;
        let name = name.trim().parse().map_err(|_| wrong())?;
        let value = value.trim().parse().map_err(|_| wrong())?;
        Ok(Self { name, value })
    }
}

/// The entries of a list; an entry without a value switches something on.
fn entries(list: &str) -> impl Iterator<Item = (&str, &str)> {
    list.split(';').map(str::trim).filter(|entry| !entry.is_empty()).map(|entry| {
        let (name, value) = entry.split_once('=').unwrap_or((entry, "1"));
        (name.trim(), value.trim())
    })
}

fn number<T: FromStr>(name: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("`{name}` is a number, not `{value}`"))
}

fn status(value: &str) -> Result<u16, String> {
    let known = |status: &u16| (200..=599).contains(status);
    value
        .parse()
        .ok()
        .filter(known)
        .ok_or_else(|| format!("`status` is a number from 200 to 599, not `{value}`"))
}

fn switch(name: &str, value: &str) -> Result<bool, String> {
    match value {
        "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err(format!("`{name}` is 1 or 0, not `{value}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Active, Behaviour, Instance, SETTINGS};

    #[test]
    fn every_setting_in_the_list_can_be_set() {
        for name in SETTINGS {
            let value = if *name == "header" { "a=b" } else { "1" };
            let value = if *name == "status" { "200" } else { value };
            assert_eq!(Behaviour::default().set(name, value), Ok(()), "{name}");
        }
    }

    #[test]
    fn a_list_sets_many() {
        let mut behaviour = Behaviour::default();
        behaviour.set_all(" status=503 ; header=retry-after=2;no-done; reset=0").unwrap();
        assert_eq!(behaviour.status, Some(503));
        assert_eq!(behaviour.headers[0].name, "retry-after");
        assert_eq!(behaviour.headers[0].value, "2");
        assert!(behaviour.no_done && !behaviour.reset);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (list, expected) in [
            ("stauts=503", "`stauts` is no setting: there are tokens, chunks"),
            ("status=99", "`status` is a number from 200 to 599, not `99`"),
            ("chunk-ms=fast", "`chunk-ms` is a number, not `fast`"),
            ("hang=maybe", "`hang` is 1 or 0, not `maybe`"),
            ("header=x", "`x` is no header: write it as name=value"),
            ("header=a=b\r\nc", "is no header"),
        ] {
            let error = Behaviour::default().set_all(list).unwrap_err();
            assert!(error.contains(expected), "{list}: {error}");
        }
    }

    #[test]
    fn faults_are_spread_as_asked() {
        for (list, expected) in [
            ("status=500;fail-first=2", "ff......"),
            ("fail-rate=0.25", "...f...f"),
            ("fail-rate=0.5;fail-first=4", ".f.f...."),
            ("fail-rate=1", "ffffffff"),
            ("fail-rate=0", "........"),
            ("status=500", "ffffffff"),
            ("tokens=3", "........"),
        ] {
            let mut instance = Instance::default();
            instance.set_all(list).unwrap();
            let active = Active::new(instance);
            let mark = |failed| if failed { 'f' } else { '.' };
            let seen: String = (0..8).map(|_| mark(active.next().status.is_some())).collect();
            assert_eq!(seen, expected, "{list}");
        }
    }
}
