//! Endpoints that judge texts: embeddings, moderations, rerank.
//!
//! Results depend on the texts alone and on nothing else, so that a test can foretell them.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::answer::Answer;
use super::json::{put, put_number};
use super::refusal::Refusal;
use super::request::Body;

/// The length of an embedding, where the request does not say.
const DIMENSIONS: usize = 1536;
const DIMENSIONS_MAX: usize = 16_384;
/// The most texts of one request.
const INPUTS_MAX: usize = 2_048;
/// A text with this in it is flagged as violent.
const FLAG: &str = "mock-flag";

const CATEGORIES: [&str; 13] = [
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
];

/// `POST /v1/embeddings`: unit vectors whose components differ in sign only.
pub(crate) fn embeddings(body: &Body<'_>, prompt_tokens: usize) -> Result<Answer, Refusal> {
    let model = body.model()?;
    let inputs = inputs(body)?;
    let dimensions = dimensions(body.dimensions)?;
    let put_vector = match body.encoding_format.as_deref() {
        None | Some("float") => put_floats,
        Some("base64") => put_base64,
        Some(other) => {
            let message = format!("'encoding_format' must be float or base64, not {other}.");
            return Err(Refusal::bad(message).param("encoding_format"));
        }
    };
    let mut out = Vec::with_capacity(inputs.len() * dimensions * 10);
    put(&mut out, &[r#"{"object":"list","data":["#]);
    for (index, input) in inputs.iter().enumerate() {
        put(&mut out, &[if index > 0 { "," } else { "" }]);
        put(&mut out, &[r#"{"object":"embedding","index":"#]);
        put_number(&mut out, index);
        put(&mut out, &[r#","embedding":"#]);
        put_vector(&mut out, input.get(), dimensions);
        put(&mut out, &["}"]);
    }
    put(&mut out, &[r#"],"model":"#, model]);
    let usage = json!({ "prompt_tokens": prompt_tokens, "total_tokens": prompt_tokens });
    put(&mut out, &[r#","usage":"#, &usage.to_string(), "}"]);
    Ok(Answer::json(out))
}

/// `POST /v1/moderations`
pub(crate) fn moderations(body: &Body<'_>, number: u64) -> Result<Answer, Refusal> {
    let results: Vec<Value> = inputs(body)?.iter().map(|input| judgement(input.get())).collect();
    let model = body.model().unwrap_or(r#""omni-moderation-latest""#);
    let results = Value::from(results);
    let id = format!("modr-mock{number:016x}");
    Ok(Answer::json(format!(r#"{{"id":"{id}","model":{model},"results":{results}}}"#)))
}

/// `POST /v1/rerank`: a document's score is the share of the query's words found in it.
pub(crate) fn rerank(body: &Body<'_>, number: u64, tokens: usize) -> Result<Answer, Refusal> {
    let model = body.model()?;
    let query = words(body.query.as_deref().ok_or_else(|| Refusal::missing("query"))?);
    let documents = body.documents.as_deref().ok_or_else(|| Refusal::missing("documents"))?;
    let mut scored: Vec<(usize, f64)> = documents
        .iter()
        .map(|document| share(&query, &words(document.text())))
        .enumerate()
        .collect();
    scored.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    scored.truncate(body.top_n.unwrap_or(usize::MAX));
    let result = |(index, score): (usize, f64)| {
        let mut result = json!({ "index": index, "relevance_score": score });
        let document = documents.get(index).filter(|_| body.return_documents == Some(true));
        if let (Some(document), Some(result)) = (document, result.as_object_mut()) {
            result.insert("document".into(), json!({ "text": document.text() }));
        }
        result
    };
    let results = Value::from(scored.into_iter().map(result).collect::<Vec<Value>>());
    let usage = json!({ "prompt_tokens": tokens, "total_tokens": tokens });
    let id = format!("rerank-mock{number:016x}");
    let head = format!(r#"{{"id":"{id}","model":{model},"results":{results},"usage":{usage},"#);
    let meta = json!({ "billed_units": { "search_units": 1 } });
    Ok(Answer::json(format!(r#"{head}"meta":{meta}}}"#)))
}

/// The length of the vectors that are asked for.
pub(crate) fn dimensions(wished: Option<usize>) -> Result<usize, Refusal> {
    let dimensions = wished.unwrap_or(DIMENSIONS);
    if (1..=DIMENSIONS_MAX).contains(&dimensions) {
        return Ok(dimensions);
    }
    let message = format!("'dimensions' must be from 1 to {DIMENSIONS_MAX}.");
    Err(Refusal::bad(message).param("dimensions"))
}

/// The texts of a request: one, or a list of them; a list of numbers is one text in tokens.
fn inputs<'a>(body: &Body<'a>) -> Result<Vec<&'a RawValue>, Refusal> {
    let input = body.input.ok_or_else(|| Refusal::missing("input"))?;
    let wrong = || Refusal::bad("'input' must be a text or a list of texts.").param("input");
    let list: Vec<&RawValue> = match input.get().as_bytes().first() {
        Some(b'"') => return Ok(vec![input]),
        Some(b'[') => serde_json::from_str(input.get()).map_err(|_| wrong())?,
        _ => return Err(wrong()),
    };
    let first = list.first().ok_or_else(wrong)?;
    if first.get().parse::<f64>().is_ok() {
        return Ok(vec![input]);
    }
    if list.len() > INPUTS_MAX {
        let message = format!("'input' may be a list of {INPUTS_MAX} texts at most.");
        return Err(Refusal::bad(message).param("input"));
    }
    Ok(list)
}

/// A vector's signs, from its text: the same text gives the same vector.
fn signs(text: &str, dimensions: usize) -> impl Iterator<Item = bool> {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    let seed = hasher.finish();
    let word = move |number: u64| {
        // SplitMix64 (Steele, Lea, Flood 2014): well mixed bits from a counter.
        let z = seed.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    (0..).map(word).flat_map(|bits| (0..64).map(move |at| bits >> at & 1 == 1)).take(dimensions)
}

/// The size of each component: squared, they add up to one.
#[expect(clippy::cast_precision_loss, reason = "dimensions are few thousands")]
fn component(dimensions: usize) -> f32 {
    (dimensions as f32).sqrt().recip()
}

/// The vector of a text as a JSON list.
pub(crate) fn put_floats(out: &mut Vec<u8>, text: &str, dimensions: usize) {
    let positive = component(dimensions).to_string();
    let mut before = "[";
    for sign in signs(text, dimensions) {
        put(out, &[before, if sign { "" } else { "-" }, &positive]);
        before = ",";
    }
    put(out, &["]"]);
}

fn put_base64(out: &mut Vec<u8>, text: &str, dimensions: usize) {
    let positive = component(dimensions);
    let bytes: Vec<u8> = signs(text, dimensions)
        .flat_map(|sign| if sign { positive } else { -positive }.to_le_bytes())
        .collect();
    put(out, &["\"", &BASE64_STANDARD.encode(bytes), "\""]);
}

fn judgement(input: &str) -> Value {
    let flagged = input.contains(FLAG);
    let hit = |category: &str| flagged && category == "violence";
    let all = |value: &dyn Fn(&str) -> Value| -> Value {
        CATEGORIES.iter().map(|category| ((*category).to_owned(), value(category))).collect()
    };
    json!({
        "flagged": flagged,
        "categories": all(&|category| hit(category).into()),
        "category_scores": all(&|category| if hit(category) { 0.99 } else { 0.01 }.into()),
        "category_applied_input_types": all(&|_| json!(["text"])),
    })
}

fn words(text: &str) -> HashSet<String> {
    let lower = text.to_lowercase();
    let words = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_owned).collect()
}

#[expect(clippy::cast_precision_loss, reason = "a text has fewer than 2^53 words")]
fn share(query: &HashSet<String>, document: &HashSet<String>) -> f64 {
    query.intersection(document).count() as f64 / query.len().max(1) as f64
}
