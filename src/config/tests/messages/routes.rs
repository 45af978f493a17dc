//! Providers and models: values that have the right shape and mean nothing, one a row.

use super::{check, check_in};

/// Rows of members of a provider.
fn check_provider(rows: &[(&str, &str)]) {
    let endpoints = "endpoints: [{url: 'http://h'}]";
    check_in(|members| format!("providers:\n  p:\n    {members}\n    {endpoints}\n"), rows);
}

#[test]
fn credentials_that_are_fetched() {
    check_provider(&[
        (
            "credential: {google: {file: none.json}}",
            "3:33: providers.p.credential.google.file: `/nowhere/none.json` cannot be read: No such file or directory (os error 2)",
        ),
        (
            "credential: {google: {file: /dev/null}}",
            "3:33: providers.p.credential.google.file: is not the key of a service account (JSON with `client_email`, `private_key`, `private_key_id` and `token_uri`), nor of the type `external_account`",
        ),
        (
            "credential: {azure: {tenant: t, client_id: c, client_secret: {}}}",
            "3:66: providers.p.credential.azure.client_secret: must have exactly one of `env`, `file` and `value`",
        ),
        (
            "credential: {azure: {tenant: t, client_id: c, client_secret: {value: s}, authority: here}}",
            "3:89: providers.p.credential.azure.authority: is not the address of a web service, such as `https://login.microsoftonline.com`",
        ),
        (
            "credential: {aws: {from: environment, region: r}}",
            "3:23: providers.p.credential.aws: the environment variable `AWS_ACCESS_KEY_ID` is not set",
        ),
        (
            "credential: {aws: {from: profile, region: r, file: /dev/null}}",
            "3:23: providers.p.credential.aws: `/dev/null` holds no profile `default` with `aws_access_key_id` and `aws_secret_access_key`",
        ),
        (
            "credential: {aws: {from: container, region: r}}",
            "3:23: providers.p.credential.aws: the environment names no endpoint of a container (`AWS_CONTAINER_CREDENTIALS_FULL_URI`): set `url`",
        ),
        (
            "credential: {aws: {from: instance}}",
            "4:23: providers.p.endpoints[0].url: the host names no region of AWS: set `credential.aws.region`",
        ),
    ]);
}

#[test]
fn credentials_of_workloads() {
    check_provider(&[
        (
            "credential: {google: {url: here}}",
            "3:32: providers.p.credential.google.url: is not the address of a web service, such as `https://login.microsoftonline.com`",
        ),
        (
            "credential: {azure: {from: secret, tenant: t, client_id: c}}",
            "3:25: providers.p.credential.azure: must have `client_secret`",
        ),
        (
            "credential: {azure: {from: workload, tenant: t, client_id: c}}",
            "3:25: providers.p.credential.azure: must have `token_file`, or the environment `AZURE_FEDERATED_TOKEN_FILE`",
        ),
        (
            "credential: {azure: {client_id: c, token_file: x}}",
            "3:25: providers.p.credential.azure: must have `tenant`, or the environment `AZURE_TENANT_ID`",
        ),
        (
            "credential: {azure: {from: app_service}}",
            "3:25: providers.p.credential.azure: the environment has no `IDENTITY_ENDPOINT` and `IDENTITY_HEADER`",
        ),
        (
            "credential: {azure: {url: here}}",
            "3:31: providers.p.credential.azure.url: is not the address of a web service, such as `https://login.microsoftonline.com`",
        ),
        (
            "credential: {aws: {from: web_identity, region: r}}",
            "3:23: providers.p.credential.aws: there is no token of a web identity: set `token_file` (`AWS_WEB_IDENTITY_TOKEN_FILE`)",
        ),
        (
            "credential: {aws: {token_file: x, region: r}}",
            "3:23: providers.p.credential.aws: a web identity needs a role: set `role` (`AWS_ROLE_ARN`)",
        ),
        (
            "credential: {aws: {token_file: x, role: r, region: r, url: here}}",
            "3:23: providers.p.credential.aws: the token service is not the address of a web service, such as `https://login.microsoftonline.com`",
        ),
    ]);
}

