//! A place in a configuration: its path, its line, and where problems with it are reported.
//!
//! Checks walk the file and the typed value side by side, so that each can say where it stands.
//! A place that the file does not have takes the line of what it would lie in.

use std::fmt;

use super::problems::{Mark, Problem, Report};
use super::yaml::{Node, Value};

/// A place in the file.
pub(super) struct Spot<'a> {
    report: &'a Report,
    node: Option<&'a Node>,
    mark: Mark,
    path: String,
}

impl<'a> Spot<'a> {
    /// The whole file.
    pub(super) fn root(node: &'a Node, report: &'a Report) -> Self {
        Self { report, node: Some(node), mark: node.mark, path: String::new() }
    }

    /// The value of a key.
    pub(super) fn key(&self, key: &str) -> Self {
        let node = match self.node {
            Some(Node { value: Value::Map(members), .. }) => members.get(key),
            _ => None,
        };
        self.child(node.map(|(_, node)| (node.mark, node)), path_of_key(&self.path, key))
    }

    /// A key itself, where its name is what matters.
    pub(super) fn name_of(&self, key: &str) -> Self {
        Self { mark: self.line_of(key).mark, ..self.key(key) }
    }

    /// This place, at the line of one of its keys, without naming the key.
    pub(super) fn line_of(&self, key: &str) -> Self {
        let mark = match self.node {
            Some(Node { value: Value::Map(members), .. }) => {
                members.get(key).map(|(mark, _)| *mark)
            }
            _ => None,
        };
        let (node, path) = (self.node, self.path.clone());
        Self { report: self.report, node, mark: mark.unwrap_or(self.mark), path }
    }

    /// An item of a list.
    pub(super) fn item(&self, index: usize) -> Self {
        let node = match self.node {
            Some(Node { value: Value::List(items), .. }) => items.get(index),
            _ => None,
        };
        self.child(node.map(|node| (node.mark, node)), format!("{}[{index}]", self.path))
    }

    /// What the file has here, if it has anything.
    pub(super) fn node(&self) -> Option<&'a Node> {
        self.node
    }

    /// The keys of the mapping here, sorted.
    pub(super) fn keys(&self) -> Vec<&'a str> {
        match self.node {
            Some(Node { value: Value::Map(members), .. }) => {
                members.keys().map(String::as_str).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Reports a problem here.
    pub(super) fn refuse(&self, text: impl Into<String>) {
        self.report.add(Problem {
            mark: Some(self.mark),
            path: self.path.clone(),
            text: text.into(),
        });
    }

    /// Reports a problem here, and keeps later checks quiet about what lies under it.
    pub(super) fn refuse_whole(&self, text: impl Into<String>) {
        self.refuse(text);
        self.report.silence(&self.path);
    }

    fn child(&self, found: Option<(Mark, &'a Node)>, path: String) -> Self {
        let (mark, node) = match found {
            Some((mark, node)) => (mark, Some(node)),
            None => (self.mark, None),
        };
        Self { report: self.report, node, mark, path }
    }
}

impl fmt::Display for Spot<'_> {
    /// The path.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}

fn path_of_key(parent: &str, key: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    match (parent.is_empty(), !key.is_empty() && key.chars().all(plain)) {
        (true, true) => key.into(),
        (false, true) => format!("{parent}.{key}"),
        (_, false) => format!("{parent}[{key:?}]"),
    }
}
