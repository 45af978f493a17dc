//! A lease in Valkey: a key with an expiry, renewed while it is held, given back by who took it.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use redis::{AsyncCommands, ExistenceCheck, Script, SetExpiry, SetOptions};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::{Failure, Lease, failed};
use crate::valkey::Connection;

/// The first pause before a lease that another node holds is asked for again …
const PAUSE_MIN: Duration = Duration::from_millis(2);

/// … which doubles up to this.
const PAUSE_MAX: Duration = Duration::from_millis(50);

static RENEW: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('GET', KEYS[1]) == ARGV[1] then \
           return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0",
    )
});

static GIVE_BACK: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('GET', KEYS[1]) == ARGV[1] then \
           return redis.call('DEL', KEYS[1]) end return 0",
    )
});

/// A lease of this process; given back when dropped.
pub struct Held {
    connection: Connection,
    key: String,
    token: String,
    renewing: AbortHandle,
    runtime: Handle,
}

impl Held {
    /// Takes a lease, waiting at most so long for whoever has it.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn take(
        mut connection: Connection,
        key: String,
        time: Duration,
        wait: Duration,
    ) -> Result<Self, Failure> {
        let (started, mut pause) = (Instant::now(), PAUSE_MIN);
        let token = format!("{:032x}", fastrand::u128(..));
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let options = SetOptions::default()
            .conditional_set(ExistenceCheck::NX)
            .with_expiration(SetExpiry::PX(millis));
        loop {
            let taken: Option<String> =
                connection.set_options(&key, &token, options.clone()).await.map_err(failed)?;
            if taken.is_some() {
                break;
            }
            if started.elapsed() + pause > wait {
                return Err(Failure::Busy);
            }
            tokio::time::sleep(pause).await;
            pause = (2 * pause).min(PAUSE_MAX);
        }
        let renewing = tokio::spawn(renew(connection.clone(), key.clone(), token.clone(), time));
        let (renewing, runtime) = (renewing.abort_handle(), Handle::current());
        Ok(Self { connection, key, token, renewing, runtime })
    }
}

/// Renews a lease until it is lost, or this is aborted.
async fn renew(mut connection: Connection, key: String, token: String, time: Duration) {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    loop {
        tokio::time::sleep(time / 3).await;
        let mut script = RENEW.prepare_invoke();
        script.key(&key).arg(&token).arg(millis);
        // Where the store is not there, it may be before the lease has run out.
        if script.invoke_async::<i64>(&mut connection).await.is_ok_and(|renewed| renewed == 0) {
            return;
        }
    }
}

impl Lease for Held {}

impl Drop for Held {
    fn drop(&mut self) {
        self.renewing.abort();
        let (mut connection, key) = (self.connection.clone(), std::mem::take(&mut self.key));
        let token = std::mem::take(&mut self.token);
        // Where this fails, the lease runs out by itself.
        self.runtime.spawn(async move {
            let mut script = GIVE_BACK.prepare_invoke();
            script.key(&key).arg(&token);
            let _given_back = script.invoke_async::<i64>(&mut connection).await;
        });
    }
}
