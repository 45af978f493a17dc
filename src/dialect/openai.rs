//! OpenAI's API, as spoken by OpenAI and by the many servers that follow it: what a request says,
//! what an answer, a stream and an error say, and the bodies that the gateway itself answers with.

pub mod answer;
pub mod capture;
pub mod error;
pub mod quirks;
pub mod request;
pub mod stream;

#[cfg(test)]
mod tests;
