//! A validating cursor over JSON text (RFC 8259): where values begin and end, never what they mean.
//!
//! It builds no tree, copies nothing and does not recurse, so no input can exhaust the stack. The
//! caller has checked the text's UTF-8. Runs of string content, the bulk of every chat, are
//! skipped in blocks by vector instructions.

use wide::u8x32;

/// Bytes of a string looked at in one step: most runs of plain text end within it, which spares
/// the branch predictor a loop of unforeseeable length.
const BLOCK: usize = 32;

/// Bytes looked at in one step where a run of plain text is long: a file, or prose without line breaks.
const STRIDE: usize = 4 * BLOCK;

/// How deep objects and arrays may lie within each other. More than any API needs; servers
/// (Python's `json`, serde_json) give up between 128 and 1,000.
pub const NESTING_MAX: u32 = 128;

/// Why the text is not JSON: a place and what would have been right there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Byte offset in the text.
    pub at: usize,
    /// What is wrong, fit for a client.
    pub what: &'static str,
}

/// A place in the text.
#[derive(Clone, Copy)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// A cursor at `at`.
    pub fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    /// Byte offset of the next byte.
    pub fn at(&self) -> usize {
        self.at
    }

    /// The next byte, left where it is.
    pub fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Passes over the next byte if it is `byte`.
    pub fn eat(&mut self, byte: u8) -> bool {
        let hit = self.peek() == Some(byte);
        self.at += usize::from(hit);
        hit
    }

    /// Passes over white space.
    pub fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    /// Passes over everything before `at`.
    pub fn pass_to(&mut self, at: usize) {
        self.at = at;
    }

    /// A fault here.
    pub fn fault(&self, what: &'static str) -> Fault {
        Fault { at: self.at, what }
    }

    /// Passes over a string; says whether it holds escapes.
    pub fn string(&mut self) -> Result<bool, Fault> {
        if !self.eat(b'"') {
            return Err(self.fault("expected a string"));
        }
        let mut escaped = false;
        loop {
            self.at += plain_run(self.rest());
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => return Err(self.fault("control character in a string: escape it")),
                None => return Err(self.fault("the string is not closed")),
            }
        }
    }

    /// Passes over one value with everything in it. `depth` containers are open around it.
    pub fn value(&mut self, depth: u32) -> Result<(), Fault> {
        let mut open = Open { kinds: 0, depth: 0, depth_max: NESTING_MAX.saturating_sub(depth) };
        loop {
            self.space();
            if !self.begin(&mut open)? && self.end(&mut open)? {
                return Ok(());
            }
        }
    }

    /// Reads an object, member by member: `read` is given the name as it stands between its quotes, and passes
    /// over the value.
    pub fn object(
        &mut self,
        mut read: impl FnMut(&'a [u8], &mut Self) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        if !self.eat(b'{') {
            return Err(self.fault("expected a JSON object"));
        }
        self.space();
        if self.eat(b'}') {
            return Ok(());
        }
        loop {
            let name_at = self.at;
            self.string()?;
            let name = self.since(name_at + 1).split_last().map_or(&[][..], |(_quote, name)| name);
            self.colon()?;
            self.space();
            read(name, self)?;
            self.space();
            if self.eat(b'}') {
                return Ok(());
            }
            if !self.eat(b',') {
                return Err(self.fault("expected `,` or `}`"));
            }
            self.space();
        }
    }

    /// Passes over one value and gives it as it stands. `depth` containers are open around it.
    pub fn raw_value(&mut self, depth: u32) -> Result<&'a [u8], Fault> {
        let at = self.at;
        self.value(depth)?;
        Ok(self.since(at))
    }

    /// Reads up to where a value is complete (false) or the first one within it begins (true).
    fn begin(&mut self, open: &mut Open) -> Result<bool, Fault> {
        match self.peek() {
            Some(b'"') => self.string().map(|_| false),
            Some(b'{') => {
                self.enter(open, true)?;
                self.space();
                if self.eat(b'}') {
                    open.pop();
                    return Ok(false);
                }
                self.name().map(|()| true)
            }
            Some(b'[') => {
                self.enter(open, false)?;
                self.space();
                if self.eat(b']') {
                    open.pop();
                    return Ok(false);
                }
                Ok(true)
            }
            Some(b'-' | b'0'..=b'9') => self.number().map(|()| false),
            Some(b't') => self.word(b"true").map(|()| false),
            Some(b'f') => self.word(b"false").map(|()| false),
            Some(b'n') => self.word(b"null").map(|()| false),
            _ => Err(self.fault("expected a value")),
        }
    }

    /// Behind a complete value: closes what ends here. True when nothing is left open.
    fn end(&mut self, open: &mut Open) -> Result<bool, Fault> {
        while let Some(object) = open.top() {
            self.space();
            match self.peek() {
                Some(b',') => {
                    self.at += 1;
                    if object {
                        self.space();
                        self.name()?;
                    }
                    return Ok(false);
                }
                Some(b'}') if object => self.at += 1,
                Some(b']') if !object => self.at += 1,
                _ if object => return Err(self.fault("expected `,` or `}`")),
                _ => return Err(self.fault("expected `,` or `]`")),
            }
            open.pop();
        }
        Ok(true)
    }

    fn enter(&mut self, open: &mut Open, object: bool) -> Result<(), Fault> {
        if !open.push(object) {
            return Err(self.fault("nested too deeply: 128 levels are the most"));
        }
        self.at += 1;
        Ok(())
    }

    /// Passes over a member's name and its colon.
    fn name(&mut self) -> Result<(), Fault> {
        if self.peek() != Some(b'"') {
            return Err(self.fault("expected a member name in double quotes"));
        }
        self.string()?;
        self.colon()
    }

    /// Passes over the colon behind a name, and the space before it.
    pub fn colon(&mut self) -> Result<(), Fault> {
        self.space();
        if self.eat(b':') { Ok(()) } else { Err(self.fault("expected `:`")) }
    }

    fn escape(&mut self) -> Result<(), Fault> {
        let kind = self.bytes.get(self.at + 1).copied().unwrap_or_default();
        if matches!(kind, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') {
            self.at += 2;
            return Ok(());
        }
        if kind != b'u' {
            return Err(self.fault("unknown escape in a string"));
        }
        let digits = self.bytes.get(self.at + 2..self.at + 6).unwrap_or_default();
        if digits.len() < 4 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(self.fault("`\\u` must be followed by four hexadecimal digits"));
        }
        self.at += 6;
        Ok(())
    }

    /// Passes over a number.
    pub fn number(&mut self) -> Result<(), Fault> {
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        } else if let Some(b'0'..=b'9') = self.peek() {
            return Err(self.fault("a number must not begin with 0"));
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            let _sign = self.eat(b'+') || self.eat(b'-');
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Fault> {
        let run = self.rest().iter().take_while(|b| b.is_ascii_digit()).count();
        if run == 0 {
            return Err(self.fault("expected a digit"));
        }
        self.at += run;
        Ok(())
    }

    fn word(&mut self, word: &[u8]) -> Result<(), Fault> {
        if !self.rest().starts_with(word) {
            return Err(self.fault("expected a value"));
        }
        self.at += word.len();
        Ok(())
    }

    fn since(&self, at: usize) -> &'a [u8] {
        self.bytes.get(at..self.at).unwrap_or_default()
    }

    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }
}

