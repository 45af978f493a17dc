//! What a request asks of a context: by its headers, or by the body's member `context`.

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::delta::{Bounds, Delta};
use crate::config::snapshot::contexts::WindowStrategy;
use crate::dialect::members::Member;
use crate::dialect::responses::naming::Names;
use crate::error::{Error, Kind, Result, excerpt};
use crate::types::{ContextId, Version};

/// Names a turn's context, in requests and answers.
pub const X_CONTEXT_ID: HeaderName = HeaderName::from_static("x-context-id");

/// What the client believes the version to be; in answers, the version that the turn makes.
pub const X_CONTEXT_VERSION: HeaderName = HeaderName::from_static("x-context-version");

/// The version of the protocol that the client speaks.
pub const CONTEXT_PROTOCOL: HeaderName = HeaderName::from_static("context-protocol");

/// The only version of the protocol there is.
pub const PROTOCOL_VERSION: &str = "1";

/// The longest id, in characters.
const ID_CHARS_MAX: usize = 128;

/// What a turn asks for.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Which context; a new one without.
    pub id: Option<ContextId>,
    /// What the client believes its version to be; 0: that there is none.
    pub version: Option<Version>,
    /// What is changed before the turn, in this order.
    pub deltas: Vec<Delta>,
    /// Whether the turn is not kept.
    pub read_only: bool,
    /// The most tokens of the prompt.
    pub tokens_max: Option<u32>,
    /// What is done with a conversation that does not fit.
    pub strategy: Option<WindowStrategy>,
    /// The version that the turn builds on, even where there are later ones.
    pub after: Option<Version>,
    /// Whether the context must be there already.
    pub must_exist: bool,
    /// What an answer that is a response says of itself; empty where none is.
    pub names: Names,
}

/// The body's member.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct Wire<'a> {
    id: Option<String>,
    version: Option<u64>,
    #[serde(borrow)]
    delta: Option<&'a RawValue>,
    #[serde(borrow)]
    merge: Option<&'a RawValue>,
    store: Option<bool>,
    #[serde(default)]
    window: WireWindow,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct WireWindow {
    max_tokens: Option<u32>,
    strategy: Option<WireStrategy>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum WireStrategy {
    OldestTurns,
    Summarize,
    None,
}

impl Asked {
    /// Reads what a request asks; `None` where it asks nothing of a context.
    ///
    /// # Errors
    /// `InvalidBody`, `ContextProtocol` and `DeltaRefused`.
    pub fn read(
        headers: &HeaderMap,
        member: Option<&Member<'_>>,
        bounds: Bounds,
    ) -> Result<Option<Self>> {
        let header = single(headers, X_CONTEXT_ID, "X-Context-Id")?;
        if header.is_none() && member.is_none() {
            return Ok(None);
        }
        check_protocol(headers)?;
        let mut asked =
            member.map(|member| of_body(member, bounds)).transpose()?.unwrap_or_default();
        if let Some(value) = header {
            let named = id(&String::from_utf8_lossy(value.as_bytes()), "X-Context-Id")?;
            if asked.id.as_ref().is_some_and(|id| *id != named) {
                return Err(invalid("context.id", "differs from the header `X-Context-Id`"));
            }
            asked.id = Some(named);
        }
        if let Some(value) = single(headers, X_CONTEXT_VERSION, "X-Context-Version")? {
            let number = value.to_str().ok().and_then(|text| text.trim().parse().ok());
            let version = number.ok_or_else(|| invalid("X-Context-Version", "must be a number"))?;
            if asked.version.is_some_and(|other| other.0 != version) {
                let rule = "differs from the header `X-Context-Version`";
                return Err(invalid("context.version", rule));
            }
            asked.version = Some(Version(version));
        }
        Ok(Some(asked))
    }
}

/// A header that may stand but once: of two, others on the way might take either.
fn single<'h>(
    headers: &'h HeaderMap,
    name: HeaderName,
    param: &'static str,
) -> Result<Option<&'h HeaderValue>> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(invalid(param, "stands twice")),
        (value, None) => Ok(value),
    }
}

/// Refuses a version of the protocol that is not spoken here.
///
/// # Errors
/// `ContextProtocol`, with the one that is.
pub fn check_protocol(headers: &HeaderMap) -> Result<()> {
    let is_other =
        |value: &&HeaderValue| value.as_bytes().trim_ascii() != PROTOCOL_VERSION.as_bytes();
    match headers.get_all(CONTEXT_PROTOCOL).iter().find(is_other) {
        Some(value) => {
            let asked = excerpt(&String::from_utf8_lossy(value.as_bytes()));
            let text = format!(
                "Version `{asked}` of the context protocol is not spoken here; \
                 `{PROTOCOL_VERSION}` is."
            );
            Err(Error::new(Kind::ContextProtocol, text).param("Context-Protocol"))
        }
        None => Ok(()),
    }
}

/// Reads a context's id.
///
/// # Errors
/// `InvalidBody`, saying what an id is made of.
pub fn id(text: &str, param: &'static str) -> Result<ContextId> {
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
    if text.is_empty() || text.len() > ID_CHARS_MAX || !text.bytes().all(is_fine) {
        let rule = format!(
            "must be 1 to {ID_CHARS_MAX} of the characters A-Z a-z 0-9 _ . : -, and is `{}`",
            excerpt(text)
        );
        return Err(invalid(param, &rule));
    }
    Ok(text.into())
}

