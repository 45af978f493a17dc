//! Tests of splicing: tables, and the property that nothing else changes.

use bytes::Bytes;
use proptest::prelude::{any, prop};
use proptest::{prop_assert, prop_assert_eq, proptest};

use super::{ObjectEdit, Overlap, PIECE_BYTES_MIN, Splice, write_json_string};
use crate::dialect::members::Members;
use crate::dialect::members::tests::json;

fn edited(body: &str, edit: impl FnOnce(&mut ObjectEdit<'_, '_>)) -> String {
    let members = Members::parse(body.as_bytes()).unwrap();
    let mut changes = ObjectEdit::new(&members);
    edit(&mut changes);
    let mut splice = Splice::default();
    splice.object(&changes).unwrap();
    let out = splice.apply(&Bytes::from(body.to_owned()));
    assert!(Members::parse(&out).is_ok(), "{out:?}");
    String::from_utf8(out.to_vec()).unwrap()
}

#[test]
fn a_member_is_replaced_where_it_stands() {
    let body = "{ \"a\":1, \"mod\\u0065l\" : \"x\" ,\"z\":[ ]}";
    assert_eq!(
        edited(body, |e| e.set_string("model", "gpt \"4\"")),
        "{ \"a\":1, \"mod\\u0065l\" : \"gpt \\\"4\\\"\" ,\"z\":[ ]}"
    );
}

