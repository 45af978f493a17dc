//! What a failed attempt leads to: another one, or the error that the client gets.
//!
//! Three hooks learn of failures: no connection, a status, a break in between. Each names the
//! outcome; [`conclude`] ends the attempt with it, asks the retry table and the budget, and
//! leaves the last word's error in the context.

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::StatusCode;
use http::header::RETRY_AFTER;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use pingora::{ErrorSource, ErrorType, Result};
use tokio::time::Instant;

use super::deadline::Phase;
use super::exchange::{Context, Exchange};
use super::refusal::Refusal;
use crate::admission::PassedBudget;
use crate::config::snapshot::terms::PERIODS;
use crate::error::{Error, Kind};
use crate::retry::{self, Progress, Verdict};
use crate::usage::Outcome;

/// Pingora's name for an attempt that could not be authorised.
pub const NO_CREDENTIAL: &str = "NoCredential";

/// No connection could be made, or none was worth it.
pub fn connect(ctx: &mut Context, mut error: Box<pingora::Error>) -> Box<pingora::Error> {
    let outcome = match error.etype() {
        ErrorType::ConnectTimedout | ErrorType::TLSHandshakeTimedout => Outcome::ConnectTimeout,
        ErrorType::Custom(NO_CREDENTIAL) => Outcome::NoCredential,
        _ => Outcome::Connect,
    };
    let again = conclude(ctx, outcome, None, &error.to_string());
    error.set_retry(again);
    error
}

/// The connection broke, a deadline passed or the client left, before the answer was complete.
pub fn proxy(
    ctx: &mut Context,
    session: &Session,
    mut error: Box<pingora::Error>,
    reused: bool,
) -> Box<pingora::Error> {
    // A status that failed the attempt has concluded it already, with its verdict.
    if ctx.attempt.is_none() {
        return error;
    }
    if let Some(failure) = ctx.not_kept() {
        // The upstream did its work: the answer was there.
        let status = ctx.answered_status().unwrap_or_default();
        ctx.end_attempt(Outcome::Answered(status), None, Instant::now());
        ctx.failure = Some(failure);
        error.set_retry(false);
        return error;
    }
    if ctx.over().is_some() {
        let status = ctx.answered_status().unwrap_or_default();
        ctx.end_attempt(Outcome::Answered(status), None, Instant::now());
        error.set_retry(false);
        return error;
    }
    if reused && went_stale(ctx, session, &error) {
        error.set_retry(true);
        return error;
    }
    let outcome = outcome_of(ctx, &error);
    let again = conclude(ctx, outcome, None, &error.to_string());
    error.set_retry(again);
    error
}

/// A status that is an upstream's failure ends the attempt, at once or, where its body tells when to
/// ask again, behind that; any other is passed on.
///
/// # Errors
/// With `retry` set where another attempt is made.
pub fn status(ctx: &mut Context, response: &ResponseHeader) -> Result<()> {
    let (Some(exchange), Some(attempt)) = (&ctx.exchange, &mut ctx.attempt) else { return Ok(()) };
    let status = response.status;
    let refused = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
    let listed = exchange.pool.model.retry.statuses.binary_search(&status.as_u16()).is_ok();
    if !(refused || listed || status.is_server_error()) {
        return Ok(());
    }
    if refused {
        attempt.doubt_credential();
    }
    let wait = retry_after(response, Utc::now());
    if wait.is_none() {
        attempt.refusal = Refusal::that_tells(response, attempt.outgoing.dialect);
    }
    if attempt.refusal.is_some() {
        return Ok(());
    }
    failed(ctx, status.as_u16(), wait)
}

/// Bytes of a refusal's body: read, and kept from the client. Its end is that of the attempt.
///
/// # Errors
/// As those of [`status`].
pub fn refusal_bytes(ctx: &mut Context, body: &mut Option<Bytes>, end: bool) -> Result<()> {
    let refusal = ctx.attempt.as_mut().and_then(|attempt| attempt.refusal.as_mut());
    let Some(refusal) = refusal else { return Ok(()) };
    if !refusal.read(body, end) {
        return Ok(());
    }
    let (status, wait) = (refusal.status, refusal.retry_after());
    failed(ctx, status, wait)
}

