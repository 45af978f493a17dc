//! What is made at run time, in numbers: written when it is taken into use, read at a scrape.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::page::{Family, Page};
use crate::config::objects::{Objects, SetAside};

/// The gauges of the roster; nothing is shown before one was looked at.
#[derive(Default)]
pub struct RosterMetrics {
    is_kept: AtomicBool,
    is_up: AtomicBool,
    tenants: AtomicUsize,
    keys: AtomicUsize,
    set_aside: AtomicUsize,
}

impl RosterMetrics {
    /// It was looked at, well or not.
    pub fn looked(&self, is_up: bool) {
        self.is_kept.store(true, Ordering::Relaxed);
        self.is_up.store(is_up, Ordering::Relaxed);
    }

    /// This is in effect now, but for what is set aside.
    pub fn in_use(&self, objects: &Objects, set_aside: &[SetAside]) {
        self.tenants.store(objects.tenants.len(), Ordering::Relaxed);
        self.keys.store(objects.keys.len(), Ordering::Relaxed);
        self.set_aside.store(set_aside.len(), Ordering::Relaxed);
    }

    pub(super) fn families(&self, page: &mut Page) {
        if !self.is_kept.load(Ordering::Relaxed) {
            return;
        }
        let whole = |number: &AtomicUsize| number.load(Ordering::Relaxed) as u64;
        let mut up = Family::gauge(
            "tollgate_roster_up",
            "Whether what is made at run time could be read when it was last looked at.",
        );
        up.sample(&[], u64::from(self.is_up.load(Ordering::Relaxed)));
        page.add(up);
        let mut objects =
            Family::gauge("tollgate_roster_objects", "What was made at run time, by its kind.");
        objects.sample(&[("kind", "tenant")], whole(&self.tenants));
        objects.sample(&[("kind", "key")], whole(&self.keys));
        page.add(objects);
        let mut set_aside = Family::gauge(
            "tollgate_roster_set_aside",
            "What was made at run time and is not in effect, because it does not go with the file.",
        );
        set_aside.sample(&[], whole(&self.set_aside));
        page.add(set_aside);
    }
}
