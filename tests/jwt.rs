//! Tokens of an identity provider beside virtual keys: which are accepted, and what each of the others is told.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use ring::hmac;
use ring::rand::SystemRandom;
use ring::rsa::{KeyPair as RsaKeyPair, PublicKeyComponents};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
};
use serde_json::{Value, json};
use support::answer::json as answer;
use support::client::Client;
use support::conf::{Conf, serving};
use support::gateway::Gateway;
use support::upstream::{Upstream, upstream};
use support::wait::eventually;

const ISSUER: &str = "https://login.example.com/";
const AUDIENCE: &str = "tollgate";

/// Seconds since 1970 that lie far in the past and far in the future.
const PAST: u64 = 1_000_000_000;
const FUTURE: u64 = 4_000_000_000;

/// A private key of the identity provider, and how it signs.
enum Signer {
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

impl Signer {
    fn ec() -> Self {
        let (of, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(of, &random).expect("a key");
        Self::Ec(EcdsaKeyPair::from_pkcs8(of, pkcs8.as_ref(), &random).expect("a key"))
    }

    fn ed() -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
        Self::Ed(Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).expect("a key"))
    }

    /// The key of the tests' service account: ring makes no RSA keys.
    fn rsa() -> Self {
        let account = include_str!("data/google/service-account.json");
        let account: Value = serde_json::from_str(account).expect("JSON");
        let pem = account["private_key"].as_str().expect("a key");
        let text: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let der = BASE64_STANDARD.decode(text).expect("base64");
        Self::Rsa(RsaKeyPair::from_pkcs8(&der).expect("a key"))
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Ec(_) => "ES256",
            Self::Ed(_) => "EdDSA",
            Self::Rsa(_) => "RS256",
        }
    }

    /// The public key as a JSON Web Key.
    fn jwk(&self, kid: &str) -> Value {
        match self {
            Self::Ec(key) => {
                let (x, y) = key.public_key().as_ref()[1..].split_at(32);
                json!({"kty": "EC", "crv": "P-256", "kid": kid, "use": "sig", "x": text(x), "y": text(y)})
            }
            Self::Ed(key) => {
                json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": text(key.public_key().as_ref())})
            }
            Self::Rsa(key) => {
                let PublicKeyComponents { n, e } =
                    PublicKeyComponents::<Vec<u8>>::from(key.public());
                json!({"kty": "RSA", "alg": "RS256", "kid": kid, "n": text(n), "e": text(e)})
            }
        }
    }

    fn sign(&self, said: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Ec(key) => key.sign(&random, said).expect("a signature").as_ref().to_vec(),
            Self::Ed(key) => key.sign(said).as_ref().to_vec(),
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, said, &mut signature).expect("a signature");
                signature
            }
        }
    }

    fn token(&self, kid: &str, claims: &Value) -> String {
        let header = json!({"alg": self.algorithm(), "kid": kid, "typ": "JWT"});
        token(&header, claims, |said| self.sign(said))
    }
}

