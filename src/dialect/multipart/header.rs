//! The header of one part of a form, and the boundary that a content type names.

use crate::dialect::multipart::{MultipartError, PART_HEADER_BYTES_MAX};

/// The most bytes of a boundary (RFC 2046, section 5.1.1).
const BOUNDARY_BYTES_MAX: usize = 70;

/// What a part's header says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// The field's name.
    pub name: String,
    /// The part carries a file name.
    pub is_file: bool,
    /// The content is in an encoding that would have to be undone.
    pub is_encoded: bool,
}

/// The boundary that the content type of a form names, unquoted.
pub fn boundary(content_type: &str) -> Result<String, MultipartError> {
    let (kind, parameters) = content_type.split_once(';').ok_or(MultipartError::Boundary)?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return Err(MultipartError::Boundary);
    }
    let mut found = None;
    for (name, value) in read_parameters(parameters).ok_or(MultipartError::Boundary)? {
        if name == "boundary" && found.replace(value).is_some() {
            return Err(MultipartError::Boundary);
        }
    }
    let usable = |text: &String| {
        (1..=BOUNDARY_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|b| b == b' ' || b.is_ascii_graphic())
            && !text.ends_with(' ')
    };
    found.filter(usable).ok_or(MultipartError::Boundary)
}

/// The length of a part's header, the empty line behind it included.
pub(super) fn length(part: &[u8]) -> Result<usize, MultipartError> {
    let bounded = part.get(..part.len().min(PART_HEADER_BYTES_MAX)).unwrap_or(part);
    match memchr::memmem::find(bounded, b"\r\n\r\n") {
        Some(end) => Ok(end + 4),
        None => Err(MultipartError::Header),
    }
}

/// Reads a part's header, the empty line included.
pub(super) fn read(header: &[u8]) -> Result<Head, MultipartError> {
    let text = String::from_utf8_lossy(header);
    let text = text.strip_suffix("\r\n\r\n").ok_or(MultipartError::Header)?;
    // A line that begins with white space continues the one before (RFC 822 folding).
    let unfolded = text.replace("\r\n ", " ").replace("\r\n\t", " ");
    let mut head = Head::default();
    let mut disposed = false;
    for line in unfolded.split("\r\n") {
        if line.contains(['\r', '\n', '\0']) {
            return Err(MultipartError::Header);
        }
        let (name, value) = line.split_once(':').ok_or(MultipartError::Header)?;
        if name.eq_ignore_ascii_case("content-disposition") {
            if disposed {
                return Err(MultipartError::Header);
            }
            disposed = true;
            (head.name, head.is_file) = disposition(value).ok_or(MultipartError::Header)?;
        } else if name.eq_ignore_ascii_case("content-transfer-encoding") {
            let plain = ["7bit", "8bit", "binary"];
            head.is_encoded = !plain.iter().any(|p| value.trim().eq_ignore_ascii_case(p));
        }
    }
    if disposed { Ok(head) } else { Err(MultipartError::Header) }
}

/// Name and whether there is a file name; `None` for anything but form data with one plain name.
fn disposition(value: &str) -> Option<(String, bool)> {
    let (kind, parameters) = value.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("form-data") {
        return None;
    }
    let mut name = None;
    let mut is_file = false;
    for (key, value) in read_parameters(parameters)? {
        if key == "name" {
            if name.replace(value).is_some() {
                return None;
            }
        } else if key.starts_with("name*") {
            // RFC 7578, section 4.2 forbids it, some readers decode it, most ignore it.
            return None;
        } else if key == "filename" || key.starts_with("filename*") {
            is_file = true;
        }
    }
    name.map(|name| (name, is_file))
}

/// `a=b; C="d;\"e"` as names in lower case and values unquoted; `None` where malformed.
fn read_parameters(text: &str) -> Option<Vec<(String, String)>> {
    let mut found = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (name, behind) = rest.split_once('=')?;
        let name = name.trim();
        if name.is_empty() || name.contains(['"', ';', ' ', '\t']) {
            return None;
        }
        let (value, behind) = read_value(behind.trim_start())?;
        found.push((name.to_ascii_lowercase(), value));
        let behind = behind.trim_start();
        rest = match behind.strip_prefix(';') {
            Some(behind) => behind.trim_start(),
            None if behind.is_empty() => behind,
            None => return None,
        };
    }
    Some(found)
}

/// A parameter's value, unquoted, and the text behind it.
fn read_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, behind) = text.split_at(text.find(';').unwrap_or(text.len()));
        let value = value.trim_end();
        let malformed = value.contains(['"', ' ', '\t', '\\']);
        return (!malformed).then(|| (value.to_owned(), behind));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, quoted.get(at + 1..)?)),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}
