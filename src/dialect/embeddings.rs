//! Embeddings between OpenAI's way of asking and Gemini's: requests and whole answers.
//!
//! OpenAI asks for many at once and may have them as base64; Gemini asks for one (`embedContent`) or for
//! many (`batchEmbedContents`) and has numbers only. (OpenAI API reference, "Embeddings"; Gemini API
//! reference, "Embeddings".)

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::dialect::gemini;
use crate::dialect::ir::fault::Fault;
use crate::dialect::ir::loss::Losses;
use crate::dialect::ir::wire::{Json, Mixed, Text, list, note_unknown, to_json};
use crate::dialect::openai::answer;
use crate::dialect::translate::{TranslatedAnswer, TranslatedRequest};
use crate::error::{Error, Kind, Result};

/// How a client wants its embeddings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// OpenAI's, as lists of numbers.
    Numbers,
    /// OpenAI's, as base64 of numbers of four bytes, the lowest first.
    Base64,
    /// Gemini's, one.
    One,
    /// Gemini's, many.
    Many,
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct OpenAiRequest<'a> {
    input: Mixed<'a, Json<'a>>,
    #[serde(default)]
    dimensions: Option<u64>,
}

const OPENAI_MEMBERS: [&str; 4] = ["model", "input", "dimensions", "encoding_format"];

#[derive(Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct GeminiBatch<'a> {
    #[serde(deserialize_with = "list")]
    requests: Vec<GeminiRequest<'a>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct GeminiRequest<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<Text<'a>>,
    content: GeminiContent<'a>,
    #[serde(alias = "output_dimensionality", skip_serializing_if = "Option::is_none")]
    output_dimensionality: Option<u64>,
    #[serde(alias = "task_type", skip_serializing)]
    task_type: Option<Text<'a>>,
    #[serde(skip_serializing)]
    title: Option<Text<'a>>,
}

#[derive(Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct GeminiContent<'a> {
    #[serde(deserialize_with = "list")]
    parts: Vec<GeminiPart<'a>>,
}

#[derive(Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct GeminiPart<'a> {
    #[serde(default)]
    text: Option<Text<'a>>,
}

fn broken(what: &str, error: &serde_json::Error) -> Error {
    Error::new(Kind::InvalidBody, format!("the body is not {what}: {error}"))
}

/// OpenAI's request as Gemini's for many. Inputs of token numbers have no place in it.
pub fn request_to_gemini(
    body: &[u8],
    model: &str,
    losses: &mut Losses,
) -> Result<TranslatedRequest> {
    let wire: OpenAiRequest<'_> = serde_json::from_slice(body)
        .map_err(|error| broken("a request for embeddings", &error).param("input"))?;
    note_unknown(body, &OPENAI_MEMBERS, "", losses);
    let texts = match wire.input {
        Mixed::Text(text) => vec![text],
        Mixed::List(items) => items.into_iter().map(text_of).collect::<Result<_>>()?,
    };
    let name =
        if model.contains('/') { Cow::Borrowed(model) } else { format!("models/{model}").into() };
    let request = |text| GeminiRequest {
        model: Some(Text::from(name.clone())),
        content: GeminiContent { parts: vec![GeminiPart { text: Some(text) }] },
        output_dimensionality: wire.dimensions,
        task_type: None,
        title: None,
    };
    let requests = texts.into_iter().map(request).collect();
    Ok(translated(to_json(&GeminiBatch { requests })))
}

fn text_of(item: Json<'_>) -> Result<Text<'_>> {
    let text = item.borrowed().and_then(|json| serde_json::from_str::<Text<'_>>(json).ok());
    text.ok_or_else(|| {
        let text = "`input` must be a text, or a list of texts: this model's provider takes no numbers \
                    of tokens.";
        Error::new(Kind::InvalidBody, text).param("input")
    })
}

/// Gemini's request, for one or for many, as OpenAI's.
pub fn request_to_openai(
    body: &[u8],
    form: Form,
    model: &str,
    losses: &mut Losses,
) -> Result<TranslatedRequest> {
    #[derive(Serialize)]
    struct Written<'a> {
        model: &'a str,
        input: Vec<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        dimensions: Option<u64>,
    }
    let requests = if form == Form::One {
        vec![
            serde_json::from_slice(body)
                .map_err(|error| broken("an embedContent request", &error))?,
        ]
    } else {
        let batch: GeminiBatch<'_> = serde_json::from_slice(body)
            .map_err(|error| broken("a batchEmbedContents request", &error))?;
        batch.requests
    };
    for request in &requests {
        if request.task_type.is_some() {
            losses.unknown("", "taskType");
        }
        if request.title.is_some() {
            losses.unknown("", "title");
        }
    }
    let dimensions = requests.iter().find_map(|request| request.output_dimensionality);
    let text = |request: &GeminiRequest<'_>| {
        request.content.parts.iter().filter_map(|part| part.text.as_deref()).collect()
    };
    let input = requests.iter().map(text).collect();
    Ok(translated(to_json(&Written { model, input, dimensions })))
}

