//! The paths of contexts: `/v1/contexts` and what lies below.

use http::Method;

/// What is asked of a context, and of which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its id as the path has it, not checked; empty where a context is made.
    pub id: Box<str>,
    /// What is asked.
    pub action: Action,
}

/// What is asked of a context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// `POST /v1/contexts`
    Create,
    /// `GET /v1/contexts/{id}`
    Show,
    /// `PATCH /v1/contexts/{id}`
    Change,
    /// `DELETE /v1/contexts/{id}`
    Delete,
    /// `GET /v1/contexts/{id}/versions`
    Versions,
    /// `POST /v1/contexts/{id}/rollback`
    Rollback,
    /// `POST /v1/contexts/{id}/fork`
    Fork,
}

/// An example of each path, below `/v1`.
pub const PATHS: [&str; 5] = [
    "/contexts",
    "/contexts/id",
    "/contexts/id/versions",
    "/contexts/id/rollback",
    "/contexts/id/fork",
];

/// What each method does at a path below `/v1`; `None` where no context is meant.
pub fn at(path: &str) -> Option<(&str, &'static [(Method, Action)])> {
    const LIST: &[(Method, Action)] = &[(Method::POST, Action::Create)];
    const ONE: &[(Method, Action)] = &[
        (Method::GET, Action::Show),
        (Method::PATCH, Action::Change),
        (Method::DELETE, Action::Delete),
    ];
    const VERSIONS: &[(Method, Action)] = &[(Method::GET, Action::Versions)];
    const ROLLBACK: &[(Method, Action)] = &[(Method::POST, Action::Rollback)];
    const FORK: &[(Method, Action)] = &[(Method::POST, Action::Fork)];
    let rest = path.strip_prefix("/contexts")?;
    if rest.is_empty() {
        return Some(("", LIST));
    }
    let rest = rest.strip_prefix('/')?;
    let (id, below) = rest.split_once('/').map_or((rest, None), |(id, below)| (id, Some(below)));
    let actions = match below {
        None => ONE,
        Some("versions") => VERSIONS,
        Some("rollback") => ROLLBACK,
        Some("fork") => FORK,
        Some(_) => return None,
    };
    (!id.is_empty()).then_some((id, actions))
}
