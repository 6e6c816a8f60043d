//! The only list of channels.

use std::sync::Arc;

use super::{
    ChannelAdapter,
    browser::Browser,
    email::{Email, Ses},
    twilio_sms::{SmsSettings, TwilioSms},
    twilio_voice::{Transfers, TwilioSettings, TwilioVoice, WrittenReplies},
    whatsapp::{WhatsApp, WhatsAppSettings},
};
use crate::{
    call::{state::CallStates, token::StreamTokens},
    directory::Directory,
};

/// What adapters are made of.
pub struct Parts {
    /// Our addresses.
    pub directory: Arc<Directory>,
    /// To vendors.
    pub http: reqwest::Client,
    /// Lets media sockets in.
    pub tokens: Arc<StreamTokens>,
    /// States of calls.
    pub calls: CallStates,
    /// Replies of calls without a media stream.
    pub replies: Arc<WrittenReplies>,
    /// How calls are handed over to humans.
    pub transfers: Transfers,
    /// Twilio.
    pub twilio: TwilioSettings,
    /// Twilio's text messages.
    pub sms: SmsSettings,
    /// E-mail.
    pub ses: Ses,
    /// Meta.
    pub whatsapp: WhatsAppSettings,
}

/// Every channel there is.
pub fn adapters(parts: Parts) -> Vec<Arc<dyn ChannelAdapter>> {
    let Parts { directory, http, tokens, calls, replies, transfers, twilio, sms, ses, whatsapp } =
        parts;
    vec![
        Arc::new(Browser::new(twilio.public_base_url.clone(), directory.clone(), tokens.clone())),
        Arc::new(TwilioVoice::new(
            twilio.clone(),
            directory.clone(),
            tokens,
            calls,
            replies,
            transfers,
        )),
        Arc::new(TwilioSms::new(sms, twilio, directory.clone(), http.clone())),
        Arc::new(Email::new(ses, directory.clone())),
        Arc::new(WhatsApp::new(whatsapp, directory, http)),
    ]
}
