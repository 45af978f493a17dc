//! A body in the pieces that it is sent in: long stretches that nothing changed are not copied.

use bytes::Bytes;
use smallvec::{SmallVec, smallvec};

/// An unchanged stretch of so many bytes is a piece of its own; to copy a shorter one costs less than to
/// send one piece more.
pub(super) const PIECE_BYTES_MIN: usize = 64 << 10;

/// A body in pieces, none of them empty; most have one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pieces(SmallVec<[Bytes; 1]>);

/// Pieces under way.
pub(super) struct Joining<'b> {
    body: &'b Bytes,
    pieces: Pieces,
    /// Short stretches and new texts since the last piece.
    open: Vec<u8>,
}

impl From<Bytes> for Pieces {
    fn from(whole: Bytes) -> Self {
        if whole.is_empty() { Self::default() } else { Self(smallvec![whole]) }
    }
}

impl Pieces {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// One of them.
    pub fn get(&self, index: usize) -> Option<&Bytes> {
        self.0.get(index)
    }

    /// Bytes of all.
    pub fn byte_count(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    /// All as one: copied where there are several.
    pub fn whole(&self) -> Bytes {
        match self.0.as_slice() {
            [] => Bytes::new(),
            [whole] => whole.clone(),
            several => several.concat().into(),
        }
    }
}

impl<'b> Joining<'b> {
    /// Nothing is joined yet of what is made of a body.
    pub fn new(body: &'b Bytes) -> Self {
        Self { body, pieces: Pieces::default(), open: Vec::new() }
    }

    /// A stretch of the body that stays as it is.
    pub fn unchanged(&mut self, stretch: &[u8]) {
        if stretch.len() < PIECE_BYTES_MIN {
            self.text(stretch);
        } else {
            self.close();
            self.pieces.0.push(self.body.slice_ref(stretch));
        }
    }

    /// New text.
    pub fn text(&mut self, text: &[u8]) {
        self.open.extend_from_slice(text);
    }

    pub fn done(mut self) -> Pieces {
        self.close();
        self.pieces
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.pieces.0.push(std::mem::take(&mut self.open).into());
        }
    }
}
