//! Headers of answers that go to the client only once the whole answer is there and was read.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderName, HeaderValue};
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::protocols::http::HttpTask;

/// Whether the header of the answer under way waits, and what is added when it goes.
#[derive(Default)]
pub struct Late {
    /// Whether any header of this request has ever waited: most never do.
    used: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
enum State {
    /// Headers pass at once.
    #[default]
    Pass,
    /// A header waits for its body.
    Wait,
    /// The body is there: a header goes with these.
    Release(Vec<(HeaderName, HeaderValue)>),
}

impl Late {
    /// The next header waits for its body.
    pub fn wait(&self) {
        self.used.store(true, Ordering::Relaxed);
        self.set(State::Wait);
    }

    /// The header goes before the bytes that follow, with these headers.
    pub fn release(&self, headers: Vec<(HeaderName, HeaderValue)>) {
        self.set(State::Release(headers));
    }

    /// Whether any header had to wait.
    pub fn is_used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }

    fn set(&self, state: State) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// What is added to the header that goes now; `None` where no header waits.
    fn take(&self) -> Option<Vec<(HeaderName, HeaderValue)>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::take(&mut *state) {
            State::Release(headers) => Some(headers),
            State::Wait => Some(Vec::new()),
            State::Pass => None,
        }
    }

    fn waits(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        !matches!(*state, State::Pass)
    }
}

/// The tasks that can be done now. A header that waits is kept in `held` until bytes of its body, or
/// its end, have come; a newer header takes the place of one that was never sent.
pub fn in_order(
    tasks: Vec<HttpTask>,
    held: &mut Option<Box<ResponseHeader>>,
    late: &Late,
) -> Result<Vec<HttpTask>> {
    let mut ready = Vec::with_capacity(tasks.len());
    for task in tasks {
        match task {
            HttpTask::Header(header, false)
                if !header.status.is_informational() && late.waits() =>
            {
                *held = Some(header);
            }
            HttpTask::Body(data, false)
                if held.is_some() && data.as_ref().is_none_or(bytes::Bytes::is_empty) => {}
            task => {
                if let Some(header) = held.take_if(|_| !matches!(task, HttpTask::Failed(_))) {
                    ready.push(HttpTask::Header(completed(header, late)?, false));
                }
                ready.push(task);
            }
        }
    }
    Ok(ready)
}

/// The header as it goes: where its length is known now, it is said.
fn completed(mut header: Box<ResponseHeader>, late: &Late) -> Result<Box<ResponseHeader>> {
    for (name, value) in late.take().unwrap_or_default() {
        if name == CONTENT_LENGTH {
            header.remove_header(&TRANSFER_ENCODING);
        }
        header.insert_header(name, value)?;
    }
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::{CONTENT_LENGTH, HeaderValue, HttpTask, Late, ResponseHeader, in_order};
    use bytes::Bytes;

    fn header(status: u16) -> HttpTask {
        let mut header = ResponseHeader::build(status, None).unwrap();
        header.insert_header("transfer-encoding", "chunked").unwrap();
        HttpTask::Header(Box::new(header), false)
    }

    /// Statuses of headers, lengths of bodies.
    fn told(tasks: &[HttpTask]) -> Vec<usize> {
        let told = |task: &HttpTask| match task {
            HttpTask::Header(header, _) => usize::from(header.status.as_u16()),
            HttpTask::Body(data, _) => data.as_ref().map_or(0, Bytes::len),
            _ => usize::MAX,
        };
        tasks.iter().map(told).collect()
    }

    #[test]
    fn a_header_waits_for_its_body_and_the_last_one_goes() {
        let (late, mut held) = (Late::default(), None);
        let mut step = |tasks| in_order(tasks, &mut held, &late).unwrap();
        assert_eq!(told(&step(vec![header(200)])), [200], "nothing waits unless it is told to");
        late.wait();
        assert!(step(vec![header(201), HttpTask::Body(None, false)]).is_empty());
        assert!(step(vec![header(202)]).is_empty(), "another attempt");
        late.release(vec![(CONTENT_LENGTH, HeaderValue::from_static("3"))]);
        let body = HttpTask::Body(Some(Bytes::from_static(b"abc")), false);
        let ready = step(vec![body, HttpTask::Done]);
        assert_eq!(told(&ready), [202, 3, usize::MAX]);
        let HttpTask::Header(header, _) = &ready[0] else { panic!("a header") };
        assert_eq!(header.headers["content-length"], "3");
        assert!(!header.headers.contains_key("transfer-encoding"), "one framing");
    }

    #[test]
    fn the_header_of_a_failed_answer_is_not_sent() {
        let (late, mut held) = (Late::default(), None);
        late.wait();
        let failed = HttpTask::Failed(pingora::Error::new_up(pingora::ErrorType::ReadError));
        let ready = in_order(vec![header(200), failed], &mut held, &late).unwrap();
        assert_eq!(told(&ready), [usize::MAX]);
    }
}
