//! The client's request: read for what the gateway decides by, rewritten for its way upstream.
//!
//! A [`Draft`] borrows the body and knows where its members lie; when the alias's rules are
//! known, it becomes a [`Request`], which owns the body and the list of its edits and makes the
//! body of each attempt. Bytes that no rule touches stay as the client wrote them.

mod prompt;

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use chrono::NaiveDate;
use http::{HeaderMap, HeaderValue};
use serde_json::Number;

use crate::config::snapshot::{Key, Rewrite, Target};
use crate::dialect::members::{JsonError, Member, Members};
use crate::dialect::multipart;
use crate::dialect::splice::{ObjectEdit, Overlap, Splice};
use crate::error::{Error, Kind, Result};
use crate::types::{ModelAlias, Operation};

/// The longest `user` kept for hashing, in bytes: its beginning is enough.
const USER_BYTES_MAX: usize = 256;

/// A request as the client wrote it.
pub struct Draft<'a> {
    operation: Operation,
    content_type: HeaderValue,
    body: &'a Bytes,
    form: Form<'a>,
    model: Cow<'a, str>,
    model_at: Range<usize>,
}

/// How the body is written.
enum Form<'a> {
    /// One JSON object.
    Json(Members<'a>),
    /// Parts, of which only the model's is looked at.
    Multipart,
}

/// A request on its way.
pub struct Request {
    /// What is asked for.
    pub operation: Operation,
    /// The body's, as sent.
    pub content_type: HeaderValue,
    /// Whether the answer is to be a stream.
    pub stream: bool,
    /// Whether the usage event of the stream was asked for by the gateway alone, so that the
    /// client must not see it.
    pub hides_usage: bool,
    user: Option<Box<str>>,
    body: Bytes,
    splice: Splice,
    is_json: bool,
    model: Box<str>,
    model_at: Range<usize>,
}

/// What decides how a request is rewritten.
pub struct Rewriting<'a> {
    /// The alias's rules.
    pub rules: &'a Rewrite,
    /// The alias.
    pub alias: &'a ModelAlias,
    /// Who asks.
    pub caller: &'a Key,
    /// The client's headers.
    pub headers: &'a HeaderMap,
    /// The day, in UTC.
    pub today: NaiveDate,
}

impl<'a> Draft<'a> {
    /// Reads a body: what it asks for is known from the path.
    ///
    /// # Errors
    /// `UnsupportedMediaType`, `InvalidBody` with the fault's place, `MissingModel`.
    pub fn read(
        operation: Operation,
        content_type: Option<&HeaderValue>,
        body: &'a Bytes,
    ) -> Result<Self> {
        let takes_files = matches!(operation, Operation::Transcription | Operation::Translation);
        match content_type {
            Some(value) if takes_files && is_media_type(value, "multipart/form-data") => {
                Self::read_multipart(operation, value, body)
            }
            Some(value) if !is_media_type(value, "application/json") => Err(Error::new(
                Kind::UnsupportedMediaType,
                format!(
                    "The content type `{}` is not read here: send {}.",
                    crate::error::excerpt(&String::from_utf8_lossy(value.as_bytes())),
                    if takes_files { "multipart/form-data" } else { "application/json" },
                ),
            )),
            value => Self::read_json(operation, value, body),
        }
    }

    fn read_json(
        operation: Operation,
        content_type: Option<&HeaderValue>,
        body: &'a Bytes,
    ) -> Result<Self> {
        let members = Members::parse(body).map_err(invalid_json)?;
        let member = members.get("model").ok_or_else(missing_model)?;
        let model = member
            .string()
            .ok_or_else(|| invalid_member("model", "must be a string"))?;
        if model.is_empty() {
            return Err(missing_model());
        }
        let model_at = member.value();
        let json = HeaderValue::from_static("application/json");
        let content_type = content_type.cloned().unwrap_or(json);
        Ok(Self { operation, content_type, body, model, model_at, form: Form::Json(members) })
    }

