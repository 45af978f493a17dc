//! What a file means: defaults, levels, weights, keys, secrets, certificates.

use std::path::Path;
use std::time::Duration;

use rcgen::{CertifiedKey, generate_simple_self_signed};

use super::{keys_of_the_schema, parse_in, snapshot};
use crate::config::listener_changes;
use crate::config::snapshot::prompt::{Piece, Position};
use crate::config::snapshot::{AccessLog, Balance, HashOn, Timeouts};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn defaults() {
    let snapshot = snapshot("{}");
    let server = &snapshot.server;
    assert_eq!(server.listeners[0].address.to_string(), "127.0.0.1:8080");
    assert!(server.listeners[0].tls.is_none() && !server.listeners[0].h2c);
    assert_eq!(server.admin.address.to_string(), "127.0.0.1:9090");
    assert!(server.admin.token.is_none());
    assert!(server.threads >= 1 && server.work_stealing && server.listener_tasks == 1);
    assert_eq!(server.upstream_keepalive_max, 1024_usize.div_ceil(server.threads));
    assert_eq!(server.upstream_keepalive, ms(60_000));
    assert_eq!(server.client_keepalive, ms(75_000));
    assert_eq!(server.body_bytes_max, 33_554_432);
    assert_eq!(server.body_timeout, ms(60_000));
    assert_eq!(server.drain, ms(600_000));
    assert_eq!(server.pid_file, Path::new("/tmp/tollgate-8080.pid"));
    assert_eq!(server.upgrade_socket, Path::new("/tmp/tollgate-8080.sock"));
    assert_eq!(snapshot.access_log, AccessLog::Stdout);
    assert!(snapshot.reload.watch && snapshot.reload.interval == ms(1000));
    assert!(snapshot.models.is_empty() && snapshot.keys.is_empty());
}

const ROUTES: &str = "
timeouts: {first_byte_ms: 5000}
retry: {attempts_max: 5, statuses: [503, 429, 503]}
providers:
  one: {endpoints: [{url: 'http://a'}]}
  two:
    credential: {env: SET}
    headers: {OpenAI-Organization: org}
    endpoints: [{url: 'https://b:8443/v1/'}, {url: 'https://[::1]', name: spare, weight: 3}]
    health: {path: /health}
models:
  m:
    candidates:
      - {provider: two, model: big, priority: 2}
      - {provider: one, weight: 9}
      - {provider: two, weight: 1, model: m2}
    timeouts: {total_ms: 2000}
    retry: {attempts_max: 2}
";

#[test]
fn an_endpoint_has_all_that_a_request_needs() {
    let snapshot = snapshot(ROUTES);
    let ids: Vec<_> = snapshot.endpoints.iter().map(|endpoint| endpoint.id.as_str()).collect();
    assert_eq!(ids, ["one/a:80", "two/b:8443", "spare"]);
    let [one, two, spare] = &snapshot.endpoints[..] else { panic!("{ids:?}") };
    assert!(one.tls.is_none() && one.headers.is_empty() && one.health.is_none());
    assert_eq!((&*two.host, two.port, &*two.base_path), ("b", 8443, "/v1"));
    assert_eq!(two.authority, "b:8443");
    assert_eq!((&*spare.host, spare.port, &*spare.base_path), ("::1", 443, ""));
    assert_eq!(spare.authority, "[::1]");
    let tls = two.tls.as_ref().unwrap();
    assert_eq!((&*tls.server_name, tls.verify, tls.http2), ("b", true, true));
    let headers: Vec<_> = two.headers.iter().map(|(name, value)| (name.as_str(), value)).collect();
    assert_eq!(headers[0].0, "authorization");
    assert_eq!(headers[0].1, "Bearer from the environment");
    assert_eq!((headers[1].0, headers[1].1.to_str().unwrap()), ("openai-organization", "org"));
    let health = two.health.as_ref().unwrap();
    assert_eq!((health.interval, health.timeout), (ms(5000), ms(2000)));
    assert_eq!((health.healthy_after, health.unhealthy_after), (2, 3));
    let passive = &one.passive;
    assert_eq!((passive.failures, passive.eject, passive.eject_max), (5, ms(5000), ms(300_000)));
    assert_eq!(passive.slow_start, ms(10_000));
}

