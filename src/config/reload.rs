//! Taking a changed configuration into use while requests run.

use crate::types::Revision;

/// What came of a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReloadReport {
    /// The configuration in use now.
    pub revision: Revision,
    /// Whether it is another than before.
    pub outcome: Outcome,
    /// Everything that is wrong with a refused file, one sentence each.
    pub problems: Vec<String>,
    /// Changed settings that only a new process takes up.
    pub needs_upgrade: Vec<String>,
}

/// What a reload did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The new configuration is in use.
    Applied,
    /// The file is wrong, and the old configuration stays.
    Refused,
}