    fn read_multipart(
        operation: Operation,
        content_type: &HeaderValue,
        body: &'a Bytes,
    ) -> Result<Self> {
        let form = multipart::read(content_type.as_bytes(), body)
            .map_err(|error| Error::new(Kind::InvalidBody, format!("The form is broken: {error}.")))?;
        let model_at = form.model.ok_or_else(missing_model)?;
        let model = body.get(model_at.clone()).and_then(|bytes| std::str::from_utf8(bytes).ok());
        let model = model.ok_or_else(|| invalid_member("model", "must be UTF-8"))?;
        if model.is_empty() {
            return Err(missing_model());
        }
        Ok(Self {
            operation,
            content_type: content_type.clone(),
            body,
            model: Cow::Borrowed(model),
            model_at,
            form: Form::Multipart,
        })
    }

    /// The alias asked for.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Applies the rules.
    ///
    /// # Errors
    /// `ParameterRefused` and `InvalidBody`, naming the member.
    pub fn rewrite(self, rewriting: &Rewriting<'_>) -> Result<Request> {
        let mut splice = Splice::default();
        let mut traits = Traits::default();
        if let Form::Json(members) = &self.form {
            traits = rewrite_json(self.operation, members, rewriting, &mut splice)?;
        }
        Ok(Request {
            operation: self.operation,
            content_type: self.content_type,
            stream: traits.stream,
            hides_usage: traits.hides_usage,
            user: traits.user,
            body: self.body.clone(),
            splice,
            is_json: matches!(self.form, Form::Json(_)),
            model: self.model.into(),
            model_at: self.model_at,
        })
    }
}

impl Request {
    /// The `user` that the client named.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The body to send to a target: the same bytes, uncopied, where nothing is changed.
    ///
    /// # Errors
    /// `Internal` where the edits overlap, which the rules rule out.
    pub fn body_for(&self, target: &Target) -> Result<Bytes> {
        let model = target.model.as_str();
        if model == &*self.model {
            return Ok(self.splice.apply(&self.body));
        }
        let mut splice = self.splice.clone();
        if self.is_json {
            splice.replace_string(self.model_at.clone(), model).map_err(overlap)?;
        } else {
            splice.replace(self.model_at.clone(), model.as_bytes()).map_err(overlap)?;
        }
        Ok(splice.apply(&self.body))
    }
}

/// What the members of a JSON body say beside the model.
#[derive(Default)]
struct Traits {
    stream: bool,
    hides_usage: bool,
    user: Option<Box<str>>,
}

fn rewrite_json(
    operation: Operation,
    members: &Members<'_>,
    rewriting: &Rewriting<'_>,
    splice: &mut Splice,
) -> Result<Traits> {
    let rules = rewriting.rules;
    let mut edit = ObjectEdit::new(members);
    refuse(members, &rules.refuse)?;
    cap(members, &rules.caps, &mut edit)?;
    default(members, &rules.defaults, &mut edit);
    let stream = streams(members, &rules.defaults)?;
    let hides_usage = stream
        && matches!(operation, Operation::Chat | Operation::Completion)
        && ask_for_usage(members, &rules.defaults, &mut edit, splice)?;
    splice.object(&edit).map_err(overlap)?;
    if operation == Operation::Chat {
        prompt::insert(members, rewriting, splice)?;
    }
    let user = members.get("user").and_then(Member::string);
    Ok(Traits { stream, hides_usage, user: user.map(|user| shortened(&user).into()) })
}

/// Refuses members that the alias does not allow.
fn refuse(members: &Members<'_>, names: &[Box<str>]) -> Result<()> {
    for name in names {
        if members.get_any_case(name).is_some_and(|member| !member.is_null()) {
            return Err(Error::new(
                Kind::ParameterRefused,
                format!("`{name}` is not allowed for this model: leave it out."),
            )
            .param(name.to_string()));
        }
    }
    Ok(())
}

