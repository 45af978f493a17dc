//! How far a stream has come: what its end would have to close.

use crate::dialect::ir::stream::Event;

/// What is begun and not ended, of an answer that has begun.
#[derive(Debug, Default)]
pub struct UnderWay {
    /// The numbers of the answers.
    pub choices: Vec<u32>,
    /// The blocks, with the numbers of their answers.
    pub blocks: Vec<(u32, u32)>,
}

impl UnderWay {
    /// Takes an event in.
    pub fn note(&mut self, event: &Event<'_>) {
        match *event {
            Event::Open { choice, block, .. } => {
                self.blocks.push((choice, block));
                if !self.choices.contains(&choice) {
                    self.choices.push(choice);
                }
            }
            Event::Close { choice, block } => self.blocks.retain(|open| *open != (choice, block)),
            Event::Finish { choice, .. } => self.choices.retain(|open| *open != choice),
            Event::Start { .. } | Event::Delta { .. } | Event::Usage(_) | Event::End => {}
        }
    }
}
