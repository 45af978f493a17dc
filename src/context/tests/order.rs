//! Whether some order of the calls explains their answers: one in which each call takes effect at one
//! moment between its beginning and its end, and the model answers as was answered.
//!
//! A call that was cut off, or whose store went away under it, may have taken effect or not; as long as
//! it was under way it may have held room for what it did not make. A fork has two moments, of which the
//! first reads and the second makes.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use super::model::{Answer, Ask, Document, Model, Progress};

/// What is answered where it is not known whether anything was changed.
const UNKNOWN: &str = "ContextStore";

/// What is answered where there is no room for a further context.
const FULL: &str = "ContextLimit";

/// A client's call.
#[derive(Clone)]
pub struct Call {
    pub client: usize,
    pub ask: Ask,
    /// When it began: calls are counted as they begin and end.
    pub began: u64,
    /// When it ended, and how; `None` where it was cut off.
    pub ended: Option<(u64, Answer)>,
}

/// How far an order has come.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Point {
    /// The calls that have taken effect, a bit each.
    done: u64,
    /// What forks have read that have made nothing yet.
    copied: BTreeMap<usize, Document>,
    model: Model,
}

/// In what states the contexts may be behind these calls, which began in one of the given states; in
/// none where no order explains the answers.
pub fn explain(calls: &[Call], states: &[Model]) -> Vec<Model> {
    assert!(calls.len() <= 64);
    let begin = |model: &Model| Point { done: 0, copied: BTreeMap::new(), model: model.clone() };
    let mut open: Vec<Point> = states.iter().map(begin).collect();
    let (mut met, mut ends) = (HashSet::new(), HashSet::new());
    while let Some(point) = open.pop() {
        if !met.insert(point.clone()) {
            continue;
        }
        let is_done = |place: usize| point.done & (1 << place) > 0;
        if (0..calls.len()).all(|place| is_done(place) || calls[place].answer().is_none()) {
            ends.insert(point.model.clone());
        }
        let next = (0..calls.len()).filter(|place| point.may_be_next(calls, *place));
        open.extend(next.filter_map(|place| point.with(calls, place)));
    }
    ends.into_iter().collect()
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "client {}, from {} ", self.client, self.began)?;
        match &self.ended {
            None => write!(f, "on: {:?} was cut off", self.ask),
            Some((end, answer)) => write!(f, "to {end}: {:?} gave {answer:?}", self.ask),
        }
    }
}

impl Call {
    fn answer(&self) -> Option<&Answer> {
        let (_, answer) = self.ended.as_ref()?;
        (!self.is_unknown()).then_some(answer)
    }

    /// Whether it may have taken effect or not.
    pub fn is_unknown(&self) -> bool {
        self.ended
            .as_ref()
            .is_none_or(|(_, answer)| answer.as_ref().is_err_and(|kind| kind == UNKNOWN))
    }

    fn end(&self) -> u64 {
        self.ended.as_ref().map_or(u64::MAX, |(end, _)| *end)
    }
}

impl Point {
    fn is_done(&self, place: usize) -> bool {
        self.done & (1 << place) > 0
    }

    /// Whether a call may take effect now: no other one that is still to come ended before it began,
    /// and it did not end before one began that has taken effect.
    fn may_be_next(&self, calls: &[Call], place: usize) -> bool {
        let call = &calls[place];
        !self.is_done(place)
            && (0..calls.len()).all(|other| {
                let is_begun = self.is_done(other) || self.copied.contains_key(&other);
                let is_late = is_begun && calls[other].began > call.end();
                let is_missed = !self.is_done(other)
                    && calls[other].answer().is_some()
                    && calls[other].end() < call.began;
                !is_late && !is_missed
            })
    }

    /// The point behind this call; `None` where the model answers otherwise.
    fn with(&self, calls: &[Call], place: usize) -> Option<Self> {
        let mut next = self.clone();
        match next.model.advance(&calls[place].ask, self.copied.get(&place)) {
            Progress::Copied(document) => {
                next.copied.insert(place, document);
            }
            Progress::Answered(answer) => {
                next.copied.remove(&place);
                next.done |= 1 << place;
                let given = calls[place].answer();
                if given.is_some_and(|given| *given != answer) {
                    if answer.is_err() || !self.may_be_full(calls, place) {
                        return None;
                    }
                    next.model = self.model.clone();
                }
            }
        }
        Some(next)
    }

