//! The process as operators handle it: draining, log rotation, the admin listener, the commands
//! that end by themselves.

use serde_json::{Value, json};
use support::Method;
use support::answer::sse;
use support::client::Client;
use support::conf::serving;
use support::gate::Gate;
use support::gateway::tollgate;
use support::upstream::upstream;
use support::wait::eventually;

#[tokio::test]
async fn a_leaving_process_finishes_its_streams() {
    let (model, held) = (upstream().await, Gate::new());
    let mut gateway = serving(&[&model]).start().await;
    model.always(sse(["{\"choices\":[]}", "[DONE]"]).held_at(1, &held));
    let mut stream = gateway.client().stream("demo").await;
    stream.next().await.expect("an open stream");
    let admin = Client::new(format!("http://{}", gateway.admin_address()));
    gateway.signal("TERM");
    // Either answer takes the process out of a load balancer.
    eventually("the gateway to say that it leaves", async || {
        let asked = admin.request(Method::GET, "/readyz").send().await;
        asked.map_or(true, |reply| reply.status() == 503).then_some(())
    })
    .await;
    held.open();
    assert!(stream.rest().await.is_whole());
    assert!(gateway.exited().await.success());
}

#[tokio::test]
async fn a_rotated_log_loses_no_line() {
    let model = upstream().await;
    let gateway = serving(&[&model]).start().await;
    let (log, old) = (gateway.directory().join("access.log"), gateway.directory().join("old.log"));
    let lines = |path| std::fs::read_to_string(path).unwrap_or_default().lines().count();
    gateway.client().chat("demo").await;
    gateway.access_log(1).await;
    std::fs::rename(&log, &old).expect("the log is renamed");
    gateway.signal("USR1");
    eventually("lines in the new log", async || {
        gateway.client().chat("demo").await;
        (lines(&log) > 0).then_some(())
    })
    .await;
    eventually("every request to have its line", async || {
        (lines(&log) + lines(&old) == model.count()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_admin_listener_answers_what_operators_ask() {
    let model = upstream().await;
    let gateway = serving(&[&model]).start().await;
    let rows = [
        (Method::GET, "/livez", 200),
        (Method::GET, "/readyz", 200),
        (Method::GET, "/metrics", 200),
        (Method::GET, "/admin/status", 200),
        (Method::POST, "/admin/reload", 200),
        (Method::GET, "/admin/reload", 405),
        (Method::POST, "/metrics", 405),
        (Method::GET, "/nothing", 404),
    ];
    for (method, path, status) in rows {
        assert_eq!(gateway.admin(method.clone(), path).await.status, status, "{method} {path}");
    }
    let status = gateway.admin(Method::GET, "/admin/status").await.json();
    assert_eq!(status["revision"], 2, "{status}");
    assert!(status["endpoints"].to_string().contains("local-1"), "{status}");
    let metrics = Client::new(gateway.url()).get("/metrics").await;
    assert_ne!(metrics.status, 200, "clients see no metrics");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn memory_is_taken_in_small_pages() {
    let model = upstream().await;
    let gateway = serving(&[&model]).start().await;
    let pid = std::fs::read_to_string(gateway.directory().join("tollgate.pid")).expect("its id");
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", pid.trim())).expect("a process");
    assert!(status.contains("THP_enabled:\t0\n"), "{status}");
}

#[tokio::test]
async fn what_changes_state_asks_for_the_token() {
    let model = upstream().await;
    let gateway = serving(&[&model]).set("server.admin.token.value", "let-me-in").start().await;
    assert_eq!(gateway.reload().await.status, 401);
    let admin = Client::new(format!("http://{}", gateway.admin_address()));
    for (token, status) in [("Bearer let-me", 401), ("Bearer let-me-in", 200)] {
        let client = admin.clone().with_header("authorization", token);
        assert_eq!(client.post("/admin/reload", &json!({})).await.status, status, "{token}");
    }
}

#[tokio::test]
async fn check_says_whether_a_file_is_good() {
    let model = upstream().await;
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("tollgate.yaml");
    let path = path.to_str().expect("UTF-8");
    std::fs::write(path, serving(&[&model]).yaml()).expect("the file");
    let good = tollgate(&["check", "--config", path]);
    assert!(good.success, "{}{}", good.stdout, good.stderr);
    let bad = serving(&[&model]).set("models.demo.candidates.0.provider", "nowhere");
    std::fs::write(path, bad.yaml()).expect("the file");
    let bad = tollgate(&["check", "--config", path]);
    assert!(!bad.success);
    let said = bad.stdout + &bad.stderr;
    assert!(said.contains("nowhere") && said.contains("tollgate.yaml:"), "{said}");
    let absent = tollgate(&["check", "--config", "/nowhere/tollgate.yaml"]);
    assert!(!absent.success);
    assert!((absent.stdout + &absent.stderr).contains("/nowhere/tollgate.yaml"));
}

#[tokio::test]
async fn a_bad_file_does_not_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("tollgate.yaml");
    std::fs::write(&path, "models: {demo: {candidates: []}}\nunknown: 1\n").expect("the file");
    let said = tollgate(&["run", "--config", path.to_str().expect("UTF-8")]);
    assert!(!said.success);
    assert!(said.stderr.contains("unknown"), "{}", said.stderr);
}

#[tokio::test]
async fn a_new_key_is_accepted_by_its_hash() {
    let said = tollgate(&["key", "new"]).stdout;
    let word = |start: &str| {
        let word = said.split_whitespace().find(|word| word.trim_matches('"').starts_with(start));
        word.unwrap_or_else(|| panic!("no {start} in {said}")).trim_matches('"').to_owned()
    };
    let (text, hash) = (word("sk-tg-"), word("sha256:"));
    assert!(text.len() >= 49, "256 bits need 43 letters behind sk-tg-: {text}");
    assert_ne!(text, tollgate(&["key", "new"]).stdout, "keys differ");
    let model = upstream().await;
    let key = json!({"id": "fresh", "hash": hash});
    let gateway = serving(&[&model]).set("keys.1", key).start().await;
    let client = Client::new(gateway.url()).with_header("x-api-key", &text);
    assert_eq!(client.chat("demo").await.status, 200);
}

#[test]
fn the_schema_is_json_and_names_every_part() {
    let schema: Value = serde_json::from_str(&tollgate(&["schema"]).stdout).expect("JSON");
    for part in ["server", "providers", "models", "keys", "retry", "timeouts"] {
        assert!(schema["properties"][part].is_object(), "{part}");
    }
}