#[test]
fn dialects_and_platforms() {
    check_provider(&[
        (
            "dialect: antropic",
            "3:14: providers.p.dialect: no choice `antropic`: did you mean `anthropic`? There are `openai`, `responses`, `anthropic`, `gemini`, `bedrock`",
        ),
        (
            "also: [openai]",
            "3:12: providers.p.also[0]: is said before: each dialect once, and not the provider's own",
        ),
        (
            "also: [bedrock]",
            "3:12: providers.p.also[0]: no client speaks `bedrock`: it can only be the `dialect`",
        ),
        (
            "platform: vertex\n    location: l",
            "3:5: providers.p: `project` is missing: on `vertex` it is part of each path",
        ),
        (
            "platform: mistral\n    dialect: anthropic",
            "4:14: providers.p.dialect: is not spoken on this `platform`",
        ),
        (
            "api_version: x",
            "3:18: providers.p.api_version: has no effect: the `platform` is not `azure`",
        ),
    ]);
}

#[test]
fn credentials_and_headers() {
    check_provider(&[
        (
            "credential: {}",
            "3:17: providers.p.credential: must have exactly one of `env`, `file`, `value`, `google`, `azure` and `aws`",
        ),
        (
            "credential: {env: A, aws: {}}",
            "3:17: providers.p.credential: must have exactly one of `env`, `file`, `value`, `google`, `azure` and `aws`",
        ),
        (
            "credential: {env: A, value: b}",
            "3:17: providers.p.credential: must have exactly one of `env`, `file` and `value`",
        ),
        (
            "credential: {env: UNSET}",
            "3:23: providers.p.credential.env: the environment variable `UNSET` is not set",
        ),
        ("credential: {env: EMPTY}", "3:23: providers.p.credential.env: the secret is empty"),
        (
            "credential: {env: BROKEN}",
            "3:23: providers.p.credential.env: the secret holds a control character, such as a line break",
        ),
        (
            "credential: {file: secret.txt}",
            "3:24: providers.p.credential.file: `/nowhere/secret.txt` cannot be read: No such file or directory (os error 2)",
        ),
        (
            "credential: {value: ' x'}",
            "3:25: providers.p.credential.value: the secret begins or ends with a space",
        ),
        (
            "headers: {a b: x}",
            "3:15: providers.p.headers[\"a b\"]: `a b` is not the name of a header",
        ),
        (
            "headers: {Authorization: Bearer x}",
            "3:15: providers.p.headers.Authorization: is set by `credential`, which also keeps it out of this file",
        ),
        (
            "headers: {Host: x}",
            "3:15: providers.p.headers.Host: `host` is set by the gateway itself",
        ),
        (
            "headers: {Transfer-Encoding: chunked}",
            "3:15: providers.p.headers.Transfer-Encoding: `transfer-encoding` belongs to one connection and is never passed on",
        ),
        (
            "headers: {X-A: x, x-a: y}",
            "3:23: providers.p.headers.x-a: the header `x-a` is there twice, in different spellings",
        ),
        (
            "headers: {X-A: \"a\\nb\"}",
            "3:15: providers.p.headers.X-A: its value holds a character that no header may have",
        ),
    ]);
}

#[test]
fn tls_and_health() {
    check_provider(&[
        (
            "tls: {verify: false}",
            "3:10: providers.p.tls: has no effect: no endpoint here has an `https` URL",
        ),
        (
            "health: {path: health}",
            "3:20: providers.p.health.path: `health` is not the path of a URL, such as `/health`",
        ),
        (
            "health: {path: '/a b'}",
            "3:20: providers.p.health.path: `/a b` is not the path of a URL, such as `/health`",
        ),
        (
            "health: {healthy_after: 0}",
            "3:29: providers.p.health.healthy_after: must be from 1 to 1000, not 0",
        ),
        (
            "health: {interval_ms: 0}",
            "3:27: providers.p.health.interval_ms: must be from 1 to 604800000, not 0",
        ),
        (
            "passive: {eject_ms: 0}",
            "3:25: providers.p.passive.eject_ms: must be from 1 to 604800000, not 0",
        ),
        (
            "passive: {eject_ms: 400000}",
            "3:25: providers.p.passive.eject_ms: the first ejection, 400000 ms, must not be longer than the longest, 300000 ms",
        ),
        (
            "passive: {eject_max_ms: 4000}",
            "3:29: providers.p.passive.eject_max_ms: the first ejection, 5000 ms, must not be longer than the longest, 4000 ms",
        ),
    ]);
}