fn of_body(member: &Member<'_>, bounds: Bounds) -> Result<Asked> {
    let wire: Wire<'_> = serde_json::from_str(member.raw)
        .map_err(|error| invalid("context", &format!("cannot be read: {error}")))?;
    let deltas = [
        wire.delta.map(|delta| Delta::patch(delta.get().as_bytes(), bounds)),
        wire.merge.map(|merge| Delta::merge(merge.get().as_bytes())),
    ];
    Ok(Asked {
        id: wire.id.map(|text| id(&text, "context.id")).transpose()?,
        version: wire.version.map(Version),
        deltas: deltas.into_iter().flatten().collect::<Result<_>>()?,
        read_only: !wire.store.unwrap_or(true),
        tokens_max: wire.window.max_tokens,
        strategy: wire.window.strategy.map(|strategy| match strategy {
            WireStrategy::OldestTurns => WindowStrategy::OldestTurns,
            WireStrategy::Summarize => WindowStrategy::Summarize,
            WireStrategy::None => WindowStrategy::None,
        }),
        ..Asked::default()
    })
}

fn invalid(param: &'static str, rule: &str) -> Error {
    Error::new(Kind::InvalidBody, format!("`{param}` {rule}.")).param(param)
}

#[cfg(test)]
mod tests {
    use super::{Asked, id};
    use crate::config::snapshot::contexts::WindowStrategy;
    use crate::context::delta::Bounds;
    use crate::dialect::members::Members;
    use crate::error::{Kind, Result};
    use crate::types::Version;
    use http::{HeaderMap, HeaderName, HeaderValue};

    const BOUNDS: Bounds = Bounds { operations_max: 2, bytes_max: 1000 };

    fn read(headers: &[(&str, &str)], member: Option<&str>) -> Result<Option<Asked>> {
        let pair = |(name, value): &(&str, &str)| {
            (HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap())
        };
        let headers: HeaderMap = headers.iter().map(pair).collect();
        let body = format!("{{\"context\":{}}}", member.unwrap_or("{}"));
        let members = Members::parse(body.as_bytes()).unwrap();
        Asked::read(&headers, member.and_then(|_| members.get("context")), BOUNDS)
    }

    #[test]
    fn a_context_is_named_by_header_or_body() {
        assert!(read(&[("x-context-version", "3")], None).unwrap().is_none());
        let asked = read(&[("X-Context-Id", "a.b:c-d_E9"), ("x-context-version", "3")], None);
        let asked = asked.unwrap().unwrap();
        assert_eq!(asked.id.unwrap().as_str(), "a.b:c-d_E9");
        assert_eq!(asked.version, Some(Version(3)));
        assert!(!asked.read_only);
        let body = r#"{"id":"a","version":0,"store":false,"merge":{"x":1},
            "delta":[{"op":"test","path":"/data","value":{}}],
            "window":{"max_tokens":9,"strategy":"none"}}"#;
        let asked = read(&[("context-protocol", "1")], Some(body)).unwrap().unwrap();
        assert_eq!((asked.version, asked.deltas.len()), (Some(Version(0)), 2));
        assert!(asked.read_only);
        assert_eq!((asked.tokens_max, asked.strategy), (Some(9), Some(WindowStrategy::None)));
        assert_eq!(read(&[], Some("{}")).unwrap().unwrap().id, None);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (headers, body, kind, text) in [
            (&[][..], "7", Kind::InvalidBody, "`context` cannot be read"),
            (&[], "\"a\"", Kind::InvalidBody, "expected an object"),
            (&[], r#"{"window":7}"#, Kind::InvalidBody, "expected an object"),
            (&[], r#"{"ID":"a"}"#, Kind::InvalidBody, "unknown field `ID`"),
            (&[], r#"{"id":"a/b"}"#, Kind::InvalidBody, "`context.id` must be 1 to 128"),
            (&[], r#"{"version":-1}"#, Kind::InvalidBody, "`context` cannot be read"),
            (&[], r#"{"delta":{}}"#, Kind::DeltaRefused, "no JSON Patch"),
            (&[("x-context-id", "b")], r#"{"id":"a"}"#, Kind::InvalidBody, "differs"),
            (&[("x-context-id", "a"), ("x-context-id", "b")], "{}", Kind::InvalidBody, "twice"),
            (&[("x-context-version", "2")], r#"{"version":1}"#, Kind::InvalidBody, "differs"),
            (&[("x-context-version", "x")], "{}", Kind::InvalidBody, "must be a number"),
            (&[("context-protocol", "2")], "{}", Kind::ContextProtocol, "`1` is"),
            (
                &[("context-protocol", "1"), ("context-protocol", "2")],
                "{}",
                Kind::ContextProtocol,
                "Version `2`",
            ),
        ] {
            let error = read(headers, Some(body)).unwrap_err();
            assert_eq!(error.kind, kind, "{body}");
            assert!(error.public.contains(text), "{body}: {error}");
        }
        assert!(id(&"a".repeat(128), "x").is_ok());
        for text in ["", &"a".repeat(129), "a b", "é", "a\n"] {
            assert!(id(text, "x").is_err(), "{text}");
        }
    }
}
