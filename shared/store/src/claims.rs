//! Which events a consumer has taken effect of (DESIGN 2, "Idempotent").

use domain::EventId;

use crate::{StoreError, TenantTx};

/// Claims `event` for `consumer`, to stand or fall with the transaction. `false` when it was claimed
/// before: the effect is there already. While another transaction holds the claim, this waits for
/// its end.
pub async fn claim(tx: &TenantTx, consumer: &str, event: EventId) -> Result<bool, StoreError> {
    let claimed = tx
        .execute(
            "INSERT INTO claims (tenant, consumer, event) VALUES ($1, $2, $3)
             ON CONFLICT DO NOTHING",
            &[tx.id(), &consumer, event.as_uuid()],
        )
        .await?;
    Ok(claimed == 1)
}
