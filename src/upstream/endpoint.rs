//! One endpoint as requests meet it: its configuration, its live state, its peer.
//!
//! A [`LiveEndpoint`] is made anew with each configuration and keeps to it; the live state
//! behind it is shared with its predecessors, so health, latency and load survive a reload
//! while a request never sees another configuration's rules.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::warn;
use pingora::protocols::l4::socket;
use pingora::upstreams::peer::HttpPeer;

use crate::config::snapshot::{Endpoint, Timeouts};
use crate::telemetry::metrics::EndpointMetrics;
use crate::types::EndpointId;
use crate::usage::Outcome;

use super::Ejection;
use super::credential::LiveCredential;
use super::http1;
use super::moment::{Moment, Origin};
use super::peer::{Unusable, template};
use super::resolve::Addresses;
use super::vitals::{Out, Vitals};

/// An endpoint of the current configuration and its live state.
pub struct LiveEndpoint {
    endpoint: Arc<Endpoint>,
    metrics: Arc<EndpointMetrics>,
    vitals: Arc<Vitals>,
    addresses: Arc<Addresses>,
    /// `None` where fixed headers are enough.
    credential: Option<Arc<LiveCredential>>,
    peer: HttpPeer,
    origin: Origin,
}

impl LiveEndpoint {
    /// A new endpoint. One without an address is out until it has one.
    pub(super) fn new(
        endpoint: Arc<Endpoint>,
        metrics: Arc<EndpointMetrics>,
        addresses: Addresses,
        idle: Duration,
        origin: Origin,
    ) -> Result<Self, Unusable> {
        let peer = template(&endpoint, idle)?;
        let vitals = Vitals::default();
        if !addresses.any() {
            vitals.take_out(Out::Unresolved);
        }
        let (vitals, addresses) = (Arc::new(vitals), Arc::new(addresses));
        Ok(Self { endpoint, metrics, vitals, addresses, credential: None, peer, origin })
    }

    /// The same endpoint under a new configuration, with its live state.
    pub(super) fn renewed(
        &self,
        endpoint: Arc<Endpoint>,
        idle: Duration,
    ) -> Result<Self, Unusable> {
        Ok(Self {
            peer: template(&endpoint, idle)?,
            endpoint,
            metrics: Arc::clone(&self.metrics),
            vitals: Arc::clone(&self.vitals),
            addresses: Arc::clone(&self.addresses),
            credential: None,
            origin: self.origin,
        })
    }

    /// The same with what authorises its requests.
    pub(super) fn authorised_by(self, credential: Option<Arc<LiveCredential>>) -> Self {
        Self { credential, ..self }
    }

    /// Whether live state learned here holds for another configuration of the endpoint.
    pub(super) fn connects_like(&self, other: &Endpoint) -> bool {
        let Endpoint { host, port, tls, .. } = &*self.endpoint;
        (host, port, tls) == (&other.host, &other.port, &other.tls)
    }

    /// Its stable name.
    pub fn id(&self) -> &EndpointId {
        &self.endpoint.id
    }

    /// Its configuration.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// What authorises its requests, where fixed headers do not.
    pub fn credential(&self) -> Option<&Arc<LiveCredential>> {
        self.credential.as_ref()
    }

    /// Its metric handles.
    pub fn metrics(&self) -> &Arc<EndpointMetrics> {
        &self.metrics
    }

    /// Requests at the endpoint now, of all aliases.
    pub fn in_flight(&self) -> usize {
        self.vitals.in_flight() as usize
    }

    /// How long its answers take now, as the balance sees it; `None` before the first.
    pub fn latency(&self, now: Instant) -> Option<Duration> {
        let seconds = self.vitals.latency.seconds(self.origin.at(now))?;
        Duration::try_from_secs_f32(seconds).ok()
    }

    /// Whether the endpoint takes requests: it has an address and a credential, passes its checks, and is
    /// not ejected.
    pub fn is_in(&self, now: Instant) -> bool {
        self.wait(self.origin.at(now)) == 0
    }

    /// How long until it takes requests: see [`Vitals::wait`]; without a credential it cannot be told.
    pub(super) fn wait(&self, now: Moment) -> u64 {
        if self.is_authorised() { self.vitals.wait(now) } else { u64::MAX }
    }

    /// What part of its weight it should take: see [`Vitals::share`]; none without a credential.
    pub(super) fn share(&self, now: Moment) -> u32 {
        let slow_start = self.endpoint.passive.slow_start;
        if self.is_authorised() { self.vitals.share(slow_start, now) } else { 0 }
    }

    fn is_authorised(&self) -> bool {
        self.credential.as_ref().is_none_or(|credential| credential.is_usable())
    }

    /// Where and how to connect, now: the next address in turn. `None`: none is known yet,
    /// which counts as a failure to connect.
    ///
    /// `left` is what is left of the request's whole time: connecting takes no longer, nor does
    /// sending the request. The times of an answer are not set: Pingora has one for every read,
    /// and the proxy keeps them itself.
    pub fn peer(&self, timeouts: &Timeouts, left: Duration, now: Instant) -> Option<Box<HttpPeer>> {
        let address = self.next_address(now)?;
        let mut peer = Box::new(self.peer.clone());
        peer._address = socket::SocketAddr::Inet(address);
        let options = &mut peer.options;
        let connect = Some(timeouts.connect.min(left));
        options.connection_timeout = connect;
        options.total_connection_timeout = connect;
        options.write_timeout = Some(left);
        if self.endpoint.tls.is_none() {
            options.alpn = http1::protocol();
        }
        Some(peer)
    }

    pub(super) fn vitals(&self) -> &Arc<Vitals> {
        &self.vitals
    }

