//! Tenants and what they say about themselves.

mod own_tools;

use std::{ops::RangeInclusive, time::Duration};

use domain::{
    ChatHandover, Selection, Template, Templates, TenantId, TenantSettings, TurnTaking,
    VendorVoice, Voice,
};
use serde::Deserialize;

use self::own_tools::ToolColumn;
use crate::{Store, StoreError, TenantTx};

/// What one text message to a person may be (PROTOCOLS 1.6).
const LONGEST_SMS_HELP_CHARS: usize = 1_600;

/// The settings of all tenants that have an address.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct AllSettings {
    /// Those that can be used.
    pub good: Vec<TenantSettings>,
    /// Those that cannot, each with the reason for its operator. One tenant's mistake must not stop
    /// the others.
    pub refused: Vec<(TenantId, String)>,
}

/// Reads every tenant's settings, in one round trip.
///
/// # Errors
/// As [`Store::tenant`].
pub async fn settings(store: &Store) -> Result<AllSettings, StoreError> {
    let client = store.client().await?;
    let statement =
        client.prepare_cached("SELECT id, slug, settings FROM every_tenants_settings()").await?;
    let mut all = AllSettings::default();
    for row in client.query(&statement, &[]).await? {
        let tenant = TenantId::from_uuid(row.get(0));
        match parse(tenant, row.get(1), row.get(2)) {
            Ok(settings) => all.good.push(settings),
            Err(reason) => all.refused.push((tenant, reason)),
        }
    }
    Ok(all)
}

/// Whether the transaction's tenant is in the database.
pub async fn exists(tx: &TenantTx) -> Result<bool, StoreError> {
    Ok(tx.query_opt("SELECT FROM tenants WHERE id = $1", &[tx.id()]).await?.is_some())
}

/// The transaction's own tenant, as its row has it.
#[derive(Clone, PartialEq, Debug)]
pub struct OwnTenant {
    /// A short unique name.
    pub slug: String,
    /// What [`parse`] reads.
    pub settings: serde_json::Value,
    /// Whether message texts are encrypted (D3).
    pub encrypt_text: bool,
    /// When it was last changed.
    pub updated_at: domain::Timestamp,
}

/// The transaction's own tenant.
pub async fn own(tx: &TenantTx) -> Result<OwnTenant, StoreError> {
    let sql = "SELECT slug, settings, encrypt_text, updated_at FROM tenants WHERE id = $1";
    read_own(tx.query_opt(sql, &[tx.id()]).await?)
}

/// As [`own`], held until the end of the transaction, so that two changes come one after the other.
pub async fn own_for_change(tx: &TenantTx) -> Result<OwnTenant, StoreError> {
    let sql = "SELECT slug, settings, encrypt_text, updated_at FROM tenants WHERE id = $1
         FOR NO KEY UPDATE";
    read_own(tx.query_opt(sql, &[tx.id()]).await?)
}

/// Replaces the settings. What [`parse`] refuses must not come here.
pub async fn put_settings(
    tx: &TenantTx,
    settings: &serde_json::Value,
) -> Result<OwnTenant, StoreError> {
    let sql = "UPDATE tenants SET settings = $2, updated_at = now() WHERE id = $1
         RETURNING slug, settings, encrypt_text, updated_at";
    read_own(tx.query_opt(sql, &[tx.id(), settings]).await?)
}

fn read_own(row: Option<tokio_postgres::Row>) -> Result<OwnTenant, StoreError> {
    let row = row.ok_or(StoreError::NoTenant)?;
    Ok(OwnTenant {
        slug: row.get(0),
        settings: row.get(1),
        encrypt_text: row.get(2),
        updated_at: row.get::<_, std::time::SystemTime>(3).into(),
    })
}

/// The `settings` column. What is left out has the value of [`TenantSettings::default`]; a key
/// nobody knows is refused, for it is most likely misspelt.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Column {
    business: String,
    timezone: Option<String>,
    voice: Option<VoiceColumn>,
    #[serde(default)]
    stt: Vec<String>,
    #[serde(default)]
    tts: Vec<VendorColumn>,
    #[serde(default)]
    models: Vec<String>,
    #[serde(default)]
    selection: SelectionColumn,
    recording: Option<bool>,
    recording_consent: Option<String>,
    greeting: Option<String>,
    filler: Option<String>,
    apology: Option<String>,
    repeat_request: Option<String>,
    slower_request: Option<String>,
    goodbye: Option<String>,
    silence_question: Option<String>,
    silence_goodbye: Option<String>,
    say_voice: Option<String>,
    time_warning: Option<String>,
    resumed: Option<String>,
    #[serde(default)]
    turn_taking: TurnTakingColumn,
    reminders: Option<bool>,
    #[serde(default)]
    features: Vec<String>,
    fallback_number: Option<String>,
    transfer_to: Option<String>,
    nobody_free: Option<String>,
    #[serde(default)]
    chat_handover: ChatHandoverColumn,
    #[serde(default)]
    whatsapp_templates: TemplatesColumn,
    sms_help: Option<String>,
    #[serde(default)]
    tools: Vec<ToolColumn>,
}

