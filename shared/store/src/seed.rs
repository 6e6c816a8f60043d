//! What the mesh has in its database from the first start.

use anyhow::Context;
use domain::TenantId;
use serde_json::json;
use tokio_postgres::Transaction;
use uuid::Uuid;

use crate::migrate;

/// The tenant of the mesh, which the variables of DESIGN 9 serve.
pub const DEMO: TenantId =
    TenantId::from_uuid(Uuid::from_u128(0xde30_0000_0000_4000_8000_0000_0000_0001));

/// Its number with a media stream, E.164 (DESIGN 9).
pub const DEMO_NUMBER: &str = "+15550100001";
/// Its number that Twilio recognises and speaks for, E.164 (DESIGN 9).
pub const DEMO_GATHER_NUMBER: &str = "+15550100003";
/// Its `phone_number_id` on WhatsApp (DESIGN 9).
pub const DEMO_WHATSAPP: &str = "106540352242922";
/// The clock it goes by.
pub const DEMO_TIMEZONE: &str = "America/Toronto";

/// Its addresses: channel, address, display, mode (DESIGN 9).
const DEMO_ADDRESSES: [(&str, &str, Option<&str>, &str); 6] = [
    ("voice", DEMO_NUMBER, None, "media_stream"),
    ("voice", DEMO_GATHER_NUMBER, None, "gather"),
    ("sms", DEMO_NUMBER, None, "chat"),
    ("sms", DEMO_GATHER_NUMBER, None, "chat"),
    ("whatsapp", DEMO_WHATSAPP, Some("15550100002"), "chat"),
    ("browser", "demo", None, "media_stream"),
];

/// Who serves its appointments.
const DEMO_DENTISTS: [&str; 2] = ["Dr. Lee", "Dr. Roy"];

/// Its services with their minutes; the first is meant where none is named.
const DEMO_SERVICES: [(&str, i32); 3] = [("check-up", 30), ("cleaning", 30), ("filling", 60)];

/// What its documents say: title, source, text.
const DEMO_DOCUMENTS: [(&str, &str, &str); 3] = [
    (
        "Opening hours",
        "our website",
        "We are open Monday to Friday from nine to five. On weekends and public holidays the clinic is closed.",
    ),
    (
        "Parking and access",
        "our visitor guide",
        "You can park free of charge behind the house. The entrance has a ramp, and there is a lift to every floor.",
    ),
    (
        "Paying",
        "our price list",
        "We take cash and all cards. Most dental insurance plans are billed directly, so please bring your insurance card.",
    ),
];

/// Puts the tenant `demo` in place, a dental clinic in Toronto. What is there already stays as it
/// is: an operator may have changed it. `database_url` is the owner's, as for migrations.
///
/// # Errors
/// When the database cannot be reached or is not migrated.
pub async fn demo(database_url: &str) -> anyhow::Result<()> {
    let settings = json!({
        "business": "Maple Dental",
        "timezone": DEMO_TIMEZONE,
        "voice": { "model": "aura-2-thalia-en", "language": "en-US" },
        "greeting": "Thank you for calling Maple Dental. How can I help you today?",
        "fallback_number": "+15550100009",
    });
    let mut client = migrate::owner(database_url).await?;
    let tx = client.transaction().await.context("begin to seed")?;
    let id = DEMO.as_uuid();
    tx.execute("SELECT set_config('app.tenant', $1, true)", &[&id.to_string()])
        .await
        .context("enter the tenant")?;
    tx.execute(
        "INSERT INTO tenants (id, slug, settings) VALUES ($1, 'demo', $2) ON CONFLICT DO NOTHING",
        &[id, &settings],
    )
    .await
    .context("seed the tenant")?;
    for (channel, address, display, mode) in DEMO_ADDRESSES {
        tx.execute(
            "INSERT INTO addresses (channel, address, display, tenant, mode)
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
            &[&channel, &address, &display, id, &mode],
        )
        .await
        .context("seed an address")?;
    }
    offer(&tx, id).await.context("seed what can be booked")?;
    know(&tx, id).await.context("seed what is known")?;
    tx.commit().await.context("commit the seed")
}

/// What the clinic offers (C6): services at two dentists, Monday to Friday 9 to 17.
async fn offer(tx: &Transaction<'_>, tenant: &Uuid) -> Result<(), tokio_postgres::Error> {
    let has_services = tx.query_opt("SELECT FROM services LIMIT 1", &[]).await?.is_some();
    if has_services {
        return Ok(());
    }
    for dentist in DEMO_DENTISTS {
        let id = Uuid::new_v5(tenant, dentist.as_bytes());
        tx.execute(
            "INSERT INTO resources (tenant, id, name) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            &[tenant, &id, &dentist],
        )
        .await?;
    }
    for (position, (service, minutes)) in (0_i32..).zip(DEMO_SERVICES) {
        let id = Uuid::new_v5(tenant, service.as_bytes());
        tx.execute(
            "INSERT INTO services (tenant, id, name, minutes, position)
             VALUES ($1, $2, $3, $4, $5)",
            &[tenant, &id, &service, &minutes, &position],
        )
        .await?;
    }
    tx.execute(
        "INSERT INTO service_resources (tenant, service, resource)
         SELECT s.tenant, s.id, r.number FROM services s JOIN resources r USING (tenant)",
        &[],
    )
    .await?;
    tx.execute(
        "INSERT INTO business_hours (tenant, weekday, opens, closes)
         SELECT $1, day, '09:00', '17:00' FROM generate_series(1, 5) AS day
         ON CONFLICT DO NOTHING",
        &[tenant],
    )
    .await?;
    Ok(())
}

/// What the clinic's agents can look up (C5).
async fn know(tx: &Transaction<'_>, tenant: &Uuid) -> Result<(), tokio_postgres::Error> {
    for (title, source, text) in DEMO_DOCUMENTS {
        let id = Uuid::new_v5(tenant, title.as_bytes());
        let sql = "INSERT INTO knowledge_documents (tenant, id, title, source, sha256)
             VALUES ($1, $2, $3, $4, sha256(convert_to($5, 'UTF8'))) ON CONFLICT DO NOTHING";
        if tx.execute(sql, &[tenant, &id, &title, &source, &text]).await? > 0 {
            let sql = "INSERT INTO knowledge_chunks (tenant, document, number, text)
                 VALUES ($1, $2, 0, $3)";
            tx.execute(sql, &[tenant, &id, &text]).await?;
        }
    }
    Ok(())
}
