//! The client's request: read for what the gateway decides by, rewritten for its way upstream.
//!
//! A [`Draft`] borrows the body and knows where its members lie; when the alias's rules are
//! known, it becomes a [`Request`], which owns the body and the list of its edits and makes the
//! body of each attempt. Bytes that no rule touches stay as the client wrote them; only for an
//! upstream of another dialect is the body translated, behind the rules.

pub mod assumed;
pub mod outgoing;
mod platform;
pub mod prompt;
mod rules;
mod state;
mod wish;

use std::ops::Range;

use bytes::Bytes;
use chrono::NaiveDate;
use http::{HeaderMap, HeaderValue};

use self::prompt::Prompts;
use crate::config::snapshot::{Key, Model, Rewrite};
use crate::dialect::counting;
use crate::dialect::embeddings::Form;
use crate::dialect::fields::FieldError;
use crate::dialect::gemini::names;
use crate::dialect::gemini::stream_writer::Framing;
use crate::dialect::ir::Dialect;
use crate::dialect::members::{JsonError, Member, Members};
use crate::dialect::multipart::{self, Fields, MultipartError};
use crate::dialect::openai::request::{
    BodyForm, Request as Wishes, RequestError, body_form, takes_stream_options,
};
use crate::dialect::splice::{Overlap, Splice};
use crate::error::{Error, Kind, Result};
use crate::route::path::GeminiMethod;
use crate::route::{self, Call};
use crate::types::Operation;

/// The longest `user` kept for hashing, in bytes: its beginning is enough.
const USER_BYTES_MAX: usize = 256;

/// A request as the client wrote it.
pub struct Draft<'a> {
    call: Call,
    content_type: HeaderValue,
    body: &'a Bytes,
    form: Body<'a>,
}

/// How the body is written.
#[expect(clippy::large_enum_variant, reason = "one a request, on the stack: a box would cost more")]
enum Body<'a> {
    /// One JSON object.
    Json(Wishes<'a>),
    /// Parts, of which only the model's is looked at.
    Multipart { model: &'a str, model_at: Range<usize> },
}

/// A request on its way.
pub struct Request {
    /// What is asked for.
    pub operation: Operation,
    /// In which dialect.
    pub dialect: Dialect,
    /// What its path says, if it is Gemini's.
    pub gemini: Option<GeminiMethod>,
    /// How a Gemini client wants its stream.
    pub framing: Framing,
    /// The body's, as sent.
    pub content_type: HeaderValue,
    /// Whether the answer is to be a stream.
    pub stream: bool,
    /// How embeddings are wanted, if they are asked for.
    pub embeddings: Form,
    /// Whether the client wants to see the usage at a stream's end.
    pub include_usage: bool,
    /// Whether the usage event of the stream was asked for by the gateway alone, so that the
    /// client must not see it.
    pub hides_usage: bool,
    user: Option<Box<str>>,
    body: Bytes,
    splice: Splice,
    /// The edits for servers that do not know `stream_options`, where they differ.
    without_usage: Option<Box<Splice>>,
    model: ModelMember,
}

/// The model's name in the body.
struct ModelMember {
    name: Box<str>,
    form: ModelForm,
}

/// How the body names the model.
enum ModelForm {
    /// As a JSON string.
    Json(Range<usize>),
    /// As the text of a form's part.
    Text(Range<usize>),
    /// The path does; the body may repeat it.
    Path(Vec<Range<usize>>),
}

/// What decides how a request is rewritten.
pub struct Rewriting<'a> {
    /// The alias, and its rules.
    pub model: &'a Model,
    /// Who asks.
    pub caller: &'a Key,
    /// The client's headers.
    pub headers: &'a HeaderMap,
    /// The day, in UTC.
    pub today: NaiveDate,
    /// The messages that are put in, where they are made already.
    pub prompts: Option<Prompts<'a>>,
}

