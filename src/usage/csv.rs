//! Lines of CSV (RFC 4180) that a spreadsheet takes for nothing but data.

use std::borrow::Cow;
use std::io::{self, Write};

/// What a field must not begin with: a spreadsheet would take it for a formula.
const FORMULAS: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// Writes a line.
///
/// # Errors
/// Those of the writer.
pub fn line<F: AsRef<str>>(
    out: &mut impl Write,
    fields: impl IntoIterator<Item = F>,
) -> io::Result<()> {
    for (place, text) in fields.into_iter().enumerate() {
        if place > 0 {
            out.write_all(b",")?;
        }
        out.write_all(field(text.as_ref()).as_bytes())?;
    }
    out.write_all(b"\r\n")
}

/// A text as a field: in quotes where it holds a comma, a quote or a line break, and with an apostrophe
/// before what would be a formula.
fn field(text: &str) -> Cow<'_, str> {
    let text: Cow<'_, str> = match text.starts_with(FORMULAS) {
        true => format!("'{text}").into(),
        false => text.into(),
    };
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")).into(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::field;

    #[test]
    fn fields_are_data_and_nothing_else() {
        for (text, expected) in [
            ("plain", "plain"),
            ("", ""),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@sum(a)", "'@sum(a)"),
            ("\t=1", "'\t=1"),
            ("\r=1", "\"'\r=1\""),
            ("=\"a\",1", "\"'=\"\"a\"\",1\""),
        ] {
            assert_eq!(field(text), expected, "{text:?}");
        }
    }
}
