//! Each store against the model: one client, and several at once.

use super::run::agree;
use super::site::{InMemory, InValkey, OnDisk};
use super::steps::{alone, crowd};

/// Clients at once.
const CLIENTS: usize = 4;

#[test]
fn memory_agrees_with_the_model() {
    agree::<InMemory>(40, alone());
}

#[test]
fn the_embedded_store_agrees_with_the_model() {
    agree::<OnDisk>(12, alone());
}

#[test]
fn valkey_agrees_with_the_model() {
    agree::<InValkey>(10, alone());
}

#[test]
fn memory_agrees_with_the_model_for_a_crowd() {
    agree::<InMemory>(64, crowd(CLIENTS));
}

#[test]
fn the_embedded_store_agrees_with_the_model_for_a_crowd() {
    agree::<OnDisk>(24, crowd(CLIENTS));
}

#[test]
fn valkey_agrees_with_the_model_for_a_crowd() {
    agree::<InValkey>(12, crowd(CLIENTS));
}
