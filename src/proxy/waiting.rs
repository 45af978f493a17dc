//! Waiting for room under a limit, while the client stays.

use pingora::proxy::Session;
use tokio::time::Instant;

use super::bill::Bill;
use crate::admission::{Patience, Permit, Refused};
use crate::config::snapshot::Key;
use crate::error::{Error, Kind, Result};
use crate::state::Active;

/// Waits until a bill's request has room, as long as the configuration and its own time allow.
///
/// # Errors
/// What refuses it in the end, and `ClientGone`.
pub async fn for_room(
    bill: &mut Bill,
    (active, caller): (&Active, &Key),
    session: &mut Session,
    deadline: Instant,
) -> Result<()> {
    let waiting = active.snapshot.terms.waiting.as_ref();
    let (Some(refused), Some(waiting)) = (bill.refused.take(), waiting) else { return Ok(()) };
    let patience = Patience {
        until: deadline.min(Instant::now() + waiting.wait_max),
        queue_max: waiting.queue_max,
        priority: caller.terms.priority,
        tenant: caller.tenant.clone(),
    };
    bill.admitted(while_client_stays(refused, &patience, session).await?);
    Ok(())
}

async fn while_client_stays(
    refused: Box<Refused>,
    patience: &Patience,
    session: &mut Session,
) -> Result<Box<Permit>> {
    tokio::select! {
        biased;
        permit = refused.wait(patience) => permit,
        _left = session.downstream_session.read_body_or_idle(true) => {
            Err(Error::new(Kind::ClientGone, "the client left while its request waited for room"))
        }
    }
}