    /// Whether a call was refused for want of room that one may have held which was cut off.
    fn may_be_full(&self, calls: &[Call], place: usize) -> bool {
        let call = &calls[place];
        let is_refused =
            call.answer().is_some_and(|given| given.as_ref().is_err_and(|k| k == FULL));
        let may_hold = |other: &usize| {
            calls[*other].is_unknown() && !self.is_done(*other) && calls[*other].began < call.end()
        };
        let held = (0..calls.len()).filter(may_hold).count();
        is_refused && self.model.is_full_with(call.ask.id(), held)
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, Ask, Call, FULL, Model, UNKNOWN, explain};
    use crate::context::tests::model::Seen;

    fn turn(said: usize) -> Ask {
        Ask::Turn { id: 0, version: None, change: None, said, is_answered: true }
    }

    fn saw(version: u64, text: &str) -> Option<Answer> {
        Some(Ok(Seen { version, text: text.to_owned() }))
    }

    fn refused(kind: &str) -> Option<Answer> {
        Some(Err(kind.to_owned()))
    }

    /// Whether some order explains calls, each with when it began and when it ended.
    fn is_explained(calls: &[(Ask, u64, u64, Option<Answer>)]) -> bool {
        let call = |(ask, began, end, answer): &(Ask, u64, u64, Option<Answer>)| Call {
            client: 0,
            ask: ask.clone(),
            began: *began,
            ended: answer.clone().map(|answer| (*end, answer)),
        };
        let calls: Vec<_> = calls.iter().map(call).collect();
        !explain(&calls, &[Model::default()]).is_empty()
    }

    #[test]
    fn turns_at_the_same_time_are_explained_in_either_order_and_in_no_other_way() {
        let both = "user 1, assistant 1, user 2";
        assert!(is_explained(&[(turn(1), 1, 3, saw(1, "user 1")), (turn(2), 2, 4, saw(2, both))]));
        assert!(is_explained(&[(turn(2), 1, 3, saw(2, both)), (turn(1), 2, 4, saw(1, "user 1"))]));
        let lost = [(turn(1), 1, 3, saw(1, "user 1")), (turn(2), 2, 4, saw(1, "user 2"))];
        assert!(!is_explained(&lost), "one of them overwrote the other");
        let early = [(turn(2), 1, 2, saw(2, both)), (turn(1), 3, 4, saw(1, "user 1"))];
        assert!(!is_explained(&early), "it saw what came later");
    }

    #[test]
    fn what_was_acknowledged_is_there_and_what_was_cut_off_may_be() {
        let show = Ask::Show { id: 0 };
        let there = || saw(1, "user 1, assistant 1; n = None");
        let gone = || refused("ContextNotFound");
        for unknown in [None, refused(UNKNOWN)] {
            assert!(is_explained(&[
                (turn(1), 1, 2, unknown.clone()),
                (show.clone(), 3, 4, there())
            ]));
            assert!(is_explained(&[
                (turn(1), 1, 2, unknown.clone()),
                (show.clone(), 3, 4, gone())
            ]));
            let half = saw(1, "user 1; n = None");
            assert!(!is_explained(&[(turn(1), 1, 2, unknown), (show.clone(), 3, 4, half)]));
        }
        assert!(!is_explained(&[(turn(1), 1, 2, saw(1, "user 1")), (show, 3, 4, gone())]));
    }

    #[test]
    fn a_refusal_needs_a_moment_at_which_it_was_right() {
        let show = Ask::Show { id: 0 };
        let gone = refused("ContextNotFound");
        assert!(is_explained(&[
            (turn(1), 1, 3, saw(1, "user 1")),
            (show.clone(), 2, 4, gone.clone())
        ]));
        assert!(!is_explained(&[(turn(1), 1, 2, saw(1, "user 1")), (show, 3, 4, gone)]));
        assert!(!is_explained(&[(turn(1), 1, 2, refused(FULL))]));
    }
}
