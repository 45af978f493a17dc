//! The process: listeners, the operators' listener, threads and sizes.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;

use super::limits::{millis, seconds, seconds_or_zero, within};
use super::{Surroundings, secret, tls};
use crate::config::raw;
use crate::config::snapshot::tls::{ClientCertificates, TlsFiles};
use crate::config::snapshot::{Admin, Listener, Server};
use crate::config::spot::Spot;

const DEFAULT_LISTENER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
const DEFAULT_ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9090);
const THREADS_MAX: usize = 1024;
const LISTENER_TASKS_MAX: usize = 256;
const CONNECTIONS_MAX: usize = 1_000_000;
const BODY_BYTES_MAX: usize = 1 << 30;

/// The longest path of a Unix socket on Linux, in bytes (unix(7)).
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// Reads the `server` part.
pub(super) fn server(raw: &raw::Server, spot: &Spot<'_>, around: &Surroundings<'_>) -> Server {
    let listeners = listeners(raw.listeners.as_deref(), &spot.key("listeners"), around);
    let admin = admin(raw.admin.as_ref(), &spot.key("admin"), &listeners, around);
    let port = listeners.first().map_or(0, |listener| listener.address.port());
    let threads = threads(raw.threads, &spot.key("threads"));
    let connections = within(
        raw.upstream_keepalive_max,
        1024,
        0..=CONNECTIONS_MAX,
        &spot.key("upstream_keepalive_max"),
    );
    let body_place = spot.key("body_bytes_max");
    Server {
        listeners,
        admin,
        threads,
        work_stealing: raw.work_stealing.unwrap_or(true),
        listener_tasks: within(
            raw.listener_tasks,
            1,
            1..=LISTENER_TASKS_MAX,
            &spot.key("listener_tasks"),
        ),
        upstream_keepalive_max: connections.div_ceil(threads),
        upstream_keepalive: seconds(
            raw.upstream_keepalive_seconds,
            60,
            &spot.key("upstream_keepalive_seconds"),
        ),
        client_keepalive: seconds(
            raw.client_keepalive_seconds,
            75,
            &spot.key("client_keepalive_seconds"),
        ),
        body_bytes_max: within(raw.body_bytes_max, 32 << 20, 1..=BODY_BYTES_MAX, &body_place),
        body_timeout: millis(raw.body_timeout_ms, 60_000, &spot.key("body_timeout_ms")),
        drain: seconds_or_zero(raw.drain_seconds, 600, &spot.key("drain_seconds")),
        pid_file: match &raw.pid_file {
            Some(path) => around.new_file(path, &spot.key("pid_file")),
            None => format!("/tmp/tollgate-{port}.pid").into(),
        },
        upgrade_socket: match &raw.upgrade_socket {
            Some(path) => upgrade_socket(path, &spot.key("upgrade_socket"), around),
            None => format!("/tmp/tollgate-{port}.sock").into(),
        },
    }
}

fn threads(raw: Option<usize>, spot: &Spot<'_>) -> usize {
    match within(raw, 0, 0..=THREADS_MAX, spot) {
        0 => available_parallelism().map_or(1, usize::from),
        threads => threads,
    }
}

fn upgrade_socket(path: &Path, spot: &Spot<'_>, around: &Surroundings<'_>) -> PathBuf {
    let path = around.new_file(path, spot);
    let bytes = path.as_os_str().len();
    if bytes > SOCKET_PATH_BYTES_MAX {
        spot.refuse(format!(
            "the path of a socket must have at most {SOCKET_PATH_BYTES_MAX} bytes, not {bytes}"
        ));
    }
    path
}

fn listeners(
    raw: Option<&[raw::Listener]>,
    spot: &Spot<'_>,
    around: &Surroundings<'_>,
) -> Vec<Listener> {
    let Some(raw) = raw else {
        return vec![Listener { address: DEFAULT_LISTENER, tls: None, h2c: false }];
    };
    if raw.is_empty() {
        spot.refuse("must have at least one listener");
    }
    let mut listeners: Vec<Listener> = Vec::with_capacity(raw.len());
    for (index, raw) in raw.iter().enumerate() {
        let place = spot.item(index);
        let tls = raw.tls.as_ref().map(|files| tls_files(files, &place.key("tls"), around));
        if raw.h2c && tls.is_some() {
            place.key("h2c").refuse("has no effect beside `tls`, which offers HTTP/2 by ALPN");
        }
        let at = place.key("address");
        let Some(address) = address(&raw.address, &at) else { continue };
        if listeners.iter().any(|other| overlap(other.address, address)) {
            at.refuse(format!("another listener has taken `{address}`"));
        }
        listeners.push(Listener { address, tls, h2c: raw.h2c });
    }
    listeners
}

fn tls_files(
    raw: &raw::listener::ListenerTls,
    spot: &Spot<'_>,
    around: &Surroundings<'_>,
) -> TlsFiles {
    let files = TlsFiles {
        cert_file: around.path(&raw.cert_file),
        key_file: around.path(&raw.key_file),
        clients: client_certificates(raw, spot, around),
    };
    tls::pair(&files.cert_file, &files.key_file, &spot.key("cert_file"), &spot.key("key_file"));
    files
}

fn client_certificates(
    raw: &raw::listener::ListenerTls,
    spot: &Spot<'_>,
    around: &Surroundings<'_>,
) -> Option<ClientCertificates> {
    let Some(ca_file) = &raw.client_ca_file else {
        if raw.client_certificate.is_some() {
            spot.key("client_certificate")
                .refuse("has no effect without `client_ca_file`: no certificate is asked for");
        }
        return None;
    };
    let clients = ClientCertificates {
        ca_file: around.path(ca_file),
        required: !matches!(
            raw.client_certificate,
            Some(raw::listener::ClientCertificate::Optional)
        ),
    };
    if let Err(why) = tls::client_verifier(&clients) {
        spot.key("client_ca_file").refuse(why);
    }
    Some(clients)
}

fn admin(
    raw: Option<&raw::Admin>,
    spot: &Spot<'_>,
    listeners: &[Listener],
    around: &Surroundings<'_>,
) -> Admin {
    let at = spot.key("address");
    let given = raw.and_then(|raw| raw.address.as_deref());
    let address = match given {
        Some(text) => address(text, &at).unwrap_or(DEFAULT_ADMIN),
        None => DEFAULT_ADMIN,
    };
    if listeners.iter().any(|listener| overlap(listener.address, address)) {
        at.refuse(format!("a listener for clients has taken `{address}`"));
    }
    let token = raw.and_then(|raw| raw.token.as_ref());
    if token.is_none() && !address.ip().to_canonical().is_loopback() {
        spot.key("token").refuse(format!(
            "is missing: it is required where the address, `{address}`, is not loopback"
        ));
    }
    Admin { address, token: token.and_then(|raw| secret::secret(raw, &spot.key("token"), around)) }
}

fn address(text: &str, spot: &Spot<'_>) -> Option<SocketAddr> {
    let address = text.parse();
    if address.is_err() {
        spot.refuse(format!(
            "`{text}` is not a numeric host and a port, such as `127.0.0.1:8080` or `[::]:8080`"
        ));
    }
    address.ok()
}

/// Whether two listeners would want the same socket; port 0 is a different one each time.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let everywhere = a.ip().is_unspecified() || b.ip().is_unspecified();
    let same_host = a.ip() == b.ip() || (everywhere && a.is_ipv4() == b.is_ipv4());
    a.port() == b.port() && a.port() != 0 && same_host
}
