//! Whoever runs the gateway: the admin API, with its token or without.

use reqwest::Method;
use serde_json::Value;

use crate::client::Client;
use crate::gateway::Gateway;
use crate::reply::Reply;

/// An operator of one gateway.
pub struct Operator {
    client: Client,
}

impl Operator {
    /// An operator who sends no token.
    pub fn of(gateway: &Gateway) -> Self {
        Self { client: Client::new(format!("http://{}", gateway.admin_address())) }
    }

    /// The same with a token.
    pub fn with_token(self, token: &str) -> Self {
        Self { client: self.client.with_header("authorization", &format!("Bearer {token}")) }
    }

    /// Asks for a page.
    pub async fn get(&self, path: &str) -> Reply {
        self.client.get(path).await
    }

    /// Sends an object.
    pub async fn send(&self, method: Method, path: &str, body: &Value) -> Reply {
        Reply::from(self.client.request(method, path).json(body)).await
    }

    /// Sends any bytes.
    pub async fn send_bytes(&self, path: &str, body: impl Into<reqwest::Body>) -> Reply {
        Reply::from(self.client.request(Method::POST, path).body(body)).await
    }

    /// Removes what is at a path.
    pub async fn delete(&self, path: &str) -> Reply {
        Reply::from(self.client.request(Method::DELETE, path)).await
    }

    /// Makes something; panics where that is refused.
    pub async fn make(&self, path: &str, body: &Value) -> Value {
        let reply = self.send(Method::POST, path, body).await;
        assert!((200..300).contains(&reply.status), "POST {path}: {}", reply.text());
        reply.json()
    }

    /// Makes a key; its secret.
    pub async fn make_key(&self, body: &Value) -> String {
        let made = self.make("/admin/keys", body).await;
        made["secret"].as_str().expect("a secret").to_owned()
    }

    /// Changes members; panics where that is refused.
    pub async fn change(&self, path: &str, body: &Value) -> Value {
        let reply = self.send(Method::PATCH, path, body).await;
        assert_eq!(reply.status, 200, "PATCH {path}: {}", reply.text());
        reply.json()
    }
}

/// A client of a gateway with this key.
pub fn bearer(gateway: &Gateway, secret: &str) -> Client {
    Client::new(gateway.url()).with_header("authorization", &format!("Bearer {secret}"))
}
