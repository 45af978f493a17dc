//! What a request says that the gateway decides by, and how usage is asked for in a stream.

use std::borrow::Cow;
use std::fmt;

use crate::dialect::members::{JsonError, Member, Members};
use crate::dialect::splice::{ObjectEdit, Overlap, Splice};
use crate::types::Operation;

/// The form of an operation's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyForm {
    /// `application/json`
    Json,
    /// `multipart/form-data`
    Multipart,
    /// There is none.
    Empty,
}

/// A JSON request, read.
pub struct Request<'a> {
    /// All members of the body.
    pub members: Members<'a>,
    /// The model asked for; never empty.
    pub model: Cow<'a, str>,
    /// Whether a stream is asked for.
    pub stream: bool,
    /// Whether the path names the model, and the body need not.
    pub by_path: bool,
    /// Whether the client wants the usage of a stream (`stream_options.include_usage`).
    pub include_usage: bool,
}

/// Why a request cannot be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// The body is not one JSON object.
    Json(JsonError),
    /// The body names no model.
    NoModel,
    /// A member has the wrong type: its name, and what it must be.
    Type(&'static str, &'static str),
}

/// The form that the body of an operation must have.
pub const fn body_form(operation: Operation) -> BodyForm {
    match operation {
        Operation::Transcription | Operation::Translation => BodyForm::Multipart,
        Operation::Context | Operation::Models | Operation::Capabilities | Operation::Access => {
            BodyForm::Empty
        }
        Operation::Chat
        | Operation::CountTokens
        | Operation::Completion
        | Operation::Embedding
        | Operation::Moderation
        | Operation::Image
        | Operation::Speech
        | Operation::Rerank => BodyForm::Json,
    }
}

/// Whether an operation's streams end with usage when `stream_options.include_usage` asks for it.
pub const fn takes_stream_options(operation: Operation) -> bool {
    matches!(operation, Operation::Chat | Operation::Completion)
}

impl<'a> Request<'a> {
    /// Reads a body.
    ///
    /// # Errors
    /// Those of [`Self::read`], and `Json`.
    pub fn parse(body: &'a [u8]) -> Result<Self, RequestError> {
        Self::read(Members::parse(body).map_err(RequestError::Json)?)
    }

    /// Reads a body whose path says the model, and whether a stream is asked for.
    ///
    /// # Errors
    /// `NoModel`.
    pub fn named(
        members: Members<'a>,
        model: Cow<'a, str>,
        stream: bool,
    ) -> Result<Self, RequestError> {
        if model.is_empty() {
            return Err(RequestError::NoModel);
        }
        Ok(Self { members, model, stream, by_path: true, include_usage: true })
    }

    /// Reads a body's members. Their types are checked where the gateway decides by them: a server that takes
    /// `"true"` for true would otherwise stream what the gateway takes for a whole answer.
    ///
    /// # Errors
    /// `NoModel`, `Type`.
    pub fn read(members: Members<'a>) -> Result<Self, RequestError> {
        let model = match present(&members, "model") {
            None => return Err(RequestError::NoModel),
            Some(model) => model.string().ok_or(RequestError::Type("model", "a string"))?,
        };
        if model.is_empty() {
            return Err(RequestError::NoModel);
        }
        let stream = match present(&members, "stream") {
            None => false,
            Some(stream) => stream.bool().ok_or(RequestError::Type("stream", "true or false"))?,
        };
        let include_usage = match present(&members, "stream_options") {
            None => false,
            Some(options) => includes_usage(&members, options)?,
        };
        Ok(Self { members, model, stream, by_path: false, include_usage })
    }

    /// The end user whom the client names, if it names one.
    pub fn user(&self) -> Option<Cow<'a, str>> {
        self.members.get("user").and_then(Member::string)
    }

    /// Whether embeddings are wanted as base64.
    pub fn wants_base64(&self) -> bool {
        let format = self.members.get("encoding_format").and_then(Member::string);
        format.as_deref() == Some("base64")
    }

    /// Sets the model to ask the upstream for.
    pub fn set_model(&self, model: &str, splice: &mut Splice) -> Result<(), Overlap> {
        match self.members.get("model") {
            Some(member) => splice.replace_string(member.value(), model),
            None => Ok(()),
        }
    }

    /// Takes out what asks for usage, for servers that do not know it.
    pub fn without_stream_options(&self, splice: &mut Splice) -> Result<(), Overlap> {
        let mut body = ObjectEdit::new(&self.members);
        body.remove("stream_options");
        splice.object(&body)
    }

    /// Makes a stream tell its usage. True if the client did not ask for it: the event that
    /// carries it must then be kept from it. Nothing is changed where no stream is asked for.
    pub fn ask_for_usage(&self, splice: &mut Splice) -> Result<bool, Overlap> {
        if !self.stream || self.include_usage {
            return Ok(false);
        }
        let inner = present(&self.members, "stream_options")
            .and_then(|options| self.members.within(options).ok());
        if let Some(inner) = inner {
            let mut options = ObjectEdit::new(&inner);
            options.set("include_usage", b"true");
            splice.object(&options)?;
        } else {
            let mut body = ObjectEdit::new(&self.members);
            body.set("stream_options", br#"{"include_usage":true}"#);
            splice.object(&body)?;
        }
        Ok(true)
    }
}