#[test]
fn candidates_become_levels_of_targets() {
    let snapshot = snapshot(ROUTES);
    let model = &snapshot.models["m"];
    let levels: Vec<Vec<_>> = model
        .levels
        .iter()
        .map(|level| {
            let target = |target: &crate::config::snapshot::Target| {
                let id = target.endpoint.id.to_string();
                (id, target.model.to_string(), target.candidate, target.weight)
            };
            level.targets.iter().map(target).collect()
        })
        .collect();
    let row = |id: &str, model: &str, candidate: usize, weight: u32| {
        (id.to_owned(), model.to_owned(), candidate, weight)
    };
    assert_eq!(
        levels,
        [
            vec![
                row("one/a:80", "m", 1, 36),
                row("two/b:8443", "m2", 2, 1),
                row("spare", "m2", 2, 3)
            ],
            vec![row("two/b:8443", "big", 0, 1), row("spare", "big", 0, 3)],
        ]
    );
    assert_eq!(model.balance, Balance::PeakEwma);
    assert_eq!((model.retry.attempts_max, &model.retry.statuses[..]), (2, &[429, 503][..]));
    let expected = Timeouts {
        connect: ms(2000),
        first_byte: ms(2000),
        between_bytes: ms(2000),
        total: ms(2000),
    };
    assert_eq!(model.timeouts, expected);
}

#[test]
fn balances_and_rewrites() {
    let snapshot = snapshot(
        "
providers: {p: {endpoints: [{url: 'http://h'}]}}
models:
  m:
    candidates: [{provider: p}]
    balance: consistent_hash
    hash_on: header:X-Session
    rewrite:
      prompt:
        - content: For {{ tenant }}.
        - {content: Bye, role: user, position: end}
      defaults: {temperature: 0.5, stop: [a, null]}
      caps: {max_tokens: 100}
      refuse: [tools]
  n: {candidates: [{provider: p}], balance: consistent_hash}
  o: {candidates: [{provider: p}], balance: round_robin}
  q: {candidates: [{provider: p}], balance: context}
",
    );
    let rewrite = &snapshot.models["m"].rewrite;
    let header = http::HeaderName::from_static("x-session");
    assert_eq!(snapshot.models["m"].balance, Balance::ConsistentHash(HashOn::Header(header)));
    assert_eq!(snapshot.models["n"].balance, Balance::ConsistentHash(HashOn::Key));
    assert_eq!(snapshot.models["o"].balance, Balance::RoundRobin);
    assert_eq!(snapshot.models["q"].balance, Balance::Context { load_percent: 125 });
    assert_eq!(
        rewrite.prompt[0].content,
        [Piece::Text("For ".into()), Piece::Tenant, Piece::Text(".".into())]
    );
    assert_eq!(
        (&*rewrite.prompt[0].role, rewrite.prompt[0].position),
        ("system", Position::BeforeSystem)
    );
    assert_eq!((&*rewrite.prompt[1].role, rewrite.prompt[1].position), ("user", Position::End));
    let defaults: Vec<_> = rewrite.defaults.iter().map(|(name, json)| (&**name, &**json)).collect();
    assert_eq!(defaults, [("stop", "[\"a\",null]"), ("temperature", "0.5")]);
    assert_eq!(rewrite.caps, [("max_tokens".into(), 100.into())]);
    assert_eq!(rewrite.refuse, [Box::from("tools")]);
    assert!(snapshot.models["n"].rewrite.is_empty());
}

#[test]
fn a_key_may_use_what_its_tenant_and_itself_allow() {
    let key = |id: &str, more: &str| {
        let hash = crate::keys::render(&crate::keys::digest(id.as_bytes()));
        format!("  - {{id: {id}, hash: '{hash}'{more}}}\n")
    };
    let text = format!(
        "providers: {{p: {{endpoints: [{{url: 'http://h'}}]}}}}\n\
         models: {{a: &m {{candidates: [{{provider: p}}]}}, b: *m, c: *m}}\n\
         tenants:\n  t: {{models: [a, b], prompt: [{{content: hi}}]}}\n  u: {{}}\nkeys:\n{}{}{}{}",
        key("free", ""),
        key("all", ", tenant: t"),
        key("some", ", tenant: t, models: [b, c], enabled: false, labels: {x: y}"),
        key("own", ", tenant: u, models: [c], expires_at: '2030-01-01T01:00:00+01:00'"),
    );
    let snapshot = snapshot(&text);
    for (id, tenant, may, prompts) in [
        ("free", "default", "abc", 0),
        ("all", "t", "ab", 1),
        ("some", "t", "b", 1),
        ("own", "u", "c", 0),
    ] {
        let key = &snapshot.keys[&crate::keys::digest(id.as_bytes())];
        let usable: String = ["a", "b", "c"].into_iter().filter(|m| key.may_use(m)).collect();
        assert_eq!((key.id.as_str(), key.tenant.as_str(), &*usable), (id, tenant, may));
        assert_eq!(key.prompt.len(), prompts, "{id}");
        assert_eq!(key.enabled, id != "some");
        assert_eq!(key.expires_at.is_some(), id == "own");
    }
    let own = &snapshot.keys[&crate::keys::digest(b"own")];
    assert_eq!(own.expires_at.unwrap().to_rfc3339(), "2030-01-01T00:00:00+00:00");
    let some = &snapshot.keys[&crate::keys::digest(b"some")];
    assert_eq!(some.labels["x"], "y");
}

