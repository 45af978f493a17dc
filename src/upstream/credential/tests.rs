//! Credentials on a clock that only the test turns, assertions and signatures against what is known.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use ring::signature::{KeyPair, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use super::fetch::Fresh;
use super::keeper::keep;
use super::{Authorization, Credential, Grant, LiveCredential, ToSign, google, sigv4};
use crate::config::snapshot::credential::{AwsKeys, AzureClient, AzureProof, GoogleAccount};
use crate::telemetry::metrics::Metrics;
use crate::types::Secret;

/// What a fetch gives: a token and its seconds, or a failure.
type Script = Option<(&'static str, u64)>;

fn live(source: Credential) -> Arc<LiveCredential> {
    let metrics = Metrics::new(1).credential(&"cloud".into());
    Arc::new(LiveCredential::new(&"cloud".into(), &Arc::new(source), metrics))
}

fn azure(secret: &str) -> Credential {
    Credential::Azure(AzureClient {
        token_url: "http://127.0.0.1:1/".into(),
        client_id: "app".into(),
        proof: AzureProof::Secret(Secret::from(secret.to_owned())),
        scope: "all".into(),
    })
}

fn token(live: &LiveCredential) -> Option<String> {
    match &*live.grant()? {
        Grant::Bearer(value) => value.to_str().ok().map(str::to_owned),
        Grant::Keys(_) => None,
    }
}

/// Keeps a credential by a script for a while of the paused clock, looking at it every second: what
/// it was from which second on, and when it was fetched.
async fn kept(
    live: &Arc<LiveCredential>,
    script: &[Script],
    seconds: u64,
) -> (Vec<(u64, Option<String>)>, Vec<u64>) {
    let start = Instant::now();
    let script = RefCell::new(script.iter().copied().collect::<VecDeque<_>>());
    let fetches = RefCell::new(Vec::new());
    let fetch = |_live| {
        fetches.borrow_mut().push(start.elapsed().as_secs());
        let next = script.borrow_mut().pop_front().flatten();
        async move {
            let (token, seconds) = next.ok_or("down")?;
            let grant = Grant::Bearer(HeaderValue::from_static(token));
            Ok(Fresh { grant, lifetime: Some(Duration::from_secs(seconds)) })
        }
    };
    let mut seen: Vec<(u64, Option<String>)> = Vec::new();
    let watch = async {
        // Between the seconds, so that nothing happens at the same moment.
        sleep(Duration::from_millis(500)).await;
        for second in 0..seconds {
            let now = token(live);
            if seen.last().is_none_or(|(_, last)| *last != now) {
                seen.push((second, now));
            }
            sleep(Duration::from_secs(1)).await;
        }
    };
    let _ended = timeout(Duration::from_secs(seconds), async {
        tokio::join!(keep(Arc::clone(live), fetch), watch);
    })
    .await;
    (seen, fetches.into_inner())
}

fn of(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_credential_is_replaced_before_it_expires() {
    let live = live(azure("s"));
    assert!(!live.is_usable());
    let script = [Some(("one", 3600)), Some(("two", 100)), Some(("three", 9000))];
    let (seen, fetches) = kept(&live, &script, 3500).await;
    assert_eq!(seen, [(0, of("one")), (3300, of("two")), (3380, of("three"))]);
    assert_eq!(fetches, [0, 3300, 3380]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_repeated_ever_later_and_the_old_credential_lasts_to_its_end() {
    let live = live(azure("s"));
    let script = [Some(("one", 10)), None, None, None, Some(("two", 1000))];
    let (seen, fetches) = kept(&live, &script, 100).await;
    assert_eq!(fetches, [0, 8, 9, 11, 15]);
    assert_eq!(seen, [(0, of("one")), (10, None), (15, of("two"))]);
}

#[tokio::test(start_paused = true)]
async fn what_has_expired_already_is_no_credential() {
    let live = live(azure("s"));
    let (seen, fetches) = kept(&live, &[Some(("old", 0)), Some(("new", 50))], 20).await;
    assert_eq!((seen, fetches), (vec![(0, None), (1, of("new"))], vec![0, 1]));
}

#[tokio::test(start_paused = true)]
async fn an_absurd_lifetime_does_no_harm() {
    let live = live(azure("s"));
    let (seen, fetches) = kept(&live, &[Some(("one", u64::MAX))], 20).await;
    assert_eq!((seen, fetches), (vec![(0, of("one"))], vec![0]));
}

#[tokio::test(start_paused = true)]
async fn a_credential_that_was_refused_is_fetched_anew_but_not_at_once() {
    let live = live(azure("s"));
    live.doubt();
    live.doubt();
    let script = [Some(("one", 3600)), Some(("two", 3600))];
    let (seen, fetches) = kept(&live, &script, 200).await;
    assert_eq!(fetches, [0, 10]);
    assert_eq!(seen, [(0, of("one")), (10, of("two"))]);
}

#[test]
fn keys_of_the_configuration_are_there_from_the_start() {
    let keys = AwsKeys::Fixed {
        id: "AKIDEXAMPLE".into(),
        secret: Secret::from("secret".to_owned()),
        session: None,
    };
    let live = live(Credential::Aws(keys));
    assert!(live.is_usable() && !live.needs_fetching());
}

fn account() -> GoogleAccount {
    let text = include_str!("../../../tests/data/google/service-account.json");
    let file: Value = serde_json::from_str(text).unwrap();
    let member = |name: &str| file[name].as_str().unwrap().to_owned();
    GoogleAccount {
        email: member("client_email").into(),
        key_id: member("private_key_id").into(),
        key: Secret::from(member("private_key")),
        token_url: member("token_uri").into(),
        scope: "scope-1".into(),
    }
}

#[test]
fn an_assertion_is_a_signed_token_with_the_claims_that_google_wants() {
    let account = account();
    let assertion = google::assertion(&account, 1_700_000_000).unwrap();
    let parts: Vec<&str> = assertion.split('.').collect();
    let json = |part: &str| -> Value {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    };
    assert_eq!(json(parts[0]), serde_json::json!({"alg": "RS256", "typ": "JWT", "kid": "key-1"}));
    let claims = serde_json::json!({
        "iss": "gateway@test-project.iam.gserviceaccount.com",
        "scope": "scope-1",
        "aud": "https://oauth2.googleapis.com/token",
        "iat": 1_700_000_000,
        "exp": 1_700_003_600,
    });
    assert_eq!(json(parts[1]), claims);
    let key = PrivatePkcs8KeyDer::from_pem_slice(account.key.expose().as_bytes()).unwrap();
    let key = RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).unwrap();
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_key().as_ref());
    let signed = assertion.rsplit_once('.').unwrap().0;
    public.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(parts[2]).unwrap()).unwrap();
}

/// The headers that sign a request with the suite's keys, at its date.
fn signed_as_in_the_suite(
    method: &'static str,
    path: &str,
    session: Option<&str>,
) -> Authorization {
    let keys = AwsKeys::Fixed {
        id: "AKIDEXAMPLE".into(),
        secret: Secret::from("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned()),
        session: session.map(|token: &str| Secret::from(token.to_owned())),
    };
    let live = live(Credential::Aws(keys));
    let grant = live.grant().unwrap();
    let Grant::Keys(identity) = &*grant else { panic!("keys") };
    // 2015-08-30T12:36:00Z, which is the suite's date.
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_440_938_160);
    let scope = sigv4::Scope { region: "us-east-1", service: "service", now };
    let host = HeaderValue::from_static("example.amazonaws.com");
    let request = ToSign { method, path, body: b"" };
    sigv4::sign(identity, &scope, &host, &request).unwrap()
}

/// Cases of AWS's own suite ("Signature Version 4 test suite") that sign what this gateway signs: the host and the
/// date, and the token of a session.
#[test]
fn signatures_are_those_of_the_suite_of_aws() {
    const TOKEN: &str = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";
    let all = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    for (method, path, session, expected) in [
        (
            "GET",
            "/".to_owned(),
            None,
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        ),
        (
            "POST",
            "/".to_owned(),
            None,
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
        ),
        (
            "GET",
            format!("/{all}"),
            None,
            "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
        ),
        (
            "GET",
            "/?Param2=value2&Param1=value1".to_owned(),
            None,
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
        (
            "POST",
            "/".to_owned(),
            Some(TOKEN),
            "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
        ),
    ] {
        let headers = signed_as_in_the_suite(method, &path, session);
        let get = |wanted: &str| {
            let found = headers.iter().find(|(name, _)| name == wanted);
            found.map(|(_, value)| value.to_str().unwrap().to_owned())
        };
        assert_eq!(get("x-amz-date").unwrap(), "20150830T123600Z");
        assert_eq!(get("x-amz-security-token").as_deref(), session);
        let authorization = get("authorization").unwrap();
        assert!(
            authorization.ends_with(&format!("Signature={expected}")),
            "{path}: {authorization}"
        );
        assert!(headers.iter().all(|(_, value)| value.is_sensitive()));
    }
}
