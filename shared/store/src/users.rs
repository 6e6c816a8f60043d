//! People, and what they are known by. Names and numbers are encrypted; a row is found by the keyed
//! hash of its normalised value (D3).

use domain::{CipherError, FieldCipher, Personal, Timestamp};
use uuid::Uuid;

use crate::{
    StoreError, TenantTx,
    history::{self, Conditions},
    moment,
};

const NAME: &str = "users.name";
const VALUE: &str = "user_identities.value";

/// Something a person is known by, normalised: the same person always gives the same one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    kind: &'static str,
    value: Personal,
}

impl Identity {
    /// A phone number in E.164, or the WhatsApp id made of one (the same without `+`); `None` for
    /// what is no number, such as `anonymous`.
    pub fn phone(number: &Personal) -> Option<Self> {
        let digits: String = number
            .reveal()
            .chars()
            .filter(|c| !matches!(c, '+' | ' ' | '-' | '(' | ')' | '.'))
            .collect();
        let is_number =
            (5..=20).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        is_number.then(|| Self { kind: "phone", value: format!("+{digits}").into() })
    }

    /// What the table of this person's kind of identity finds it by.
    pub(crate) fn hash(&self, cipher: &dyn FieldCipher) -> Vec<u8> {
        cipher.hash(self.kind, self.value.reveal()).to_vec()
    }

    /// What somebody typed to find a person by: a number, else a business-scoped id.
    pub fn typed(text: &str) -> Option<Self> {
        let text = text.trim().into();
        Self::phone(&text).or_else(|| Self::bsuid(&text))
    }

    /// A WhatsApp business-scoped user id.
    pub fn bsuid(id: &Personal) -> Option<Self> {
        let id = id.reveal().trim();
        (!id.is_empty()).then(|| Self { kind: "bsuid", value: id.into() })
    }
}

/// Finds the person with any of `identities`, or makes one, and adds what is new: identities, the
/// name if none is known, the time seen. `None` when nothing identifies the person.
///
/// Two people who turn out to be one (their identities met in one message only later) stay two; the
/// one first seen gets the message.
pub async fn note(
    tx: &TenantTx,
    identities: &[Identity],
    name: Option<&Personal>,
    at: Timestamp,
) -> Result<Option<Uuid>, StoreError> {
    if identities.is_empty() {
        return Ok(None);
    }
    let cipher = tx.cipher().await?;
    let kinds: Vec<&str> = identities.iter().map(|i| i.kind).collect();
    let hashes: Vec<Vec<u8>> = identities.iter().map(|i| i.hash(cipher.as_ref())).collect();
    let name = match name {
        Some(name) if !name.is_empty() => Some(cipher.seal(NAME, name.reveal())?),
        _ => None,
    };

    let user = match find(tx, &kinds, &hashes).await? {
        Some(user) => user,
        None => Uuid::now_v7(),
    };
    tx.execute(
        "INSERT INTO users AS u (tenant, id, name_enc, first_seen_at, last_seen_at)
         VALUES ($1, $2, $3, $4, $4)
         ON CONFLICT (tenant, id) DO UPDATE SET
            name_enc = coalesce(u.name_enc, excluded.name_enc),
            first_seen_at = least(u.first_seen_at, excluded.first_seen_at),
            last_seen_at = greatest(u.last_seen_at, excluded.last_seen_at)",
        &[tx.id(), &user, &name, &moment(at)],
    )
    .await?;
    let mut sealed = Vec::with_capacity(identities.len());
    for identity in identities {
        sealed.push(cipher.seal(VALUE, identity.value.reveal())?);
    }
    // In one order everywhere, so that two transactions about one person cannot wait for each other.
    tx.execute(
        "INSERT INTO user_identities (tenant, kind, value_hash, value_enc, user_id)
         SELECT $1, kind, hash, sealed, $5
         FROM unnest($2::text[], $3::bytea[], $4::bytea[]) AS i (kind, hash, sealed)
         ORDER BY kind, hash
         ON CONFLICT DO NOTHING",
        &[tx.id(), &kinds, &hashes, &sealed, &user],
    )
    .await?;
    // Another transaction may have made the same person meanwhile; then that one counts.
    let stands = find(tx, &kinds, &hashes).await?.unwrap_or(user);
    if stands != user {
        tx.execute("DELETE FROM users WHERE id = $1", &[&user]).await?;
    }
    Ok(Some(stands))
}