#[test]
fn a_member_is_added_at_the_end() {
    assert_eq!(edited("{}", |e| e.set("a", b"1")), r#"{"a":1}"#);
    assert_eq!(edited("{ }", |e| e.set("a", b"1")), r#"{"a":1 }"#);
    assert_eq!(edited(r#"{"b":2 }"#, |e| e.set("a", b"1")), r#"{"b":2,"a":1 }"#);
    let twice = |e: &mut ObjectEdit<'_, '_>| {
        e.set("a", b"1");
        e.set("c", b"3");
        e.set("a", b"2");
    };
    assert_eq!(edited("{}", twice), r#"{"a":2,"c":3}"#);
}

#[test]
fn a_member_is_taken_out_with_its_comma() {
    let body = r#"{"a":1, "b":2 ,"c":3}"#;
    for (names, expected) in [
        (&["a"][..], r#"{"b":2 ,"c":3}"#),
        (&["b"], r#"{"a":1 ,"c":3}"#),
        (&["c"], r#"{"a":1, "b":2}"#),
        (&["a", "b"], r#"{"c":3}"#),
        (&["c", "a"], r#"{"b":2}"#),
        (&["b", "c"], r#"{"a":1}"#),
        (&["a", "b", "c"], "{}"),
        (&["x"], body),
    ] {
        assert_eq!(edited(body, |e| names.iter().for_each(|n| e.remove(n))), expected, "{names:?}");
    }
}

#[test]
fn the_last_word_on_a_member_counts() {
    let body = r#"{"a":1,"b":2}"#;
    let out = edited(body, |e| {
        e.remove("a");
        e.set("a", b"7");
        e.set("b", b"8");
        e.remove("b");
        e.set("n", b"9");
        e.remove("n");
    });
    assert_eq!(out, r#"{"a":7}"#);
    let all_new = edited(body, |e| {
        e.remove("a");
        e.remove("b");
        e.set("n", b"9");
    });
    assert_eq!(all_new, r#"{"n":9}"#);
}

#[test]
fn no_edit_means_no_copy() {
    let body = Bytes::from_static(b"{\"a\":1}");
    let out = Splice::default().apply(&body);
    assert_eq!(out.as_ptr(), body.as_ptr());
}

#[test]
fn edits_of_the_same_bytes_are_refused_or_overridden() {
    let mut splice = Splice::default();
    splice.replace(2..5, b"x").unwrap();
    splice.replace(2..5, b"y").unwrap();
    assert_eq!(splice.replace(4..6, b"z"), Err(Overlap { at: 4..6 }));
    assert_eq!(splice.replace(1..3, b"z"), Err(Overlap { at: 1..3 }));
    assert_eq!(splice.replace(0..9, b"z"), Err(Overlap { at: 0..9 }));
    assert_eq!(splice.insert(3, &[b"z"]), Err(Overlap { at: 3..3 }));
    splice.insert(5, &[b">"]).unwrap();
    splice.insert(2, &[b"<"]).unwrap();
    splice.insert(2, &[b"["]).unwrap();
    assert_eq!(splice.apply(&Bytes::from_static(b"01234567")), "01<[y>567");
}

#[test]
fn strings_are_escaped() {
    for text in ["", "plain", "a\"b\\c\n\u{1}\u{7f}é\u{2028}"] {
        let mut out = Vec::new();
        write_json_string(&mut out, text);
        assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
    }
}

proptest! {
    #[test]
    fn all_other_bytes_stay(
        body in prop::collection::vec(any::<u8>(), 0..60),
        cuts in prop::collection::btree_set(0_usize..60, 0..8),
        texts in prop::collection::vec("[a-z]{0,5}", 4),
    ) {
        // Pairs of cuts are the replaced ranges; the pieces between them must survive, in order.
        let cuts: Vec<_> = cuts.into_iter().filter(|c| *c <= body.len()).collect();
        let mut splice = Splice::default();
        let mut expected = Vec::new();
        let mut from = 0;
        for (pair, text) in cuts.chunks_exact(2).zip(&texts) {
            expected.extend_from_slice(&body[from..pair[0]]);
            expected.extend_from_slice(text.as_bytes());
            from = pair[1];
        }
        expected.extend_from_slice(&body[from..]);
        // Added from the back, to show that the order of adding does not matter.
        for (pair, text) in cuts.chunks_exact(2).zip(&texts).collect::<Vec<_>>().into_iter().rev() {
            splice.replace(pair[0]..pair[1], text.as_bytes()).unwrap();
        }
        prop_assert_eq!(splice.apply(&Bytes::from(body)), expected);
    }

    #[test]
    fn members_come_out_as_decided(
        map in prop::collection::btree_map("[a-f\"\\\\]{1,2}", json(), 0..6),
        edits in prop::collection::vec(("[a-f\"\\\\]{1,2}", prop::option::of(json())), 0..8),
        pretty in any::<bool>(),
    ) {
        let mut expected: serde_json::Map<_, _> = map.into_iter().collect();
        let body = if pretty { format!("{:#}", serde_json::Value::Object(expected.clone())) } else { serde_json::Value::Object(expected.clone()).to_string() };
        let members = Members::parse(body.as_bytes()).unwrap();
        let mut object = ObjectEdit::new(&members);
        for (name, value) in &edits {
            match value {
                Some(value) => {
                    object.set(name, value.to_string().as_bytes());
                    expected.insert(name.clone(), value.clone());
                }
                None => {
                    object.remove(name);
                    expected.remove(name);
                }
            }
        }
        let mut splice = Splice::default();
        splice.object(&object).unwrap();
        let out = splice.apply(&Bytes::from(body.clone()));
        let after = Members::parse(&out).unwrap();
        let read: serde_json::Map<_, _> = after.iter()
            .map(|m| (m.name.to_string(), serde_json::from_str(m.raw).unwrap()))
            .collect();
        prop_assert_eq!(&read, &expected);
        // Members that no edit names keep their very bytes, in their order.
        let kept = |m: &&crate::dialect::members::Member<'_>| !edits.iter().any(|(name, _)| *name == m.name);
        let before: Vec<_> = members.iter().filter(kept).map(|m| (&body[m.key.clone()], m.raw)).collect();
        let out_text = std::str::from_utf8(&out).unwrap();
        let behind: Vec<_> = after.iter().filter(kept).map(|m| (&out_text[m.key.clone()], m.raw)).collect();
        prop_assert!(before == behind);
    }
}

#[test]
fn what_is_long_and_stays_is_not_copied() {
    let long = "x".repeat(PIECE_BYTES_MIN);
    let body = Bytes::from(format!("head{long}middle{long}tail"));
    let second = 4 + PIECE_BYTES_MIN;
    let mut splice = Splice::default();
    splice.replace(0..4, b"HEAD").unwrap();
    splice.replace(second + 3..second + 5, b"DD").unwrap();
    splice.insert(body.len(), &[b"!"]).unwrap();
    let pieces = splice.pieces(&body);
    let kept = |index: usize| {
        pieces.get(index).filter(|piece| body.as_ptr_range().contains(&piece.as_ptr()))
    };
    let lengths: Vec<_> = (0..pieces.count()).map(|i| pieces.get(i).unwrap().len()).collect();
    assert_eq!(lengths, [4, PIECE_BYTES_MIN + 3, 2, PIECE_BYTES_MIN + 5, 1]);
    assert!(kept(1).is_some() && kept(3).is_some() && kept(0).is_none());
    assert_eq!((pieces.whole(), pieces.byte_count()), (splice.apply(&body), body.len() + 1));
    assert_eq!(Splice::default().pieces(&body).get(0).unwrap().as_ptr(), body.as_ptr());
}

proptest! {
    #[test]
    fn pieces_make_the_body(
        stretches in prop::collection::vec((0..3 * PIECE_BYTES_MIN, ".{0,9}"), 0..6),
    ) {
        let body = Bytes::from("y".repeat(stretches.iter().map(|(length, _)| length).sum()));
        let mut splice = Splice::default();
        let mut at = 0;
        for (length, text) in &stretches {
            at += length;
            splice.replace(at - length.min(&7)..at, text.as_bytes()).unwrap();
        }
        let pieces = splice.pieces(&body);
        prop_assert_eq!(pieces.whole(), splice.apply(&body));
        prop_assert!((0..pieces.count()).all(|i| !pieces.get(i).unwrap().is_empty()));
    }
}
