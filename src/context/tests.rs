//! All stores against a plain model: several clients turn, patch, roll back, fork and delete at once,
//! processes are killed under them, contexts expire and are forgotten, and every answer is one that the
//! model gives too.
//!
//! | file | |
//! |---|---|
//! | `model` | what may be asked, and the plain model that answers it |
//! | `steps` | random steps, and what happens between them |
//! | `gateway` | the contexts of one process, with a clock of the test's own |
//! | `line` | a client's way to a gateway: in this process, or in one that can be killed |
//! | `site` | a store with its gateways: what a restart and a crash mean there |
//! | `order` | whether some order of the calls explains their answers |
//! | `run` | brings all of these together |
//! | `stores` | the tests |

mod gateway;
mod line;
mod model;
mod order;
mod run;
mod site;
mod steps;
mod stores;

use std::time::Duration;

use super::Rules;

/// Few, so that steps meet.
const IDS: [&str; 4] = ["a", "b", "c", "d"];

/// One context less than there are ids, so that the limit is met.
const CONTEXTS_MAX: usize = IDS.len() - 1;

/// Few, so that versions are folded.
const VERSIONS_MAX: usize = 4;

/// How long a context is kept, in minutes of the test's own clock.
const TTL_MINUTES: u64 = 60;

fn rules() -> Rules {
    Rules {
        versions_max: VERSIONS_MAX,
        tenant_contexts_max: CONTEXTS_MAX,
        ttl: Duration::from_secs(TTL_MINUTES * 60),
        // No machine is so slow that a turn is refused for this.
        turn_wait: Duration::from_secs(60),
        ..Rules::default()
    }
}
