//! No message shows a secret, wherever it was put.

use std::path::Path;

use super::{messages, parse, parse_in, snapshot};

const SECRET: &str = "sk-live-hunter2";

/// Mistakes around a secret; `SECRET` stands where a person may have put it.
const MISTAKES: [&str; 26] = [
    "server: {admin: {token: SECRET}}",
    "server: {admin: {token: [SECRET]}}",
    "server: {admin: {token: {SECRET: }}}",
    "server: {admin: {token: {SECRET: {}, vaule: x}}}",
    "server: {admin: {token: {value: [SECRET]}}}",
    "server: {admin: {token: {value: {SECRET: 1}}}}",
    "server: {admin: {token: {value: 'SECRET ', env: }}}",
    "server: {admin: {token: {value: \"SECRET\\u0007\"}}}",
    "server: {admin: {token: {value: SECRET, env: SECRET_ENV}}}",
    "providers: {p: {credential: SECRET, endpoints: [{url: 'http://h'}]}}",
    "providers: {p: {credential: {valu: SECRET}, endpoints: [{url: 'http://h'}]}}",
    "providers: {p: {credential: {value: \"SECRET\\u2028\\n\"}, endpoints: [{url: 'http://h'}]}}",
    "providers: {p: {credential: {azure: {tenant: t, client_id: c, client_secret: SECRET}}, endpoints: [{url: 'http://h'}]}}",
    "providers: {p: {credential: {azure: {tenant: t, client_id: c, client_secret: {value: x}, authority: SECRET}}, endpoints: [{url: 'http://h'}]}}",
    "providers: {p: {credential: {aws: {secret: SECRET}}, endpoints: [{url: 'http://h'}]}}",
    "providers: {p: {credential: {aws: {from: container, region: r, url: SECRET}}, endpoints: [{url: 'http://h'}]}}",
    "providers: {p: {headers: {Authorization: SECRET}, endpoints: [{url: 'http://h'}]}}",
    "providers: {p: {headers: {x-key: \"SECRET\\u0001\"}, endpoints: [{url: 'http://h'}]}}",
    "providers: {p: {headers: {x-key: [SECRET]}, endpoints: [{url: 'http://h'}]}}",
    "providers: {p: {headers: SECRET, endpoints: [{url: 'http://h'}]}}",
    "providers: {p: {endpoints: [{url: 'http://SECRET@h'}]}}",
    "providers: {p: {endpoints: [{url: 'http://h/?key=SECRET'}]}}",
    "providers: {p: {endpoints: [{url: 'http://h:SECRET/'}]}}",
    "providers: {p: SECRET}",
    "keys: [{id: k, hash: SECRET}]",
    "keys: [SECRET]",
];

#[test]
fn no_message_shows_a_secret() {
    for mistake in MISTAKES {
        let text = messages(&mistake.replace("SECRET", SECRET));
        assert!(!text.replace("hunter2_ENV", "").contains("hunter2"), "{mistake}: {text}");
    }
}

#[test]
fn a_file_that_is_cut_or_broken_anywhere_shows_no_secret() {
    let whole = format!(
        "providers:\n  p:\n    credential: {{value: \"{SECRET}\"}}\n    headers:\n      \
         x-a: '{SECRET}'\n    endpoints: [{{url: http://h}}]\n"
    );
    for at in 0..=whole.len() {
        for broken in [
            whole[..at].to_owned(),
            format!("{}\"{}", &whole[..at], &whole[at..]),
            format!("{}\n\t: &*{}", &whole[..at], &whole[at..]),
        ] {
            if let Err(problems) = parse(&broken) {
                assert!(!problems.to_string().contains("hunter2"), "{broken}\n{problems}");
            }
        }
    }
}

#[test]
fn no_debug_of_a_snapshot_shows_a_secret() {
    let snapshot = snapshot(&format!(
        "providers: {{p: {{credential: {{value: {SECRET}}}, headers: {{x-key: {SECRET}}}, \
         endpoints: [{{url: 'http://h'}}]}}}}"
    ));
    let headers = &snapshot.endpoints[0].headers;
    assert_eq!(headers.len(), 2);
    assert!(headers.iter().all(|(_, value)| value.is_sensitive()));
    assert!(!format!("{headers:?}").contains("hunter2"));
}

#[test]
fn a_broken_key_file_is_not_quoted() {
    let directory = tempfile::tempdir().unwrap();
    let begin = "-----BEGIN PRIVATE KEY-----\n";
    for content in [format!("{begin}{SECRET}"), format!("{begin}{SECRET}\n-----END"), SECRET.into()]
    {
        let message = listener_problems(directory.path(), &content);
        assert!(message.contains("server.listeners[0].tls.key_file"), "{message}");
        assert!(!message.contains("hunter2"), "{message}");
    }
}

fn listener_problems(directory: &Path, key: &str) -> String {
    std::fs::write(directory.join("key.pem"), key).unwrap();
    let text = "server: {listeners: [{address: '127.0.0.1:1', tls: {cert_file: key.pem, \
                key_file: key.pem}}]}";
    match parse_in(directory, text) {
        Ok(_) => panic!("a broken key was accepted"),
        Err(problems) => problems.to_string(),
    }
}