impl<'a> Draft<'a> {
    /// Reads a body: what it asks for is known from the path.
    ///
    /// # Errors
    /// `UnsupportedMediaType`, `InvalidBody` with the fault's place, `MissingModel`.
    pub fn read(call: Call, content_type: Option<&HeaderValue>, body: &'a Bytes) -> Result<Self> {
        let takes_files = body_form(call.operation) == BodyForm::Multipart;
        match content_type {
            Some(value) if takes_files && is_media_type(value, "multipart/form-data") => {
                let form = read_multipart(value, body)?;
                Ok(Self { call, content_type: value.clone(), body, form })
            }
            Some(value) if !is_media_type(value, "application/json") => Err(Error::new(
                Kind::UnsupportedMediaType,
                format!(
                    "The content type `{}` is not read here: send {}.",
                    crate::error::excerpt(&String::from_utf8_lossy(value.as_bytes())),
                    if takes_files { "multipart/form-data" } else { "application/json" },
                ),
            )),
            value => {
                let json = HeaderValue::from_static("application/json");
                let content_type = value.cloned().unwrap_or(json);
                let members = Members::parse(body).map_err(RequestError::Json);
                let read = members.and_then(|members| read_json(&call, members));
                let form = Body::Json(read.map_err(refused)?);
                Ok(Self { call, content_type, body, form })
            }
        }
    }

    /// The alias asked for.
    pub fn model(&self) -> &str {
        match &self.form {
            Body::Json(wishes) => &wishes.model,
            Body::Multipart { model, .. } => model,
        }
    }

    /// The same request with another body, in JSON, of which a part is known to be that.
    ///
    /// # Errors
    /// Those of [`Draft::read`].
    pub fn with_body<'b>(&self, body: &'b Bytes, known: &Range<usize>) -> Result<Draft<'b>> {
        let members = Members::parse_around(body, known).map_err(RequestError::Json);
        let read = members.and_then(|members| read_json(&self.call, members));
        let (call, content_type) = (self.call.clone(), self.content_type.clone());
        Ok(Draft { call, content_type, body, form: Body::Json(read.map_err(refused)?) })
    }

    /// What is called for.
    pub fn call(&self) -> &Call {
        &self.call
    }

    /// What the body of a chat says of a context, if anything.
    pub fn context(&self) -> Option<&Member<'a>> {
        match &self.form {
            Body::Json(wishes) => wishes.members.get("context").filter(|member| !member.is_null()),
            Body::Multipart { .. } => None,
        }
    }

    /// An estimate of the tokens asked for, where none of the model's providers can be asked.
    ///
    /// # Errors
    /// `InvalidBody` where the body is not what its dialect says.
    pub fn estimate(&self, model: &Model) -> Result<Option<Bytes>> {
        let Call { operation, dialect, .. } = self.call;
        if operation != Operation::CountTokens || route::admit(model, operation, dialect).is_ok() {
            return Ok(None);
        }
        counting::estimate(dialect, self.body).map(|body| Some(Bytes::from(body)))
    }

    /// Makes sure that one of the model's providers can be asked.
    ///
    /// # Errors
    /// `UnsupportedOperation`.
    pub fn admit(&self, model: &Model) -> Result<()> {
        route::admit(model, self.call.operation, self.call.dialect)
    }

    /// Applies the rules.
    ///
    /// # Errors
    /// `ParameterRefused` and `InvalidBody`, naming the member.
    pub fn rewrite(self, rewriting: &Rewriting<'_>) -> Result<Request> {
        let mut request = Request {
            operation: self.call.operation,
            dialect: self.call.dialect,
            gemini: self.call.gemini.as_ref().map(|gemini| gemini.method),
            framing: self.call.gemini.as_ref().map_or(Framing::Sse, |gemini| gemini.framing),
            content_type: self.content_type,
            stream: false,
            embeddings: match self.call.gemini.as_ref().map(|gemini| gemini.method) {
                Some(GeminiMethod::Embed) => Form::One,
                Some(_) => Form::Many,
                None => Form::Numbers,
            },
            include_usage: false,
            hides_usage: false,
            user: None,
            body: self.body.clone(),
            splice: Splice::default(),
            without_usage: None,
            model: self.form.model_member()?,
        };
        if let Body::Json(wishes) = &self.form {
            request.rewrite_json(wishes, rewriting)?;
        }
        Ok(request)
    }
}

impl Body<'_> {
    fn model_member(&self) -> Result<ModelMember> {
        Ok(match self {
            Body::Json(wishes) => ModelMember {
                name: wishes.model.as_ref().into(),
                form: match wishes.members.get("model") {
                    Some(member) if !wishes.by_path => ModelForm::Json(member.value()),
                    _ => ModelForm::Path(names::places(&wishes.members).map_err(not_read)?),
                },
            },
            Body::Multipart { model, model_at } => {
                ModelMember { name: (*model).into(), form: ModelForm::Text(model_at.clone()) }
            }
        })
    }
}

