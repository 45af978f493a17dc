//! The ways in which bytes may arrive: at once, one by one, and in pieces that follow from the bytes.

use std::hash::{DefaultHasher, Hash, Hasher};

/// The splits that a stream is tried with, the whole first.
pub fn splits(data: &[u8]) -> [Vec<&[u8]>; 3] {
    let mut hasher = DefaultHasher::new();
    data.hash(&mut hasher);
    let mut random = fastrand::Rng::with_seed(hasher.finish());
    let mut pieces = Vec::new();
    let mut rest = data;
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(random.usize(1..=rest.len().min(64)));
        pieces.push(piece);
        rest = behind;
    }
    [vec![data], data.chunks(1).collect(), pieces]
}

/// Asserts that a reader gives the same however its input is cut.
///
/// # Panics
/// Where it does not.
pub fn same<T: PartialEq + std::fmt::Debug>(data: &[u8], read: impl Fn(&[&[u8]]) -> T) -> T {
    let [whole, bytes, pieces] = splits(data);
    let expected = read(&whole);
    for cut in [bytes, pieces] {
        let found = read(&cut);
        assert!(
            found == expected,
            "cut into {} pieces:\n{found:?}\nat once:\n{expected:?}",
            cut.len()
        );
    }
    expected
}
