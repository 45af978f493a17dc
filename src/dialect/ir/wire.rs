//! What the wire types of all dialects share: borrowed text, and lists under a limit.
//!
//! `serde` copies a text inside an `Option<Cow<str>>`; [`Text`] borrows it from the body
//! wherever the JSON holds no escape. It must not know any dialect.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeSeq, Serializer};
use serde_json::value::RawValue;

use super::loss::Losses;
use crate::dialect::scan::plain_run;

/// The most elements of one list. A body of minimal messages would otherwise fill many times
/// its own size in memory.
pub const LIST_MAX: usize = 65_536;

/// Text borrowed from a body where the JSON allows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text<'a>(Cow<'a, str>);

impl<'a> Text<'a> {
    /// A view that lives no longer than this one.
    pub fn view(&self) -> Text<'_> {
        Text(Cow::Borrowed(&self.0))
    }

    /// The text from a byte on, borrowed where this one is; empty if the byte is inside a character.
    pub fn suffix(&self, start: usize) -> Text<'a> {
        match &self.0 {
            Cow::Borrowed(text) => Text(Cow::Borrowed(text.get(start..).unwrap_or_default())),
            Cow::Owned(text) => Text(Cow::Owned(text.get(start..).unwrap_or_default().to_owned())),
        }
    }

    /// Owned text.
    pub fn into_string(self) -> String {
        self.0.into_owned()
    }
}

impl Deref for Text<'_> {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Text(Cow::Borrowed(text))
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Text(Cow::Owned(text))
    }
}

impl<'a> From<Cow<'a, str>> for Text<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        Text(text)
    }
}

impl PartialEq<str> for Text<'_> {
    fn eq(&self, other: &str) -> bool {
        &*self.0 == other
    }
}

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Text::from(text))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Text::from(text.to_owned()))
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Self::Value, E> {
        Ok(Text::from(text))
    }
}

/// JSON as it was written: schemas and other data that no dialect looks into.
#[derive(Clone, Debug)]
pub struct Json<'a>(Cow<'a, RawValue>);

impl<'a> Json<'a> {
    /// The JSON's text, borrowed where this is.
    pub fn into_text(self) -> Text<'a> {
        match self.0 {
            Cow::Borrowed(raw) => Text::from(raw.get()),
            Cow::Owned(raw) => Text::from(String::from(Box::<str>::from(raw))),
        }
    }

    /// The JSON in the body that it was read from; `None` for JSON made here.
    pub const fn raw(&self) -> Option<&'a RawValue> {
        match &self.0 {
            Cow::Borrowed(raw) => Some(raw),
            Cow::Owned(_) => None,
        }
    }

    /// The JSON's text in the body that it was read from; `None` for JSON made here.
    pub fn borrowed(&self) -> Option<&'a str> {
        self.raw().map(RawValue::get)
    }
}

impl Deref for Json<'_> {
    type Target = RawValue;
    fn deref(&self) -> &RawValue {
        &self.0
    }
}

impl PartialEq for Json<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Json<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&'de RawValue>::deserialize(deserializer).map(Json::from)
    }
}

impl<'a> From<&'a RawValue> for Json<'a> {
    fn from(raw: &'a RawValue) -> Self {
        Json(Cow::Borrowed(raw))
    }
}

impl From<Box<RawValue>> for Json<'_> {
    fn from(raw: Box<RawValue>) -> Self {
        Json(Cow::Owned(raw))
    }
}

/// A text, or a list of parts: message contents, system prompts, stop sequences.
#[derive(Clone, Debug, PartialEq)]
pub enum Mixed<'a, T> {
    /// The short way.
    Text(Text<'a>),
    /// The long way.
    List(Vec<T>),
}

impl<T: Serialize> Serialize for Mixed<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Mixed::Text(text) => text.serialize(serializer),
            Mixed::List(list) => {
                let mut seq = serializer.serialize_seq(Some(list.len()))?;
                list.iter().try_for_each(|item| seq.serialize_element(item))?;
                seq.end()
            }
        }
    }
}