impl Request {
    /// The `user` that the client named.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    fn rewrite_json(&mut self, wishes: &Wishes<'_>, rewriting: &Rewriting<'_>) -> Result<()> {
        let (rules, members) = (&rewriting.model.rewrite, &wishes.members);
        rules::apply(self.dialect, self.operation, members, rules, &mut self.splice)?;
        prompt::insert(self.dialect, self.operation, members, rewriting, &mut self.splice)?;
        if self.operation == Operation::Embedding && wishes.wants_base64() {
            self.embeddings = Form::Base64;
        }
        (self.stream, self.include_usage) = (wishes.stream, wishes.include_usage);
        // Options that the alias sets by default are the alias's to decide.
        let takes_options = self.dialect == Dialect::Chat && takes_stream_options(self.operation);
        if takes_options && !sets_default(rules, "stream_options") {
            self.ask_for_usage(wishes, rewriting).map_err(overlap)?;
        }
        self.user = rules::user(self.dialect, wishes)?.map(|user| shortened(&user).into());
        Ok(())
    }

    fn ask_for_usage(
        &mut self,
        wishes: &Wishes<'_>,
        rewriting: &Rewriting<'_>,
    ) -> std::result::Result<(), Overlap> {
        if wishes.stream && !rewriting.model.usage_in_streams() {
            let mut splice = self.splice.clone();
            wishes.without_stream_options(&mut splice)?;
            self.without_usage = Some(Box::new(splice));
        }
        self.hides_usage = wishes.ask_for_usage(&mut self.splice)?;
        Ok(())
    }
}

/// Whether the rules set a member where the client does not.
fn sets_default(rules: &Rewrite, name: &str) -> bool {
    rules.defaults.iter().any(|(known, _)| &**known == name)
}

fn read_json<'a>(
    call: &Call,
    members: Members<'a>,
) -> std::result::Result<Wishes<'a>, RequestError> {
    match &call.gemini {
        None => Wishes::read(members),
        Some(gemini) => {
            let model = gemini.model.clone().into();
            Wishes::named(members, model, gemini.method == GeminiMethod::Stream)
        }
    }
}

fn read_multipart<'a>(content_type: &HeaderValue, body: &'a Bytes) -> Result<Body<'a>> {
    let broken =
        |error| Error::new(Kind::InvalidBody, format!("The form cannot be read: {error}."));
    let content_type = content_type.to_str().map_err(|_| broken(MultipartError::Boundary))?;
    let boundary = multipart::boundary(content_type).map_err(broken)?;
    let fields = Fields::find(body, &boundary, &["model"]).map_err(broken)?;
    let model_at = fields.get("model").ok_or_else(missing_model)?;
    let model =
        fields.text(body, "model").ok_or_else(|| invalid_member("model", "must be UTF-8"))?;
    if model.is_empty() {
        return Err(missing_model());
    }
    Ok(Body::Multipart { model, model_at })
}

/// Whether a content type is this media type, whatever its parameters (RFC 9110, section 8.3.1).
pub fn is_media_type(value: &HeaderValue, expected: &str) -> bool {
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

fn refused(error: RequestError) -> Error {
    let kind = match error {
        RequestError::NoModel => return missing_model(),
        RequestError::Json(_) | RequestError::Type(..) => Kind::InvalidBody,
    };
    let refusal = Error::new(kind, format!("The request cannot be read: {error}."));
    match error.param() {
        Some(param) => refusal.param(param),
        None => refusal,
    }
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

fn wrong_field(error: FieldError) -> Error {
    match error {
        FieldError::Overlap(error) => overlap(error),
        FieldError::Wrong(name, rule) => invalid_member(&name, rule),
        FieldError::Json(error) => not_read(error),
    }
}

fn not_read(error: JsonError) -> Error {
    Error::new(Kind::InvalidBody, format!("The request cannot be read: {error}."))
}

fn overlap(overlap: Overlap) -> Error {
    Error::new(Kind::Internal, "The gateway failed; the request id names the case in its log.")
        .because(format!("edits overlap at {:?}", overlap.at))
}
