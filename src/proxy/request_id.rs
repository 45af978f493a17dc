//! Request ids: 32 hexadecimal digits, unique over processes, made without a system call.
//!
//! They name a request in headers and logs and guard nothing, so they need not be secret.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use ahash::RandomState;
use http::HeaderValue;

static SEEDS: LazyLock<(RandomState, RandomState)> = LazyLock::new(Default::default);
static NEXT: AtomicU64 = AtomicU64::new(0);

/// The next id: a counter under two hashes that are seeded anew in each process.
pub fn next() -> HeaderValue {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let wide = u128::from(SEEDS.0.hash_one(number)) << 64 | u128::from(SEEDS.1.hash_one(number));
    let mut digits = [0; 32];
    let written = hex::encode_to_slice(wide.to_be_bytes(), &mut digits).ok();
    // Digits are always a header value; the empty one stands for none.
    let id = written.and_then(|()| HeaderValue::from_bytes(&digits).ok());
    id.unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use http::HeaderValue;

    #[test]
    fn ids_differ_and_have_their_length() {
        let ids: HashSet<HeaderValue> = (0..10_000).map(|_| super::next()).collect();
        assert_eq!(ids.len(), 10_000);
        assert!(ids.iter().all(|id| id.len() == 32));
    }
}
