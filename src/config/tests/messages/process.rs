//! The process, its times, and who may use it: values that mean nothing, one a row.

use super::{BASE, check, check_in, check_more};

const HASH: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

#[test]
fn what_is_made_at_run_time() {
    check(&[(
        "providers: {p: {endpoints: [{url: 'http://h'}]}}\n\
         models: {m: {candidates: [{provider: p}], approval: true}}\n",
        "2:53: models.m.approval: needs a place where approvals are kept: set `state.path`, or `valkey.url` for several gateways",
    )]);
    check_more(&[(
        "state: {path: /nowhere/at/all}",
        "12:15: state.path: there is no directory `/nowhere/at`",
    )]);
}

#[test]
fn server() {
    check_more(&[
        ("server: {listeners: []}", "12:21: server.listeners: must have at least one listener"),
        (
            "server: {listeners: [{address: 'localhost:80'}]}",
            "12:32: server.listeners[0].address: `localhost:80` is not a numeric host and a port, such as `127.0.0.1:8080` or `[::]:8080`",
        ),
        (
            "server: {listeners: [{address: '0.0.0.0:80'}, {address: '127.0.0.1:80'}]}",
            "12:57: server.listeners[1].address: another listener has taken `127.0.0.1:80`",
        ),
        (
            "server: {listeners: [{address: '127.0.0.1:9090'}]}",
            "12:9: server.admin.address: a listener for clients has taken `127.0.0.1:9090`",
        ),
        (
            "server: {admin: {address: '0.0.0.0:9090'}}",
            "12:17: server.admin.token: is missing: it is required where the address, `0.0.0.0:9090`, is not loopback",
        ),
        (
            "server: {admin: {address: '[::]:9090', token: {}}}",
            "12:47: server.admin.token: must have exactly one of `env`, `file` and `value`",
        ),
        (
            "server: {admin: {address: '127.0.0.1:8080'}}",
            "12:27: server.admin.address: a listener for clients has taken `127.0.0.1:8080`",
        ),
        ("server: {threads: 2000}", "12:19: server.threads: must be from 0 to 1024, not 2000"),
        (
            "server: {body_bytes_max: 0}",
            "12:26: server.body_bytes_max: must be from 1 to 1073741824, not 0",
        ),
        (
            "server: {client_keepalive_seconds: 0}",
            "12:36: server.client_keepalive_seconds: must be from 1 to 604800, not 0",
        ),
        (
            "server: {pid_file: /nowhere/at/all.pid}",
            "12:20: server.pid_file: there is no directory `/nowhere/at`",
        ),
        ("server: {pid_file: /}", "12:20: server.pid_file: `/` is not the name of a file"),
        (
            "access_log: {path: logs/access.log}",
            "12:20: access_log.path: there is no directory `/nowhere/logs`",
        ),
    ]);
    let long = "x".repeat(120);
    check_more(&[(
        &format!("server: {{upgrade_socket: /tmp/{long}}}"),
        "12:26: server.upgrade_socket: the path of a socket must have at most 107 bytes, not 125",
    )]);
}

#[test]
fn times_and_retries() {
    check_more(&[
        (
            "timeouts: {connect_ms: 0}",
            "12:24: timeouts.connect_ms: must be from 1 to 604800000, not 0",
        ),
        (
            "timeouts: {first_byte_ms: 604800001}",
            "12:27: timeouts.first_byte_ms: must be from 1 to 604800000, not 604800001",
        ),
        (
            "timeouts: {total_ms: 1000, first_byte_ms: 2000}",
            "12:43: timeouts.first_byte_ms: must be at most `total_ms`, which is 1000, not 2000",
        ),
        ("retry: {attempts_max: 0}", "12:23: retry.attempts_max: must be from 1 to 16, not 0"),
        ("retry: {attempts_max: 17}", "12:23: retry.attempts_max: must be from 1 to 16, not 17"),
        (
            "retry: {statuses: [500, 200]}",
            "12:25: retry.statuses[1]: must be from 400 to 599, not 200",
        ),
        (
            "retry: {budget_percent: 101}",
            "12:25: retry.budget_percent: must be from 0 to 100, not 101",
        ),
        (
            "reload: {interval_ms: 0}",
            "12:23: reload.interval_ms: must be from 1 to 604800000, not 0",
        ),
    ]);
}

