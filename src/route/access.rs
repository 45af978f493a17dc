//! The path of requests for access: `/v1/access-requests`.

use http::Method;

/// What is asked there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// `POST`: for access to a model.
    Ask,
    /// `GET`: what the tenant asked for.
    List,
}

/// The path.
pub const PATH: &str = "/v1/access-requests";

/// What each method does there.
pub const ACTIONS: [(Method, Action); 2] =
    [(Method::GET, Action::List), (Method::POST, Action::Ask)];