impl<'de: 'a, 'a, T: Deserialize<'de>> Deserialize<'de> for Mixed<'a, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MixedVisitor(PhantomData))
    }
}

struct MixedVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for MixedVisitor<T> {
    type Value = Mixed<'de, T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a list")
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Mixed::Text(Text::from(text)))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Mixed::Text(Text::from(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        collect(seq).map(Mixed::List)
    }
}

/// Reads a list of at most [`LIST_MAX`] elements; `null` is an empty one.
pub fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    deserializer.deserialize_any(ListVisitor(PhantomData))
}

struct ListVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        collect(seq)
    }
}

fn collect<'de, A: SeqAccess<'de>, T: Deserialize<'de>>(mut seq: A) -> Result<Vec<T>, A::Error> {
    let mut list = Vec::new();
    while let Some(item) = seq.next_element()? {
        if list.len() == LIST_MAX {
            return Err(de::Error::custom(format_args!("a list of more than {LIST_MAX} elements")));
        }
        list.push(item);
    }
    Ok(list)
}

/// Reads a number that may be written with a fraction of zero (`8.0`), as some clients do.
pub fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let Some(number) = Option::<serde_json::Number>::deserialize(deserializer)? else {
        return Ok(None);
    };
    let whole = number.as_u64().or_else(|| {
        let float = number.as_f64()?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "range checked"
        )]
        (float.fract() == 0.0 && (0.0..9.0e15).contains(&float)).then_some(float as u64)
    });
    whole.map(Some).ok_or_else(|| de::Error::custom("expected a whole number of at least 0"))
}

/// Reads a member that has this shape in the types of items that are known, and another in others.
pub fn lenient<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let raw = Option::<&'de RawValue>::deserialize(deserializer)?;
    Ok(raw.and_then(|raw| serde_json::from_str(raw.get()).ok()))
}

/// Notes every member of the object `json` that is neither in `known` nor `null`.
///
/// A broken object notes nothing: its own reader reports it.
pub fn note_unknown(json: &[u8], known: &[&str], prefix: &'static str, losses: &mut Losses) {
    let names = Names { known, prefix, losses };
    let _ = serde_json::Deserializer::from_slice(json).deserialize_map(names);
}

struct Names<'k, 'l> {
    known: &'k [&'k str],
    prefix: &'static str,
    losses: &'l mut Losses,
}

impl<'de> Visitor<'de> for Names<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<Text<'de>>()? {
            if self.known.contains(&&*name) {
                map.next_value::<IgnoredAny>()?;
            } else if map.next_value::<&'de RawValue>()?.get() != "null" {
                self.losses.unknown(self.prefix, &name);
            }
        }
        Ok(())
    }
}

/// Appends a value as JSON. Values made of text, numbers and raw JSON cannot fail to serialize.
pub fn append_json(out: &mut Vec<u8>, value: &impl Serialize) {
    let written = serde_json::to_writer(&mut *out, value);
    debug_assert!(written.is_ok(), "wire types have text keys and finite depth");
}

/// Appends a text as a JSON string. Most texts need no escape and are copied.
pub fn append_text(out: &mut Vec<u8>, text: &str) {
    if plain_run(text.as_bytes()) < text.len() {
        return append_json(out, &text);
    }
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

/// Appends a number.
pub fn append_number(out: &mut Vec<u8>, number: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// A value as raw JSON; `null` where it has no JSON, which wire types always have.
pub fn to_raw(value: &impl Serialize) -> Json<'static> {
    serde_json::value::to_raw_value(value).map_or(Json::from(RawValue::NULL), Json::from)
}

/// A value as JSON.
pub fn to_json(value: &impl Serialize) -> Vec<u8> {
    let mut out = Vec::new();
    append_json(&mut out, value);
    out
}
