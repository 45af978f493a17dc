//! Prompts that are made of a context's data: facts come from the client, prose from the configuration.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use serde_json::{Value, json};
use support::client::{Client, chat};
use support::conf::{Conf, TENANT, serving};
use support::reply::Reply;
use support::upstream::{Upstream, upstream};

const CHAT: &str = "/v1/chat/completions";

const TEMPLATE: &str = "\
You are the support of Example Shop.
{% for order in data.orders %}
Order {{ order.id }} is {{ order.state }}.
{% endfor %}
";

fn with_template(model: &Upstream, template: &str) -> Conf {
    serving(&[model]).set("models.demo.rewrite.prompt", json!([{"template": template}]))
}

fn orders(states: &[&str]) -> Value {
    let order = |(id, state): (usize, &&str)| json!({"id": id, "state": state});
    json!({"orders": (1..).zip(states).map(order).collect::<Vec<_>>()})
}

/// A turn of context `c` that brings this data.
async fn say(client: &Client, text: &str, merge: &Value) -> Reply {
    let context = json!({"id": "c", "merge": merge});
    let messages = json!([{"role": "user", "content": text}]);
    client.post(CHAT, &json!({"model": "demo", "context": context, "messages": messages})).await
}

/// The messages that the model got last.
fn sent(model: &Upstream) -> Value {
    model.last_request().json().get("messages").expect("messages").clone()
}

#[tokio::test]
async fn a_prompt_is_made_of_the_data() {
    let model = upstream().await;
    let gateway = with_template(&model, TEMPLATE).start().await;
    let client = gateway.client();
    let reply = say(&client, "Where is it?", &orders(&["new", "gréat ❤"])).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let prompt = "You are the support of Example Shop.\nOrder 1 is new.\nOrder 2 is gréat ❤.";
    let system = json!({"role": "system", "content": prompt});
    let asked = |text: &str| json!({"role": "user", "content": text});
    assert_eq!(sent(&model), json!([system, asked("Where is it?")]));
    let kept = client.get("/v1/contexts/c").await.json();
    assert_eq!(kept["messages"].as_array().map(Vec::len), Some(2), "it is no part of it: {kept}");
    // While the data stays, the prompt grows at its end only; a reply in between changes nothing.
    let first = sent(&model).to_string();
    say(&client, "Really?", &json!({})).await;
    let second = sent(&model).to_string();
    assert!(second.starts_with(first.trim_end_matches(']')), "{second}");
    // When the data changes, the prompt does.
    say(&client, "And now?", &orders(&["sent"])).await;
    assert_eq!(
        sent(&model)[0]["content"],
        "You are the support of Example Shop.\nOrder 1 is sent."
    );
    assert_eq!(sent(&model).as_array().map(Vec::len), Some(6));
}