/// The attempt has failed by a status.
fn failed(ctx: &mut Context, status: u16, wait: Option<Duration>) -> Result<()> {
    if let Some(exchange) = &mut ctx.exchange {
        exchange.retry_after = match (exchange.retry_after, wait) {
            (Some(known), Some(new)) => Some(known.min(new)),
            (known, new) => known.or(new),
        };
    }
    let detail = format!("the upstream answered {status}");
    let again = conclude(ctx, Outcome::Status(status), wait, &detail);
    let mut error = pingora::Error::explain(ErrorType::HTTPStatus(status), detail);
    error.set_retry(again);
    Err(error)
}

/// A stream told of its failure within itself, or stopped short: the attempt has failed, though
/// its connection did not.
pub fn ended_early(ctx: &mut Context, detail: &str) {
    conclude(ctx, Outcome::Broken, None, detail);
}

/// A whole answer is none, and nothing of it went to the client: as if its connection had broken.
pub fn unreadable(ctx: &mut Context, detail: &str) -> Box<pingora::Error> {
    let again = conclude(ctx, Outcome::Broken, None, detail);
    let mut error = pingora::Error::explain(ErrorType::InvalidHTTPHeader, detail.to_owned());
    error.set_retry(again);
    error.into_up()
}

/// A budget ended the stream: for the log, as the client has an answer that is short.
pub fn cut(over: &PassedBudget) -> Error {
    let period = PERIODS.get(over.period).copied().unwrap_or_default();
    let text =
        format!("The answer was ended: {} has spent its budget of the {period}.", over.scope);
    Error::new(Kind::BudgetExceeded, text)
}

/// The client's own fault, found while an attempt was made: there is no other.
pub fn refused(ctx: &mut Context, refusal: Error) -> Box<pingora::Error> {
    let detail = refusal.to_string();
    ctx.failure = Some(refusal);
    pingora::Error::explain(ErrorType::InternalError, detail)
}

/// Ends the attempt and decides: true where another one is made.
fn conclude(
    ctx: &mut Context,
    outcome: Outcome,
    retry_after: Option<Duration>,
    detail: &str,
) -> bool {
    let sent = ctx.status.is_some();
    let elapsed = ctx.started.elapsed();
    ctx.end_attempt(outcome, retry_after, Instant::now());
    let Some(exchange) = &mut ctx.exchange else { return false };
    let policy = &exchange.pool.model.retry;
    let untried_left = exchange.tried.targets() < exchange.pool.len();
    // Another endpoint can be asked at once.
    let wait = match untried_left {
        true => Duration::ZERO,
        false => retry::backoff(policy.backoff, exchange.attempts_made, fastrand::f64()),
    };
    let progress = Progress {
        attempts_made: exchange.attempts_made,
        untried_left,
        told_to_wait: retry_after.is_some(),
        bytes_sent_downstream: sent,
        elapsed,
        wait,
        total: exchange.pool.model.timeouts.total,
    };
    let kind = match retry::decide(outcome, policy, progress) {
        Verdict::Again if exchange.pool.budget.withdraw(policy, Instant::now().into_std()) => {
            exchange.backoff = wait;
            return true;
        }
        Verdict::Again => retry::kind(outcome),
        Verdict::Stop(kind) => kind,
    };
    let mut error = Error::new(kind, public_text(kind, exchange)).because(detail);
    if matches!(kind, Kind::UpstreamRateLimited | Kind::UpstreamStatus) {
        error.retry_after = exchange.retry_after;
    }
    ctx.failure = Some(error);
    false
}

/// Whether a kept connection had been closed by the other side before this request reached it.
/// That says nothing about the endpoint, and one more try is free, once a request.
fn went_stale(ctx: &mut Context, session: &Session, error: &pingora::Error) -> bool {
    let broke = matches!(
        error.etype(),
        ErrorType::ConnectionClosed | ErrorType::ReadError | ErrorType::WriteError
    );
    let early = ctx.status.is_none() && session.response_written().is_none();
    let Some(exchange) = &mut ctx.exchange else { return false };
    if *error.esource() != ErrorSource::Upstream || !broke || !early || exchange.stale_retried {
        return false;
    }
    exchange.stale_retried = true;
    exchange.attempts_made -= 1;
    ctx.discard_attempt();
    true
}

