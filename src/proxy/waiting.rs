//! Waiting for room under a limit, while the client stays.

use pingora::proxy::Session;
use tokio::time::Instant;

use super::bill::Bill;
use crate::admission::{Patience, Permit, Refused};
use crate::config::snapshot::Key;
use crate::config::snapshot::terms::Waiting;
use crate::error::{Error, Kind, Result};

/// Waits until a bill's request has room, as long as the configuration and its own time allow.
///
/// # Errors
/// What refuses it in the end, and `ClientGone`.
pub async fn for_room(
    bill: &mut Bill,
    (waiting, caller): (&Waiting, &Key),
    session: &mut Session,
    deadline: Instant,
) -> Result<()> {
    let Some(refused) = bill.refused.take() else { return Ok(()) };
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
) -> Result<Permit> {
    tokio::select! {
        biased;
        permit = refused.wait(patience) => permit,
        _left = session.downstream_session.read_body_or_idle(true) => {
            Err(Error::new(Kind::ClientGone, "the client left while its request waited for room"))
        }
    }
}