fn text(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn token(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let said = format!("{}.{}", text(header.to_string()), text(claims.to_string()));
    let signature = text(sign(said.as_bytes()));
    format!("{said}.{signature}")
}

/// Good claims, with some replaced; a claim that is `null` is left out.
fn claims(others: &Value) -> Value {
    let mut claims = json!({
        "iss": ISSUER, "aud": [AUDIENCE, "other"], "exp": FUTURE, "sub": "alice", "org": "acme",
        "dept": {"name": "search"}, "models": "demo",
    });
    let all = claims.as_object_mut().expect("an object");
    all.extend(others.as_object().expect("an object").clone());
    all.retain(|_, value| !value.is_null());
    claims
}

fn trusting(model: &Upstream, jwks: &Value) -> Conf {
    serving(&[model])
        .model("dear", &[("local", "dear-model")])
        .set("tenants.acme.teams.search", json!({}))
        .set("tenants.acme.teams.few.limits", json!({"requests_per_day": 1}))
        .set(
            "jwt",
            json!([{
                "issuer": ISSUER, "audience": [AUDIENCE], "jwks": jwks,
                "algorithms": ["RS256", "ES256", "EdDSA"],
                "claims": {"tenant": "org", "team": "/dept/name", "models": "models"},
            }]),
        )
}

/// A gateway that trusts these keys, as a file.
async fn with_file(model: &Upstream, keys: &[Value]) -> Gateway {
    let set = json!({"keys": keys}).to_string();
    trusting(model, &Value::Null)
        .start_with(|directory, conf| {
            let file = directory.join("jwks.json");
            std::fs::write(&file, set).expect("a file");
            conf.set("jwt.0.jwks", json!({"file": file}))
        })
        .await
}

fn bearer(gateway: &Gateway, token: &str) -> Client {
    Client::new(gateway.url()).with_header("authorization", &format!("Bearer {token}"))
}

#[tokio::test]
async fn a_good_token_lets_in_however_it_is_signed_and_as_often_as_it_is_sent() {
    let model = upstream().await;
    let signers = [("a", Signer::ec()), ("b", Signer::ed()), ("c", Signer::rsa())];
    let keys: Vec<_> = signers.iter().map(|(kid, signer)| signer.jwk(kid)).collect();
    let gateway = with_file(&model, &keys).await;
    for (kid, signer) in &signers {
        let token = signer.token(kid, &claims(&json!({})));
        for _ in 0..2 {
            let reply = bearer(&gateway, &token).chat("demo").await;
            assert_eq!(reply.status, 200, "{kid}: {}", reply.text());
            let line = gateway.logged(&reply).await;
            assert_eq!((&line["key"], &line["tenant"]), (&json!("jwt:alice"), &json!("acme")));
            let headers = format!("{:?}", model.last_request().headers);
            assert!(!headers.contains(&token), "a token stays with the gateway: {headers}");
        }
    }
    assert_eq!(gateway.client().chat("demo").await.status, 200, "keys go on");
}

/// What a token is, the token, and what it is told.
type Row = (&'static str, String, u16, &'static str);

/// Genuine tokens that say the wrong things.
fn with_wrong_claims(signed: impl Fn(&Value) -> String) -> Vec<Row> {
    vec![
        ("expired", signed(&json!({"exp": PAST})), 401, "token_expired"),
        ("not yet valid", signed(&json!({"nbf": FUTURE})), 401, "invalid_token"),
        ("no expiry", signed(&json!({"exp": null})), 401, "invalid_token"),
        ("an expiry that is no number", signed(&json!({"exp": "soon"})), 401, "invalid_token"),
        ("another audience", signed(&json!({"aud": "other"})), 401, "invalid_token"),
        ("no audience", signed(&json!({"aud": null})), 401, "invalid_token"),
        (
            "another issuer",
            signed(&json!({"iss": "https://evil.example.com/"})),
            401,
            "invalid_token",
        ),
        ("no issuer", signed(&json!({"iss": null})), 401, "invalid_token"),
        ("no tenant", signed(&json!({"org": null})), 403, "token_not_permitted"),
        ("an unknown tenant", signed(&json!({"org": "acne"})), 403, "token_not_permitted"),
        ("a tenant that is no text", signed(&json!({"org": ["acme"]})), 403, "token_not_permitted"),
        ("no team", signed(&json!({"dept": {}})), 403, "token_not_permitted"),
        (
            "an unknown team",
            signed(&json!({"dept": {"name": "sales"}})),
            403,
            "token_not_permitted",
        ),
        ("no models", signed(&json!({"models": null})), 403, "token_not_permitted"),
        ("no subject", signed(&json!({"sub": null})), 403, "token_not_permitted"),
        ("a subject of two lines", signed(&json!({"sub": "a\nb"})), 403, "token_not_permitted"),
    ]
}

/// Tokens that nobody has signed, or not so, and what is none.
fn forged(signer: &Signer, rsa: &Signer) -> Vec<Row> {
    let good = claims(&json!({}));
    let hmac = |kid: &str, secret: &[u8]| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let header = json!({"alg": "HS256", "kid": kid});
        token(&header, &good, |said| hmac::sign(&key, said).as_ref().to_vec())
    };
    let Signer::Ec(pair) = signer else { unreachable!("it was made so") };
    let jwk = signer.jwk("a").to_string();
    let whole = signer.token("a", &good);
    let (said, signature) = whole.rsplit_once('.').expect("three parts");
    let huge = signer.token("a", &claims(&json!({"groups": "x".repeat(20_000)})));
    vec![
        ("an unknown kid", signer.token("b", &good), 401, "invalid_token"),
        ("another's signature", Signer::ec().token("a", &good), 401, "invalid_token"),
        ("another key's kid", signer.token("r", &good), 401, "invalid_token"),
        ("HS256 with the set's secret", hmac("s", b"secret"), 401, "invalid_token"),
        ("HS256 with the public key", hmac("a", pair.public_key().as_ref()), 401, "invalid_token"),
        ("HS256 with the key's text", hmac("a", jwk.as_bytes()), 401, "invalid_token"),
        ("alg none", token(&json!({"alg": "none"}), &good, |_| Vec::new()), 401, "invalid_token"),
        ("alg None", token(&json!({"alg": "None"}), &good, |_| Vec::new()), 401, "invalid_token"),
        (
            "an algorithm that is not allowed",
            token(&json!({"alg": "RS512", "kid": "r"}), &good, |said| rsa.sign(said)),
            401,
            "invalid_token",
        ),
        ("no signature", format!("{said}."), 401, "invalid_token"),
        ("two parts", said.to_owned(), 401, "invalid_token"),
        ("four parts", format!("{whole}.{signature}"), 401, "invalid_token"),
        ("other claims", format!("{}x.{signature}", said), 401, "invalid_token"),
        ("garbage", "eyJ.eyJ.eyJ".to_owned(), 401, "invalid_token"),
        ("garbage without dots", format!("ey{}", "z".repeat(500)), 401, "invalid_token"),
        ("no token at all", "z.z.z".to_owned(), 401, "invalid_api_key"),
        ("huge", huge, 401, "invalid_api_key"),
    ]
}