#[test]
fn a_secret_file_loses_one_line_break() {
    let directory = tempfile::tempdir().unwrap();
    for (content, expected) in [
        ("abc", Some("abc")),
        ("abc\n", Some("abc")),
        ("abc\r\n", Some("abc")),
        ("a b", Some("a b")),
        ("abc\n\n", None),
        ("", None),
        ("\n", None),
    ] {
        std::fs::write(directory.path().join("secret"), content).unwrap();
        let text = "server: {admin: {token: {file: secret}}}";
        let token = parse_in(directory.path(), text).ok().map(|s| s.server.admin.token.unwrap());
        assert_eq!(token.as_ref().map(|token| token.expose()), expected, "{content:?}");
    }
}

#[test]
fn certificates_must_be_there_and_match() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        std::fs::write(directory.path().join(format!("{name}.crt")), cert.pem()).unwrap();
        let key = signing_key.serialize_pem();
        std::fs::write(directory.path().join(format!("{name}.key")), key).unwrap();
    }
    for (cert, key, expected) in [
        ("a.crt", "a.key", None),
        ("a.crt", "a.key, client_ca_file: b.crt", None),
        ("a.crt", "a.key, client_ca_file: b.key", Some("client_ca_file: `")),
        (
            "a.crt",
            "a.key, client_certificate: optional",
            Some("client_certificate: has no effect without `client_ca_file`"),
        ),
        ("a.crt", "b.key", Some("is not the key of the first certificate in")),
        ("a.key", "a.key", Some("holds no PEM certificate")),
        ("a.crt", "a.crt", Some("holds no PEM private key")),
        ("c.crt", "a.key", Some("cannot be read: No such file")),
    ] {
        let tls = format!("tls: {{cert_file: {cert}, key_file: {key}}}");
        let text = format!("server: {{listeners: [{{address: '127.0.0.1:0', {tls}}}]}}");
        let result = parse_in(directory.path(), &text).map(|_| ()).map_err(|e| e.to_string());
        match (result, expected) {
            (Ok(()), None) => {}
            (Err(message), Some(expected)) => assert!(message.contains(expected), "{message}"),
            (result, expected) => panic!("{cert} {key}: {result:?}, expected {expected:?}"),
        }
    }
}

#[test]
fn what_needs_an_upgrade_is_what_the_schema_marks() {
    let old = snapshot("server: {threads: 2}");
    let new = snapshot(
        "server: {listeners: [{address: '127.0.0.1:1', h2c: true}], admin: {address: '127.0.0.1:2'}, \
         threads: 3, work_stealing: false, listener_tasks: 2, upstream_keepalive_max: 9, \
         upstream_keepalive_seconds: 1, client_keepalive_seconds: 1, body_bytes_max: 1, \
         body_timeout_ms: 1, drain_seconds: 1, pid_file: /tmp/a, upgrade_socket: /tmp/b}\n\
         usage: {journal: /tmp/usage, sync_ms: 5, keep_days: 40, export: {dir: /tmp/out, format: jsonl}}\n\
         state: {path: /tmp/state}\n\
         contexts: {store: {path: /tmp/contexts, sync_ms: 5}}",
    );
    assert!(listener_changes(&old, &old).is_empty());
    let valkey = snapshot(
        "contexts: {store: {url: {value: 'redis://h'}, prefix: p}}\n\
         valkey: {url: {value: 'redis://u:secret@h'}, prefix: p, timeout_ms: 1}\n\
         quotas: {lease_percent: 2, lease_ms: 9, valkey_down: allow}",
    );
    let mut changes = listener_changes(&old, &new);
    changes.extend(listener_changes(&new, &valkey));
    assert!(!changes.iter().any(|change| change.contains("secret")), "{changes:?}");
    let mut named: Vec<_> =
        changes.iter().map(|change| change.split([':', ',']).next().unwrap().to_owned()).collect();
    named.sort();
    named.dedup();
    let keys = keys_of_the_schema();
    let marked = keys.iter().filter(|key| key.upgrade).map(|key| key.paths[0].clone());
    let marked: Vec<_> = marked.filter(|path| !path.contains("[]")).collect();
    assert_eq!(named, marked);
    assert_eq!(
        changes[0],
        "server.listeners: [\"127.0.0.1:8080\"] stays in use, [\"127.0.0.1:1 with h2c\"] needs an upgrade"
    );
}
