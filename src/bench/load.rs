//! What is sent: one kind of request, a mix of kinds by weight, or recorded requests.
//!
//! Everything is made before the clock starts, so that sending costs as little as it can.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::Options;

/// The most requests of a recording.
const RECORDED_MAX: usize = 1_000_000;
/// The most entries of a mix, and the highest weight of one.
const MIX_ENTRIES_MAX: usize = 100;
const WEIGHT_MAX: u32 = 10_000;
/// The longest body that is made, in bytes.
const BODY_BYTES_MAX: usize = 256 * 1024 * 1024;

/// The text of prompts: words, as models are sent them.
const WORDS: &str = "Tell me about Rome. ";

/// One request, ready to be sent.
#[derive(Clone, Debug)]
pub(super) struct Work {
    /// With the query, from `/` on.
    pub(super) path: String,
    pub(super) body: Bytes,
    /// The answer is read as a stream of events.
    pub(super) stream: bool,
    /// Which kind it is counted as.
    pub(super) kind: usize,
    /// The environment variable with its key, if that is not the one of all.
    pub(super) key_env: Option<String>,
}

/// All requests of a run.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) works: Vec<Work>,
    /// The order in which `works` are sent, again and again.
    order: Vec<usize>,
    /// What kinds there are.
    pub(super) kinds: Vec<String>,
    /// When recorded requests were sent, from the first on.
    pub(super) offsets: Option<Vec<Duration>>,
}

/// One kind of request, as the command line or a mix describes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    #[serde(default = "one")]
    weight: u32,
    path: Option<String>,
    model: Option<String>,
    stream: Option<bool>,
    body_bytes: Option<usize>,
    tokens: Option<u32>,
    key_env: Option<String>,
    /// The whole body, in place of one that is made.
    body: Option<Value>,
}

/// One line of a recording.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Recorded<'a> {
    offset_ms: f64,
    path: String,
    #[serde(borrow)]
    body: &'a RawValue,
}

impl Load {
    /// What the command line asks for.
    pub(super) fn of(options: &Options) -> io::Result<Self> {
        if let Some(file) = &options.replay {
            return recorded(file, options.speed);
        }
        let entries = match &options.mix {
            Some(file) => mix(file)?,
            None => vec![Entry {
                name: if options.stream { "stream" } else { "chat" }.into(),
                weight: 1,
                path: None,
                model: None,
                stream: None,
                body_bytes: None,
                tokens: None,
                key_env: None,
                body: None,
            }],
        };
        let works = entries.iter().enumerate();
        Ok(Self {
            works: works.map(|(kind, entry)| entry.work(kind, options)).collect(),
            order: interleaved(&entries.iter().map(|entry| entry.weight).collect::<Vec<_>>()),
            kinds: entries.into_iter().map(|entry| entry.name).collect(),
            offsets: None,
        })
    }

    /// The request with this number and its place in `works`.
    pub(super) fn pick(&self, number: u64) -> Option<(usize, &Work)> {
        let turn = number.checked_rem(self.order.len() as u64)?;
        let at = *self.order.get(usize::try_from(turn).ok()?)?;
        Some((at, self.works.get(at)?))
    }
}

impl Entry {
    fn work(&self, kind: usize, options: &Options) -> Work {
        let path = self.path.clone().unwrap_or_else(|| options.path.clone());
        let key_env = self.key_env.clone();
        if let Some(body) = &self.body {
            let asked = body.get("stream").and_then(Value::as_bool).unwrap_or_default();
            let stream = self.stream.unwrap_or(asked);
            return Work { path, body: body.to_string().into(), stream, kind, key_env };
        }
        let stream = self.stream.unwrap_or(options.stream);
        let mut members = Map::new();
        let model = self.model.as_ref().unwrap_or(&options.model);
        members.insert("model".into(), model.as_str().into());
        if stream {
            members.insert("stream".into(), true.into());
        }
        if let Some(tokens) = self.tokens.or(options.tokens) {
            members.insert("max_tokens".into(), tokens.into());
        }
        let bytes = self.body_bytes.unwrap_or(options.body_bytes).min(BODY_BYTES_MAX);
        Work { path, body: chat(members, bytes), stream, kind, key_env }
    }
}

