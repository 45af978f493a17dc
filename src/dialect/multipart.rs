//! Finding text fields in a `multipart/form-data` body (RFC 7578), such as `model` next to an
//! audio file: their byte ranges, so that a value can be spliced.
//!
//! Servers disagree on sloppy bodies, and whoever finds other parts than the upstream does can be
//! made to check one `model` while another is served. So what readers take differently is refused:
//! a wanted name that stands twice, is a file (`filename`) or is encoded; a name in an extended form
//! (`name*`); a bare line feed around a delimiter; text before the first one; a missing last one.
//! Other parts are passed over.

use std::fmt;
use std::ops::Range;

use memchr::memmem;
use smallvec::SmallVec;

mod header;

pub use header::boundary;

/// The most bytes the header of one part may have.
pub const PART_HEADER_BYTES_MAX: usize = 8 * 1024;

/// The most parts a body may have.
pub const PARTS_MAX: usize = 256;

/// The fields found, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    found: SmallVec<[(&'static str, Range<usize>); 4]>,
}

/// Why a body cannot be read as a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MultipartError {
    /// The content type is not that of a form, or names no usable boundary.
    Boundary,
    /// The body does not begin with its boundary.
    Start,
    /// A delimiter does not stand alone on its line, ended by CRLF.
    Delimiter,
    /// The last delimiter is missing.
    End,
    /// A part's header is malformed, ambiguous or too long.
    Header,
    /// More parts than [`PARTS_MAX`].
    TooManyParts,
    /// A wanted field stands twice.
    Twice(&'static str),
    /// A wanted field is a file, or is encoded.
    NotPlain(&'static str),
}

impl Fields {
    /// Finds the fields of these names. `boundary` is what [`boundary`] read.
    pub fn find(
        body: &[u8],
        boundary: &str,
        names: &[&'static str],
    ) -> Result<Self, MultipartError> {
        let dashed = format!("--{boundary}");
        let finder = memmem::Finder::new(&dashed);
        // The first delimiter begins the body, with or without the CRLF that belongs to it.
        let lead = if body.starts_with(b"\r\n") { 2 } else { 0 };
        if !body.get(lead..).unwrap_or_default().starts_with(dashed.as_bytes()) {
            return Err(MultipartError::Start);
        }
        let mut fields = Self::default();
        let mut at = lead + dashed.len();
        for _ in 0..PARTS_MAX {
            let Some(part) = delimiter_end(body, at)? else { return Ok(fields) };
            let content = part + header::length(body.get(part..).unwrap_or_default())?;
            let end = next_delimiter(body, content, &finder)?;
            let header = body.get(part..content).unwrap_or_default();
            fields.admit(header, content..end, names)?;
            at = end + 2 + dashed.len();
        }
        Err(MultipartError::TooManyParts)
    }

    /// Where a field's value lies.
    pub fn get(&self, name: &str) -> Option<Range<usize>> {
        self.found.iter().find(|(other, _)| *other == name).map(|(_, range)| range.clone())
    }

    /// A field's value; `None` if there is none, or it is not UTF-8.
    pub fn text<'a>(&self, body: &'a [u8], name: &str) -> Option<&'a str> {
        std::str::from_utf8(body.get(self.get(name)?)?).ok()
    }

    fn admit(
        &mut self,
        header: &[u8],
        content: Range<usize>,
        names: &[&'static str],
    ) -> Result<(), MultipartError> {
        let head = header::read(header)?;
        let Some(name) = names.iter().find(|name| **name == head.name).copied() else {
            return Ok(());
        };
        if head.is_file || head.is_encoded {
            return Err(MultipartError::NotPlain(name));
        }
        if self.get(name).is_some() {
            return Err(MultipartError::Twice(name));
        }
        self.found.push((name, content));
        Ok(())
    }
}

/// Behind a delimiter: where the part's header begins, or `None` if it was the last delimiter.
fn delimiter_end(body: &[u8], at: usize) -> Result<Option<usize>, MultipartError> {
    let rest = body.get(at..).unwrap_or_default();
    if rest.starts_with(b"--") {
        return Ok(None);
    }
    // RFC 2046 allows white space here ("transport padding").
    let padding = rest.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
    if rest.get(padding..padding + 2) == Some(b"\r\n") {
        Ok(Some(at + padding + 2))
    } else {
        Err(MultipartError::Delimiter)
    }
}

/// Where the content that begins at `from` ends: before the CRLF of the next delimiter. A boundary
/// with more text behind it on its line, or in mid-line, is content.
fn next_delimiter(
    body: &[u8],
    from: usize,
    finder: &memmem::Finder<'_>,
) -> Result<usize, MultipartError> {
    let mut at = from;
    loop {
        let Some(found) = finder.find(body.get(at..).unwrap_or_default()) else {
            return Err(MultipartError::End);
        };
        let (before, rest) = body.split_at(at + found);
        let behind = rest.get(finder.needle().len()..).unwrap_or_default();
        let ends_line = behind.starts_with(b"--")
            || matches!(behind.first(), None | Some(b'\r' | b'\n' | b' ' | b'\t'));
        if ends_line && before.ends_with(b"\r\n") && before.len() >= from + 2 {
            return Ok(before.len() - 2);
        }
        // Some readers take it for a delimiter even without its own CRLF, others for content.
        if ends_line && matches!(before.last(), Some(b'\r' | b'\n')) {
            return Err(MultipartError::Delimiter);
        }
        at += found + finder.needle().len();
    }
}

impl fmt::Display for MultipartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boundary => {
                f.write_str("the content type must be `multipart/form-data` with a `boundary`")
            }
            Self::Start => f.write_str("the form does not begin with its boundary"),
            Self::Delimiter => {
                f.write_str("a boundary must stand alone on its line, ended by CRLF")
            }
            Self::End => f.write_str("the form does not end with its boundary"),
            Self::Header => f.write_str("the header of a part of the form cannot be read"),
            Self::TooManyParts => write!(f, "the form has more than {PARTS_MAX} parts"),
            Self::Twice(name) => write!(f, "the field `{name}` stands twice"),
            Self::NotPlain(name) => {
                write!(f, "the field `{name}` must be plain text: no file, no encoding")
            }
        }
    }
}

impl std::error::Error for MultipartError {}

#[cfg(test)]
mod tests;