fn translated(body: Vec<u8>) -> TranslatedRequest {
    TranslatedRequest { body, losses: Vec::new(), stream: false, include_usage: false }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct GeminiAnswer<'a> {
    #[serde(default, deserialize_with = "list")]
    embeddings: Vec<Values<'a>>,
    #[serde(default)]
    embedding: Option<Values<'a>>,
    #[serde(default)]
    usage_metadata: Option<&'a RawValue>,
}

#[derive(Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct Values<'a> {
    values: Json<'a>,
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct OpenAiAnswer<'a> {
    #[serde(deserialize_with = "list")]
    data: Vec<OpenAiEmbedding<'a>>,
    #[serde(default)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct OpenAiEmbedding<'a> {
    #[serde(default)]
    index: u64,
    embedding: Json<'a>,
}

/// Gemini's answer as OpenAI's. Gemini may not tell how many tokens it read: then they are 0.
pub fn answer_to_openai(
    body: &[u8],
    form: Form,
    model: &str,
) -> std::result::Result<TranslatedAnswer, Fault> {
    #[derive(Serialize)]
    struct Written<'a> {
        object: &'static str,
        data: Vec<Embedding<'a>>,
        model: &'a str,
        usage: Usage,
    }
    #[derive(Serialize)]
    struct Embedding<'a> {
        object: &'static str,
        index: usize,
        embedding: Json<'a>,
    }
    #[derive(Serialize)]
    struct Usage {
        prompt_tokens: u64,
        total_tokens: u64,
    }
    let answer: GeminiAnswer<'_> =
        serde_json::from_slice(body).map_err(|_| Fault::unreadable(502))?;
    let all = answer.embeddings.into_iter().chain(answer.embedding);
    let data: Vec<Embedding<'_>> = all
        .enumerate()
        .map(|(index, Values { values })| {
            let embedding = if form == Form::Base64 { packed(&values)? } else { values };
            Ok(Embedding { object: "embedding", index, embedding })
        })
        .collect::<std::result::Result<_, Fault>>()?;
    if data.is_empty() {
        return Err(Fault::unreadable(502));
    }
    let usage =
        answer.usage_metadata.and_then(|raw| gemini::answer::usage(raw.get().as_bytes(), None));
    let read = usage.map_or(0, |usage| usage.input);
    let usage_told = Usage { prompt_tokens: read, total_tokens: read };
    let body = to_json(&Written { object: "list", data, model, usage: usage_told });
    Ok(TranslatedAnswer { body, losses: Vec::new(), usage })
}

/// Numbers as OpenAI packs them.
fn packed(values: &Json<'_>) -> std::result::Result<Json<'static>, Fault> {
    let numbers: Vec<f32> =
        serde_json::from_str(values.get()).map_err(|_| Fault::unreadable(502))?;
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    let raw = serde_json::value::to_raw_value(&STANDARD.encode(bytes));
    raw.map(Json::from).map_err(|_| Fault::unreadable(502))
}

/// OpenAI's answer as Gemini's, for one or for many.
pub fn answer_to_gemini(body: &[u8], form: Form) -> std::result::Result<TranslatedAnswer, Fault> {
    #[derive(Serialize)]
    struct Many<'a> {
        embeddings: Vec<Values<'a>>,
    }
    #[derive(Serialize)]
    struct One<'a> {
        embedding: Values<'a>,
    }
    let mut answer: OpenAiAnswer<'_> =
        serde_json::from_slice(body).map_err(|_| Fault::unreadable(502))?;
    answer.data.sort_by_key(|embedding| embedding.index);
    let mut all = answer.data.into_iter().map(|one| Values { values: one.embedding });
    let body = if form == Form::One {
        to_json(&One { embedding: all.next().ok_or_else(|| Fault::unreadable(502))? })
    } else {
        to_json(&Many { embeddings: all.collect() })
    };
    let usage = answer.usage.and_then(|raw| answer::read(raw.get().as_bytes()));
    Ok(TranslatedAnswer { body, losses: Vec::new(), usage })
}

