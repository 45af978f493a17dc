//! Who waits at one account, and whose turn it is: higher priorities first, tenants of one priority in
//! turn, requests of one tenant as they came. Pure: it knows no time and wakes nobody but the first.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tokio::sync::Notify;

use crate::config::snapshot::terms::Rule;
use crate::types::TenantId;

/// A request that waits.
pub struct Waiter {
    /// Higher ones go first.
    pub priority: u32,
    /// Tenants take turns.
    pub tenant: TenantId,
    /// Told when it should try again.
    pub called: Notify,
}

/// Those who wait at one account.
pub struct Queue {
    /// What the last to come was refused by.
    pub rule: Rule,
    classes: BTreeMap<Reverse<u32>, VecDeque<Line>>,
}

/// Those of one tenant and priority; never empty.
struct Line {
    tenant: TenantId,
    waiters: VecDeque<Arc<Waiter>>,
}

impl Waiter {
    /// A request of a tenant.
    pub fn new(priority: u32, tenant: TenantId) -> Arc<Self> {
        Arc::new(Self { priority, tenant, called: Notify::new() })
    }
}

impl Queue {
    /// Nobody waits yet.
    pub fn new(rule: Rule) -> Self {
        Self { rule, classes: BTreeMap::new() }
    }

    /// Takes a place behind its tenant's others; a tenant that comes anew is the last of its priority.
    pub fn join(&mut self, waiter: &Arc<Waiter>) {
        let class = self.classes.entry(Reverse(waiter.priority)).or_default();
        match class.iter_mut().find(|line| line.tenant == waiter.tenant) {
            Some(line) => line.waiters.push_back(Arc::clone(waiter)),
            None => class.push_back(Line {
                tenant: waiter.tenant.clone(),
                waiters: VecDeque::from([Arc::clone(waiter)]),
            }),
        }
    }

    /// Gives a place up. Where it was served, its tenant's others go behind the other tenants.
    pub fn leave(&mut self, waiter: &Arc<Waiter>, was_served: bool) {
        let Some(class) = self.classes.get_mut(&Reverse(waiter.priority)) else { return };
        let Some(index) = class.iter().position(|line| line.tenant == waiter.tenant) else {
            return;
        };
        let Some(mut line) = class.remove(index) else { return };
        line.waiters.retain(|other| !Arc::ptr_eq(other, waiter));
        if !line.waiters.is_empty() {
            class.insert(if was_served { class.len() } else { index }, line);
        } else if class.is_empty() {
            self.classes.remove(&Reverse(waiter.priority));
        }
    }

    /// Whose turn it is.
    pub fn first(&self) -> Option<&Arc<Waiter>> {
        self.classes.values().next()?.front()?.waiters.front()
    }

    /// Tells the first to try again.
    pub fn call(&self) {
        if let Some(first) = self.first() {
            first.called.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};
    use proptest::{collection::vec, option};

    use super::{Queue, Waiter};
    use crate::admission::Rule;

    fn queue() -> Queue {
        Queue::new(Rule::InFlight)
    }

    /// Serves all, and says whose turns they were.
    fn served(mut queue: Queue) -> String {
        let mut order = String::new();
        while let Some(first) = queue.first().cloned() {
            order.push_str(first.tenant.as_str());
            queue.leave(&first, true);
        }
        order
    }

    #[test]
    fn tenants_take_turns_and_higher_priorities_go_first() {
        for (joined, expected) in [
            (vec![(0, "a"), (0, "a"), (0, "a"), (0, "b"), (0, "c"), (0, "b")], "abcaba"),
            (vec![(0, "a"), (5, "b"), (0, "a"), (5, "c"), (9, "d"), (5, "b")], "dbcbaa"),
            (vec![], ""),
        ] {
            let mut queue = queue();
            for (priority, tenant) in joined {
                queue.join(&Waiter::new(priority, tenant.into()));
            }
            assert_eq!(served(queue), expected);
        }
    }

    #[test]
    fn who_leaves_unserved_costs_its_tenant_no_turn() {
        let mut queue = queue();
        let gone = Waiter::new(0, "a".into());
        queue.join(&gone);
        for tenant in ["b", "a"] {
            queue.join(&Waiter::new(0, tenant.into()));
        }
        queue.leave(&gone, false);
        queue.leave(&gone, false);
        assert_eq!(served(queue), "ab");
    }

    proptest! {
        /// Whoever comes and goes: nobody is lost, none of a lower priority goes before a higher one, and
        /// while tenants of one priority wait, none has two turns more than another.
        #[test]
        fn every_tenant_has_its_turns(
            steps in vec((0u32..3, 0usize..4, option::of(0usize..30)), 1..80),
        ) {
            let (mut queue, mut here) = (queue(), Vec::<Arc<Waiter>>::new());
            for (priority, tenant, leaves) in steps {
                if let Some(index) = leaves.filter(|index| *index < here.len()) {
                    queue.leave(&here.remove(index), false);
                }
                let waiter = Waiter::new(priority, ["a", "b", "c", "d"][tenant].into());
                queue.join(&waiter);
                here.push(waiter);
            }
            let mut turns = std::collections::BTreeMap::<(u32, String), usize>::new();
            let mut last = u32::MAX;
            while let Some(first) = queue.first().cloned() {
                let of = |waiter: &Waiter| (waiter.priority, waiter.tenant.to_string());
                prop_assert!(first.priority <= last);
                last = first.priority;
                queue.leave(&first, true);
                here.retain(|other| !Arc::ptr_eq(other, &first));
                *turns.entry(of(&first)).or_default() += 1;
                let waits = here.iter().filter(|other| other.priority == last);
                let fewest = waits.map(|other| turns.get(&of(other)).copied().unwrap_or(0)).min();
                prop_assert!(turns[&of(&first)] <= fewest.unwrap_or(usize::MAX - 1) + 1);
            }
            prop_assert_eq!(here.len(), 0);
        }
    }
}
