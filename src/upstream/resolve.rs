//! Names to addresses, off the way of requests.
//!
//! A worker never waits for DNS: it takes the next address that is known. [`Resolver`], one
//! background service, looks every name up at start, every [`REFRESH`], and soon after a
//! connection failed. A lookup that fails keeps the addresses known before. An endpoint
//! whose name was never resolved is out.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use log::{info, warn};
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;

use super::Registry;
use super::moment::Moment;

/// Time between two lookups of every name.
const REFRESH: Duration = Duration::from_secs(30);
/// The shortest time between two rounds of lookups.
const PAUSE: Duration = Duration::from_secs(1);
/// Time for one lookup.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an address that refused a connection is passed over while there are others.
const ADDRESS_REST: Duration = Duration::from_secs(30);
/// Addresses kept of one name.
const ADDRESSES_MAX: usize = 256;

/// The addresses of one endpoint.
pub(super) struct Addresses {
    host: Box<str>,
    port: u16,
    literal: bool,
    known: ArcSwap<Vec<Address>>,
    turn: AtomicUsize,
    /// Whether a connection failed since the last lookup.
    doubted: AtomicBool,
    wake: Arc<Notify>,
}

struct Address {
    socket: SocketAddr,
    /// A [`Moment`]: until then others are preferred.
    rests_until: AtomicU64,
}

impl Addresses {
    /// The addresses of a host: known at once where it is an address itself (an IPv6 one may
    /// stand in brackets, as in a URL). `wake` is how a failed connection asks for a lookup.
    pub(super) fn new(host: &str, port: u16, wake: Arc<Notify>) -> Self {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let literal = bare.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, port));
        let known = literal.into_iter().map(Address::new).collect();
        Self {
            host: bare.into(),
            port,
            literal: literal.is_some(),
            known: ArcSwap::from_pointee(known),
            turn: AtomicUsize::new(0),
            doubted: AtomicBool::new(false),
            wake,
        }
    }

    /// Whether there is any address.
    pub(super) fn any(&self) -> bool {
        !self.known.load().is_empty()
    }

    /// The next address in turn: one that rests only where all do.
    pub(super) fn next(&self, now: Moment) -> Option<SocketAddr> {
        let known = self.known.load();
        let turn = match known.len() {
            0 => return None,
            1 => 0,
            count => self.turn.fetch_add(1, Ordering::Relaxed) % count,
        };
        let in_turn = || known.iter().cycle().skip(turn).take(known.len());
        let rested = in_turn().find(|address| address.rests_until.load(Ordering::Relaxed) <= now.0);
        rested.or_else(|| in_turn().next()).map(|address| address.socket)
    }

    /// No connection to this address could be made: others are preferred for a while, and
    /// the name is looked up again.
    pub(super) fn refused(&self, socket: SocketAddr, now: Moment) {
        for address in self.known.load().iter().filter(|address| address.socket == socket) {
            address.rests_until.store(now.after(ADDRESS_REST).0, Ordering::Relaxed);
        }
        if !self.literal && !self.doubted.swap(true, Ordering::Relaxed) {
            self.wake.notify_one();
        }
    }

    /// Whether a lookup is due, also between two rounds of all.
    pub(super) fn wanted(&self) -> bool {
        !self.literal && (self.doubted.load(Ordering::Relaxed) || !self.any())
    }

    /// Looks the name up; a failure leaves the addresses as they were.
    pub(super) async fn look_up(&self) -> io::Result<()> {
        if self.literal {
            return Ok(());
        }
        self.doubted.store(false, Ordering::Relaxed);
        let lookup = tokio::net::lookup_host((&*self.host, self.port));
        let found = tokio::time::timeout(LOOKUP_TIMEOUT, lookup).await??;
        self.replace(found.take(ADDRESSES_MAX));
        if self.any() { Ok(()) } else { Err(io::Error::other("the name has no address")) }
    }

    /// Takes new addresses over, unless there are none; one that was known keeps its rest.
    fn replace(&self, found: impl Iterator<Item = SocketAddr>) {
        let before = self.known.load();
        let carried = |socket| {
            let address = Address::new(socket);
            if let Some(known) = before.iter().find(|known| known.socket == socket) {
                address
                    .rests_until
                    .store(known.rests_until.load(Ordering::Relaxed), Ordering::Relaxed);
            }
            address
        };
        let after: Vec<Address> = found.map(carried).collect();
        if !after.is_empty() {
            self.known.store(Arc::new(after));
        }
    }
}

impl Address {
    fn new(socket: SocketAddr) -> Self {
        Self { socket, rests_until: AtomicU64::new(0) }
    }
}

/// The background service that keeps the addresses of a registry's endpoints fresh.
pub struct Resolver(Arc<Registry>);

