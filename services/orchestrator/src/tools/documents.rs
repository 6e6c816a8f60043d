//! Files of the business that agents send (C5): on WhatsApp, in the chat they are asked for in, or to the number of who calls.

use std::time::Duration;

use anyhow::Context as _;
use dialogue_core::tool::{Outcome, SendDocument};
use domain::{Channel, ConversationId, Payload, SentForm, Timestamp};
use store::{StoreError, knowledge, users::Identity};

use super::{
    Scene,
    confirmation::{TextTo, message},
};

/// A business may write freely for 24 hours after the person did (PROTOCOLS 2.4); a caller is promised nothing that would
/// have to be held at the end of them.
const FREELY_WITHIN: Duration = Duration::from_secs(23 * 60 * 60);

const ONLY_WHATSAPP: &str = "files go out on WhatsApp alone, to who has written there within a day";

/// Sends the file that is asked for. The id of the message derives from the turn: sent twice, it is delivered once.
pub(super) async fn send(
    scene: &Scene<'_>,
    wanted: &SendDocument,
    effect: &str,
) -> anyhow::Result<Outcome> {
    let Some((to, chat)) = on_whatsapp(scene).await else {
        return Ok(Outcome::Refused(ONLY_WHATSAPP.to_owned()));
    };
    let looked = async {
        let tx = scene.shell.store.tenant(scene.envelope.tenant).await?;
        knowledge::file_about(&tx, wanted.what.reveal()).await
    };
    let found = match looked.await {
        Ok(Some(found)) => found,
        Ok(None) => return Ok(Outcome::NotFound),
        Err(error) => {
            let error: StoreError = error;
            tracing::warn!(%error, "no file can be looked for");
            return Ok(Outcome::Unavailable);
        }
    };
    let mut message = message(scene.envelope, &to, found.title.clone());
    message.event_id = scene.envelope.event_id.child(&format!("document:{effect}"));
    message.conversation = chat;
    if let Payload::MessageSent(sent) = &mut message.payload {
        sent.form = SentForm::File(found.file);
        sent.account.agent = "information".to_owned();
    }
    scene.out.publish(&[message]).await.context("send a file")?;
    Ok(Outcome::Sent(found.title))
}

/// Where a file can go to this person now, and in which chat.
async fn on_whatsapp(scene: &Scene<'_>) -> Option<(TextTo, ConversationId)> {
    let (tenant, channel) = (scene.envelope.tenant, &scene.envelope.channel);
    let (our_address, to) = (scene.to.to_owned(), scene.from.clone());
    if *channel == Channel::WHATSAPP {
        let to = TextTo { channel: channel.clone(), our_address, to };
        return Some((to, scene.envelope.conversation));
    }
    if !channel.is_spoken() || Identity::phone(&to).is_none() {
        return None;
    }
    let ours = scene.tenant.addresses.iter().find(|a| a.channel == Channel::WHATSAPP)?;
    let contact = to.reveal().trim_start_matches('+');
    let chat = ConversationId::of_chat(tenant, ours.channel.as_str(), &ours.address, contact);
    let wrote = scene.shell.cache.last_written(chat).await.unwrap_or_else(|error| {
        tracing::debug!(%error, "when the caller wrote last is not known");
        None
    });
    let is_open = wrote.is_some_and(|at| Timestamp::now().since(at) < FREELY_WITHIN);
    let to = TextTo { channel: Channel::WHATSAPP, our_address: ours.address.clone(), to };
    is_open.then_some((to, chat))
}
