//! Checks against real sockets. The server hands each check to the test, so the test knows
//! without waiting for a clock how many checks were judged.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use pingora::services::background::BackgroundService;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::{Checks, Tally};
use crate::config::snapshot::health::ActiveHealth;
use crate::config::snapshot::{Balance, Endpoint, Snapshot, UpstreamTls};
use crate::upstream::fixture::{Bed, at, over, secs, snapshot};

fn health(path: Option<&str>) -> ActiveHealth {
    ActiveHealth {
        path: path.map(Into::into),
        interval: Duration::from_millis(1),
        timeout: secs(5),
        healthy_after: 2,
        unhealthy_after: 3,
    }
}

fn only(endpoint: Endpoint) -> Snapshot {
    snapshot(vec![endpoint], Balance::RoundRobin, &[&[("a", 0, 1)]])
}

/// Checks at work over one endpoint, and the server that they ask.
struct Scene {
    bed: Bed,
    server: TcpListener,
    stop: watch::Sender<bool>,
    service: tokio::task::JoinHandle<()>,
}

async fn scene(change: impl Fn(&mut Endpoint)) -> Scene {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut endpoint = at("a", server.local_addr().unwrap());
    change(&mut endpoint);
    let bed = over(only(endpoint));
    let (stop, shutdown) = watch::channel(false);
    let checks = Checks::new(Arc::clone(&bed.registry));
    let service = tokio::spawn(async move { checks.start(shutdown).await });
    Scene { bed, server, stop, service }
}

impl Scene {
    /// The next check: whoever has it knows that the one before was judged.
    async fn check(&self) -> TcpStream {
        self.server.accept().await.unwrap().0
    }

    async fn answer(&self, times: usize, status: &str) {
        for _ in 0..times {
            let mut check = self.check().await;
            let mut request = [0; 1024];
            assert!(check.read(&mut request).await.unwrap() > 0);
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
            check.write_all(answer.as_bytes()).await.unwrap();
        }
    }

    fn is_in(&self) -> bool {
        self.bed.live("a").is_in(self.bed.now + secs(3600))
    }

    async fn end(self) {
        self.stop.send(true).unwrap();
        self.service.await.unwrap();
    }
}

#[tokio::test]
async fn bad_answers_take_an_endpoint_out_and_good_ones_bring_it_back() {
    let scene = scene(|endpoint| endpoint.health = Some(health(Some("/health")))).await;
    scene.answer(2, "503 Unavailable").await;
    let third = scene.check().await;
    assert!(scene.is_in(), "two are not enough");
    drop(third);
    scene.answer(1, "204 No Content").await;
    assert!(!scene.is_in(), "the third, which broke off, was");
    scene.answer(1, "200 OK").await;
    drop(scene.check().await);
    assert!(scene.is_in(), "two good ones are enough");
    scene.end().await;
}

#[tokio::test]
async fn a_check_asks_as_a_request_would() {
    let scene = scene(|endpoint| {
        endpoint.health = Some(health(Some("/health?deep=1")));
        endpoint.authority = HeaderValue::from_static("models.test");
        endpoint.headers = vec![(
            http::header::AUTHORIZATION,
            HeaderValue::from_static("Bearer upstream-credential"),
        )];
    })
    .await;
    let mut check = scene.check().await;
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(check.read_u8().await.unwrap());
    }
    let request = String::from_utf8(request).unwrap().to_lowercase();
    assert!(request.starts_with("get /health?deep=1 http/1.1\r\n"), "{request}");
    assert!(request.contains("\r\nhost: models.test\r\n"), "{request}");
    assert!(request.contains("\r\nauthorization: bearer upstream-credential\r\n"), "{request}");
    scene.end().await;
}

#[tokio::test]
async fn without_a_path_a_connection_is_enough() {
    let scene = scene(|endpoint| endpoint.health = Some(health(None))).await;
    scene.bed.live("a").checked(false, scene.bed.now);
    for _ in 0..3 {
        drop(scene.check().await);
    }
    assert!(scene.is_in());
    scene.end().await;
}

#[tokio::test]
async fn a_server_that_never_answers_fails_its_checks() {
    let scene = scene(|endpoint| {
        let timeout = Duration::from_millis(5);
        endpoint.health = Some(ActiveHealth { timeout, ..health(Some("/health")) });
    })
    .await;
    let mut silent = Vec::new();
    for _ in 0..4 {
        silent.push(scene.check().await);
    }
    assert!(!scene.is_in());
    scene.end().await;
}

#[tokio::test]
async fn a_reload_that_changes_nothing_keeps_the_count_and_one_that_ends_checks_lets_in() {
    let mut scene = scene(|endpoint| endpoint.health = Some(health(Some("/health")))).await;
    let address = scene.server.local_addr().unwrap();
    let same = || {
        let mut endpoint = at("a", address);
        endpoint.health = Some(health(Some("/health")));
        only(endpoint)
    };
    // A reload before each bad check: had it started the count anew, three would not do.
    for _ in 0..3 {
        scene.answer(1, "503 Unavailable").await;
        scene.bed.reload(&same());
    }
    let fourth = scene.check().await;
    assert!(!scene.is_in());
    scene.bed.reload(&only(at("a", address)));
    drop(fourth);
    let let_in = async {
        while !scene.is_in() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(secs(10), let_in).await.unwrap();
    scene.end().await;
}

/// A server's TLS for `models.test`, and its certificate as a PEM file.
fn tls() -> (TlsAcceptor, tempfile::NamedTempFile) {
    let made = rcgen::generate_simple_self_signed(vec!["models.test".into()]).unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(made.cert.pem().as_bytes()).unwrap();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), file)
}

#[tokio::test]
async fn over_tls_the_configured_root_and_name_are_what_counts() {
    let (acceptor, file) = tls();
    let table = [
        ("models.test", Some(file.path()), true, true),
        ("other.test", Some(file.path()), true, false),
        ("models.test", None, true, false),
        ("other.test", None, false, true),
    ];
    for (server_name, ca_file, verify, accepted) in table {
        let scene = scene(|endpoint| {
            endpoint.health = Some(health(Some("/health")));
            endpoint.tls = Some(UpstreamTls {
                server_name: server_name.into(),
                ca_file: ca_file.map(Into::into),
                verify,
                http2: false,
            });
        })
        .await;
        let handshake = acceptor.accept(scene.check().await).await;
        let request = async {
            let mut first = [0; 4];
            handshake?.read_exact(&mut first).await?;
            std::io::Result::Ok(first)
        };
        let asked = request.await.is_ok_and(|first| first == *b"GET ");
        assert_eq!(asked, accepted, "{server_name} {ca_file:?} {verify}");
        scene.end().await;
    }
}

#[test]
fn only_results_in_a_row_prove_anything() {
    let table: [(&str, &str); 5] = [
        ("++", ".+"),
        ("---", "..-"),
        ("--+--+", "......"),
        ("---+-++", "..-...+"),
        ("----", "..--"),
    ];
    for (results, expected) in table {
        let mut tally = Tally::default();
        let proven = |result: char| match tally.count(result == '+', &health(None)) {
            true => result,
            false => '.',
        };
        assert_eq!(results.chars().map(proven).collect::<String>(), expected, "{results}");
    }
}
