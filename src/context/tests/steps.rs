//! Random steps of clients, and what happens between them.

use proptest::prelude::{BoxedStrategy, Just, Strategy, any, prop, prop_oneof};

use super::IDS;
use super::model::{Ask, Change};

/// What a client does. Versions are told by how far they are behind the one that it saw last.
#[derive(Clone, Debug)]
pub enum Step {
    Turn { id: usize, belief: Belief, change: Option<Change>, is_answered: bool },
    Patch { id: usize, belief: Belief, change: Change },
    Rollback { id: usize, belief: Belief, back: u64 },
    Fork { id: usize, to: usize, back: u64 },
    Delete { id: usize, belief: Belief },
    Show { id: usize },
}

/// Which version a client says that there is.
#[derive(Clone, Copy, Debug)]
pub enum Belief {
    None,
    /// The one that it saw last.
    Seen,
    /// One that nobody has seen.
    Wrong,
}

/// What all clients do at the same time, and what happens then.
#[derive(Clone, Debug)]
pub struct Round {
    pub clients: Vec<Vec<Step>>,
    pub event: Event,
}

/// What happens between steps, or under them.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    Nothing,
    /// Time passes; the store's server has noticed it, or goes by an older clock.
    Pass {
        minutes: u64,
        is_noticed: bool,
    },
    /// Other contexts take the room, but for about so many bytes.
    Press {
        left: usize,
    },
    /// Processes end in order, and begin again.
    Restart,
    /// A process is killed as soon as so many calls are answered, with the others under way: the
    /// store's server, where there is one, or a gateway.
    Crash {
        answered: usize,
        is_server: bool,
    },
}

impl Step {
    /// What is asked, by a client that saw these versions last.
    pub fn ask(&self, seen: &[u64; IDS.len()], said: usize) -> Ask {
        let believed = |id: usize, belief| match belief {
            Belief::None => None,
            Belief::Seen => Some(seen[id]),
            Belief::Wrong => Some(seen[id] + 100),
        };
        match *self {
            Self::Turn { id, belief, change, is_answered } => {
                Ask::Turn { id, version: believed(id, belief), change, said, is_answered }
            }
            Self::Patch { id, belief, change } => {
                Ask::Patch { id, version: believed(id, belief), change }
            }
            Self::Rollback { id, belief, back } => {
                let to = seen[id].saturating_sub(back);
                Ask::Rollback { id, version: believed(id, belief), to }
            }
            Self::Fork { id, to, back } => {
                Ask::Fork { id, version: seen[id].saturating_sub(back), to }
            }
            Self::Delete { id, belief } => Ask::Delete { id, version: believed(id, belief) },
            Self::Show { id } => Ask::Show { id },
        }
    }
}

/// One client, and what can be read is looked at behind each of its steps.
pub fn alone() -> impl Strategy<Value = Vec<Round>> {
    let round =
        (step(), event(10)).prop_map(|(step, event)| Round { clients: vec![vec![step]], event });
    prop::collection::vec(round, 1..30)
}

/// So many clients at once.
pub fn crowd(clients: usize) -> impl Strategy<Value = Vec<Round>> {
    let steps = prop::collection::vec(prop::collection::vec(step(), 1..6), clients);
    let round = (steps, event(2)).prop_map(|(clients, event)| Round { clients, event });
    prop::collection::vec(round, 2..8)
}

fn step() -> BoxedStrategy<Step> {
    let id = || 0..IDS.len();
    let belief =
        || prop_oneof![5 => Just(Belief::None), 4 => Just(Belief::Seen), 1 => Just(Belief::Wrong)];
    let change = || {
        prop_oneof![
            any::<u8>().prop_map(Change::Data),
            Just(Change::Prepend),
            Just(Change::RemoveFirst)
        ]
    };
    let turn = (id(), belief(), prop::option::weighted(0.3, change()), prop::bool::weighted(0.8));
    let turn = turn.prop_map(|(id, belief, change, is_answered)| Step::Turn {
        id,
        belief,
        change,
        is_answered,
    });
    let patch = (id(), belief(), change()).prop_map(|(id, belief, change)| Step::Patch {
        id,
        belief,
        change,
    });
    let rollback = (id(), belief(), 0_u64..7).prop_map(|(id, belief, back)| Step::Rollback {
        id,
        belief,
        back,
    });
    let fork = (id(), id(), 0_u64..6).prop_map(|(id, to, back)| Step::Fork { id, to, back });
    let delete = (id(), belief()).prop_map(|(id, belief)| Step::Delete { id, belief });
    let show = id().prop_map(|id| Step::Show { id });
    prop_oneof![8 => turn, 2 => patch, 2 => rollback, 2 => fork, 1 => delete, 1 => show].boxed()
}

/// What happens, and nothing in so many cases to two of each kind.
fn event(calm: u32) -> BoxedStrategy<Event> {
    let pass = (10_u64..80, any::<bool>())
        .prop_map(|(minutes, is_noticed)| Event::Pass { minutes, is_noticed });
    let crash = (0_usize..8, any::<bool>())
        .prop_map(|(answered, is_server)| Event::Crash { answered, is_server });
    prop_oneof![
        calm => Just(Event::Nothing),
        2 => pass,
        2 => (200_usize..3000).prop_map(|left| Event::Press { left }),
        1 => Just(Event::Restart),
        2 => crash,
    ]
    .boxed()
}