/// A chat of exactly so many bytes, or of as few as it takes.
fn chat(mut members: Map<String, Value>, bytes: usize) -> Bytes {
    let with = |members: &mut Map<String, Value>, content: String| {
        members.insert("messages".into(), json!([{"role": "user", "content": content}]));
        serde_json::to_vec(members).unwrap_or_default()
    };
    let missing = bytes.saturating_sub(with(&mut members, String::new()).len());
    let mut content = WORDS.repeat(missing / WORDS.len());
    content.push_str(&"x".repeat(missing % WORDS.len()));
    with(&mut members, content).into()
}

/// Each index as often as its weight says, spread evenly: the one that is furthest behind is next.
fn interleaved(weights: &[u32]) -> Vec<usize> {
    let total: i64 = weights.iter().map(|weight| i64::from(*weight)).sum();
    let mut behind = vec![0; weights.len()];
    let mut order = Vec::new();
    for _ in 0..total {
        for (behind, weight) in behind.iter_mut().zip(weights) {
            *behind += i64::from(*weight);
        }
        let next = behind.iter_mut().enumerate().rev().max_by_key(|(_, behind)| **behind);
        if let Some((at, behind)) = next {
            *behind -= total;
            order.push(at);
        }
    }
    order
}

fn mix(file: &Path) -> io::Result<Vec<Entry>> {
    let refuse = |what: String| io::Error::other(format!("{}: {what}", file.display()));
    let text = fs::read_to_string(file).map_err(|error| refuse(error.to_string()))?;
    let entries: Vec<Entry> =
        serde_saphyr::from_str(&text).map_err(|error| refuse(error.to_string()))?;
    if entries.is_empty() || entries.len() > MIX_ENTRIES_MAX {
        return Err(refuse(format!("has {} entries: 1 to {MIX_ENTRIES_MAX}", entries.len())));
    }
    match entries.iter().find(|entry| !(1..=WEIGHT_MAX).contains(&entry.weight)) {
        Some(entry) => Err(refuse(format!(
            "`{}` has the weight {}: 1 to {WEIGHT_MAX}",
            entry.name, entry.weight
        ))),
        None => Ok(entries),
    }
}

fn recorded(file: &Path, speed: f64) -> io::Result<Load> {
    let refuse = |what: String| io::Error::other(format!("{}: {what}", file.display()));
    let text = fs::read_to_string(file).map_err(|error| refuse(error.to_string()))?;
    let mut requests = Vec::new();
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let request =
            read_recorded(line).map_err(|what| refuse(format!("line {number}: {what}")))?;
        requests.push(request);
    }
    if requests.is_empty() || requests.len() > RECORDED_MAX {
        return Err(refuse(format!("has {} requests: 1 to {RECORDED_MAX}", requests.len())));
    }
    requests.sort_by_key(|(offset, _)| *offset);
    let first = requests.first().map(|(offset, _)| *offset).unwrap_or_default();
    let offset = |offset: Duration| (offset - first).div_f64(speed);
    Ok(Load {
        order: (0..requests.len()).collect(),
        offsets: Some(requests.iter().map(|(at, _)| offset(*at)).collect()),
        works: requests.into_iter().map(|(_, work)| work).collect(),
        kinds: vec!["recorded".into()],
    })
}

fn read_recorded(line: &str) -> Result<(Duration, Work), String> {
    #[derive(Deserialize)]
    struct Wishes {
        #[serde(default)]
        stream: bool,
    }
    let Recorded { offset_ms, path, body } =
        serde_json::from_str(line).map_err(|error| error.to_string())?;
    let offset = Duration::try_from_secs_f64(offset_ms / 1000.0)
        .map_err(|_| format!("`offset_ms` is {offset_ms}: 0 or more"))?;
    if !path.starts_with('/') {
        return Err(format!("`path` is `{path}`: it begins with `/`"));
    }
    let body = body.get();
    let stream = serde_json::from_str(body).is_ok_and(|Wishes { stream }| stream);
    let work = Work { path, body: body.to_owned().into(), stream, kind: 0, key_env: None };
    Ok((offset, work))
}

fn one() -> u32 {
    1
}

#[cfg(test)]
mod tests;