/// What is open around a value: one bit a level, set for an object.
struct Open {
    kinds: u128,
    depth: u32,
    depth_max: u32,
}

impl Open {
    fn push(&mut self, object: bool) -> bool {
        if self.depth >= self.depth_max {
            return false;
        }
        self.depth += 1;
        self.kinds = (self.kinds << 1) | u128::from(object);
        true
    }

    fn pop(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.kinds >>= 1;
    }

    fn top(&self) -> Option<bool> {
        (self.depth > 0).then_some(self.kinds & 1 == 1)
    }
}

/// The number of leading bytes that stand for themselves within a JSON string: neither a quote,
/// nor a backslash, nor a control character.
pub(crate) fn plain_run(bytes: &[u8]) -> usize {
    let (strides, _) = bytes.as_chunks::<STRIDE>();
    let short = strides.first().map_or(bytes, |stride| stride.as_slice());
    let run = run_by_blocks(short);
    if run < STRIDE {
        return run;
    }
    let run = STRIDE * strides.iter().take_while(|stride| is_plain(stride)).count();
    run + run_by_blocks(bytes.get(run..).unwrap_or_default())
}

fn run_by_blocks(bytes: &[u8]) -> usize {
    let (blocks, tail) = bytes.as_chunks::<BLOCK>();
    let mut run = 0;
    for block in blocks {
        let hits = special(block).to_bitmask();
        if hits != 0 {
            return run + hits.trailing_zeros() as usize;
        }
        run += BLOCK;
    }
    run + tail.iter().take_while(|&&b| b >= 0x20 && b != b'"' && b != b'\\').count()
}

fn is_plain(stride: &[u8; STRIDE]) -> bool {
    let (blocks, _) = stride.as_chunks::<BLOCK>();
    let found = blocks.iter().map(special).fold(u8x32::splat(0), |found, hits| found | hits);
    found.to_bitmask() == 0
}

/// All bits of those bytes that do not stand for themselves.
fn special(block: &[u8; BLOCK]) -> u8x32 {
    let block = u8x32::new(*block);
    let control = block.simd_le(u8x32::splat(0x1f));
    let quote = block.simd_eq(u8x32::splat(b'"'));
    let backslash = block.simd_eq(u8x32::splat(b'\\'));
    control | quote | backslash
}

#[cfg(test)]
mod tests;
