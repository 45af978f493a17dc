//! The roster in a Valkey that several gateways share: a hash with the edition and the document, and a
//! stream for the audit log, both in one slot of a cluster and written by one script.

use std::io;
use std::sync::LazyLock;

use redis::{AsyncCommands, RedisError, Script};
use serde_json::Value;

use super::{Edition, Failure, Query, parse, unavailable};
use crate::config::objects::Objects;
use crate::valkey::{Settings, Valkey};

/// Entries that the audit log keeps there: the oldest go first.
const ENTRIES_MAX: u64 = 100_000;

/// The member of an entry in the stream.
const ENTRY: &str = "entry";

/// KEYS: the roster, the audit log. ARGV: the edition that is expected, the next, the document, the
/// entry, how many entries are kept.
static REPLACE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if (redis.call('HGET', KEYS[1], 'edition') or '') ~= ARGV[1] then return 0 end
         redis.call('HSET', KEYS[1], 'edition', ARGV[2], 'document', ARGV[3])
         redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[5], '*', 'entry', ARGV[4])
         return 1",
    )
});

/// A roster in a Valkey.
pub(super) struct Shared {
    server: Valkey,
}

/// One entry of a stream: its id, and names and values.
type Row = (String, Vec<(String, String)>);

impl Shared {
    /// A roster in a server that is connected to when it is needed.
    pub(super) fn new(settings: &Settings) -> io::Result<Self> {
        // What is said of the URL may quote a password.
        let unusable = |_| io::Error::other("`valkey.url` is no address of Valkey");
        Ok(Self { server: Valkey::new(settings.clone()).map_err(unusable)? })
    }

    pub(super) async fn edition(&self) -> Result<Edition, Failure> {
        let mut connection = self.server.connection().map_err(failed)?;
        let edition: Option<String> =
            connection.hget(self.roster(), "edition").await.map_err(failed)?;
        Ok(Edition(edition.unwrap_or_default()))
    }

    pub(super) async fn read(&self) -> Result<(Edition, Objects), Failure> {
        let mut connection = self.server.connection().map_err(failed)?;
        let (edition, document): (Option<String>, Option<Vec<u8>>) =
            connection.hmget(self.roster(), &["edition", "document"]).await.map_err(failed)?;
        let objects = document.map(|document| parse(&document)).transpose()?;
        Ok((Edition(edition.unwrap_or_default()), objects.unwrap_or_default()))
    }

    pub(super) async fn replace(
        &self,
        expected: &Edition,
        document: &[u8],
        line: &str,
    ) -> Result<Option<Edition>, Failure> {
        // Random, not counted: one of a server that came back empty is never one from before.
        let next = format!("{:032x}", fastrand::u128(..));
        let mut script = REPLACE.prepare_invoke();
        script.key(self.roster()).key(self.log());
        script.arg(&expected.0).arg(&next).arg(document).arg(line).arg(ENTRIES_MAX);
        let mut connection = self.server.connection().map_err(failed)?;
        let replaced: bool = script.invoke_async(&mut connection).await.map_err(failed)?;
        Ok(replaced.then_some(Edition(next)))
    }

    pub(super) async fn note(&self, line: &str) -> Result<(), Failure> {
        let mut connection = self.server.connection().map_err(failed)?;
        let mut command = redis::cmd("XADD");
        command.arg(self.log()).arg("MAXLEN").arg("~").arg(ENTRIES_MAX).arg("*");
        command.arg(ENTRY).arg(line).query_async(&mut connection).await.map_err(failed)
    }

    pub(super) async fn entries(&self, query: &Query) -> Result<Vec<Value>, Failure> {
        // Ids begin with milliseconds; those of a day's last one are behind it.
        let millis = |moment: chrono::DateTime<chrono::Utc>| moment.timestamp_millis().max(0);
        let from = query.from.map_or_else(|| "-".to_owned(), |from| millis(from).to_string());
        let to = query.to.map_or_else(|| "+".to_owned(), |to| format!("({}", millis(to)));
        let mut command = redis::cmd("XREVRANGE");
        command.arg(self.log()).arg(to).arg(from).arg("COUNT").arg(query.limit);
        let mut connection = self.server.connection().map_err(failed)?;
        let rows: Vec<Row> = command.query_async(&mut connection).await.map_err(failed)?;
        let members = rows.iter().flat_map(|(_, members)| members);
        let lines = members.filter(|(name, _)| name == ENTRY).map(|(_, line)| line);
        Ok(lines.filter_map(|line| serde_json::from_str(line).ok()).collect())
    }

    fn roster(&self) -> String {
        format!("{}:{{roster}}", self.server.prefix())
    }

    fn log(&self) -> String {
        format!("{}:{{roster}}:audit", self.server.prefix())
    }
}

fn failed(error: RedisError) -> Failure {
    unavailable(format!("valkey: {error}"))
}
