//! temp
use bytes::Bytes;
use pingora::http::ResponseHeader;
use crate::request::Request;
use crate::types::TokenUsage;
/// m
pub struct Meter {}
impl Meter {
    /// m
    pub fn of(_r: &ResponseHeader, _q: &Request) -> Self { Meter {} }
    /// m
    pub fn may_cut(&self) -> bool { false }
    /// m
    pub fn read(&mut self, _b: &mut Option<Bytes>, _end: bool) -> pingora::Result<()> { Ok(()) }
    /// m
    pub fn tokens(&self) -> Option<TokenUsage> { None }
    /// m
    pub fn is_stream(&self) -> bool { false }
}