/// The person known by `identity`, where there is one.
pub async fn by_identity(tx: &TenantTx, identity: &Identity) -> Result<Option<Uuid>, StoreError> {
    let hash = identity.hash(tx.cipher().await?.as_ref());
    find(tx, &[identity.kind], &[hash]).await
}

/// The name the person gave, where one is known.
pub async fn name(tx: &TenantTx, user: Uuid) -> Result<Option<Personal>, StoreError> {
    let row = tx.query_opt("SELECT name_enc FROM users WHERE id = $1", &[&user]).await?;
    let Some(sealed) = row.and_then(|r| r.get::<_, Option<Vec<u8>>>(0)) else {
        return Ok(None);
    };
    Ok(Some(tx.cipher().await?.open(NAME, &sealed)?))
}

/// A person with everything they are known by.
#[derive(Clone, PartialEq, Debug)]
pub struct Person {
    /// Their id.
    pub id: Uuid,
    /// What they are called.
    pub name: Option<Personal>,
    /// `phone` or `bsuid`, and the value.
    pub known_by: Vec<(String, Personal)>,
    /// When they first reached us.
    pub first_seen_at: Timestamp,
    /// When they last did.
    pub last_seen_at: Timestamp,
}

/// Up to `limit` people, the last seen first, after the one that `after` names by time and id.
pub async fn page(
    tx: &TenantTx,
    after: Option<(Timestamp, Uuid)>,
    limit: i64,
) -> Result<Vec<Person>, StoreError> {
    let mut wanted = Conditions::default();
    if let Some((at, id)) = after {
        wanted.after("u.last_seen_at", at, "u.id", id);
    }
    select(tx, wanted, limit).await
}

/// One person.
pub async fn person(tx: &TenantTx, id: Uuid) -> Result<Option<Person>, StoreError> {
    let mut wanted = Conditions::default();
    wanted.add("u.id = $", id);
    Ok(select(tx, wanted, 1).await?.pop())
}

async fn select(
    tx: &TenantTx,
    mut wanted: Conditions,
    limit: i64,
) -> Result<Vec<Person>, StoreError> {
    let limit = wanted.value(limit);
    let sql = format!(
        "SELECT u.id, u.name_enc, u.first_seen_at, u.last_seen_at,
            ARRAY(SELECT kind FROM user_identities i WHERE i.user_id = u.id
                ORDER BY kind DESC, value_hash),
            ARRAY(SELECT value_enc FROM user_identities i WHERE i.user_id = u.id
                ORDER BY kind DESC, value_hash)
         FROM users u {} ORDER BY u.last_seen_at DESC, u.id LIMIT {limit}",
        wanted.sql()
    );
    let rows = tx.query(&sql, &wanted.values()).await?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let cipher = tx.cipher().await?;
    let read = |row: &tokio_postgres::Row| {
        let name: Option<&[u8]> = row.get(1);
        let (kinds, values): (Vec<String>, Vec<Vec<u8>>) = (row.get(4), row.get(5));
        let mut known_by = Vec::with_capacity(kinds.len());
        for (kind, value) in kinds.into_iter().zip(values) {
            known_by.push((kind, cipher.open(VALUE, &value)?));
        }
        Ok(Person {
            id: row.get(0),
            name: name.map(|sealed| cipher.open(NAME, sealed)).transpose()?,
            known_by,
            first_seen_at: history::at(row, 2),
            last_seen_at: history::at(row, 3),
        })
    };
    rows.iter().map(read).collect()
}

/// Opens a name as it lies in its column.
pub(crate) fn open_name(cipher: &dyn FieldCipher, sealed: &[u8]) -> Result<Personal, CipherError> {
    cipher.open(NAME, sealed)
}

/// Opens what a person is known by, as it lies in its column.
pub(crate) fn open_value(cipher: &dyn FieldCipher, sealed: &[u8]) -> Result<Personal, CipherError> {
    cipher.open(VALUE, sealed)
}

async fn find(
    tx: &TenantTx,
    kinds: &[&str],
    hashes: &[Vec<u8>],
) -> Result<Option<Uuid>, StoreError> {
    let row = tx
        .query_opt(
            "SELECT i.user_id
             FROM unnest($1::text[], $2::bytea[]) AS wanted (kind, hash)
             JOIN user_identities i ON i.kind = wanted.kind AND i.value_hash = wanted.hash
             JOIN users u ON u.id = i.user_id
             ORDER BY u.first_seen_at, u.id
             LIMIT 1",
            &[&kinds, &hashes],
        )
        .await?;
    Ok(row.map(|r| r.get(0)))
}
