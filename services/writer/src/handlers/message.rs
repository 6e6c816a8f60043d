use domain::{Channel, Envelope, MessageKind, MessageReceived, MessageSent};
use store::{
    StoreError, TenantTx, conversations, due, messages,
    opt_outs::{self, OptOut},
    users::{self, Identity},
};

use crate::traces;

/// What a person said or wrote, who it was, and what was heard of the reply before.
pub(super) async fn received(
    tx: &TenantTx,
    of: &Envelope,
    e: &MessageReceived,
) -> Result<(), StoreError> {
    let known_by = identities(of, e);
    let user = users::note(tx, &known_by, e.profile_name.as_ref(), of.occurred_at).await?;
    conversations::note(tx, of, Some(&e.to), user).await?;
    if !of.channel.is_spoken() {
        for chat in e.chats(of.tenant, &of.channel, of.conversation) {
            due::release(tx, chat, of.occurred_at).await?;
        }
    }
    messages::received(tx, of, e).await?;
    if let MessageKind::Keyword(word) = &e.kind
        && let Some(is_out) = word.opts_out()
    {
        opt_outs::note(tx, &OptOut::of(&of.channel, &e.to, &e.from), is_out, of.occurred_at)
            .await?;
    }
    match of.channel.is_spoken() {
        true => Ok(()),
        false => traces::schedule(tx, of).await,
    }
}

/// An agent's reply.
pub(super) async fn sent(tx: &TenantTx, of: &Envelope, e: &MessageSent) -> Result<(), StoreError> {
    conversations::note(tx, of, Some(&e.from), None).await?;
    messages::sent(tx, of, e).await?;
    match of.channel.is_spoken() {
        true => Ok(()),
        // Also where the person never wrote: a reminder, a confirmation.
        false => traces::schedule(tx, of).await,
    }
}

/// A number where there is one; on WhatsApp the business-scoped id too, which may stand alone.
fn identities(of: &Envelope, e: &MessageReceived) -> Vec<Identity> {
    let number = Identity::phone(&e.from);
    let scoped = match &e.bsuid {
        Some(bsuid) => Identity::bsuid(bsuid),
        None if number.is_none() && of.channel == Channel::WHATSAPP => Identity::bsuid(&e.from),
        None => None,
    };
    // Of who has another number from now on both are theirs.
    let new_number = match &e.kind {
        MessageKind::NumberChanged { to } => Identity::phone(to),
        _ => None,
    };
    number.into_iter().chain(scoped).chain(new_number).collect()
}