impl Resolver {
    /// A resolver for all endpoints, also those that a reload will bring.
    pub fn new(registry: Arc<Registry>) -> Self {
        Self(registry)
    }
}

#[async_trait]
impl BackgroundService for Resolver {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let mut refresh = tokio::time::interval(REFRESH);
        refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let all = tokio::select! {
                _ = shutdown.changed() => return,
                _ = refresh.tick() => true,
                () = self.0.wake().notified() => false,
            };
            look_up_each(&self.0, all).await;
            tokio::select! {
                _ = shutdown.changed() => return,
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }
}

/// One round of lookups, side by side: of all names, or only of those that want one. What
/// still wants one afterwards asks for the next round.
pub(super) async fn look_up_each(registry: &Registry, all: bool) {
    let mut lookups = tokio::task::JoinSet::new();
    for live in registry.endpoints() {
        if all || live.addresses().wanted() {
            lookups.spawn(async move {
                match live.addresses().look_up().await {
                    Ok(()) if live.found() => info!("endpoint {}: resolved", live.id()),
                    Ok(()) => {}
                    Err(error) => warn!("endpoint {}: cannot be resolved: {error}", live.id()),
                }
            });
        }
    }
    while lookups.join_next().await.is_some() {}
    if registry.endpoints().iter().any(|live| live.addresses().wanted()) {
        registry.wake().notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::{ADDRESS_REST, Addresses, Moment};
    use std::net::SocketAddr;
    use std::sync::Arc;
    use tokio::sync::Notify;

    const START: Moment = Moment(1);

    fn socket(last: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], 80))
    }

    fn addresses(host: &str) -> Addresses {
        Addresses::new(host, 80, Arc::new(Notify::new()))
    }

    fn named(last: impl IntoIterator<Item = u8>) -> Addresses {
        let addresses = addresses("models.test");
        addresses.replace(last.into_iter().map(socket));
        addresses
    }

    fn turns(addresses: &Addresses, count: usize) -> Vec<SocketAddr> {
        (0..count).map(|_| addresses.next(START).unwrap()).collect()
    }

    #[test]
    fn a_literal_needs_no_lookup() {
        let table = [
            ("10.0.0.1", "10.0.0.1:80"),
            ("::1", "[::1]:80"),
            ("[2001:db8::1]", "[2001:db8::1]:80"),
        ];
        for (host, expected) in table {
            let addresses = addresses(host);
            assert_eq!(addresses.next(START), Some(expected.parse().unwrap()), "{host}");
            addresses.refused(expected.parse().unwrap(), START);
            assert!(!addresses.wanted(), "{host}");
        }
    }

    #[test]
    fn a_name_without_addresses_wants_a_lookup_and_has_nothing_to_offer() {
        let addresses = addresses("models.test");
        assert_eq!(addresses.next(START), None);
        assert!(addresses.wanted());
    }

    #[test]
    fn addresses_are_used_in_turn() {
        assert_eq!(turns(&named([1, 2, 3]), 6), [1, 2, 3, 1, 2, 3].map(socket));
    }

    #[test]
    fn an_address_that_refused_is_passed_over_for_a_while() {
        let addresses = named([1, 2]);
        addresses.refused(socket(1), START);
        assert_eq!(turns(&addresses, 4), [2, 2, 2, 2].map(socket));
        let later = START.after(ADDRESS_REST);
        let after: Vec<_> = (0..2).map(|_| addresses.next(later).unwrap()).collect();
        assert_eq!(after, [1, 2].map(socket));
    }

    #[test]
    fn where_all_refused_all_are_tried() {
        let addresses = named([1, 2]);
        addresses.refused(socket(1), START);
        addresses.refused(socket(2), START);
        assert_eq!(turns(&addresses, 4), [1, 2, 1, 2].map(socket));
    }

    #[tokio::test]
    async fn a_refusal_asks_for_a_lookup_once() {
        let addresses = named([1, 2]);
        assert!(!addresses.wanted());
        addresses.refused(socket(1), START);
        addresses.refused(socket(1), START);
        assert!(addresses.wanted());
        addresses.wake.notified().await;
    }

    #[test]
    fn a_lookup_keeps_the_rest_of_known_addresses_and_finding_none_changes_nothing() {
        let addresses = named([1, 2]);
        addresses.refused(socket(1), START);
        addresses.replace([1, 3].into_iter().map(socket));
        addresses.replace(std::iter::empty());
        assert_eq!(turns(&addresses, 4), [3, 3, 3, 3].map(socket));
    }

    #[tokio::test]
    async fn localhost_is_found_and_nonsense_is_not() {
        let local = addresses("localhost");
        local.look_up().await.unwrap();
        assert!(local.next(START).unwrap().ip().is_loopback());
        let nowhere = addresses("nowhere.invalid");
        assert!(nowhere.look_up().await.is_err());
        assert!(nowhere.wanted());
    }
}