#[tokio::test]
async fn each_bad_token_is_told_why() {
    let model = upstream().await;
    let (signer, rsa) = (Signer::ec(), Signer::rsa());
    // A secret in the set must not make HS256 possible.
    let secret = json!({"kty": "oct", "kid": "s", "alg": "HS256", "k": text("secret")});
    let gateway = with_file(&model, &[signer.jwk("a"), rsa.jwk("r"), secret]).await;
    let mut rows = with_wrong_claims(|others| signer.token("a", &claims(others)));
    rows.extend(forged(&signer, &rsa));
    for (row, token, status, code) in &rows {
        let client = bearer(&gateway, token);
        let reply = client.chat("demo").await;
        assert_eq!(
            (reply.status, &*reply.error_code()),
            (*status, *code),
            "{row}: {}",
            reply.text()
        );
        reply.assert_error(*status, code);
        let last = token.rsplit('.').next().filter(|part| part.len() > 9);
        assert!(
            last.is_none_or(|part| !reply.text().contains(part)),
            "{row}: a token is not repeated"
        );
        let asked = reply.header("www-authenticate");
        assert_eq!(asked, if *status == 401 { "Bearer" } else { "" }, "{row}");
        let body = json!({"model": "demo", "max_tokens": 9, "messages": []});
        let anthropic = client.post("/v1/messages", &body).await;
        let kind = if *status == 401 { "authentication_error" } else { "permission_error" };
        assert_eq!((anthropic.status, &anthropic.json()["error"]["type"]), (*status, &json!(kind)));
    }
    assert_eq!(model.count(), 0);
    assert_eq!(
        bearer(&gateway, &signer.token("a", &claims(&json!({})))).chat("demo").await.status,
        200,
        "the good one still is"
    );
}

