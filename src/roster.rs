//! The roster: who was given access at run time, kept where it outlives the process, and the audit log.
//!
//! It is one document that is read and replaced as a whole, under an edition: whoever has read an edition
//! that is no longer the last replaces nothing. So there is no order of partial writes to get wrong, and
//! several gateways can share it. Changes are rare and made by people and scripts, never by requests to
//! models. What the document means is the matter of [`crate::config::lay_over`].

pub mod access;
mod audit;
mod disk;
pub mod edit;
mod shared;

use std::fmt;
use std::io;
use std::path::Path;

use chrono::{DateTime, Utc};

pub use self::audit::{Author, Entry, Query};
use self::disk::Disk;
use self::shared::Shared;
use crate::config::objects::Objects;
use crate::valkey;

/// The largest document, in bytes: about 50,000 keys.
const DOCUMENT_BYTES_MAX: usize = 32 << 20;

/// Which state of the document one is; empty before the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edition(String);

/// Why the roster did not do what it was asked for.
#[derive(Debug)]
pub enum Failure {
    /// It cannot be reached, or is not what was written there.
    Unavailable(String),
    /// It would be larger than a document may be.
    Full,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Unavailable(why) => write!(f, "the roster cannot be used: {why}"),
            Failure::Full => write!(f, "the roster is full: it has {DOCUMENT_BYTES_MAX} bytes"),
        }
    }
}

impl std::error::Error for Failure {}

/// Where the document is kept.
pub struct Roster(Place);

enum Place {
    Disk(Disk),
    Shared(Box<Shared>),
}

impl Roster {
    /// The roster in a directory, or else in a Valkey; `None` where there is neither.
    ///
    /// # Errors
    /// Where the directory cannot be made, or the address is none.
    pub fn open(
        path: Option<&Path>,
        server: Option<&valkey::Settings>,
    ) -> io::Result<Option<Self>> {
        let place = match (path, server) {
            (Some(path), _) => Place::Disk(Disk::open(path)?),
            (None, Some(server)) => Place::Shared(Box::new(Shared::new(server)?)),
            (None, None) => return Ok(None),
        };
        Ok(Some(Self(place)))
    }

    /// What is on disk, before anything runs; `None` where it is not kept there.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn at_start(&self) -> Result<Option<(Edition, Objects)>, Failure> {
        match &self.0 {
            Place::Disk(disk) => disk.read().map(Some),
            Place::Shared(_) => Ok(None),
        }
    }

    /// Which edition is the last.
    ///
    /// # Errors
    /// Where that cannot be known.
    pub async fn edition(&self) -> Result<Edition, Failure> {
        match &self.0 {
            // One look at a file's state: no reason to change threads.
            Place::Disk(disk) => disk.edition(),
            Place::Shared(shared) => shared.edition().await,
        }
    }

    /// The last edition and its document.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub async fn read(&self) -> Result<(Edition, Objects), Failure> {
        match &self.0 {
            Place::Disk(disk) => blocking(disk, Disk::read).await,
            Place::Shared(shared) => shared.read().await,
        }
    }

    /// Replaces the document and notes the change in the audit log, both or neither; `None` where
    /// `expected` is not the last edition.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn replace(
        &self,
        expected: &Edition,
        objects: &Objects,
        entry: &Entry,
    ) -> Result<Option<Edition>, Failure> {
        let document = serde_json::to_vec(objects).map_err(unavailable)?;
        if document.len() > DOCUMENT_BYTES_MAX {
            return Err(Failure::Full);
        }
        let line = entry.line();
        match &self.0 {
            Place::Disk(disk) => {
                let expected = expected.clone();
                blocking(disk, move |disk| disk.replace(&expected, &document, &line)).await
            }
            Place::Shared(shared) => shared.replace(expected, &document, &line).await,
        }
    }

    /// Notes in the audit log what changes no document.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn note(&self, entry: &Entry) -> Result<(), Failure> {
        let line = entry.line();
        match &self.0 {
            Place::Disk(disk) => blocking(disk, move |disk| disk.note(&line)).await,
            Place::Shared(shared) => shared.note(&line).await,
        }
    }

    /// What the audit log says, the newest first.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub async fn entries(&self, query: Query) -> Result<Vec<serde_json::Value>, Failure> {
        match &self.0 {
            Place::Disk(disk) => blocking(disk, move |disk| disk.entries(&query)).await,
            Place::Shared(shared) => shared.entries(&query).await,
        }
    }
}

/// Work on a disk, on a thread for such work.
async fn blocking<T: Send + 'static>(
    disk: &Disk,
    work: impl FnOnce(&Disk) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let disk = disk.clone();
    tokio::task::spawn_blocking(move || work(&disk)).await.map_err(unavailable)?
}

fn parse(document: &[u8]) -> Result<Objects, Failure> {
    let parsed = serde_json::from_slice(document);
    // What serde says quotes what is there, and hashes are better not repeated.
    parsed.map_err(|wrong| {
        let (line, column) = (wrong.line(), wrong.column());
        unavailable(format!("its document is not what was written, at {line}:{column}"))
    })
}

fn unavailable(why: impl fmt::Display) -> Failure {
    Failure::Unavailable(why.to_string())
}

/// A moment in the form of the audit log.
fn stamp(moment: DateTime<Utc>) -> String {
    moment.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}
