//! The top-level members of a JSON object, found in one pass that also validates the whole body.
//!
//! A gateway decides by a few members (`model`, `stream`) and sends the rest on as it came. So
//! the body is checked to be one complete JSON object (RFC 8259, UTF-8) and each top-level member
//! is recorded by its byte ranges; nothing else is decoded or copied. A name that stands twice is
//! refused, because two readers may take different ones: the gateway would check one `model` and
//! the upstream serve another.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use smallvec::SmallVec;

use crate::dialect::scan::{Cursor, Fault};

/// The most members an object may have. The largest API in use knows about 40.
pub const MEMBERS_MAX: usize = 256;

/// How much of a member's name an error text repeats.
const NAME_SHOWN_MAX: usize = 40;

/// The members of one object, in order.
pub struct Members<'a> {
    text: &'a str,
    object: Range<usize>,
    members: SmallVec<[Member<'a>; 16]>,
    /// Whether all names are ASCII, as they nearly always are: then they are compared as bytes.
    ascii: bool,
}

/// One member: where it lies and what its name means. Ranges count bytes of the whole text.
#[derive(Clone, Debug)]
pub struct Member<'a> {
    /// The name, escapes decoded.
    pub name: Cow<'a, str>,
    /// Where the name stands, quotes included.
    pub key: Range<usize>,
    /// Where the value begins.
    at: usize,
    /// The value, as it stands.
    pub raw: &'a str,
}

/// Why a text is not one JSON object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonError {
    /// Byte offset of the fault.
    pub at: usize,
    /// Its line, counted from 1.
    pub line: usize,
    /// Its column in bytes, counted from 1.
    pub column: usize,
    what: Cow<'static, str>,
}

impl<'a> Members<'a> {
    /// Reads a body that must be one JSON object with nothing but white space around it.
    pub fn parse(body: &'a [u8]) -> Result<Self, JsonError> {
        Self::parse_around(body, &(0..0))
    }

    /// Reads a body of which one part is known to be JSON, as it was written here: a member's value that
    /// stands just there is not read again.
    pub fn parse_around(body: &'a [u8], known: &Range<usize>) -> Result<Self, JsonError> {
        let text = simdutf8::compat::from_utf8(body).map_err(|error| {
            JsonError::new(body, error.valid_up_to(), Cow::Borrowed("not UTF-8"))
        })?;
        let mut found = Self::none(text);
        let mut cursor = Cursor::new(body, 0);
        cursor.space();
        found.read(&mut cursor, 0, known)?;
        cursor.space();
        if cursor.peek().is_some() {
            return Err(JsonError::from_fault(body, cursor.fault("text behind the JSON object")));
        }
        Ok(found)
    }

    /// Reads the object that is the value of one of these members; ranges count from the start of the whole text.
    pub fn within(&self, member: &Member<'_>) -> Result<Self, JsonError> {
        Self::object(self.text, &mut Cursor::new(self.text.as_bytes(), member.at), 1)
    }

    /// Reads the objects that are the elements of the array which is the value of one of these members.
    pub fn objects(&self, array: &Member<'_>) -> Result<Vec<Self>, JsonError> {
        let mut cursor = Cursor::new(self.text.as_bytes(), array.at);
        let mut objects = Vec::new();
        cursor.eat(b'[');
        cursor.space();
        while !cursor.eat(b']') {
            objects.push(Self::object(self.text, &mut cursor, 2)?);
            cursor.space();
            cursor.eat(b',');
            cursor.space();
        }
        Ok(objects)
    }

    /// Reads the object at the cursor and leaves the cursor behind it.
    pub(crate) fn object(
        text: &'a str,
        cursor: &mut Cursor<'_>,
        depth: u32,
    ) -> Result<Self, JsonError> {
        let mut found = Self::none(text);
        found.read(cursor, depth, &(0..0))?;
        Ok(found)
    }

    fn none(text: &'a str) -> Self {
        Self { text, object: 0..0, members: SmallVec::new(), ascii: true }
    }

    /// Fills in place what would otherwise be moved: the list is large.
    fn read(
        &mut self,
        cursor: &mut Cursor<'_>,
        depth: u32,
        known: &Range<usize>,
    ) -> Result<(), JsonError> {
        let text = self.text;
        let fail = |fault| JsonError::from_fault(text.as_bytes(), fault);
        let start = cursor.at();
        if !cursor.eat(b'{') {
            return Err(fail(cursor.fault("expected a JSON object")));
        }
        cursor.space();
        if !cursor.eat(b'}') {
            loop {
                let member = member(text, cursor, depth + 1, known).map_err(fail)?;
                self.admit(member)?;
                cursor.space();
                if cursor.eat(b'}') {
                    break;
                }
                if !cursor.eat(b',') {
                    return Err(fail(cursor.fault("expected `,` or `}`")));
                }
                cursor.space();
            }
        }
        self.object = start..cursor.at();
        Ok(())
    }

