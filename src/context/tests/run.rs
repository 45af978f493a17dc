//! Runs random rounds on a site, and looks behind each whether the model allows what there is.

use std::fmt::Write;
use std::sync::{Arc, Mutex};

use proptest::prelude::Strategy;
use proptest::test_runner::{Config, TestRunner};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::IDS;
use super::line::Line;
use super::model::{Answer, Ask, Model};
use super::order::{Call, explain};
use super::site::Site;
use super::steps::{Event, Round, Step};

/// Whose contexts they are.
const TENANT: &str = "t";

/// What other contexts take where none is forgotten for want of room.
const BULK_BYTES: usize = 1000;

/// Times that a failing case is made smaller: each costs as much as a case.
const SHRINKS_MAX: u32 = 50;

/// Runs so many cases, each on a site of its own.
pub fn agree<S: Site>(cases: u32, rounds: impl Strategy<Value = Vec<Round>>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: SHRINKS_MAX,
        ..Config::default()
    };
    let ran = TestRunner::new(config).run(&rounds, |rounds| {
        runtime.block_on(async {
            let mut run = Run::<S>::start().await;
            for (number, round) in rounds.iter().enumerate() {
                run.round(number, round).await;
            }
        });
        Ok(())
    });
    ran.unwrap_or_else(|failure| panic!("{failure}"));
}

struct Run<S> {
    site: S,
    /// When it began, in milliseconds since 1970.
    began: i64,
    /// The states that all answers so far allow.
    states: Vec<Model>,
    /// The latest version of each context.
    latest: [u64; IDS.len()],
    /// How many steps there were.
    said: usize,
}

/// The calls of a round, as they begin and end.
#[derive(Default)]
struct History {
    calls: Mutex<(u64, Vec<Call>)>,
    answered: watch::Sender<usize>,
}

impl<S: Site> Run<S> {
    async fn start() -> Self {
        let began = crate::context::now();
        let site = S::start(began).await;
        Self { site, began, states: vec![Model::default()], latest: [0; IDS.len()], said: 0 }
    }

    async fn round(&mut self, number: usize, round: &Round) {
        let calls = self.together(number, round).await;
        let is_lost = matches!(round.event, Event::Crash { .. }) && !S::SURVIVES;
        let before = std::mem::take(&mut self.states);
        self.states = if is_lost { lost(&before) } else { explain(&calls, &before) };
        assert!(!self.states.is_empty(), "no order explains{}\nfrom {:?}", tell(&calls), before[0]);
        self.look(number, &calls).await;
        self.happen(round.event).await;
        self.look(number, &calls).await;
    }

    /// All clients take their steps at the same time; where the round ends by a crash, under that.
    async fn together(&mut self, number: usize, round: &Round) -> Vec<Call> {
        let history = Arc::new(History::default());
        let mut clients = JoinSet::new();
        for (client, steps) in round.clients.iter().enumerate() {
            let line = self.site.line(number + client);
            let (history, steps) = (history.clone(), steps.clone());
            let (latest, said) = (self.latest, self.said);
            self.said += steps.len();
            clients
                .spawn(async move { speak(&history, line, client, steps, (latest, said)).await });
        }
        if let Event::Crash { answered, is_server } = round.event {
            let most = round.clients.iter().map(Vec::len).sum::<usize>();
            let mut count = history.answered.subscribe();
            count.wait_for(|count| *count >= answered.min(most)).await.unwrap();
            self.site.crash(is_server).await;
        }
        while let Some(ended) = clients.join_next().await {
            ended.unwrap();
        }
        if matches!(round.event, Event::Crash { .. }) {
            self.site.recover(self.now()).await;
        }
        let calls = history.calls.lock().unwrap();
        calls.1.clone()
    }

    /// What happens between rounds.
    async fn happen(&mut self, event: Event) {
        match event {
            Event::Nothing | Event::Crash { .. } => {}
            Event::Pass { minutes, is_noticed } => {
                self.states.iter_mut().for_each(|state| state.pass(minutes));
                let now = self.now();
                for gateway in self.site.gateways() {
                    gateway.set_clock(now).await;
                }
                if is_noticed {
                    self.site.notice(now).await;
                }
            }
            Event::Press { left } => {
                let sizes = self.site.sizes(TENANT).await;
                let bytes = sizes.map_or(BULK_BYTES, |(all, _)| all - left);
                let taken = self.site.line(0).press(bytes).await;
                if let Some((all, sizes)) = sizes {
                    self.states.iter_mut().for_each(|state| state.press(&sizes, all - taken));
                }
            }
            Event::Restart => {
                self.site.restart(self.now()).await;
                if !S::SURVIVES {
                    self.states = lost(&self.states);
                }
            }
        }
    }

    /// Looks at everything that can be read, through one of the gateways.
    async fn look(&mut self, number: usize, calls: &[Call]) {
        let line = self.site.line(number);
        let mut found = Vec::new();
        for id in 0..IDS.len() {
            found.push(line.readable(TENANT, id).await.expect("a store that is there"));
            self.latest[id] = found[id].len() as u64 - 1;
        }
        let before = std::mem::take(&mut self.states);
        let is_so = |state: &Model| (0..IDS.len()).all(|id| state.readable(id) == found[id]);
        self.states = before.iter().filter(|state| is_so(state)).cloned().collect();
        assert!(
            !self.states.is_empty(),
            "what is there cannot be: {found:?}\nbehind{}\nit could be {:?}",
            tell(calls),
            before[0],
        );
    }

    fn now(&self) -> i64 {
        self.began + i64::try_from(self.states[0].minutes * 60_000).unwrap()
    }
}

/// Takes a client's steps, until its gateway or the store goes away.
async fn speak(
    history: &History,
    line: Line,
    client: usize,
    steps: Vec<Step>,
    (mut latest, said): ([u64; IDS.len()], usize),
) {
    for (step, said) in steps.iter().zip(said..) {
        let ask = step.ask(&latest, said);
        let place = history.begin(client, &ask);
        let Some(answer) = line.ask(TENANT, &ask).await else { break };
        if let Ok(seen) = &answer {
            latest[ask.id()] = seen.version;
        }
        if history.end(place, answer) {
            break;
        }
    }
}

impl History {
    fn begin(&self, client: usize, ask: &Ask) -> usize {
        let mut calls = self.calls.lock().unwrap();
        calls.0 += 1;
        let began = calls.0;
        calls.1.push(Call { client, ask: ask.clone(), began, ended: None });
        calls.1.len() - 1
    }

    /// Whether the store went away.
    fn end(&self, place: usize, answer: Answer) -> bool {
        let mut calls = self.calls.lock().unwrap();
        calls.0 += 1;
        let now = calls.0;
        let call = &mut calls.1[place];
        call.ended = Some((now, answer));
        self.answered.send_modify(|count| *count += 1);
        call.is_unknown()
    }
}

fn lost(states: &[Model]) -> Vec<Model> {
    let mut state = states[0].clone();
    state.lose();
    vec![state]
}

fn tell(calls: &[Call]) -> String {
    calls.iter().fold(String::new(), |mut text, call| {
        let _written = write!(text, "\n{call}");
        text
    })
}