/// A member that is there and not `null`.
fn present<'m, 'a>(members: &'m Members<'a>, name: &str) -> Option<&'m Member<'a>> {
    members.get(name).filter(|member| !member.is_null())
}

fn includes_usage(members: &Members<'_>, options: &Member<'_>) -> Result<bool, RequestError> {
    if !options.raw.starts_with('{') {
        return Err(RequestError::Type("stream_options", "an object"));
    }
    let options = members.within(options).map_err(RequestError::Json)?;
    match present(&options, "include_usage") {
        None => Ok(false),
        Some(wish) => {
            wish.bool().ok_or(RequestError::Type("stream_options.include_usage", "true or false"))
        }
    }
}

impl RequestError {
    /// The member at fault (`error.param` of the answer), where it is one.
    pub fn param(&self) -> Option<&'static str> {
        match self {
            Self::Json(_) => None,
            Self::NoModel => Some("model"),
            Self::Type(name, _) => Some(name),
        }
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => write!(f, "the body is not valid: {error}"),
            Self::NoModel => f.write_str("the body names no `model`"),
            Self::Type(name, expected) => write!(f, "`{name}` must be {expected}"),
        }
    }
}

impl std::error::Error for RequestError {}

#[cfg(test)]
mod tests {
    use super::{Request, RequestError};
    use crate::dialect::splice::Splice;
    use bytes::Bytes;

    #[test]
    fn what_matters_is_read() {
        let body =
            br#"{"model":"m","stream":true,"user":"u","stream_options":{"include_usage":true}}"#;
        let request = Request::parse(body).unwrap();
        assert_eq!((&*request.model, request.stream, request.include_usage), ("m", true, true));
        assert_eq!(request.user().as_deref(), Some("u"));
        let body = br#"{"mod\u0065l":"m","stream":null,"stream_options":null,"user":7}"#;
        let request = Request::parse(body).unwrap();
        assert_eq!((&*request.model, request.stream, request.include_usage), ("m", false, false));
        assert_eq!(request.user(), None);
    }

    #[test]
    fn wrong_types_are_refused() {
        for (body, text, param) in [
            ("[]", "the body is not valid: expected a JSON object at line 1 column 1", None),
            ("{}", "the body names no `model`", Some("model")),
            (r#"{"model":null}"#, "the body names no `model`", Some("model")),
            (r#"{"model":""}"#, "the body names no `model`", Some("model")),
            (r#"{"Model":"m"}"#, "the body names no `model`", Some("model")),
            (r#"{"model":7}"#, "`model` must be a string", Some("model")),
            (r#"{"model":"m","stream":"true"}"#, "`stream` must be true or false", Some("stream")),
            (
                r#"{"model":"m","stream_options":[]}"#,
                "`stream_options` must be an object",
                Some("stream_options"),
            ),
            (
                r#"{"model":"m","stream_options":{"include_usage":1}}"#,
                "`stream_options.include_usage` must be true or false",
                Some("stream_options.include_usage"),
            ),
        ] {
            let error = Request::parse(body.as_bytes()).err().unwrap();
            assert_eq!((error.to_string().as_str(), error.param()), (text, param), "{body}");
        }
        let twice = Request::parse(br#"{"model":"a","model":"b"}"#).err().unwrap();
        assert!(matches!(twice, RequestError::Json(_)));
    }

    #[test]
    fn usage_is_asked_for_when_the_client_did_not() {
        for (rest, expected) in [
            ("", None),
            (r#","stream":false"#, None),
            (r#","stream":true,"stream_options":{"include_usage":true}"#, None),
            (
                r#","stream":true"#,
                Some(r#","stream":true,"stream_options":{"include_usage":true}"#),
            ),
            (
                r#","stream_options":null,"stream":true"#,
                Some(r#","stream_options":{"include_usage":true},"stream":true"#),
            ),
            (
                r#","stream":true,"stream_options":{ }"#,
                Some(r#","stream":true,"stream_options":{"include_usage":true }"#),
            ),
            (
                r#","stream":true,"stream_options":{"include_usage" : false, "x":1}"#,
                Some(r#","stream":true,"stream_options":{"include_usage" : true, "x":1}"#),
            ),
            (
                r#","stream":true,"stream_options":{"x":[{}]}"#,
                Some(r#","stream":true,"stream_options":{"x":[{}],"include_usage":true}"#),
            ),
        ] {
            let body = Bytes::from(format!("{{\"model\":\"a\"{rest}}}"));
            let request = Request::parse(&body).unwrap();
            let mut splice = Splice::default();
            let hidden = request.ask_for_usage(&mut splice).unwrap();
            assert_eq!(hidden, expected.is_some(), "{rest}");
            request.set_model("b", &mut splice).unwrap();
            let wanted = format!("{{\"model\":\"b\"{}}}", expected.unwrap_or(rest));
            assert_eq!(splice.apply(&body), wanted);
        }
    }
}
