//! Errors as Bedrock says them (API reference, "Converse", "Errors"; in streams: "ConverseStreamOutput").

use serde::Deserialize;

use crate::dialect::ir::fault::{Class, Fault};
use crate::dialect::ir::wire::Text;

#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct Body<'a> {
    /// The service's own errors begin it small, its gateway's great.
    #[serde(default, alias = "Message")]
    message: Option<Text<'a>>,
}

/// Reads the body of an error answer. Its kind stands in a header, and says no more than the status.
pub fn read(status: u16, body: &[u8]) -> Fault {
    let failed = if status < 400 { 502 } else { status };
    let body = serde_json::from_slice::<Body<'_>>(body).ok();
    let mut fault = match body.and_then(|body| body.message) {
        Some(message) => Fault::new(failed, &*message),
        None => Fault::unreadable(failed),
    };
    // "The request failed due to an error while processing the model": no fault of the request.
    if status == 424 {
        fault.status = 502;
        fault.class = Class::Server;
    }
    fault
}

/// An exception in mid-stream.
pub fn exception(kind: &str, body: &[u8]) -> Fault {
    let status = match kind {
        "throttlingException" => 429,
        "validationException" => 400,
        "accessDeniedException" => 403,
        "resourceNotFoundException" => 404,
        "modelTimeoutException" => 408,
        "modelStreamErrorException" => 424,
        "serviceUnavailableException" => 503,
        _ => 500,
    };
    read(status, body)
}

#[cfg(test)]
mod tests {
    use super::{Class, exception, read};

    #[test]
    fn a_status_and_its_words_are_the_error() {
        let fault = read(429, br#"{"message":"Too many requests"}"#);
        assert_eq!((fault.status, fault.class), (429, Class::RateLimit));
        assert_eq!(fault.message, "Too many requests");
        let fault = read(403, br#"{"Message":"no"}"#);
        assert_eq!((fault.class, &*fault.message), (Class::Permission, "no"));
        assert_eq!(read(503, b"<html>").class, Class::Overloaded);
    }

    #[test]
    fn a_failure_of_the_model_is_no_fault_of_the_request() {
        let fault = exception("modelStreamErrorException", br#"{"message":"broke"}"#);
        assert_eq!((fault.status, fault.class), (502, Class::Server));
        assert_eq!(exception("throttlingException", b"{}").class, Class::RateLimit);
        assert_eq!(exception("newException", b"{}").class, Class::Server);
    }
}
