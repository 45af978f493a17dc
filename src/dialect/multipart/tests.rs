//! Tests of the form reader: tables of what is read and what is refused, and properties.

use proptest::prelude::{any, prop};
use proptest::{prop_assert, prop_assert_eq, proptest};

use super::{Fields, MultipartError, PARTS_MAX, boundary};

const NAMES: &[&str] = &["model", "stream"];

fn find(body: &str) -> Result<Option<String>, MultipartError> {
    let fields = Fields::find(body.as_bytes(), "b", NAMES)?;
    Ok(fields.text(body.as_bytes(), "model").map(str::to_owned))
}

/// A body of one part with this header.
fn one(header: &str) -> String {
    format!("--b\r\n{header}\r\n\r\nwhisper-1\r\n--b--\r\n")
}

#[test]
fn the_boundary_is_read_from_the_content_type() {
    for (text, expected) in [
        ("multipart/form-data; boundary=abc", Some("abc")),
        ("Multipart/Form-Data;charset=utf-8; BOUNDARY=\"a b;c\"", Some("a b;c")),
        ("multipart/form-data; x=\"; boundary=no\"; boundary=yes;", Some("yes")),
        ("multipart/form-data; boundary=\"a\\\"b\"", Some("a\"b")),
        ("multipart/form-data; boundary=a; boundary=b", None),
        ("multipart/form-data; boundary=\"a", None),
        ("multipart/form-data; boundary=", None),
        ("multipart/form-data; boundary=\"a \"", None),
        ("multipart/form-data", None),
        ("multipart/mixed; boundary=a", None),
        ("application/json", None),
    ] {
        assert_eq!(boundary(text).ok().as_deref(), expected, "{text}");
    }
    assert!(boundary(&format!("multipart/form-data; boundary={}", "x".repeat(71))).is_err());
}

#[test]
fn fields_are_found_by_name() {
    let body = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"model\"\r\n\
        Content-Type: audio/wav\r\n\r\nRIFF\r\n--bx\r\n --b\r\n--\r\nname=\"model\"\r\n--b \t\r\n\
        content-DISPOSITION: form-data;\r\n\tNAME=model\r\n\r\nwhisper-1\r\n--b\r\n\
        Content-Disposition: form-data; name=\"stream\"\r\n\r\n\r\n--b--\r\nepilogue";
    let fields = Fields::find(body.as_bytes(), "b", NAMES).unwrap();
    assert_eq!(fields.text(body.as_bytes(), "model"), Some("whisper-1"));
    assert_eq!(fields.text(body.as_bytes(), "stream"), Some(""));
    assert_eq!(fields.get("file"), None);
}

#[test]
fn headers_are_read_in_all_their_forms() {
    use MultipartError::{Header, NotPlain};
    let found = || Ok(Some("whisper-1".to_owned()));
    for (header, expected) in [
        ("Content-Disposition: form-data; name=\"model\"", found()),
        ("CONTENT-DISPOSITION:form-data ; name = model ;", found()),
        ("Content-Disposition: form-data; name=\"mo\\del\"", found()),
        ("Content-Type: text/plain\r\nContent-Disposition: form-data; name=\"model\"", found()),
        (
            "Content-Disposition: form-data; name=\"model\"\r\nContent-Transfer-Encoding: 8BIT",
            found(),
        ),
        ("Content-Disposition: form-data; name=\"Model\"", Ok(None)),
        ("Content-Disposition: form-data; name=\"x\"; filename=\"model\"", Ok(None)),
        ("Content-Disposition: form-data; name=\"model\"; filename=\"\"", Err(NotPlain("model"))),
        (
            "Content-Disposition: form-data; name=\"model\"; filename*=utf-8''a",
            Err(NotPlain("model")),
        ),
        (
            "Content-Disposition: form-data; name=\"model\"\r\nContent-Transfer-Encoding: base64",
            Err(NotPlain("model")),
        ),
        ("Content-Disposition: form-data; name=\"x\"; name*=utf-8''model", Err(Header)),
        ("Content-Disposition: form-data; name=\"x\"; name=\"model\"", Err(Header)),
        ("Content-Disposition: attachment; name=\"model\"", Err(Header)),
        ("Content-Disposition: form-data; name=\"model", Err(Header)),
        ("Content-Disposition: form-data", Err(Header)),
        ("Content-Type: text/plain", Err(Header)),
        ("Content-Disposition: form-data; name=\"a\"\nX: y", Err(Header)),
        ("no colon", Err(Header)),
    ] {
        assert_eq!(find(&one(header)), expected, "{header}");
    }
    let long = format!("Content-Disposition: form-data; name=\"model\"\r\nX: {}", "y".repeat(8192));
    assert_eq!(find(&one(&long)), Err(Header));
}

#[test]
fn bodies_that_readers_take_differently_are_refused() {
    use MultipartError::{Delimiter, End, Header, Start, TooManyParts, Twice};
    let part = "Content-Disposition: form-data; name=\"model\"\r\n\r\na";
    for (body, expected) in [
        (format!("--b\r\n{part}\r\n--b\r\n{part}\r\n--b--"), Twice("model")),
        (format!("\r\n--b\r\n{part}\r\n--b"), Delimiter),
        (format!("--b\r\n{part}"), End),
        (format!("--b\r\n{part}\n--b--\r\n--b--"), Delimiter),
        (format!("--b\r\n{part}\r--b\r\n{part}\r\n--b--"), Delimiter),
        (format!("--b\n{part}\r\n--b--"), Delimiter),
        (format!("--b\r\n{part}\r\n--b\n{part}\r\n--b--"), Delimiter),
        (format!("preamble\r\n--b\r\n{part}\r\n--b--"), Start),
        (
            "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n--b--".to_owned(),
            Delimiter,
        ),
        ("--b\r\n\r\nx\r\n--b--".to_owned(), Header),
        (String::new(), Start),
        ("--b".to_owned(), Delimiter),
        (
            format!(
                "{}--b--",
                "--b\r\nContent-Disposition: form-data; name=x\r\n\r\n\r\n".repeat(PARTS_MAX)
            ),
            TooManyParts,
        ),
    ] {
        assert_eq!(find(&body), Err(expected), "{body:?}");
    }
    assert_eq!(find("--b--"), Ok(None));
}

proptest! {
    #[test]
    fn garbage_never_panics(
        text in "(--b|--|\r\n|\n|Content-Disposition: form-data; name=\"model\"|\r\n\r\n|x|;|\"|\\\\|é){0,30}",
        bytes in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        for body in [text.clone().into_bytes(), bytes.clone(), [b"--b\r\n", bytes.as_slice(), text.as_bytes()].concat()] {
            if let Ok(fields) = Fields::find(&body, "b", NAMES)
                && let Some(range) = fields.get("model")
            {
                prop_assert!(range.end <= body.len() && range.start <= range.end);
            }
        }
        let _checked_for_panics_only = boundary(&format!("multipart/form-data; {text}"));
    }

    #[test]
    fn a_field_is_found_between_any_files(
        before in prop::collection::vec(any::<u8>(), 0..80),
        model in "[a-z0-9-]{0,12}",
        after in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let file = b"--bound\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n".as_slice();
        let field = b"\r\n--bound\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n";
        let body = [file, &before, field, model.as_bytes(), b"\r\n", file, &after, b"\r\n--bound--\r\n"].concat();
        let fields = Fields::find(&body, "bound", NAMES).unwrap();
        prop_assert_eq!(fields.text(&body, "model"), Some(model.as_str()));
    }
}