#[test]
fn keys() {
    let key = |members: &str| format!("{BASE}keys: [{{hash: '{HASH}', {members}}}]");
    check_in(
        key,
        &[
            ("id: 1", "12:94: keys[0].id: must be text, not the number 1: put it in quotes"),
            (
                "id: ' k'",
                "12:94: keys[0].id: the name \" k\" must not begin or end with a space, nor hold control characters",
            ),
            (
                "id: k, tenant: dmeo",
                "12:105: keys[0].tenant: no tenant `dmeo`: did you mean `demo`?",
            ),
            (
                "id: k, models: [chat, slow]",
                "12:112: keys[0].models[1]: no model `slow`: there are `chat`, `fast`",
            ),
            (
                "id: k, expires_at: 2030-13-01",
                "12:109: keys[0].expires_at: `2030-13-01` is not an RFC 3339 time, such as `2030-12-31T00:00:00Z`",
            ),
            (
                "id: k, expires_at: 2030",
                "12:109: keys[0].expires_at: must be text, not the number 2030: put it in quotes",
            ),
            (
                "id: k, enabled: 1",
                "12:106: keys[0].enabled: must be true or false, not the number 1",
            ),
            (
                "id: k, labels: {team: 7}",
                "12:112: keys[0].labels.team: must be text, not the number 7: put it in quotes",
            ),
        ],
    );
    check_more(&[
        (
            "keys: [{id: k, hash: 'sha256:12'}]",
            "12:22: keys[0].hash: is not `sha256:` and 64 hexadecimal digits, as `tollgate key hash` prints",
        ),
        ("keys: {k: {}}", "12:7: keys: must be a list, not a mapping"),
        ("keys: [{id: k}]", "12:8: keys[0]: needs a `hash`, a `certificate`, or both"),
        (
            "keys: [{id: k, certificate: 'spiffe://a.b/c'}]",
            "12:29: keys[0].certificate: `spiffe://a.b/c` is not `URI:`, `DNS:`, `email:` or `CN:` and a name, such as `URI:spiffe://example.com/app`",
        ),
        (
            "keys: [{id: k, certificate: 'CN:a'}]",
            "12:29: keys[0].certificate: no listener asks for certificates: one needs a `tls.client_ca_file`",
        ),
    ]);
}

#[test]
fn budget_webhook() {
    check_in(
        |members| format!("{BASE}budget_webhook: {{{members}}}"),
        &[
            (
                "",
                "12:17: budget_webhook.url: is missing: The receiver, `https://example.com/budgets`",
            ),
            (
                "url: 'ftp://h'",
                "12:23: budget_webhook.url: the scheme must be `http` or `https`, such as `https://example.com/budgets`",
            ),
            (
                "url: 'https://user:word@h'",
                "12:23: budget_webhook.url: must hold no user and password: put a token into `credential`",
            ),
            (
                "url: 'https://h', secret: {value: whsec_c2hvcnQ=}",
                "12:44: budget_webhook.secret: is not `whsec_` and 24 to 64 bytes in base64, as `echo whsec_$(openssl rand -base64 32)` prints",
            ),
            (
                "url: 'https://h', headers: {Authorization: x}",
                "12:46: budget_webhook.headers.Authorization: is set by `credential`, which also keeps it out of this file",
            ),
            (
                "url: 'https://h', attempts_max: 0",
                "12:50: budget_webhook.attempts_max: must be from 1 to 10, not 0",
            ),
        ],
    );
}

#[test]
fn keys_that_are_one() {
    let twice = |a: &str, b: &str, c: &str, d: &str| {
        format!("keys:\n  - {{id: {a}, hash: '{b}'}}\n  - {{id: {c}, hash: '{d}'}}")
    };
    let other = HASH.replace("ba78", "ba79");
    check_more(&[
        (&twice("k", HASH, "k", &other), "14:10: keys[1].id: the id `k` is that of keys[0]"),
        (
            &twice("k", HASH, "l", HASH),
            "14:19: keys[1].hash: is the hash of keys[0]: it is the same key",
        ),
    ]);
    let empty = crate::keys::render(&crate::keys::digest(b""));
    check_more(&[(
        &format!("keys: [{{id: k, hash: '{empty}'}}]"),
        "12:22: keys[0].hash: is the hash of an empty key",
    )]);
}

#[test]
fn tenants() {
    check(&[
        ("tenants: {t: {models: [x]}}", "1:24: tenants.t.models[0]: no model `x`: there is none"),
        (
            "tenants: {t: {prompt: [{content: '{{x}}'}]}}",
            "1:34: tenants.t.prompt[0].content: no variable `x`: there are `tenant`, `key`, `model`, `date`, `header.NAME`",
        ),
        ("tenants: {t: }", "1:12: tenants.t: must be a mapping, but nothing is here"),
    ]);
}