#[tokio::test]
async fn facts_without_a_conversation() {
    let model = upstream().await;
    let gateway = with_template(&model, TEMPLATE).start().await;
    let client = gateway.client();
    let context = json!({"store": false, "merge": orders(&["lost"])});
    let body = json!({"model": "demo", "context": context, "stream": true,
        "messages": [{"role": "user", "content": "Hi"}]});
    let reply = client.post(CHAT, &body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let text = "You are the support of Example Shop.\nOrder 1 is lost.";
    assert_eq!(sent(&model)[0]["content"], text);
    let id = reply.header("x-context-id").to_owned();
    assert_eq!(client.get(&format!("/v1/contexts/{id}")).await.status, 404, "nothing is kept");
}

#[tokio::test]
async fn what_the_data_lacks_is_told_and_changes_nothing() {
    let model = upstream().await;
    let gateway = with_template(&model, TEMPLATE).start().await;
    let client = gateway.client();
    let lacking = say(&client, "Hi", &json!({"orders": [{"id": 7}]})).await;
    lacking.assert_error(422, "prompt_template_failed");
    let expected = "A prompt of the model `demo` cannot be made of the context's data: \
        `order.state` is not there (line 3 of the template).";
    assert!(lacking.error_message().starts_with(expected), "{}", lacking.text());
    assert_eq!(client.get("/v1/contexts/c").await.status, 404);
    // A chat without a context has no data.
    let bare = client.post(CHAT, &chat("demo")).await;
    bare.assert_error(422, "prompt_template_failed");
    assert!(bare.error_message().contains("`data.orders` is not there"), "{}", bare.text());
    assert_eq!(model.count(), 0, "nothing went upstream");
    // The same turn may be sent again, with what was lacking.
    assert_eq!(say(&client, "Hi", &orders(&[])).await.header("x-context-version"), "1");
}

#[tokio::test]
async fn a_bomb_hits_its_own_request_alone() {
    let model = upstream().await;
    let bomb = "{% for a in data.a %}{% for b in data.a %}{{ data.text }}{% endfor %}{% endfor %}";
    let gateway = with_template(&model, bomb).start().await;
    let client = gateway.client();
    for (data, why) in [
        (json!({"a": vec![0; 9_000], "text": ""}), "more than 100000 steps"),
        (json!({"a": [1], "text": "a".repeat(300 << 10)}), "longer than 262144 bytes"),
    ] {
        let refused = say(&client, "Hi", &data).await;
        refused.assert_error(422, "prompt_template_failed");
        assert!(refused.error_message().contains(why), "{}", refused.text());
    }
    let reply = say(&client, "Hi", &json!({"a": [1], "text": "small"})).await;
    assert_eq!(sent(&model)[0]["content"], "small", "{}", reply.text());
}

#[tokio::test]
async fn tenants_have_templates_and_messages_have_places() {
    let model = upstream().await;
    let own = json!([
        {"template": "{% if data.mood is defined %}The user is {{ data.mood }}.{% endif %}"},
        {"role": "user", "position": "end", "template": "It is {{ data.hour|default('late') }}."},
    ]);
    let gateway = serving(&[&model])
        .set(
            &format!("tenants.{TENANT}.prompt"),
            json!([{"template": "{{ tenant }}: {{ model }}"}]),
        )
        .set("models.demo.rewrite.prompt", own)
        .start()
        .await;
    let client = gateway.client();
    let tenants = json!({"role": "system", "content": format!("{TENANT}: demo")});
    let said = |text: &str| json!({"role": "user", "content": text});
    client.post(CHAT, &chat("demo")).await;
    let hello = sent(&model)[1].clone();
    assert_eq!(sent(&model), json!([tenants, hello, said("It is late.")]), "no text, no message");
    say(&client, "Hi", &json!({"mood": "\"cross\"", "hour": 7})).await;
    let mood = json!({"role": "system", "content": "The user is \"cross\"."});
    assert_eq!(sent(&model), json!([tenants, mood, said("Hi"), said("It is 7.")]));
}

#[tokio::test]
async fn the_window_leaves_room_for_it() {
    let model = upstream().await;
    let gateway = with_template(&model, "{{ data.rules }}")
        .set("models.demo.window_tokens", 600)
        .set("contexts.window.answer_tokens", 0)
        .start()
        .await;
    let client = gateway.client();
    let text = "word ".repeat(100);
    let dropped = async |rules: &str| {
        let reply = say(&client, &text, &json!({"rules": rules})).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.header("x-context-dropped").parse::<u32>().expect("a number")
    };
    assert_eq!((dropped("").await, dropped("").await), (0, 0));
    assert!(dropped(&text.repeat(3)).await > 0, "old turns give way");
    let refused = say(&client, &text, &json!({"rules": text.repeat(9)})).await;
    refused.assert_error(400, "context_too_long");
}

#[tokio::test]
async fn in_every_dialect() {
    let model = upstream().await;
    let gateway = with_template(&model, "Be {{ data.tone }}.").start().await;
    let client = gateway.client();
    let context = json!({"store": false, "merge": {"tone": "brief"}});
    let said = json!([{"role": "user", "content": "Hi"}]);
    for (path, mut body) in [
        (CHAT, json!({"model": "demo", "messages": said})),
        ("/v1/messages", json!({"model": "demo", "max_tokens": 9, "messages": said})),
        ("/v1/responses", json!({"model": "demo", "input": "Hi"})),
        (
            "/v1beta/models/demo:generateContent",
            json!({"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}),
        ),
    ] {
        body["context"] = context.clone();
        let reply = client.post(path, &body).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        let first = sent(&model)[0].clone();
        assert!(first.to_string().contains("Be brief."), "{path}: {first}");
        body["context"] = json!({"store": false});
        let refused = client.post(path, &body).await;
        assert_eq!(refused.status, 422, "{path}: {}", refused.text());
    }
}