    /// The member of this name.
    pub fn get(&self, name: &str) -> Option<&Member<'a>> {
        self.members.iter().find(|member| member.name == name)
    }

    /// The member of this name, or of one that differs only in case. For rules that refuse or
    /// limit a member: some servers (Go's `encoding/json`) take `Tools` for `tools`.
    pub fn get_any_case(&self, name: &str) -> Option<&Member<'a>> {
        if self.ascii && name.is_ascii() {
            self.members.iter().find(|member| member.name.eq_ignore_ascii_case(name))
        } else {
            self.members.iter().find(|member| same_name(&member.name, name))
        }
    }

    /// The members of these names, as [`Members::get_any_case`] gives them, found in one pass.
    pub fn each_any_case<const N: usize>(&self, names: [&str; N]) -> [Option<&Member<'a>>; N] {
        if !self.ascii {
            return names.map(|name| self.get_any_case(name));
        }
        let mut found = [None; N];
        for member in &self.members {
            let place = names.iter().position(|name| member.name.eq_ignore_ascii_case(name));
            if let Some(slot) = place.and_then(|place| found.get_mut(place)) {
                *slot = Some(member);
            }
        }
        found
    }

    /// All members, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Member<'a>> {
        self.members.iter()
    }

    /// Where the object stands, braces included.
    pub fn range(&self) -> Range<usize> {
        self.object.clone()
    }

    /// The place of a member of this name.
    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.members.iter().position(|member| member.name == name)
    }

    pub(crate) fn as_slice(&self) -> &[Member<'a>] {
        &self.members
    }

    /// The whole text.
    pub(crate) fn text(&self) -> &'a str {
        self.text
    }

    fn admit(&mut self, member: Member<'a>) -> Result<(), JsonError> {
        self.ascii &= member.name.is_ascii();
        let fault = if self.members.len() >= MEMBERS_MAX {
            Cow::Owned(format!("more than {MEMBERS_MAX} members in one object"))
        } else if self.get_any_case(&member.name).is_some() {
            let shown: String = member.name.chars().take(NAME_SHOWN_MAX).collect();
            Cow::Owned(format!("the member `{shown}` stands twice"))
        } else {
            self.members.push(member);
            return Ok(());
        };
        Err(JsonError::new(self.text.as_bytes(), member.key.start, fault))
    }
}

impl<'a, 'm> IntoIterator for &'m Members<'a> {
    type Item = &'m Member<'a>;
    type IntoIter = std::slice::Iter<'m, Member<'a>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a> Member<'a> {
    /// Where the value stands.
    pub fn value(&self) -> Range<usize> {
        self.at..self.at + self.raw.len()
    }

    /// The value as text, escapes decoded; `None` if it is no string, or holds half a surrogate
    /// pair.
    pub fn string(&self) -> Option<Cow<'a, str>> {
        let inside = self.raw.strip_prefix('"')?.strip_suffix('"')?;
        if memchr::memchr(b'\\', inside.as_bytes()).is_none() {
            return Some(Cow::Borrowed(inside));
        }
        serde_json::from_str(self.raw).ok().map(Cow::Owned)
    }

    /// The value as a truth value; `None` if it is none.
    pub fn bool(&self) -> Option<bool> {
        match self.raw {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    /// The value as a number; `None` if it is none.
    pub fn number(&self) -> Option<serde_json::Number> {
        self.raw.parse().ok()
    }

    /// The value as a count: a whole number, or one with a fraction, which is cut off (some servers
    /// write `12.0`). `None` if it is no number, negative, too large, or has an exponent.
    pub fn count(&self) -> Option<u64> {
        if self.raw.contains(['e', 'E']) {
            return None;
        }
        self.raw.split('.').next()?.parse().ok()
    }

    /// Whether the value is `null`, which most APIs take for absent.
    pub fn is_null(&self) -> bool {
        self.raw == "null"
    }
}

impl JsonError {
    fn new(body: &[u8], at: usize, what: Cow<'static, str>) -> Self {
        let before = body.get(..at).unwrap_or(body);
        let line = memchr::memchr_iter(b'\n', before).count() + 1;
        let column = before.len() - memchr::memrchr(b'\n', before).map_or(0, |nl| nl + 1) + 1;
        Self { at, line, column, what }
    }

    fn from_fault(body: &[u8], fault: Fault) -> Self {
        Self::new(body, fault.at, Cow::Borrowed(fault.what))
    }

    /// An error at a place of a body that was read before.
    pub(crate) fn at(body: &str, at: usize, what: &'static str) -> Self {
        Self::new(body.as_bytes(), at, Cow::Borrowed(what))
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at line {} column {}", self.what, self.line, self.column)
    }
}

impl std::error::Error for JsonError {}

fn member<'a>(
    text: &'a str,
    cursor: &mut Cursor<'_>,
    depth: u32,
    known: &Range<usize>,
) -> Result<Member<'a>, Fault> {
    if cursor.peek() != Some(b'"') {
        return Err(cursor.fault("expected a member name in double quotes"));
    }
    let key_at = cursor.at();
    let escaped = cursor.string()?;
    let key = key_at..cursor.at();
    let quoted = text.get(key.clone()).unwrap_or_default();
    let name = if escaped {
        Cow::Owned(serde_json::from_str(quoted).map_err(|_| Fault {
            at: key_at,
            what: "the member name holds half a surrogate pair",
        })?)
    } else {
        Cow::Borrowed(quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default())
    };
    cursor.colon()?;
    cursor.space();
    let at = cursor.at();
    // No value stands at 0, where the object itself begins.
    if at == known.start {
        cursor.pass_to(known.end);
    } else {
        cursor.value(depth)?;
    }
    Ok(Member { name, key, at, raw: text.get(at..cursor.at()).unwrap_or_default() })
}

/// Whether two names are the same to a reader that ignores case. Such readers fold two letters
/// beyond ASCII into it: the Kelvin sign to `k` and the long s to `s`.
fn same_name(a: &str, b: &str) -> bool {
    let fold = |c: char| match c {
        '\u{212a}' => 'k',
        '\u{17f}' => 's',
        other => other.to_ascii_lowercase(),
    };
    a.chars().map(fold).eq(b.chars().map(fold))
}

#[cfg(test)]
pub(crate) mod tests;