#[test]
fn endpoints() {
    check(&[
        ("providers: {p: {}}", "1:16: providers.p.endpoints: is missing: The model servers"),
        (
            "providers: {p: {endpoints: []}}",
            "1:28: providers.p.endpoints: must have at least one endpoint",
        ),
        (
            "providers: {p: {endpoints: [{url: 'https://h'}], tls: {server_name: 'a b'}}}",
            "1:69: providers.p.tls.server_name: `a b` is neither a host's name nor an address",
        ),
        (
            "providers: {p: {endpoints: [{url: 'https://h'}], tls: {ca_file: roots.pem}}}",
            "1:65: providers.p.tls.ca_file: `/nowhere/roots.pem` cannot be read: No such file or directory (os error 2)",
        ),
        (
            "providers: {p: {endpoints: [{}]}}",
            "1:29: providers.p.endpoints[0].url: is missing: Its base, as an SDK's base URL: `https://api.openai.com/v1`",
        ),
        (
            "providers: {p: {endpoints: [{url: 'host:80'}]}}",
            "1:35: providers.p.endpoints[0].url: the scheme must be `http` or `https`, not `host`, such as `https://api.openai.com/v1`",
        ),
        (
            "providers: {p: {endpoints: [{url: 'http://u:p@h'}]}}",
            "1:35: providers.p.endpoints[0].url: must hold no user and password: put them into `credential`",
        ),
        (
            "providers: {p: {endpoints: [{url: 'http://h/?a=b'}]}}",
            "1:35: providers.p.endpoints[0].url: must have no `?` and no `#` part, such as `https://api.openai.com/v1`",
        ),
        (
            "providers: {p: {endpoints: [{url: 'http://h', weight: 0}]}}",
            "1:55: providers.p.endpoints[0].weight: must be from 1 to 1000000, not 0",
        ),
        (
            "providers: {p: {endpoints: [{url: 'http://h', name: ''}]}}",
            "1:53: providers.p.endpoints[0].name: a name must not be empty",
        ),
        (
            "providers: {p: {endpoints: [{url: 'http://h'}, {url: 'http://h:80/v1'}]}}",
            "1:48: providers.p.endpoints[1]: the name `p/h:80` is that of providers.p.endpoints[0]: set `name` to tell them apart",
        ),
        (
            "providers: {p: {endpoints: [{url: 'http://h', name: x}]},\n q: {endpoints: [{url: 'http://i', name: x}]}}",
            "2:18: providers.q.endpoints[0]: the name `x` is that of providers.p.endpoints[0]: set `name` to tell them apart",
        ),
        (
            "providers: {' p': {endpoints: [{url: 'http://h'}]}}",
            "1:13: providers[\" p\"]: the name \" p\" must not begin or end with a space, nor hold control characters",
        ),
        (
            "providers: {'': {endpoints: [{url: 'http://h'}]}}",
            "1:13: providers[\"\"]: a name must not be empty",
        ),
    ]);
}

const PROVIDER: &str = "providers: {p: {endpoints: [{url: 'http://h'}]}}\n";

/// Rows of members of a model.
fn check_model(rows: &[(&str, &str)]) {
    let candidates = "candidates: [{provider: p}]";
    let text =
        |members: &str| format!("{PROVIDER}models:\n  gpt-4.1:\n    {candidates}\n    {members}\n");
    check_in(text, rows);
}

/// Rows of members of a candidate.
fn check_candidate(rows: &[(&str, &str)]) {
    let text = |members: &str| {
        format!("{PROVIDER}models: {{m: {{candidates: [{{provider: p, {members}}}]}}}}\n")
    };
    check_in(text, rows);
}