/// Confidences from 0 to 1.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct SelectionColumn {
    keeps_above: Option<f64>,
    fallback_under: Option<f64>,
    scored_by: Option<String>,
}

impl SelectionColumn {
    fn settings(self) -> Result<Selection, String> {
        let usual = Selection::default();
        let percent = |key, value: Option<f64>, usual| match value {
            None => Ok(usual),
            Some(share) if (0.0..=1.0).contains(&share) => Ok((share * 100.0).round() as u8),
            Some(share) => Err(format!("selection.{key}: {share} is not within 0 and 1")),
        };
        Ok(Selection {
            keeps_above_percent: percent(
                "keeps_above",
                self.keeps_above,
                usual.keeps_above_percent,
            )?,
            fallback_under_percent: percent(
                "fallback_under",
                self.fallback_under,
                usual.fallback_under_percent,
            )?,
            scored_by: self.scored_by,
        })
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct TemplatesColumn {
    reply: Option<TemplateColumn>,
    notice: Option<TemplateColumn>,
    operator: Option<TemplateColumn>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TemplateColumn {
    name: String,
    language: String,
    #[serde(default)]
    parameters: Vec<String>,
}

impl TemplatesColumn {
    fn settings(self) -> Result<Templates, String> {
        let of = |key, column: Option<TemplateColumn>| match column {
            Some(c) if c.name.trim().is_empty() || c.language.trim().is_empty() => {
                Err(format!("whatsapp_templates.{key}: name and language must not be empty"))
            }
            Some(TemplateColumn { name, language, parameters }) => {
                Ok(Some(Template { name, language, parameters }))
            }
            None => Ok(None),
        };
        Ok(Templates {
            reply: of("reply", self.reply)?,
            notice: of("notice", self.notice)?,
            operator: of("operator", self.operator)?,
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VoiceColumn {
    model: String,
    language: String,
}

/// Milliseconds, each within what makes a talk possible.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct TurnTakingColumn {
    end_of_turn_ms: Option<u64>,
    end_of_turn_unfinished_ms: Option<u64>,
    end_of_turn_answered_ms: Option<u64>,
    back_channel_longest_ms: Option<u64>,
    caller_silent_after_ms: Option<u64>,
}

impl TurnTakingColumn {
    fn settings(self) -> Result<TurnTaking, String> {
        let usual = TurnTaking::default();
        let within = |key, value: Option<u64>, range: RangeInclusive<u64>, usual| match value {
            None => Ok(usual),
            Some(ms) if range.contains(&ms) => Ok(Duration::from_millis(ms)),
            Some(ms) => {
                let (from, to) = range.into_inner();
                Err(format!("turn_taking.{key}: {ms} is not within {from} and {to}"))
            }
        };
        Ok(TurnTaking {
            end_of_turn: within(
                "end_of_turn_ms",
                self.end_of_turn_ms,
                200..=5_000,
                usual.end_of_turn,
            )?,
            end_of_turn_unfinished: within(
                "end_of_turn_unfinished_ms",
                self.end_of_turn_unfinished_ms,
                200..=10_000,
                usual.end_of_turn_unfinished,
            )?,
            end_of_turn_answered: within(
                "end_of_turn_answered_ms",
                self.end_of_turn_answered_ms,
                200..=5_000,
                usual.end_of_turn_answered,
            )?,
            back_channel_longest: within(
                "back_channel_longest_ms",
                self.back_channel_longest_ms,
                0..=3_000,
                usual.back_channel_longest,
            )?,
            caller_silent_after: within(
                "caller_silent_after_ms",
                self.caller_silent_after_ms,
                2_000..=120_000,
                usual.caller_silent_after,
            )?,
        })
    }
}

/// Minutes, each long enough for a human to notice.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct ChatHandoverColumn {
    untaken_after_minutes: Option<u64>,
    idle_after_minutes: Option<u64>,
    nobody_free: Option<String>,
}

impl ChatHandoverColumn {
    fn settings(self) -> Result<ChatHandover, String> {
        let usual = ChatHandover::default();
        let within = |key, value: Option<u64>, most: u64, usual| match value {
            None => Ok(usual),
            Some(minutes) if (1..=most).contains(&minutes) => Ok(Duration::from_secs(minutes * 60)),
            Some(minutes) => {
                Err(format!("chat_handover.{key}: {minutes} is not within 1 and {most}"))
            }
        };
        let nobody_free = self.nobody_free.unwrap_or(usual.nobody_free);
        if nobody_free.trim().is_empty() {
            return Err("chat_handover.nobody_free: must not be empty".to_owned());
        }
        Ok(ChatHandover {
            untaken_after: within(
                "untaken_after_minutes",
                self.untaken_after_minutes,
                24 * 60,
                usual.untaken_after,
            )?,
            idle_after: within(
                "idle_after_minutes",
                self.idle_after_minutes,
                7 * 24 * 60,
                usual.idle_after,
            )?,
            nobody_free,
        })
    }
}

/// A vendor by its name, with one of its voices or with its usual one.
#[derive(Deserialize)]
#[serde(untagged)]
enum VendorColumn {
    Usual(String),
    Voice { vendor: String, voice: String },
}

impl From<VendorColumn> for VendorVoice {
    fn from(column: VendorColumn) -> Self {
        match column {
            VendorColumn::Usual(vendor) => Self { vendor, name: None },
            VendorColumn::Voice { vendor, voice } => Self { vendor, name: Some(voice) },
        }
    }
}

/// Reads settings, or says what is wrong with them.
pub fn parse(
    tenant: TenantId,
    slug: &str,
    column: serde_json::Value,
) -> Result<TenantSettings, String> {
    let column: Column = serde_json::from_value(column).map_err(|e| e.to_string())?;
    let usual = TenantSettings::default();
    let settings = TenantSettings {
        tenant,
        slug: slug.to_owned(),
        business: column.business,
        timezone: column.timezone.unwrap_or(usual.timezone),
        voice: Voice {
            vendors: column.tts.into_iter().map(VendorVoice::from).collect(),
            ..column.voice.map_or(usual.voice, |v| Voice::named(v.model, v.language))
        },
        stt: column.stt,
        models: column.models,
        selection: column.selection.settings()?,
        recording: column.recording.unwrap_or(usual.recording),
        recording_consent: column.recording_consent,
        greeting: column.greeting.unwrap_or(usual.greeting),
        filler: column.filler.unwrap_or(usual.filler),
        apology: column.apology.unwrap_or(usual.apology),
        repeat_request: column.repeat_request.unwrap_or(usual.repeat_request),
        slower_request: column.slower_request.unwrap_or(usual.slower_request),
        goodbye: column.goodbye.unwrap_or(usual.goodbye),
        silence_question: column.silence_question.unwrap_or(usual.silence_question),
        silence_goodbye: column.silence_goodbye.unwrap_or(usual.silence_goodbye),
        say_voice: column.say_voice,
        time_warning: column.time_warning.unwrap_or(usual.time_warning),
        resumed: column.resumed.unwrap_or(usual.resumed),
        turn_taking: column.turn_taking.settings()?,
        reminders: column.reminders.unwrap_or(usual.reminders),
        features: column.features,
        fallback_number: column.fallback_number,
        transfer_to: column.transfer_to,
        nobody_free: column.nobody_free.unwrap_or(usual.nobody_free),
        chat_handover: column.chat_handover.settings()?,
        whatsapp_templates: column.whatsapp_templates.settings()?,
        sms_help: column.sms_help,
        tools: own_tools::read(column.tools)?,
    };
    jiff::tz::TimeZone::get(&settings.timezone)
        .map_err(|_| format!("timezone: {:?} is not an IANA time zone", settings.timezone))?;
    let spoken = [
        ("business", &settings.business),
        ("greeting", &settings.greeting),
        ("filler", &settings.filler),
        ("apology", &settings.apology),
        ("repeat_request", &settings.repeat_request),
        ("slower_request", &settings.slower_request),
        ("goodbye", &settings.goodbye),
        ("silence_question", &settings.silence_question),
        ("silence_goodbye", &settings.silence_goodbye),
        ("nobody_free", &settings.nobody_free),
        ("time_warning", &settings.time_warning),
        ("resumed", &settings.resumed),
    ];
    if let Some((key, _)) = spoken.iter().find(|(_, text)| text.trim().is_empty()) {
        return Err(format!("{key}: must not be empty"));
    }
    if settings.recording_consent.as_ref().is_some_and(|text| text.trim().is_empty()) {
        return Err("recording_consent: must not be empty; leave it out".to_owned());
    }
    if settings
        .sms_help
        .as_ref()
        .is_some_and(|text| text.trim().is_empty() || text.chars().count() > LONGEST_SMS_HELP_CHARS)
    {
        return Err(format!("sms_help: must have 1 to {LONGEST_SMS_HELP_CHARS} characters"));
    }
    let speakers = settings.voice.vendors.iter().map(|v| &v.vendor);
    known("stt", TenantSettings::STT_VENDORS, settings.stt.iter())?;
    known("tts", TenantSettings::TTS_VENDORS, speakers)?;
    known("features", TenantSettings::FEATURES, settings.features.iter())?;
    if settings.fallback_number.as_ref().is_some_and(|number| !is_e164(number)) {
        return Err("fallback_number: must be E.164, such as +15551234567".to_owned());
    }
    if settings.transfer_to.as_ref().is_some_and(|to| !is_e164(to) && !is_sip(to)) {
        return Err(
            "transfer_to: must be E.164, or a SIP address such as sip:desk@example.com".to_owned()
        );
    }
    Ok(settings)
}

fn is_e164(number: &str) -> bool {
    let digits = number.strip_prefix('+').unwrap_or_default();
    (8..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
}

fn is_sip(address: &str) -> bool {
    let rest = address.strip_prefix("sip:").or_else(|| address.strip_prefix("sips:"));
    rest.and_then(|rest| rest.split_once('@')).is_some_and(|(user, host)| {
        let plain = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_graphic());
        plain(user) && plain(host)
    })
}

fn known<'a>(
    key: &str,
    vendors: &[&str],
    mut named: impl Iterator<Item = &'a String>,
) -> Result<(), String> {
    match named.find(|name| !vendors.contains(&name.as_str())) {
        Some(name) => Err(format!("{key}: {name:?} is none of {}", vendors.join(", "))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn thresholds_of_the_selection_are_confidences() {
        let tenant = TenantId::from_uuid(uuid::Uuid::nil());
        let with = |selection: serde_json::Value| {
            parse(tenant, "demo", json!({"business": "Maple Dental", "selection": selection}))
        };
        let read = with(json!({"keeps_above": 0.85, "scored_by": "openai"})).unwrap().selection;
        assert_eq!((read.keeps_above_percent, read.fallback_under_percent), (85, 50));
        assert_eq!(read.scored_by.as_deref(), Some("openai"));
        let refused = with(json!({"fallback_under": 50})).unwrap_err();
        assert!(refused.contains("selection.fallback_under"), "{refused}");
    }

    #[test]
    fn a_feature_that_nobody_knows_is_refused() {
        let tenant = TenantId::from_uuid(uuid::Uuid::nil());
        let with = |features: &[&str]| {
            parse(tenant, "demo", json!({"business": "Maple Dental", "features": features}))
        };
        assert_eq!(with(&["follow_up"]).unwrap().features, ["follow_up"]);
        assert!(with(&["fly"]).unwrap_err().contains("none of follow_up"));
    }

    #[test]
    fn how_long_a_chat_waits_for_a_human_is_minutes_within_reason() {
        let tenant = TenantId::from_uuid(uuid::Uuid::nil());
        let with = |handover: serde_json::Value| {
            parse(tenant, "demo", json!({"business": "Maple Dental", "chat_handover": handover}))
        };
        let read = with(json!({"untaken_after_minutes": 5})).unwrap().chat_handover;
        assert_eq!(read.untaken_after, Duration::from_secs(300));
        assert_eq!(read.idle_after, ChatHandover::default().idle_after);
        for (wrong, named) in [
            (json!({"untaken_after_minutes": 0}), "chat_handover.untaken_after_minutes"),
            (json!({"idle_after_minutes": 20_000}), "chat_handover.idle_after_minutes"),
            (json!({"nobody_free": " "}), "chat_handover.nobody_free"),
        ] {
            let refused = with(wrong).unwrap_err();
            assert!(refused.contains(named), "{refused}");
        }
    }

    #[test]
    fn the_answer_to_help_is_one_text_message() {
        let tenant = TenantId::from_uuid(uuid::Uuid::nil());
        let with = |help: &str| {
            parse(tenant, "demo", json!({"business": "Maple Dental", "sms_help": help}))
        };
        let read = with("Maple Dental, 555 0100. STOP ends this.").unwrap();
        assert_eq!(read.sms_help.as_deref(), Some("Maple Dental, 555 0100. STOP ends this."));
        for wrong in [" ", &"x".repeat(1_601)] {
            assert!(with(wrong).unwrap_err().contains("sms_help"));
        }
    }

    #[test]
    fn templates_are_read_and_one_without_a_name_is_refused() {
        let tenant = TenantId::from_uuid(uuid::Uuid::nil());
        let with = |template: serde_json::Value| {
            let column =
                json!({"business": "Maple Dental", "whatsapp_templates": {"notice": template}});
            parse(tenant, "demo", column)
        };
        let read = with(json!({"name": "notice", "language": "en_US", "parameters": ["{text}"]}));
        let templates = read.unwrap().whatsapp_templates;
        let notice = templates.notice.unwrap();
        assert_eq!(notice.filled("Maple Dental", "see\n you"), ["see you"]);
        assert_eq!((templates.reply, templates.operator), (None, None));
        let refused = with(json!({"name": " ", "language": "en_US"})).unwrap_err();
        assert!(refused.contains("whatsapp_templates.notice"), "{refused}");
    }
}