fn outcome_of(ctx: &Context, error: &pingora::Error) -> Outcome {
    let expired = ctx.exchange.as_ref().and_then(|e| e.deadline.check(Instant::now()));
    match (error.esource(), error.etype(), expired) {
        (_, ErrorType::ReadTimedout, Some(Phase::FirstByte)) => Outcome::FirstByteTimeout,
        (_, ErrorType::ReadTimedout, Some(Phase::BetweenBytes)) => Outcome::BetweenBytesTimeout,
        // The upstream is not at fault where the client does not take what it sends.
        (ErrorSource::Downstream, ErrorType::WriteTimedout, _) => Outcome::ClientGone,
        (_, _, Some(Phase::Total)) => Outcome::TotalTimeout,
        (ErrorSource::Downstream, ..) => Outcome::ClientGone,
        (ErrorSource::Upstream, ..) => Outcome::Broken,
        (ErrorSource::Internal | ErrorSource::Unset, ..) => Outcome::Internal,
    }
}

/// What the client reads. It names the alias and what was tried, and no endpoint.
fn public_text(kind: Kind, exchange: &Exchange) -> String {
    let alias = &exchange.pool.model.alias;
    let tried = match exchange.attempts_made {
        1 => "1 attempt was made".to_owned(),
        attempts => format!("{attempts} attempts were made"),
    };
    match kind {
        Kind::UpstreamRateLimited => {
            format!("The model `{alias}` is over its provider's rate limit; {tried}. Try later.")
        }
        Kind::UpstreamUnreachable => {
            format!("No server of the model `{alias}` could be reached; {tried}.")
        }
        Kind::UpstreamTimeout => {
            format!("The model `{alias}` did not answer in time; {tried}.")
        }
        Kind::UpstreamBroken => {
            format!("The answer of the model `{alias}` broke off; {tried}.")
        }
        Kind::UpstreamCredential => format!(
            "The provider of the model `{alias}` refused the gateway's own credential; {tried}. \
             Tell the gateway's operator."
        ),
        Kind::CredentialUnavailable => format!(
            "The gateway has no valid credential for the provider of the model `{alias}` now; {tried}. \
             Try later; if it lasts, tell the gateway's operator."
        ),
        Kind::UpstreamStatus => {
            format!("The provider of the model `{alias}` failed; {tried}.")
        }
        _ => "The gateway failed; the request id names the case in its log.".to_owned(),
    }
}

/// `Retry-After` in seconds or as a date (RFC 9110, section 10.2.3).
fn retry_after(response: &ResponseHeader, now: DateTime<Utc>) -> Option<Duration> {
    let value = response.headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = DateTime::parse_from_rfc2822(value).ok()?;
    (date.to_utc() - now).to_std().ok()
}

#[cfg(test)]
mod tests {
    use super::{DateTime, RETRY_AFTER, ResponseHeader, retry_after};

    fn check(value: &str, expected: Option<f64>) {
        let mut response = ResponseHeader::build(429, None).unwrap();
        response.insert_header(RETRY_AFTER, value).unwrap();
        let now = DateTime::parse_from_rfc3339("2026-01-01T00:00:00Z").unwrap().to_utc();
        assert_eq!(retry_after(&response, now).map(|d| d.as_secs_f64()), expected, "{value}");
    }

    #[test]
    fn retry_after_is_read_in_each_of_its_forms() {
        check("7", Some(7.0));
        check(" 0.5 ", Some(0.5));
        check("Thu, 01 Jan 2026 00:00:30 GMT", Some(30.0));
        check("Wed, 31 Dec 2025 23:00:00 GMT", None);
        check("-3", None);
        check("NaN", None);
        check("soon", None);
    }
}
