//! What is wrong with a configuration: collected while checking, shown all at once.
//!
//! A message says what is wrong, which value, and what would be right. It never holds a secret:
//! whoever words one must leave out values that may be one.

use std::cell::RefCell;
use std::fmt;

use serde::Serialize;

/// Problems kept of one file; the rest is only counted.
const PROBLEMS_MAX: usize = 200;

/// Names listed in one message.
const NAMES_MAX: usize = 24;

/// A place in the file, both counted from 1, the column in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Mark {
    /// The line.
    pub line: u64,
    /// The column.
    pub column: u64,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Where; `None` where the file as a whole is meant.
    pub mark: Option<Mark>,
    /// The YAML path, `models.chat.candidates[1].provider`; empty for the whole file.
    pub path: String,
    /// What is wrong, which value, and what would be right.
    pub text: String,
}

/// Everything that is wrong with one file, in the order of its lines; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    origin: String,
    list: Vec<Problem>,
    left_out: usize,
}

impl Problems {
    /// The problem of a file that cannot even be read.
    pub(super) fn of_file(origin: &str, text: String) -> Self {
        Self::one(origin, Problem { mark: None, path: String::new(), text })
    }

    /// A single problem.
    pub(super) fn one(origin: &str, problem: Problem) -> Self {
        Self { origin: origin.into(), list: vec![problem], left_out: 0 }
    }

    /// Each problem, at most 200, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter()
    }

    /// Each problem as one line of text: `file:line:column: path: what is wrong`.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.list.iter().map(|problem| {
            let mut line = self.origin.clone();
            if let Some(Mark { line: row, column }) = problem.mark {
                line.push_str(&format!(":{row}:{column}"));
            }
            if !problem.path.is_empty() {
                line.push_str(&format!(": {}", problem.path));
            }
            line.push_str(&format!(": {}", problem.text));
            line
        })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.list.len() + self.left_out
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in self.lines() {
            writeln!(f, "{line}")?;
        }
        match (self.count(), self.left_out) {
            (1, _) => write!(f, "1 problem"),
            (count, 0) => write!(f, "{count} problems"),
            (count, left_out) => write!(f, "{count} problems, {left_out} of them not shown"),
        }
    }
}

impl std::error::Error for Problems {}

/// Problems while they are being collected.
#[derive(Default)]
pub(super) struct Report {
    found: RefCell<Found>,
}

#[derive(Default)]
struct Found {
    list: Vec<Problem>,
    /// Paths under which nothing more is said: their values are not what they should be.
    silenced: Vec<String>,
    left_out: usize,
}

impl Report {
    /// Adds a problem, unless its path has one already or lies under a silenced one.
    pub(super) fn add(&self, problem: Problem) {
        let mut found = self.found.borrow_mut();
        let silent = found.silenced.iter().any(|above| is_under(&problem.path, above))
            || found.list.iter().any(|other| other.path == problem.path);
        if silent {
            return;
        }
        if found.list.len() < PROBLEMS_MAX {
            found.list.push(problem);
        } else {
            found.left_out += 1;
        }
    }

    /// Keeps later checks from speaking about a value that was replaced by an empty one.
    pub(super) fn silence(&self, path: &str) {
        let mut found = self.found.borrow_mut();
        if found.silenced.len() < PROBLEMS_MAX {
            found.silenced.push(path.into());
        }
    }

    /// `Ok` where nothing was found.
    pub(super) fn finish(self, origin: &str) -> Result<(), Problems> {
        if self.found.borrow().list.is_empty() {
            return Ok(());
        }
        Err(self.into_problems(origin))
    }

    /// What was found, in the order of the file.
    pub(super) fn into_problems(self, origin: &str) -> Problems {
        let Found { mut list, left_out, .. } = self.found.into_inner();
        list.sort_by(|a, b| (a.mark, &a.path).cmp(&(b.mark, &b.path)));
        Problems { origin: origin.into(), list, left_out }
    }
}

fn is_under(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| {
        above.is_empty() || rest.is_empty() || rest.starts_with('.') || rest.starts_with('[')
    })
}

/// Says that a name is unknown, and which are known: ``no provider `opena1`: did you mean
/// `openai`? There are `local`, `openai` ``. `what` is the part before the colon.
pub(super) fn unknown(what: &str, name: &str, known: &[&str]) -> String {
    match (nearest(name, known), known) {
        (_, []) => format!("{what}: there is none"),
        (Some(nearest), [_]) => format!("{what}: did you mean `{nearest}`?"),
        (Some(nearest), _) => {
            format!("{what}: did you mean `{nearest}`? There are {}", names(known))
        }
        (None, [only]) => format!("{what}: there is only `{only}`"),
        (None, _) => format!("{what}: there are {}", names(known)),
    }
}

/// `` `a`, `b`, `c` ``, and how many more there are.
pub(super) fn names(names: &[&str]) -> String {
    let shown: Vec<_> = names.iter().take(NAMES_MAX).map(|name| format!("`{name}`")).collect();
    match names.len().saturating_sub(NAMES_MAX) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// The known name that is most like `name`, if one is near: a third of it may differ.
fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    // Comparing takes the product of both lengths.
    const COMPARED_BYTES_MAX: usize = 128;
    if name.len() > COMPARED_BYTES_MAX {
        return None;
    }
    let far = (name.chars().count() / 3).max(1);
    known
        .iter()
        .filter(|known| known.len() <= COMPARED_BYTES_MAX)
        .map(|known| (strsim::damerau_levenshtein(name, known), *known))
        .filter(|(distance, _)| *distance <= far)
        .min()
        .map(|(_, known)| known)
}