#[tokio::test]
async fn a_bearer_may_use_what_tenant_team_and_token_all_allow() {
    let model = upstream().await;
    let signer = Signer::ed();
    let gateway = with_file(&model, &[signer.jwk("a")]).await;
    let with = |others: &Value| bearer(&gateway, &signer.token("a", &claims(others)));
    let both = with(&json!({"models": ["dear", "demo", "unheard-of"]}));
    let listed = both.get("/v1/models").await.json();
    assert_eq!(
        (&listed["data"][0]["id"], &listed["data"][1]["id"]),
        (&json!("dear"), &json!("demo"))
    );
    assert_eq!(listed["data"].as_array().map(Vec::len), Some(2), "{listed}");
    with(&json!({})).chat("dear").await.assert_error(404, "model_not_found");
    with(&json!({"models": []})).chat("demo").await.assert_error(404, "model_not_found");
    // Limits are those of the team, whoever of it asks.
    let few = |who: &str| with(&json!({"sub": who, "dept": {"name": "few"}}));
    assert_eq!(few("alice").chat("demo").await.status, 200);
    few("bob").chat("demo").await.assert_error(429, "limit_exceeded");
    assert_eq!(with(&json!({"sub": "bob"})).chat("demo").await.status, 200);
}

#[tokio::test]
async fn keys_by_url_are_there_before_the_first_request_and_follow_their_issuer() {
    let (model, provider) = (upstream().await, upstream().await);
    let (old, new) = (Signer::ec(), Signer::ec());
    provider.always(answer(&json!({"keys": [old.jwk("old")]})));
    let jwks = json!({"url": format!("{}/jwks", provider.url()), "refresh_seconds": 1});
    let gateway = trusting(&model, &jwks).start().await;
    let good = claims(&json!({}));
    let (by_old, by_new) = (old.token("old", &good), new.token("new", &good));
    assert_eq!(bearer(&gateway, &by_old).chat("demo").await.status, 200);
    bearer(&gateway, &by_new).chat("demo").await.assert_error(401, "invalid_token");
    provider.always(answer(&json!({"keys": [new.jwk("new")]})));
    eventually("the new key to be known", async || {
        (bearer(&gateway, &by_new).chat("demo").await.status == 200).then_some(())
    })
    .await;
    // Also a token that was verified before its key was withdrawn.
    bearer(&gateway, &by_old).chat("demo").await.assert_error(401, "invalid_token");
    assert!(gateway.metric("tollgate_issuer_fetches_total{outcome=\"fetched\"}").await >= 2.0);
    assert_eq!(gateway.metric("tollgate_issuer_keys").await, 1.0);
}

#[tokio::test]
async fn without_its_issuers_keys_a_token_may_be_sent_again_later_and_keys_work_meanwhile() {
    let (model, provider) = (upstream().await, upstream().await);
    provider.always(support::answer::status(500));
    let jwks = json!({"url": format!("{}/jwks", provider.url()), "refresh_seconds": 1});
    let gateway = trusting(&model, &jwks).start().await;
    let signer = Signer::ec();
    let client = bearer(&gateway, &signer.token("a", &claims(&json!({}))));
    let reply = client.chat("demo").await;
    reply.assert_error(503, "token_keys_unavailable");
    assert_eq!((reply.header("retry-after"), reply.header("x-should-retry")), ("1", "true"));
    assert_eq!(gateway.client().chat("demo").await.status, 200);
    provider.always(answer(&json!({"keys": [signer.jwk("a"), {"kty": "of another kind"}]})));
    eventually("the keys to be there", async || {
        (client.chat("demo").await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn tokens_that_name_unknown_keys_cause_no_more_fetches_than_time_does() {
    let (model, provider) = (upstream().await, upstream().await);
    let signer = Signer::ec();
    provider.always(answer(&json!({"keys": [signer.jwk("a")]})));
    let jwks = json!({"url": format!("{}/jwks", provider.url()), "refresh_seconds": 3600});
    let gateway = trusting(&model, &jwks).start().await;
    for number in 0..50 {
        let token = signer.token(&format!("unknown-{number}"), &claims(&json!({})));
        bearer(&gateway, &token).chat("demo").await.assert_error(401, "invalid_token");
    }
    assert!(provider.count() <= 2 + 50 / 10, "{} fetches", provider.count());
}