#[cfg(test)]
mod tests {
    use super::{Form, answer_to_gemini, answer_to_openai, request_to_gemini, request_to_openai};
    use crate::dialect::ir::Dialect;
    use crate::dialect::ir::loss::Losses;

    fn text(body: Vec<u8>) -> String {
        String::from_utf8(body).unwrap()
    }

    #[test]
    fn openais_requests_become_geminis() {
        for (body, expected) in [
            (
                r#"{"model":"a","input":"x\n","dimensions":3}"#,
                r#"{"requests":[{"model":"models/m","content":{"parts":[{"text":"x\n"}]},"outputDimensionality":3}]}"#,
            ),
            (
                r#"{"input":["x","y"],"encoding_format":"base64"}"#,
                r#"{"requests":[{"model":"models/m","content":{"parts":[{"text":"x"}]}},{"model":"models/m","content":{"parts":[{"text":"y"}]}}]}"#,
            ),
        ] {
            let mut losses = Losses::new(Dialect::Chat);
            let done = request_to_gemini(body.as_bytes(), "m", &mut losses).unwrap();
            assert_eq!(text(done.body), expected);
            assert!(losses.into_list().is_empty());
        }
        let mut losses = Losses::new(Dialect::Chat);
        let numbers = request_to_gemini(br#"{"input":[[1,2]]}"#, "m", &mut losses).unwrap_err();
        assert_eq!(numbers.param.as_deref(), Some("input"));
        request_to_gemini(br#"{"input":"x","user":"u"}"#, "m", &mut losses).unwrap();
        assert_eq!(losses.into_list()[0].field, "user");
    }

    #[test]
    fn geminis_requests_become_openais() {
        let one = r#"{"content":{"parts":[{"text":"x"},{"text":"y"}]},"outputDimensionality":3,"taskType":"T"}"#;
        let many = format!(r#"{{"requests":[{one},{one}]}}"#);
        for (form, body, expected) in [
            (Form::One, one, r#"{"model":"m","input":["xy"],"dimensions":3}"#),
            (Form::Many, &many, r#"{"model":"m","input":["xy","xy"],"dimensions":3}"#),
        ] {
            let mut losses = Losses::new(Dialect::Gemini);
            let done = request_to_openai(body.as_bytes(), form, "m", &mut losses).unwrap();
            assert_eq!(text(done.body), expected);
            assert_eq!(losses.into_list()[0].field, "taskType");
        }
    }

    #[test]
    fn answers_come_back_in_the_clients_form() {
        let gemini = br#"{"embeddings":[{"values":[0.5,-1]},{"values":[2]}]}"#;
        let done = |form| text(answer_to_openai(gemini, form, "m").unwrap().body);
        assert_eq!(
            done(Form::Numbers),
            r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5,-1]},{"object":"embedding","index":1,"embedding":[2]}],"model":"m","usage":{"prompt_tokens":0,"total_tokens":0}}"#
        );
        assert!(
            done(Form::Base64).contains(r#""embedding":"AAAAPwAAgL8=""#),
            "{}",
            done(Form::Base64)
        );
        let openai = br#"{"data":[{"index":1,"embedding":[2]},{"index":0,"embedding":[0.5,-1]}],"usage":{"prompt_tokens":4,"total_tokens":4}}"#;
        let done = |form| answer_to_gemini(openai, form).unwrap();
        assert_eq!(
            text(done(Form::Many).body),
            r#"{"embeddings":[{"values":[0.5,-1]},{"values":[2]}]}"#
        );
        assert_eq!(text(done(Form::One).body), r#"{"embedding":{"values":[0.5,-1]}}"#);
        assert_eq!(done(Form::One).usage.unwrap().input, 4);
        for junk in ["", "{}", "[]", r#"{"data":[]}"#] {
            assert!(answer_to_openai(junk.as_bytes(), Form::Base64, "m").is_err(), "{junk}");
            assert!(answer_to_gemini(junk.as_bytes(), Form::One).is_err(), "{junk}");
        }
    }
}
