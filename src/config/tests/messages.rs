//! The exact words of problems: one mistake a row, and many at once.

mod jwt;
mod process;
mod routes;
mod templates;

use super::messages;

/// Eleven lines: what is added begins in line 12.
const BASE: &str = "\
providers:
  local: {endpoints: [{url: 'http://127.0.0.1:9100/v1'}]}
models:
  chat:
    candidates:
      - provider: local
  fast:
    candidates:
      - provider: local
tenants:
  demo: {}
";

/// Checks rows of: what `text` makes a file of, its one message without the file's name.
fn check_in(text: impl Fn(&str) -> String, rows: &[(&str, &str)]) {
    for (part, expected) in rows {
        assert_eq!(messages(&text(part)), format!("t.yaml:{expected}\n1 problem"), "{part}");
    }
}

/// Rows of whole files.
fn check(rows: &[(&str, &str)]) {
    check_in(str::to_owned, rows);
}

/// Rows of what stands behind `BASE`.
fn check_more(rows: &[(&str, &str)]) {
    check_in(|more| format!("{BASE}{more}\n"), rows);
}

#[test]
fn eight_mistakes_are_named_in_one_go() {
    let text = "\
server:
  listeners:
    - adress: 0.0.0.0:8080
  threads: many
providers:
  openai:
    endpoints:
      - url: ftp://api.openai.com/v1
        weight: 0
    headers: {Connection: close}
models:
  chat:
    candidates:
      - provider: opena1
    balance: round-robin
keys:
  - id: demo
    hash: sk-demo
    tenant: demo
    models: [chat, chta]
";
    insta::assert_snapshot!(messages(text), @r#"
    t.yaml:3:7: server.listeners[0].address: is missing: `host:port` with a numeric host, `0.0.0.0:8080`
    t.yaml:3:7: server.listeners[0].adress: no such key: did you mean `address`? There are `address`, `h2c`, `tls`
    t.yaml:4:12: server.threads: must be a whole number, not the text `many`
    t.yaml:8:14: providers.openai.endpoints[0].url: the scheme must be `http` or `https`, not `ftp`, such as `https://api.openai.com/v1`
    t.yaml:9:17: providers.openai.endpoints[0].weight: must be from 1 to 1000000, not 0
    t.yaml:10:15: providers.openai.headers.Connection: `connection` belongs to one connection and is never passed on
    t.yaml:14:19: models.chat.candidates[0].provider: no provider `opena1`: did you mean `openai`?
    t.yaml:15:14: models.chat.balance: no choice `round-robin`: did you mean `round_robin`? There are `round_robin`, `least_requests`, `peak_ewma`, `consistent_hash`, `context`
    t.yaml:18:11: keys[0].hash: is not `sha256:` and 64 hexadecimal digits, as `tollgate key hash` prints
    t.yaml:20:20: keys[0].models[1]: no model `chta`: did you mean `chat`?
    10 problems
    "#);
}

#[test]
fn yaml_itself() {
    check(&[
        ("a: [1", "1:4: is not YAML: unclosed bracket '['"),
        ("a: 1\na: 2\n", "2:1: the key \"a\" is there twice"),
        ("a: *b\n", "1:4: no anchor has the name of this alias"),
        ("---\nretry: {}\n---\nretry: {}\n", "3:1: a second document: there must be one"),
        (
            "a:\n\tb: 1\n",
            "2:2: is not YAML: tabs disallowed within this context (block indentation)",
        ),
        ("a: 'x\n", "1:4: is not YAML: unclosed quote"),
        (&"[".repeat(40), "1:40: is not YAML: unclosed bracket '['"),
        ("", "1:1: must be a mapping, but nothing is here"),
        ("# nothing\n", "2:1: must be a mapping, but nothing is here"),
        ("hello", "1:1: must be a mapping, not text"),
        ("reload: {interval_ms: .nan}", "1:23: a number must be finite"),
        ("1: a\n'1': b\n", " is not YAML: the key of line 2 is there twice"),
    ]);
}

#[test]
fn shape() {
    check_more(&[
        (
            "modles: {}",
            "12:1: modles: no such key: did you mean `models`? There are `access_log`, `budget_webhook`, `contexts`, `jwt`, `keys`, `models`, `prices`, `providers`, `quotas`, `reload`, `retry`, `server`, `state`, `tenants`, `tiers`, `timeouts`, `usage`, `valkey`, `waiting`",
        ),
        (
            "\"a\\nb\": {}",
            "12:1: [\"a\\nb\"]: no such key: there are `access_log`, `budget_webhook`, `contexts`, `jwt`, `keys`, `models`, `prices`, `providers`, `quotas`, `reload`, `retry`, `server`, `state`, `tenants`, `tiers`, `timeouts`, `usage`, `valkey`, `waiting`",
        ),
        ("reload: {watch: yes}", "12:17: reload.watch: must be true or false, not the text `yes`"),
        (
            "reload: {interval_ms: 1.5}",
            "12:23: reload.interval_ms: must be a whole number, not 1.5",
        ),
        ("reload: {interval_ms: -1}", "12:23: reload.interval_ms: must be a whole number, not -1"),
        (
            "reload: {interval_ms: 340282366920938463463374607431768211455}",
            "12:23: reload.interval_ms: must be a whole number, not 3.402823669209385e+38",
        ),
        ("reload: []", "12:9: reload: must be a mapping, not a list"),
        ("reload:", "12:7: reload: must be a mapping, but nothing is here"),
        (
            "retry: {statuses: [70000]}",
            "12:20: retry.statuses[0]: must be a whole number from 0 to 65535, not 70000",
        ),
        (
            "retry: {budget_percent: 99999999999}",
            "12:25: retry.budget_percent: must be a whole number from 0 to 4294967295, not 99999999999",
        ),
        ("retry: {statuses: 500}", "12:19: retry.statuses: must be a list, not a number"),
        (
            "server: {listeners: [{}]}",
            "12:22: server.listeners[0].address: is missing: `host:port` with a numeric host, `0.0.0.0:8080`",
        ),
        ("server: {listeners: [a]}", "12:22: server.listeners[0]: must be a mapping, not text"),
    ]);
}