/// Lowers numbers over their cap.
fn cap(
    members: &Members<'_>,
    caps: &[(Box<str>, Number)],
    edit: &mut ObjectEdit<'_, '_>,
) -> Result<()> {
    for (name, cap) in caps {
        let Some(member) = members.get_any_case(name).filter(|member| !member.is_null()) else {
            continue;
        };
        let number = member.number().and_then(|number| number.as_f64());
        let Some(number) = number else { return Err(invalid_member(name, "must be a number")) };
        if cap.as_f64().is_some_and(|cap| number > cap) {
            edit.set(&member.name, cap.to_string().as_bytes());
        }
    }
    Ok(())
}

/// Sets members that the client left out.
fn default(
    members: &Members<'_>,
    defaults: &[(Box<str>, Box<str>)],
    edit: &mut ObjectEdit<'_, '_>,
) {
    for (name, json) in defaults {
        if members.get_any_case(name).is_none() {
            edit.set(name, json.as_bytes());
        }
    }
}

/// Whether the answer will be a stream.
fn streams(members: &Members<'_>, defaults: &[(Box<str>, Box<str>)]) -> Result<bool> {
    match members.get("stream") {
        Some(member) if member.is_null() => Ok(false),
        Some(member) => {
            member.bool().ok_or_else(|| invalid_member("stream", "must be true or false"))
        }
        None => Ok(defaults.iter().any(|(name, json)| &**name == "stream" && &**json == "true")),
    }
}

/// Has the upstream report usage in a stream whose client did not ask for it; true where the
/// client must then not see it (OpenAI API reference, `stream_options.include_usage`).
fn ask_for_usage(
    members: &Members<'_>,
    defaults: &[(Box<str>, Box<str>)],
    edit: &mut ObjectEdit<'_, '_>,
    splice: &mut Splice,
) -> Result<bool> {
    const ASKED: &[u8] = br#"{"include_usage":true}"#;
    let Some(options) = members.get("stream_options").filter(|options| !options.is_null()) else {
        if defaults.iter().any(|(name, _)| &**name == "stream_options") {
            return Ok(false);
        }
        edit.set("stream_options", ASKED);
        return Ok(true);
    };
    let inside = members
        .within(options)
        .map_err(|_| invalid_member("stream_options", "must be an object"))?;
    if inside.get("include_usage").and_then(Member::bool) == Some(true) {
        return Ok(false);
    }
    let mut options = ObjectEdit::new(&inside);
    options.set("include_usage", b"true");
    splice.object(&options).map_err(overlap)?;
    Ok(true)
}

/// Whether a content type is this media type, whatever its parameters (RFC 9110, section 8.3.1).
fn is_media_type(value: &HeaderValue, expected: &str) -> bool {
    let value = value.as_bytes();
    let end = value.iter().position(|byte| *byte == b';').unwrap_or(value.len());
    value
        .get(..end)
        .is_some_and(|media| media.trim_ascii().eq_ignore_ascii_case(expected.as_bytes()))
}

fn shortened(user: &str) -> &str {
    let mut end = user.len().min(USER_BYTES_MAX);
    while !user.is_char_boundary(end) {
        end -= 1;
    }
    user.get(..end).unwrap_or(user)
}

fn invalid_json(error: JsonError) -> Error {
    Error::new(Kind::InvalidBody, format!("The body is not one JSON object: {error}."))
}

fn invalid_member(name: &str, rule: &str) -> Error {
    Error::new(Kind::InvalidBody, format!("`{name}` {rule}.")).param(name.to_owned())
}

fn missing_model() -> Error {
    Error::new(
        Kind::MissingModel,
        "The request names no `model`. GET /v1/models lists those available.",
    )
    .param("model")
}

fn overlap(overlap: Overlap) -> Error {
    Error::new(Kind::Internal, "The gateway failed; the request id names the case in its log.")
        .because(format!("edits overlap at {:?}", overlap.at))
}
