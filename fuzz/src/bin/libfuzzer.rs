//! A target driven by libFuzzer, which looks for inputs that reach new code: see `make fuzz`.
//!
//! `TOLLGATE_FUZZ` names the target, and the arguments are libFuzzer's.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tollgate_fuzz::{TARGETS, Target, named};

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("TOLLGATE_FUZZ").unwrap_or_default();
    let names = TARGETS.map(|target| target.name);
    named(&name).unwrap_or_else(|| panic!("TOLLGATE_FUZZ names a target of {}", names.join(", ")))
});

fuzz_target!(|data: &[u8]| (TARGET.run)(data));