#[test]
fn models() {
    check_model(&[
        (
            "balance: fastest",
            "5:14: models[\"gpt-4.1\"].balance: no choice `fastest`: there are `round_robin`, `least_requests`, `peak_ewma`, `consistent_hash`, `context`",
        ),
        (
            "balance: [key]",
            "5:14: models[\"gpt-4.1\"].balance: must be text, not a list: one of `round_robin`, `least_requests`, `peak_ewma`, `consistent_hash`, `context`",
        ),
        (
            "hash_on: key",
            "5:14: models[\"gpt-4.1\"].hash_on: has no effect: it is for `balance: consistent_hash`",
        ),
        (
            "load_percent: 150",
            "5:19: models[\"gpt-4.1\"].load_percent: has no effect: it is for `balance: context`",
        ),
        (
            "balance: context\n    load_percent: 99",
            "6:19: models[\"gpt-4.1\"].load_percent: must be from 100 to 10000, not 99",
        ),
        (
            "balance: consistent_hash\n    hash_on: tenant",
            "6:14: models[\"gpt-4.1\"].hash_on: `tenant` is none of `key`, `user` and `header:NAME`, such as `header:x-session`",
        ),
        (
            "retry: {attempts_max: 99}",
            "5:27: models[\"gpt-4.1\"].retry.attempts_max: must be from 1 to 16, not 99",
        ),
        (
            "timeouts: {total_ms: 5, connect_ms: 6}",
            "5:41: models[\"gpt-4.1\"].timeouts.connect_ms: must be at most `total_ms`, which is 5, not 6",
        ),
    ]);
}

#[test]
fn rewrites() {
    check_model(&[
        (
            "rewrite: {defaults: {model: x}}",
            "5:26: models[\"gpt-4.1\"].rewrite.defaults.model: `model` cannot be changed here: it decides what the request is",
        ),
        (
            "rewrite: {refuse: [tools, '']}",
            "5:31: models[\"gpt-4.1\"].rewrite.refuse[1]: the name of a member must not be empty",
        ),
        (
            "rewrite: {caps: {max_tokens: many}}",
            "5:34: models[\"gpt-4.1\"].rewrite.caps.max_tokens: must be a number, not the text `many`",
        ),
        (
            "rewrite: {caps: {n: 1}, defaults: {n: 2}}",
            "5:25: models[\"gpt-4.1\"].rewrite.caps.n: is 1, which is less than the default of 2",
        ),
        (
            "rewrite: {prompt: [{content: ' '}]}",
            "5:34: models[\"gpt-4.1\"].rewrite.prompt[0].content: must not be empty",
        ),
        (
            "rewrite: {prompt: [{content: 'for {{tenent}}'}]}",
            "5:34: models[\"gpt-4.1\"].rewrite.prompt[0].content: no variable `tenent`: did you mean `tenant`? There are `tenant`, `key`, `model`, `date`, `header.NAME`",
        ),
        (
            "rewrite: {prompt: [{content: '{{date'}]}",
            "5:34: models[\"gpt-4.1\"].rewrite.prompt[0].content: a `{{` has no `}}`",
        ),
        (
            "rewrite: {prompt: [{content: x, role: sytem}]}",
            "5:43: models[\"gpt-4.1\"].rewrite.prompt[0].role: no choice `sytem`: did you mean `system`? There are `system`, `developer`, `user`, `assistant`",
        ),
        (
            "rewrite: {prompt: [{content: x, position: middle}]}",
            "5:47: models[\"gpt-4.1\"].rewrite.prompt[0].position: no choice `middle`: there are `before_system`, `after_system`, `end`",
        ),
    ]);
}

#[test]
fn candidates() {
    check(&[
        ("models: {m: {}}", "1:13: models.m.candidates: is missing: Where it may be served"),
        (
            "models: {m: {candidates: []}}",
            "1:26: models.m.candidates: must have at least one candidate",
        ),
        (
            "models: {m: {candidates: [{model: x}]}}",
            "1:27: models.m.candidates[0].provider: is missing: A provider's name",
        ),
        (
            "models: {m: {candidates: [{provider: x}]}}",
            "1:38: models.m.candidates[0].provider: no provider `x`: there is none",
        ),
    ]);
    check_candidate(&[
        ("weight: 0", "2:49: models.m.candidates[0].weight: must be from 1 to 1000000, not 0"),
        ("model: ''", "2:48: models.m.candidates[0].model: a name must not be empty"),
        (
            "proirity: 1",
            "2:41: models.m.candidates[0].proirity: no such key: did you mean `priority`? There are `model`, `priority`, `provider`, `weight`",
        ),
    ]);
}
