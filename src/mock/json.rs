//! JSON written straight into a buffer: what is the same in every answer is copied, not built.

use std::io::Write;

/// Appends texts as they stand.
pub(crate) fn put(out: &mut Vec<u8>, parts: &[&str]) {
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
}

/// Appends a text as a JSON string. Writing to memory cannot fail.
pub(crate) fn put_string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).unwrap_or_default();
}

/// Appends a number. Writing to memory cannot fail.
pub(crate) fn put_number(out: &mut Vec<u8>, number: usize) {
    write!(out, "{number}").unwrap_or_default();
}
