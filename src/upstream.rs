//! Endpoints and their live state.

/// Why an endpoint was taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ejection {
    /// Failures in a row of real requests.
    Failures,
    /// It answered 429.
    RateLimited,
    /// Active checks failed.
    Check,
}
