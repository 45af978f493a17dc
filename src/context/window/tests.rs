//! The window as a table, and what holds for every conversation.

use proptest::prelude::{Just, Strategy, any, prop, prop_oneof};
use proptest::{prop_assert, prop_assert_eq, proptest};

use super::{Limit, TooLong, View, oldest_turns, whole};
use crate::context::message::{Message, Part};

const HALF: Limit = Limit { tokens_max: 10, keep_percent: 50 };

/// A message for each letter: s(ystem), u(ser), a(nswer), c(all), r(esult); a capital is pinned.
/// Each has two tokens.
fn messages(parts: &str) -> Vec<Message> {
    let message = |letter: char| Message {
        text: "{}".into(),
        part: match letter.to_ascii_lowercase() {
            's' => Part::Instruction,
            'u' => Part::User,
            'a' => Part::Answer,
            'c' => Part::Call,
            _ => Part::Outcome,
        },
        pinned: letter.is_ascii_uppercase(),
        tokens: 2,
    };
    parts.chars().map(message).collect()
}

fn cut(messages: &[Message], limit: Limit) -> Result<View, TooLong> {
    oldest_turns(&messages.iter().collect::<Vec<_>>(), limit)
}

/// What goes, and `.` for what stays behind.
fn seen(parts: &str, limit: Limit) -> String {
    match cut(&messages(parts), limit) {
        Ok(view) => {
            parts.chars().zip(view.kept).map(|(c, kept)| if kept { c } else { '.' }).collect()
        }
        Err(TooLong { tokens }) => format!("{tokens} tokens"),
    }
}

#[test]
fn the_oldest_turns_stay_behind() {
    for (parts, expected) in [
        ("", ""),
        ("uauau", "uauau"),
        // Over the limit: down to half of it, at the beginning of a turn.
        ("uauauau", "......u"),
        // It stays cut there until the limit is met again.
        ("uauauauau", "......uau"),
        ("uauauauauau", "......uauau"),
        ("uauauauauauau", "............u"),
        // Instructions and pinned messages go on, and take room.
        ("suauauau", "s....uau"),
        ("uAuauau", ".A....u"),
        ("uauaUuau", "....Uuau"),
        // A turn goes as a whole, and a pinned call or result with what it belongs to.
        ("ucrrau", ".....u"),
        ("uCrauauau", ".Cr...uau"),
        ("ucRauauau", ".cR...uau"),
        // The last turn goes, or nothing does.
        ("ucrcr", "ucrcr"),
        ("ucrcrr", "12 tokens"),
        ("SSSau", "SSSau"),
        ("SSSSuau", "SSSS..u"),
        ("SSSSSu", "12 tokens"),
    ] {
        assert_eq!(seen(parts, HALF), expected, "{parts}");
    }
}

#[test]
fn nothing_is_left_out_of_the_whole() {
    let messages = messages("suaUcrau");
    let view = whole(&messages.iter().collect::<Vec<_>>());
    assert_eq!((view.tokens, view.dropped), (16, 0));
    assert!(view.kept.iter().all(|kept| *kept));
}

fn conversations() -> impl Strategy<Value = Vec<Message>> {
    let turn = prop_oneof![
        8 => Just("ua"), 2 => Just("ucrra"), 1 => Just("uUa"), 1 => Just("s"), 1 => Just("uca"),
    ];
    let turns = prop::collection::vec((turn, prop::collection::vec(1_u32..60, 5)), 0..30);
    turns.prop_map(|turns| {
        let sized = |(parts, sizes): (&str, Vec<u32>)| {
            let sized = messages(parts).into_iter().zip(sizes);
            sized.map(|(message, tokens)| Message { tokens, ..message }).collect::<Vec<_>>()
        };
        turns.into_iter().flat_map(sized).collect()
    })
}

proptest! {
    #[test]
    fn every_view_fits_and_keeps_what_must_stay(
        messages in conversations(), tokens_max in 100_u32..400, keep_percent in 10_u32..=100,
    ) {
        let Ok(view) = cut(&messages, Limit { tokens_max, keep_percent }) else { return Ok(()) };
        let kept = || messages.iter().zip(&view.kept);
        prop_assert!(view.tokens <= tokens_max);
        prop_assert_eq!(kept().filter(|(_, kept)| **kept).map(|(m, _)| m.tokens).sum::<u32>(), view.tokens);
        prop_assert_eq!(kept().filter(|(_, kept)| !**kept).count(), view.dropped);
        prop_assert!(kept().all(|(m, kept)| *kept || !(m.pinned || m.part == Part::Instruction)));
        for (index, message) in messages.iter().enumerate() {
            if message.part == Part::Outcome && index > 0 {
                prop_assert_eq!(view.kept[index], view.kept[index - 1], "a result without its call");
            }
        }
    }

    #[test]
    fn from_one_cut_to_the_next_a_prompt_only_grows(
        messages in conversations(), tokens_max in 100_u32..400, pick in any::<prop::sample::Index>(),
    ) {
        let limit = Limit { tokens_max, keep_percent: 70 };
        let prompts: Vec<usize> =
            (1..messages.len()).filter(|at| super::begins_answer(&messages.iter().collect::<Vec<_>>(), *at)).collect();
        if prompts.len() < 2 { return Ok(()) }
        let which = pick.index(prompts.len() - 1);
        let (Ok(before), Ok(after)) =
            (cut(&messages[..prompts[which]], limit), cut(&messages[..prompts[which + 1]], limit))
        else { return Ok(()) };
        let moved = before.dropped != after.kept[..before.kept.len()].iter().filter(|kept| !**kept).count();
        if moved {
            prop_assert!(before.tokens + messages[prompts[which]..prompts[which + 1]].iter().map(|m| m.tokens).sum::<u32>() > tokens_max);
        } else {
            prop_assert_eq!(&after.kept[..before.kept.len()], &before.kept[..]);
        }
    }
}
