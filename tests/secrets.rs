//! Secrets in every place where one can be, requests that succeed and fail in every way: none
//! shows in a log line, a metric, an error, a response header or the admin API.

use futures_util::future::join_all;
use serde_json::json;
use support::Method;
use support::answer::{Answer, bytes, close, ok, sse, status};
use support::client::{Client, chat, chat_with};
use support::conf::{KEY, serving};
use support::reply::Reply;
use support::upstream::upstream;
use support::wait::eventually;

const UPSTREAM: &str = "sk-upstream-3f1c0e5a";
const IN_BODY: &str = "the-patient-is-7d2b9c";
const IN_HEADER: &str = "cookie-of-51aa0f";
const UNKNOWN_KEY: &str = "sk-unknown-c4e81d";
const ADMIN_TOKEN: &str = "admin-token-88b3ee";
const IN_PROMPT: &str = "prompt-for-us-only-2c66";
const SECRETS: [&str; 7] = [KEY, UPSTREAM, IN_BODY, IN_HEADER, UNKNOWN_KEY, ADMIN_TOKEN, IN_PROMPT];

/// An answer that shows the credential, as some providers do where they refuse it.
fn repeats_the_credential(code: u16) -> Answer {
    let said = json!({"error": {"message": format!("Incorrect API key provided: {UPSTREAM}")}});
    support::answer::json(&said).with_status(code)
}

#[tokio::test]
async fn no_secret_shows() {
    let model = upstream().await;
    let mut gateway = serving(&[&model])
        .set("providers.local.credential.value", UPSTREAM)
        .set("providers.local.passive.failures", 0)
        .set("models.demo.rewrite.prompt", json!([{"content": IN_PROMPT}]))
        .set("server.admin.token.value", ADMIN_TOKEN)
        .set("timeouts.first_byte_ms", 1000)
        .start()
        .await;
    let answers = [
        ok().header("authorization", UPSTREAM).header("set-cookie", UPSTREAM),
        status(503),
        repeats_the_credential(401),
        repeats_the_credential(403),
        close(),
        bytes("text/plain", "not JSON"),
        sse([r#"{"choices":[]}"#, "[DONE]"]).cut_after(1),
    ];
    let mut seen = Vec::new();
    for answer in answers {
        model.always(answer);
        let pair = join_all([ask(&gateway.client(), false), ask(&gateway.client(), true)]).await;
        seen.extend(pair);
    }
    seen.extend(refused(&gateway).await);
    let requests = seen.len();
    // The file with a mistake beside the secrets: what is wrong is said without them.
    let admin = Client::new(format!("http://{}", gateway.admin_address()))
        .with_header("authorization", &format!("Bearer {ADMIN_TOKEN}"));
    gateway.rewrite(|conf| conf.set("providers.local.credential.env", "ALSO_THIS"));
    let report = admin.post("/admin/reload", &json!({})).await;
    assert_ne!(report.json()["problems"], json!([]));
    gateway.signal("HUP");
    gateway.until_stderr("credential").await;
    for path in ["/metrics", "/admin/status"] {
        seen.push(format!("{path}: {}", admin.get(path).await.text()));
    }
    seen.push(format!("reload: {}", report.text()));
    let log = eventually("every request in the access log", async || {
        let lines = gateway.access_log(1).await;
        (lines.len() >= requests).then_some(lines)
    })
    .await;
    seen.extend(log.iter().map(|line| format!("access log: {line}")));
    seen.push(format!("standard error: {}", gateway.stderr()));
    seen.push(format!("standard output: {}", gateway.stdout()));
    for secret in SECRETS {
        for text in &seen {
            assert!(!text.contains(secret), "{secret} shows in: {text}");
        }
    }
}

/// A request with secrets in body and headers; what the client sees: the header, and the body
/// where the request failed.
async fn ask(client: &Client, stream: bool) -> String {
    let messages = json!([{"role": "user", "content": IN_BODY}]);
    let body = chat_with("demo", &json!({"messages": messages, "stream": stream}));
    let request = client.request(Method::POST, "/v1/chat/completions").json(&body);
    shown(request.header("cookie", IN_HEADER).header("x-session", IN_HEADER)).await
}

/// Requests that the gateway refuses itself, each with a secret in it.
async fn refused(gateway: &support::gateway::Gateway) -> Vec<String> {
    let client = gateway.client();
    let post = |body: String| {
        let request = client.request(Method::POST, "/v1/chat/completions");
        request.header("content-type", "application/json").body(body)
    };
    let stranger = client.clone().with_header("x-api-key", UNKNOWN_KEY);
    let mut broken = chat("demo").to_string();
    broken = broken.replace("Hello", IN_BODY);
    broken.pop();
    let no_model = json!({"messages": [{"role": "user", "content": IN_BODY}]}).to_string();
    vec![
        shown(post(broken)).await,
        shown(post(no_model)).await,
        shown(post(format!("\"{IN_BODY}\""))).await,
        shown(stranger.request(Method::POST, "/v1/chat/completions").json(&chat("demo"))).await,
    ]
}

async fn shown(request: support::RequestBuilder) -> String {
    match Reply::attempt(request).await {
        // A whole answer is the model's own text and may say anything.
        Ok(reply) if reply.status == 200 => format!("{:?}", reply.headers),
        Ok(reply) => format!("{:?} {}", reply.headers, reply.text()),
        Err(broken) => format!("{broken:?}"),
    }
}
