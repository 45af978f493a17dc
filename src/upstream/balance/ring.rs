//! Consistent hashing: the same target for the same hash, few moves when targets change.
//!
//! The ring is Pingora's ketama. Its points are computed from socket addresses; here they
//! come from the endpoint's id and model, so that a name that resolves to other addresses
//! moves nothing. Each target stands as an IPv6 address made from a digest of both, and the
//! flow label, which ketama ignores, carries the target's index back.

use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::Arc;

use pingora_ketama::{Bucket, Continuum, DEFAULT_POINT_MULTIPLE};
use sha2::{Digest, Sha256};

use crate::config::snapshot::Target;
use crate::upstream::pool::LiveTarget;
use crate::upstream::vitals::SHARE_FULL;

/// Weights in all, each of which costs 160 points of 8 bytes; larger ones are scaled down.
const WEIGHT_MAX: u64 = 4096;
/// Targets on a ring: ketama counts them with 16 bits.
const TARGETS_MAX: usize = 1 << 16;

/// The ring of one level.
pub(super) struct Ring {
    continuum: Continuum,
    /// No way around is longer; points that coincide make it shorter.
    points: usize,
}

impl Ring {
    /// A ring of the targets by their weights.
    pub(super) fn new(targets: &[Arc<LiveTarget>]) -> Self {
        let weight_of = |target: &LiveTarget| u64::from(target.target().weight.max(1));
        let sum: u64 = targets.iter().map(|target| weight_of(target)).sum();
        let mut buckets = Vec::with_capacity(targets.len());
        let mut points = 0;
        for (index, target) in (0u32..).zip(targets.iter().take(TARGETS_MAX)) {
            let weight = weight_of(target);
            let scaled = if sum <= WEIGHT_MAX { weight } else { weight * WEIGHT_MAX / sum };
            let weight = u32::try_from(scaled).unwrap_or(u32::MAX).max(1);
            buckets.push(Bucket::new(stand_in(index, target.target()), weight));
            points += weight as usize * DEFAULT_POINT_MULTIPLE as usize;
        }
        Self { continuum: Continuum::new(&buckets), points }
    }

    /// The target at the hash's place.
    pub(super) fn home<'a>(
        &self,
        hash: u64,
        targets: &'a [Arc<LiveTarget>],
    ) -> Option<&'a Arc<LiveTarget>> {
        let mut place = self.continuum.node_idx(&hash.to_le_bytes());
        targets.get(index(self.continuum.get_addr(&mut place)?))
    }

    /// The first target from the hash's place on that lets it in.
    ///
    /// A target that comes back turns away a part of its hashes, always the same ones, so
    /// that each moves home once. A hash that is turned away everywhere goes to the first
    /// target that is in at all.
    pub(super) fn pick<'a>(
        &self,
        hash: u64,
        targets: &'a [Arc<LiveTarget>],
        share: impl Fn(&LiveTarget) -> u32,
    ) -> Option<&'a Arc<LiveTarget>> {
        let mut place = self.continuum.node_idx(&hash.to_le_bytes());
        let mut next = || targets.get(index(self.continuum.get_addr(&mut place)?));
        let home = next()?;
        if lets_in(share(home), hash) {
            return Some(home);
        }
        // Before what may be a long way: whom is there to find?
        let welcome = targets.iter().any(|target| lets_in(share(target), hash));
        if !welcome && targets.iter().all(|target| share(target) == 0) {
            return None;
        }
        let takes = |target: &LiveTarget| match share(target) {
            share if welcome => lets_in(share, hash),
            share => share > 0,
        };
        if takes(home) {
            return Some(home);
        }
        (0..self.points).find_map(|_| next().filter(|target| takes(target)))
    }
}

/// Whether a share lets this hash in: by bits of its own, so that a growing share lets in
/// whom a smaller one did.
fn lets_in(share: u32, hash: u64) -> bool {
    // Mixed again: the caller's hash may be small numbers.
    let mixed = hash.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    mixed % u64::from(SHARE_FULL) < u64::from(share)
}

/// The address under which ketama knows a target.
fn stand_in(index: u32, target: &Target) -> SocketAddr {
    let mut digest = Sha256::new();
    digest.update(target.endpoint.id.as_str());
    digest.update([0]);
    digest.update(target.model.as_str());
    let mut octets = [0; 16];
    octets.iter_mut().zip(digest.finalize()).for_each(|(octet, byte)| *octet = byte);
    SocketAddrV6::new(Ipv6Addr::from(octets), 0, index, 0).into()
}

/// The index that an address carries.
fn index(address: &SocketAddr) -> usize {
    match address {
        SocketAddr::V6(address) => address.flowinfo() as usize,
        // No such address is put on the ring: out of every range.
        SocketAddr::V4(_) => usize::MAX,
    }
}
