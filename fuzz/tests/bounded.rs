//! Every target for some seconds: first its seeds as they are, then damaged ones.
//!
//! A failure prints a seed, which `TOLLGATE_FUZZ=TARGET ARBTEST_SEED=0x…` repeats; `ARBTEST_BUDGET_MS` gives
//! more time.

use arbtest::arbitrary::{Result, Unstructured};
use arbtest::arbtest;
use tollgate_fuzz::{TARGETS, Target};

/// What all targets, side by side, take of the time of a test run, in milliseconds.
const BUDGET_MS: u64 = 60_000;

/// The random bytes by which an input is chosen and damaged.
const CHOICES_BYTES_MAX: u32 = 512;

/// The most bytes of an input.
const INPUT_BYTES_MAX: usize = 32 * 1024;

/// What is put in places where it may hurt.
const PIECES: &[&[u8]] = &[
    b"null",
    b"[]",
    b"{}",
    b"[[{}]]",
    b"\"\"",
    b"-1",
    b"1e400",
    b"18446744073709551616",
    b"true",
    b"\"\\ud83d\"",
    b"\\u0000",
    b"\xf0\x9f\xa6\x80",
    b"\xff",
    b"\r",
    b"\n",
    b"\r\n\r\n",
    b"\n\n",
    b"data: ",
    b"event: ",
    b"data: [DONE]\n\n",
    b",",
    b":",
    b"\"",
    b"\\",
    b"}",
    b"{\"index\":1}",
];

#[test]
fn targets_hold_for_damaged_inputs() {
    let only = std::env::var("TOLLGATE_FUZZ").ok();
    let is_wanted = |target: &&Target| only.as_ref().is_none_or(|only| only == target.name);
    let wanted: Vec<&Target> = TARGETS.iter().filter(is_wanted).collect();
    assert!(!wanted.is_empty(), "no target is called {only:?}");
    std::thread::scope(|scope| {
        for target in wanted {
            let thread = std::thread::Builder::new().name(target.name.to_owned());
            thread.spawn_scoped(scope, || try_out(target)).expect("a thread");
        }
    });
}

fn try_out(target: &Target) {
    let seeds = target.seeds.load();
    assert!(!seeds.is_empty(), "{} begins with something", target.name);
    seeds.iter().for_each(|seed| (target.run)(seed));
    let test = arbtest(|source| {
        (target.run)(&damaged(&seeds, source)?);
        Ok(())
    });
    let test = test.size_max(CHOICES_BYTES_MAX);
    let own = std::env::var_os("ARBTEST_BUDGET_MS").is_some();
    if own { test } else { test.budget_ms(BUDGET_MS) }.run();
}

/// A seed with some pieces cut out, doubled, put in, or taken from another seed.
fn damaged(seeds: &[Vec<u8>], source: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let mut data = source.choose(seeds)?.clone();
    for _ in 0..source.int_in_range(0..=8)? {
        let from = source.int_in_range(0..=data.len())?;
        let to = source.int_in_range(from..=data.len().min(from + 200))?;
        match source.int_in_range(0..=4)? {
            0 => drop(data.drain(from..to)),
            1 => data.splice(from..from, data[from..to].to_vec()).for_each(drop),
            2 => data.splice(from..to, source.choose(PIECES)?.iter().copied()).for_each(drop),
            3 => {
                let other = source.choose(seeds)?;
                let start = source.int_in_range(0..=other.len())?;
                let end = source.int_in_range(start..=other.len().min(start + 400))?;
                data.splice(from..from, other[start..end].iter().copied()).for_each(drop);
            }
            _ => {
                if let Some(byte) = data.get_mut(from) {
                    *byte = source.arbitrary()?;
                }
            }
        }
    }
    data.truncate(INPUT_BYTES_MAX);
    Ok(data)
}
