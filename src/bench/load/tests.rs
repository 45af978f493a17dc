//! Loads: the sizes of bodies, the order of a mix, what is said about a wrong file.

use std::io::Write;

use clap::Parser;

use super::*;

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    options: Options,
}

fn load(arguments: &[&str]) -> io::Result<Load> {
    let fixed = ["bench", "http://127.0.0.1:1", "--model", "demo"];
    let arguments = Arguments::try_parse_from(fixed.iter().chain(arguments)).unwrap();
    Load::of(&arguments.options)
}

fn with_file(flag: &str, text: &str, more: &[&str]) -> io::Result<Load> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let path = file.path().to_str().unwrap();
    load(&[&[flag, path], more].concat())
        .map_err(|error| io::Error::other(error.to_string().replace(path, "FILE")))
}

fn names(load: &Load, count: u64) -> Vec<&str> {
    (0..count).map(|number| &*load.kinds[load.pick(number).unwrap().1.kind]).collect()
}

#[test]
fn a_body_has_the_size_that_was_asked_for() {
    for bytes in [600, 601, 32 << 10, 1 << 20] {
        let load =
            load(&["--body-bytes", &bytes.to_string(), "--stream", "--tokens", "7"]).unwrap();
        let (_, work) = load.pick(12).unwrap();
        assert_eq!(work.body.len(), bytes);
        let body: Value = serde_json::from_slice(&work.body).unwrap();
        assert_eq!((&body["model"], &body["max_tokens"]), (&json!("demo"), &json!(7)));
        assert!(work.stream && body["stream"] == true);
    }
    assert!(load(&["--body-bytes", "0"]).unwrap().pick(0).unwrap().1.body.len() > 20);
}

#[test]
fn a_mix_is_spread_by_weight() {
    let mix = "- {name: chat, weight: 3, body_bytes: 600}\n\
               - {name: stream, stream: true, model: fast}\n\
               - {name: own, path: /v1/embeddings, body: {input: Hi, stream: true}}\n";
    let load = with_file("--mix", mix, &[]).unwrap();
    assert_eq!(names(&load, 5), ["chat", "stream", "chat", "own", "chat"]);
    assert_eq!(names(&load, 10)[5..], names(&load, 5));
    let [chat, stream, own] = &load.works[..] else { panic!("{load:?}") };
    assert_eq!((&*chat.path, chat.body.len(), chat.stream), ("/v1/chat/completions", 600, false));
    assert!(stream.stream && stream.body.starts_with(b"{\"messages"), "{stream:?}");
    assert_eq!((&*own.path, own.stream), ("/v1/embeddings", true));
    assert_eq!(own.body, r#"{"input":"Hi","stream":true}"#);
}

#[test]
fn a_recording_keeps_its_pace_and_its_bodies() {
    let lines = "{\"offset_ms\": 1500.5, \"path\": \"/v1/b\", \"body\": {\"stream\":true, \"a\":1}}\n\n\
                 {\"offset_ms\": 500, \"path\": \"/v1/a\", \"body\": {}}\n";
    let load = with_file("--replay", lines, &["--speed", "2"]).unwrap();
    let offsets = [0, 500_250].map(Duration::from_micros).to_vec();
    assert_eq!(load.offsets, Some(offsets));
    let seen = |work: &Work| (work.path.clone(), work.body.clone(), work.stream);
    let works: Vec<_> = load.works.iter().map(seen).collect();
    let expected = [("/v1/a", "{}", false), ("/v1/b", "{\"stream\":true, \"a\":1}", true)];
    assert_eq!(works, expected.map(|(path, body, stream)| (path.into(), body.into(), stream)));
}

#[test]
fn a_wrong_file_is_refused_with_what_would_be_right() {
    let check = |flag: &str, text: &str, expected: &str| {
        let error = with_file(flag, text, &[]).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    check("--mix", "[]", "FILE: has 0 entries: 1 to 100");
    check("--mix", "[{name: a, weight: 0}]", "`a` has the weight 0: 1 to 10000");
    check("--mix", "[{name: a, wait: 0}]", "wait");
    check("--replay", "\n", "FILE: has 0 requests: 1 to 1000000");
    check("--replay", "{}", "line 1: missing field `offset_ms`");
    let line =
        |offset, path| format!("{{\"offset_ms\":{offset},\"path\":\"{path}\",\"body\":{{}}}}");
    check("--replay", &line(-1, "/"), "line 1: `offset_ms` is -1: 0 or more");
    check(
        "--replay",
        &format!("\n{}", line(1, "v1")),
        "line 2: `path` is `v1`: it begins with `/`",
    );
}
