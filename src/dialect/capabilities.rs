//! What each pair of dialects loses, as clients may ask for it (`GET /v1/capabilities`).

use bytes::Bytes;
use serde::Serialize;

use crate::dialect::ir::Dialect;
use crate::dialect::ir::loss::{Side, of_pair};
use crate::dialect::ir::wire::to_json;

/// A model, and the dialects that reach one of its providers untranslated.
#[derive(Serialize)]
pub struct Model<'a> {
    /// Its name.
    pub id: &'a str,
    /// The names of the dialects.
    pub dialects: Vec<&'static str>,
}

#[derive(Serialize)]
struct Capabilities<'a> {
    models: &'a [Model<'a>],
    translations: Vec<Pair>,
}

/// A client's dialect at a provider of another.
#[derive(Serialize)]
struct Pair {
    client: &'static str,
    provider: &'static str,
    /// What a request may lose, in the client's words.
    request_losses: Vec<&'static str>,
    /// What an answer may lose, in the provider's words.
    answer_losses: Vec<&'static str>,
}

/// The whole table, and the models to which it applies.
pub fn body(models: &[Model<'_>]) -> Bytes {
    Bytes::from(to_json(&Capabilities { models, translations: pairs().collect() }))
}

fn pairs() -> impl Iterator<Item = Pair> {
    let with = |client| {
        let others = Dialect::UPSTREAMS.into_iter().filter(move |provider| *provider != client);
        others.map(move |provider| pair(client, provider))
    };
    Dialect::ALL.into_iter().flat_map(with)
}

fn pair(client: Dialect, provider: Dialect) -> Pair {
    let names = |from, to, side| of_pair(from, to, side).map(|(_, name)| name).collect();
    Pair {
        client: client.name(),
        provider: provider.name(),
        request_losses: names(client, provider, Side::Request),
        answer_losses: names(provider, client, Side::Answer),
    }
}

#[cfg(test)]
mod tests {
    use super::{Model, body};

    #[test]
    fn each_pair_is_told_in_the_words_of_who_says_it() {
        let models = [Model { id: "demo", dialects: vec!["chat"] }];
        let told: serde_json::Value = serde_json::from_slice(&body(&models)).unwrap();
        assert_eq!(told["models"][0], serde_json::json!({"id": "demo", "dialects": ["chat"]}));
        let pairs = told["translations"].as_array().unwrap();
        assert_eq!(pairs.len(), 16);
        let pair = |client: &str, provider: &str| {
            let is = |pair: &&serde_json::Value| {
                pair["client"] == client && pair["provider"] == provider
            };
            pairs.iter().find(is).unwrap().clone()
        };
        let lost = pair("chat", "anthropic")["request_losses"].to_string();
        assert!(lost.contains("\"seed\"") && !lost.contains("\"stop\""), "{lost}");
        let lost = pair("anthropic", "chat")["answer_losses"].to_string();
        assert!(lost.contains("choices[] (after the first)"), "{lost}");
    }
}
