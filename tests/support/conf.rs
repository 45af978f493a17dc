//! A configuration for a test: the few lines that matter to it, the rest filled in.
//!
//! [`serving`] is a whole gateway: provider `local`, alias `demo`, one key. [`Conf::set`] changes
//! any key of the file by its path, so that a test names exactly what it is about.

use std::path::Path;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::gateway::Gateway;
use crate::port::Port;
use crate::upstream::Upstream;

/// The key that every configuration of a test accepts.
pub const KEY: &str = "sk-test-9b1deb4d3b7d4bad9bdd2b0d7b3dcb6d";

/// The public id of [`KEY`].
pub const KEY_ID: &str = "test-key";

/// The tenant that owns [`KEY`].
pub const TENANT: &str = "acme";

/// What the upstreams of [`serving`] are asked for, in place of `demo`.
pub const UPSTREAM_MODEL: &str = "upstream-model";

/// A configuration file in the making.
#[derive(Clone)]
pub struct Conf {
    tree: Value,
    /// Variables of the gateway's environment.
    environment: Vec<(String, String)>,
}

/// A configuration with [`KEY`] and nothing to serve.
pub fn conf() -> Conf {
    let tree = json!({
        "server": {"threads": 2, "drain_seconds": 20},
        "reload": {"watch": false},
        "providers": {},
        "models": {},
        "keys": [],
    });
    Conf { tree, environment: Vec::new() }.key(KEY_ID, KEY, &json!({"tenant": TENANT}))
}

/// The configuration that a text in YAML is.
pub fn conf_of(yaml: &str) -> Conf {
    let tree = serde_saphyr::from_str(yaml).expect("a configuration");
    Conf { tree, environment: Vec::new() }
}

/// A gateway in front of these model servers: the alias `demo` is served by all of them alike.
pub fn serving(upstreams: &[&Upstream]) -> Conf {
    conf().provider("local", upstreams).model("demo", &[("local", UPSTREAM_MODEL)])
}

impl Conf {
    /// Adds a provider; its endpoints are named `NAME-1`, `NAME-2`, and so on.
    pub fn provider(self, name: &str, upstreams: &[&Upstream]) -> Self {
        let urls: Vec<String> = upstreams.iter().map(|upstream| upstream.url()).collect();
        self.provider_at(name, &urls)
    }

    /// Adds a provider by the URLs of its endpoints.
    pub fn provider_at(self, name: &str, urls: &[String]) -> Self {
        let endpoints: Vec<Value> = (1..)
            .zip(urls)
            .map(|(number, url)| json!({"name": format!("{name}-{number}"), "url": url}))
            .collect();
        self.set(&format!("providers.{name}"), json!({"endpoints": endpoints}))
    }

    /// Adds an alias with candidates of equal weight, each a provider and the model to ask for.
    pub fn model(self, alias: &str, candidates: &[(&str, &str)]) -> Self {
        let candidates: Vec<Value> = candidates
            .iter()
            .map(|(provider, model)| json!({"provider": provider, "model": model}))
            .collect();
        self.set(&format!("models.{alias}"), json!({"candidates": candidates}))
    }

    /// Adds a virtual key by its text; `more` is what else is said about it.
    pub fn key(mut self, id: &str, text: &str, more: &Value) -> Self {
        let digest = Sha256::digest(text.as_bytes());
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut key = json!({"id": id, "hash": format!("sha256:{hex}")});
        let more = more.as_object().expect("an object").clone();
        key.as_object_mut().unwrap().extend(more);
        self.tree["keys"].as_array_mut().unwrap().push(key);
        self
    }

    /// Adds a key without a text, by a name in certificates: `CN:app`; `more` is what else is said about it.
    pub fn certificate_key(mut self, id: &str, certificate: &str, more: &Value) -> Self {
        let mut key = json!({"id": id, "certificate": certificate, "tenant": TENANT});
        let more = more.as_object().expect("an object").clone();
        key.as_object_mut().unwrap().extend(more);
        self.tree["keys"].as_array_mut().unwrap().push(key);
        self
    }

    /// Sets a value by its path, `models.demo.candidates.0.weight`; objects on the way are made.
    pub fn set(mut self, path: &str, value: impl Into<Value>) -> Self {
        let mut place = &mut self.tree;
        for step in path.split('.') {
            place = match step.parse::<usize>() {
                Ok(index) => element(place, index),
                Err(_) => member(place, step),
            };
        }
        *place = value.into();
        self
    }

    /// Sets a variable of the gateway's environment.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts a gateway with this configuration and waits until it is ready.
    pub async fn start(self) -> Gateway {
        Gateway::start(self, None).await
    }

    /// Starts a gateway whose configuration needs files: `place` gets its directory first.
    pub async fn start_with(self, place: impl FnOnce(&Path, Self) -> Self) -> Gateway {
        let directory = tempfile::tempdir().expect("a directory");
        let conf = place(directory.path(), self);
        Gateway::start(conf, Some(directory)).await
    }

    /// Fills in what the harness needs where the test said nothing: addresses, files.
    pub(crate) fn placed(mut self, directory: &Path, client: &Port, admin: &Port) -> Self {
        let server = member(&mut self.tree, "server");
        let listener = element(member(server, "listeners"), 0);
        *member(listener, "address") = client.address().to_string().into();
        *member(member(server, "admin"), "address") = admin.address().to_string().into();
        *member(server, "pid_file") = file(directory, "tollgate.pid");
        *member(server, "upgrade_socket") = file(directory, "upgrade.sock");
        let log = member(member(&mut self.tree, "access_log"), "path");
        if log.is_null() {
            *log = file(directory, "access.log");
        }
        self
    }

    /// Whether clients must speak TLS.
    pub(crate) fn is_tls(&self) -> bool {
        self.tree.pointer("/server/listeners/0/tls").is_some()
    }

    /// Variables of the gateway's environment.
    pub(crate) fn environment(&self) -> &[(String, String)] {
        &self.environment
    }

    /// The file's text.
    pub fn yaml(&self) -> String {
        serde_saphyr::to_string(&self.tree).expect("a configuration is plain data")
    }
}

fn file(directory: &Path, name: &str) -> Value {
    directory.join(name).to_str().expect("a path in UTF-8").into()
}

/// A member of what is an object, or becomes one where nothing was there.
fn member<'a>(place: &'a mut Value, name: &str) -> &'a mut Value {
    if place.is_null() {
        *place = Value::Object(Map::new());
    }
    let object = place.as_object_mut().expect("the path leads through objects");
    object.entry(name).or_insert(Value::Null)
}

/// An element of what is a list, or becomes one where nothing was there; the list grows by one.
fn element(place: &mut Value, index: usize) -> &mut Value {
    if place.is_null() {
        *place = Value::Array(Vec::new());
    }
    let list = place.as_array_mut().expect("a number in a path leads into a list");
    if index == list.len() {
        list.push(Value::Null);
    }
    list.get_mut(index).expect("lists grow one by one")
}
