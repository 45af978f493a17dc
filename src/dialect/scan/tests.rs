//! Where values begin and end, and where faults are said to be.

use super::{Cursor, plain_run};
use proptest::prelude::{any, prop};
use proptest::{prop_assert_eq, proptest};

fn check(text: &str, expected: Result<usize, usize>) {
    let mut cursor = Cursor::new(text.as_bytes(), 0);
    let got = cursor.value(0).map(|()| cursor.at()).map_err(|fault| fault.at);
    assert_eq!(got, expected, "{text}");
}

#[test]
fn a_value_ends_where_it_ends() {
    check("0,", Ok(1));
    check("-0.5e+10 ", Ok(8));
    check("true]", Ok(4));
    check(r#""a\"b" "#, Ok(6));
    check(r#"{"a":[1,{}, []],"b":null}x"#, Ok(25));
    check("[ ]", Ok(3));
}

#[test]
fn a_fault_is_said_where_it_stands() {
    check("", Err(0));
    check("01", Err(1));
    check("1.", Err(2));
    check("tru", Err(0));
    check("[1 2]", Err(3));
    check("[1,]", Err(3));
    check(r#"{"a" 1}"#, Err(5));
    check(r#"{"a":1,}"#, Err(7));
    check(r#"{"a":1]"#, Err(6));
    check("\"a\nb\"", Err(2));
    check(r#""\x""#, Err(1));
    check(r#""\u12g4""#, Err(1));
    check(r#""abc"#, Err(4));
}

#[test]
fn members_are_shown_as_they_stand() {
    let members = |text: &str| {
        let mut seen = Vec::new();
        let read = Cursor::new(text.as_bytes(), 0).object(|name, cursor| {
            let value = cursor.raw_value(1)?;
            seen.push(String::from_utf8([name, b"=", value].concat()).unwrap());
            Ok(())
        });
        read.map(|()| seen.join(" ")).map_err(|fault| fault.at)
    };
    assert_eq!(members("{}").as_deref(), Ok(""));
    let read = members(r#"{"" : 1 , "a\"b":{"c":[2]},"d":"e" }x"#);
    assert_eq!(read.as_deref(), Ok(r#"=1 a\"b={"c":[2]} d="e""#));
    for (text, at) in
        [("[]", 0), ("{", 1), (r#"{"a"}"#, 4), (r#"{"a":1,}"#, 7), (r#"{"a":1 2}"#, 7)]
    {
        assert_eq!(members(text), Err(at), "{text}");
    }
}

#[test]
fn nesting_is_bounded() {
    let deep = |n: usize| "[".repeat(n) + &"]".repeat(n);
    check(&deep(128), Ok(256));
    check(&deep(129), Err(128));
    check(&"[".repeat(100_000), Err(128));
}

proptest! {
    #[test]
    fn a_plain_run_ends_at_the_first_special_byte(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        let slow = bytes.iter().take_while(|&&b| b >= 0x20 && b != b'"' && b != b'\\').count();
        prop_assert_eq!(plain_run(&bytes), slow);
    }

    #[test]
    fn a_long_plain_run_is_found(n in 0_usize..600, end in 0_u8..0x20) {
        let mut bytes = vec![b'x'; n];
        bytes.push(end);
        bytes.extend_from_slice(b"yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy");
        prop_assert_eq!(plain_run(&bytes), n);
    }
}
