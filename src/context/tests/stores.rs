//! Each store against the model: one client, and several at once.

use super::run::agree;
use super::site::{InMemory, InValkey, OnDisk};
use super::steps::{alone, crowd};

/// Clients at once.
const CLIENTS: usize = 4;

#[test]
fn memory_agrees_with_the_model() {
    agree::<InMemory>(64, alone());
}

#[test]
fn the_embedded_store_agrees_with_the_model() {
    agree::<OnDisk>(16, alone());
}

#[test]
fn valkey_agrees_with_the_model() {
    agree::<InValkey>(16, alone());
}

#[test]
fn memory_agrees_with_the_model_for_a_crowd() {
    agree::<InMemory>(64, crowd(CLIENTS));
}

#[test]
fn the_embedded_store_agrees_with_the_model_for_a_crowd() {
    agree::<OnDisk>(16, crowd(CLIENTS));
}

#[test]
fn valkey_agrees_with_the_model_for_a_crowd() {
    agree::<InValkey>(16, crowd(CLIENTS));
}
