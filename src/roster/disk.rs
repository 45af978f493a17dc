//! The roster in a directory of this node: `roster.json`, replaced in one step, and `audit.jsonl`,
//! to which lines are added. Each is on the disk before a change is answered.
//!
//! A lock on a file beside them serves processes, not threads: during an upgrade two of them are there.

use std::collections::VecDeque;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use serde_json::Value;

use super::{DOCUMENT_BYTES_MAX, Edition, Failure, Query, parse, unavailable};
use crate::config::objects::Objects;

/// The longest line read of the audit log, in bytes: an entry has two objects of the size of a body.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// Whoever runs the gateway reads and writes, nobody else.
const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;

/// A roster on disk.
#[derive(Clone)]
pub(super) struct Disk {
    directory: PathBuf,
}

impl Disk {
    /// A roster in this directory, which is made where there is none.
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(directory)?;
        Ok(Self { directory: directory.to_owned() })
    }

    pub(super) fn edition(&self) -> Result<Edition, Failure> {
        match fs::metadata(self.document()) {
            Ok(data) => Ok(edition(&data)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Edition::default()),
            Err(error) => Err(self.failed(error)),
        }
    }

    pub(super) fn read(&self) -> Result<(Edition, Objects), Failure> {
        let file = match File::open(self.document()) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Default::default()),
            Err(error) => return Err(self.failed(error)),
        };
        let failed = |error| self.failed(error);
        // Of the open file, so that edition and document belong together.
        let edition = edition(&file.metadata().map_err(failed)?);
        let mut document = Vec::new();
        let most = DOCUMENT_BYTES_MAX as u64;
        file.take(most).read_to_end(&mut document).map_err(failed)?;
        Ok((edition, parse(&document)?))
    }

    pub(super) fn replace(
        &self,
        expected: &Edition,
        document: &[u8],
        line: &str,
    ) -> Result<Option<Edition>, Failure> {
        let _alone = self.lock()?;
        if self.edition()? != *expected {
            return Ok(None);
        }
        self.replace_alone(document, line).map(Some).map_err(|error| self.failed(error))
    }

    fn replace_alone(&self, document: &[u8], line: &str) -> io::Result<Edition> {
        let next = self.directory.join("roster.next");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(FILE_MODE)
            .open(&next)?;
        file.write_all(document)?;
        file.sync_all()?;
        let edition = edition(&file.metadata()?);
        // First the log: a change that is not told of would be worse than one that is told of and,
        // for a power cut in between, was not made.
        self.append(line)?;
        fs::rename(&next, self.document())?;
        File::open(&self.directory)?.sync_all()?;
        Ok(edition)
    }

    pub(super) fn note(&self, line: &str) -> Result<(), Failure> {
        let _alone = self.lock()?;
        self.append(line).map_err(|error| self.failed(error))
    }

    /// Adds a line; one that was cut off by a power cut is ended first.
    fn append(&self, line: &str) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(FILE_MODE)
            .open(self.log())?;
        let mut last = [b'\n'];
        if file.metadata()?.len() > 0 {
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
        }
        let before = if last == *b"\n" { "" } else { "\n" };
        file.write_all(format!("{before}{line}\n").as_bytes())?;
        file.sync_data()
    }

    pub(super) fn entries(&self, query: &Query) -> Result<Vec<Value>, Failure> {
        let file = match File::open(self.log()) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.failed(error)),
        };
        let mut reader = BufReader::new(file);
        let mut found = VecDeque::with_capacity(query.limit);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
            if read.map_err(|error| self.failed(error))? == 0 {
                break;
            }
            let Ok(entry) = serde_json::from_slice::<Value>(&line) else { continue };
            let is_asked =
                entry.get("at").and_then(Value::as_str).is_some_and(|at| query.asks_for(at));
            if is_asked {
                if found.len() == query.limit {
                    found.pop_front();
                }
                found.push_back(entry);
            }
        }
        Ok(found.into_iter().rev().collect())
    }

    fn lock(&self) -> Result<Flock<File>, Failure> {
        let path = self.directory.join("lock");
        let file =
            OpenOptions::new().write(true).create(true).truncate(false).mode(FILE_MODE).open(path);
        let file = file.map_err(|error| self.failed(error))?;
        Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, error)| self.failed(error.into()))
    }

    fn document(&self) -> PathBuf {
        self.directory.join("roster.json")
    }

    fn log(&self) -> PathBuf {
        self.directory.join("audit.jsonl")
    }

    fn failed(&self, error: io::Error) -> Failure {
        unavailable(format!("{}: {error}", self.directory.display()))
    }
}

/// A file that is replaced is another file.
fn edition(data: &fs::Metadata) -> Edition {
    Edition(format!("{}-{}-{}.{}", data.ino(), data.len(), data.mtime(), data.mtime_nsec()))
}