    pub(super) fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The peer without address and times, for active checks.
    pub(super) fn bare_peer(&self) -> &HttpPeer {
        &self.peer
    }

    /// Whether checks of the other endpoint would be the same, counts and all.
    pub(super) fn checks_like(&self, other: &Self) -> bool {
        let what = |live: &Self| {
            let Endpoint { health, headers, authority, .. } = &*live.endpoint;
            (health.clone(), headers.clone(), authority.clone(), live.peer.group_key)
        };
        Arc::ptr_eq(&self.vitals, &other.vitals) && what(self) == what(other)
    }

    /// It has an address now; says whether it had none before.
    pub(super) fn found(&self) -> bool {
        self.vitals.let_in(Out::Unresolved)
    }

    /// Active checks say that it is well, or not; says whether that is new.
    pub(super) fn checked(&self, good: bool, now: Instant) -> bool {
        let new =
            if good { self.vitals.let_in(Out::Check) } else { self.vitals.take_out(Out::Check) };
        match (new, good) {
            (true, true) => self.vitals.ramp_from(self.origin.at(now)),
            (true, false) => self.metrics.ejected(Ejection::Check),
            (false, _) => {}
        }
        new
    }

    /// The next address in turn.
    pub(super) fn next_address(&self, now: Instant) -> Option<SocketAddr> {
        self.addresses.next(self.origin.at(now))
    }

    /// What came of an attempt that began at `started`.
    pub(super) fn report(&self, report: Report, started: Moment, now: Moment) {
        let (passive, vitals) = (&self.endpoint.passive, &self.vitals);
        if let (Outcome::Connect | Outcome::ConnectTimeout, Some(address)) =
            (report.outcome, report.address)
        {
            self.addresses.refused(address, now);
        }
        let ejection = match effect(report) {
            Effect::Success => {
                vitals.succeeded(started);
                None
            }
            Effect::Failure => vitals.failed(passive, started, now).then_some(Ejection::Failures),
            Effect::Limited(after) => {
                vitals.rate_limited(after, passive, now).then_some(Ejection::RateLimited)
            }
            Effect::Nothing => None,
        };
        if let Some(reason) = ejection {
            self.metrics.ejected(reason);
            warn!("endpoint {}: ejected after {}", self.id(), report.outcome.label());
        }
    }
}

/// What an attempt tells about its endpoint.
#[derive(Clone, Copy, Debug)]
pub(super) struct Report {
    /// What came of it.
    pub(super) outcome: Outcome,
    /// The answer's `Retry-After`, if it had one.
    pub(super) retry_after: Option<Duration>,
    /// Whether an answer had begun.
    pub(super) answered: bool,
    /// Where the connection was sought.
    pub(super) address: Option<SocketAddr>,
}

/// What an attempt says about its endpoint's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// It works: also where it refused the request for good reasons (4xx).
    Success,
    /// It does not.
    Failure,
    /// It wants to be left alone for this time.
    Limited(Duration),
    /// Neither: what happened was not its doing.
    Nothing,
}

/// The table of effects.
pub(super) fn effect(report: Report) -> Effect {
    match report.outcome {
        Outcome::Answered(status) | Outcome::Status(status) => match (status, report.retry_after) {
            (429, Some(after)) => Effect::Limited(after),
            (429 | 408 | 500.., _) => Effect::Failure,
            _ => Effect::Success,
        },
        Outcome::Connect
        | Outcome::ConnectTimeout
        | Outcome::FirstByteTimeout
        | Outcome::BetweenBytesTimeout
        | Outcome::Broken => Effect::Failure,
        // A long answer may outlast the request's time through no fault of the endpoint.
        Outcome::TotalTimeout if report.answered => Effect::Nothing,
        Outcome::TotalTimeout => Effect::Failure,
        // Whether there is a credential is seen before an endpoint is picked.
        Outcome::NoCredential | Outcome::ClientGone | Outcome::Internal => Effect::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::{Effect, Outcome, Report, effect};
    use std::time::Duration;

    #[test]
    fn each_outcome_has_its_effect() {
        use Outcome::{
            Answered, BetweenBytesTimeout, Broken, ClientGone, Connect, ConnectTimeout,
            FirstByteTimeout, Internal, NoCredential, Status, TotalTimeout,
        };
        let after = Some(Duration::from_secs(7));
        let limited = Effect::Limited(Duration::from_secs(7));
        let table = [
            (Answered(200), None, true, Effect::Success),
            (Answered(400), None, true, Effect::Success),
            (Answered(401), None, true, Effect::Success),
            (Answered(404), after, true, Effect::Success),
            (Answered(408), None, true, Effect::Failure),
            (Answered(429), after, true, limited),
            (Status(429), after, true, limited),
            (Status(429), None, true, Effect::Failure),
            (Status(500), None, true, Effect::Failure),
            (Answered(503), after, true, Effect::Failure),
            (NoCredential, None, false, Effect::Nothing),
            (Connect, None, false, Effect::Failure),
            (ConnectTimeout, None, false, Effect::Failure),
            (FirstByteTimeout, None, false, Effect::Failure),
            (BetweenBytesTimeout, None, true, Effect::Failure),
            (TotalTimeout, None, false, Effect::Failure),
            (TotalTimeout, None, true, Effect::Nothing),
            (Broken, None, true, Effect::Failure),
            (ClientGone, None, true, Effect::Nothing),
            (Internal, None, false, Effect::Nothing),
        ];
        for (outcome, retry_after, answered, expected) in table {
            let report = Report { outcome, retry_after, answered, address: None };
            assert_eq!(effect(report), expected, "{report:?}");
        }
    }
}
