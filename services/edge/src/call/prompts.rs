//! Sentences of each tenant rendered ahead, in its own voice, through the mesh (DESIGN 9: everything audible comes from
//! the configured voice). They lie in memory, so that a call can be greeted, and an outage apologised for, without the
//! mesh.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bus::{Bus, Destination, Queue};
use call_core::{Audio, Prompt, Prompts};
use domain::{
    BoxFuture, CallSid, Channel, ConversationId, Dependency, Envelope, EventId, Personal,
    SentenceSpoken, SpeakSentence, SpeechRate, TenantSettings, Timestamp, Voice,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::directory::Directory;

/// A prompt is asked for again when it has not come within this.
const ASK_EVERY: Duration = Duration::from_secs(10);
/// One that could not be rendered is asked for again after this, and after twice as long each further time, at most
/// [`ASK_EVERY`]: a vendor that stumbled once leaves no caller without a greeting, and one that is down is left in peace.
const ASK_AGAIN_FIRST: Duration = Duration::from_secs(1);
/// How often new tenants, voices and texts are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const CALL_PREFIX: &str = "prompt-";

/// The prompts that are ready.
pub struct PromptStore {
    ready: RwLock<HashMap<Uuid, Audio>>,
    asked: Mutex<Asked>,
    /// Counts what came, so that a call can wait for its greeting.
    arrivals: watch::Sender<u64>,
    /// All were ready once, or have been waited for long enough.
    is_warm: AtomicBool,
}

/// A task takes calls once it can greet them: what a call may say without the mesh it is given when it begins.
impl Dependency for PromptStore {
    fn name(&self) -> &'static str {
        "prompts"
    }

    fn is_up(&self) -> BoxFuture<'_, bool> {
        let is_up = self.is_warm.load(Ordering::Relaxed);
        Box::pin(std::future::ready(is_up))
    }
}

impl Default for PromptStore {
    fn default() -> Self {
        Self {
            ready: RwLock::default(),
            asked: Mutex::default(),
            arrivals: watch::Sender::new(0),
            is_warm: AtomicBool::new(false),
        }
    }
}

/// What was asked for and has not come. No I/O.
#[derive(Default)]
struct Asked(HashMap<Uuid, Attempt>);

struct Attempt {
    again_at: Instant,
    /// In a row.
    failures: u32,
}

impl Asked {
    fn is_due(&self, prompt: &Uuid, now: Instant) -> bool {
        self.0.get(prompt).is_none_or(|attempt| now >= attempt.again_at)
    }

    fn sent(&mut self, prompt: Uuid, now: Instant) {
        let attempt = self.0.entry(prompt).or_insert(Attempt { again_at: now, failures: 0 });
        attempt.again_at = now + ASK_EVERY;
    }

    fn failed(&mut self, prompt: &Uuid, now: Instant) {
        let Some(attempt) = self.0.get_mut(prompt) else { return };
        let wait = ASK_AGAIN_FIRST.saturating_mul(2_u32.saturating_pow(attempt.failures));
        attempt.again_at = now + wait.min(ASK_EVERY);
        attempt.failures += 1;
    }

    fn came(&mut self, prompt: &Uuid) {
        self.0.remove(prompt);
    }
}

/// A prompt's name: tenant, voice and text.
fn name_of(settings: &TenantSettings, text: &str) -> Uuid {
    let Voice { model, language, vendors } = &settings.voice;
    let vendors = vendors.iter().flat_map(|v| [v.vendor.as_str(), v.name.as_deref().unwrap_or("")]);
    let vendors = vendors.collect::<Vec<_>>().join(":");
    settings.tenant.derive(&format!("prompt:{model}:{language}:{vendors}:{text}"))
}

impl PromptStore {
    /// What a call of this tenant may say without the mesh, as far as it is ready.
    pub fn of(&self, settings: &TenantSettings) -> Prompts {
        Prompts {
            filler: self.prompt(settings, &settings.filler),
            apology: self.prompt(settings, &settings.apology),
            repeat: self.prompt(settings, &settings.repeat_request),
            slower: self.prompt(settings, &settings.slower_request),
            goodbye: self.prompt(settings, &settings.goodbye),
            resumed: self.prompt(settings, &settings.resumed),
            warning: self.prompt(settings, &settings.time_warning),
            still_there: self.prompt(settings, &settings.silence_question),
            unheard: self.prompt(settings, &settings.silence_goodbye),
        }
    }

    /// One prompt, if it is ready.
    pub fn prompt(&self, settings: &TenantSettings, text: &str) -> Option<Prompt> {
        let ready = self.ready.read().unwrap_or_else(PoisonError::into_inner);
        ready
            .get(&name_of(settings, text))
            .map(|audio| Prompt { text: text.to_owned(), audio: audio.clone() })
    }

    /// One prompt, waited for at most `patience`.
    pub async fn prompt_within(
        &self,
        settings: &TenantSettings,
        text: &str,
        patience: Duration,
    ) -> Option<Prompt> {
        let mut arrivals = self.arrivals.subscribe();
        let wait = async {
            loop {
                if let Some(prompt) = self.prompt(settings, text) {
                    return Some(prompt);
                }
                arrivals.changed().await.ok()?;
            }
        };
        tokio::time::timeout(patience, wait).await.ok().flatten()
    }

    /// Takes in the audio of a prompt; false when `spoken` belongs to a call.
    pub fn take_in(&self, spoken: &SentenceSpoken) -> bool {
        let Some(name) =
            spoken.call.as_str().strip_prefix(CALL_PREFIX).and_then(|n| n.parse::<Uuid>().ok())
        else {
            return false;
        };
        match &spoken.result {
            Ok(audio) => {
                self.ready
                    .write()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert(name, audio.clone().into());
                self.asked().came(&name);
                self.arrivals.send_modify(|n| *n += 1);
            }
            Err(failure) => {
                self.asked().failed(&name, Instant::now());
                tracing::warn!(failure = %failure.0, "prompt not rendered; asked for again later");
            }
        }
        true
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for what is missing, for every tenant that takes calls, until `stop`. The task counts as ready without it after
    /// `patience`: a speech vendor that is down keeps no chats waiting.
    pub async fn keep_ready(
        self: Arc<Self>,
        directory: Arc<Directory>,
        bus: Bus,
        own_queue: String,
        patience: Duration,
        stop: CancellationToken,
    ) {
        let mut arrivals = self.arrivals.subscribe();
        let warm_at = Instant::now() + patience;
        loop {
            // Before the directory has been read, nothing is missing.
            let is_read = directory.is_up().await;
            let tenants = directory.speaking_tenants();
            let wanted = wanted(&tenants);
            let names: HashSet<Uuid> = wanted.iter().map(|(name, ..)| *name).collect();
            self.ready
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .retain(|name, _| names.contains(name));
            self.asked().0.retain(|name, _| names.contains(name));
            for (name, settings, text) in &wanted {
                let is_ready = self.prompt(settings, text).is_some();
                if is_ready || !self.asked().is_due(name, Instant::now()) {
                    continue;
                }
                let job = job(settings, text, *name, &own_queue, Timestamp::now());
                // Before it is sent: it may come back before the sending is known to have worked.
                self.asked().sent(*name, Instant::now());
                match bus.send(&Destination::Shared(Queue::Speak), &[job]).await {
                    Ok(()) => {}
                    Err(error) => {
                        self.asked().failed(name, Instant::now());
                        tracing::warn!(%error, "prompts not asked for, trying again");
                        break;
                    }
                }
            }
            let ready = wanted.iter().filter(|(_, s, text)| self.prompt(s, text).is_some());
            let missing = wanted.len() - ready.count();
            metrics::gauge!("edge_prompts_missing").set(missing as f64);
            let is_whole = is_read && missing == 0;
            let is_warm =
                is_whole || Instant::now() >= warm_at || self.is_warm.load(Ordering::Relaxed);
            self.is_warm.store(is_warm, Ordering::Relaxed);
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
                _ = arrivals.changed(), if !is_warm => {}
            }
        }
    }
}

/// What every tenant needs: all greetings before any apology.
fn wanted(tenants: &[Arc<TenantSettings>]) -> Vec<(Uuid, &TenantSettings, &str)> {
    let mut wanted: Vec<_> = tenants
        .iter()
        .flat_map(|s| texts(s).into_iter().enumerate().map(move |placed| (placed, s.as_ref())))
        .collect();
    wanted.sort_by_key(|((place, _), _)| *place);
    wanted.into_iter().map(|((_, text), s)| (name_of(s, text), s, text)).collect()
}

/// In the order in which a call needs them.
fn texts(s: &TenantSettings) -> Vec<&str> {
    let always = [
        &s.greeting,
        &s.filler,
        &s.repeat_request,
        &s.slower_request,
        &s.apology,
        &s.resumed,
        &s.silence_question,
        &s.goodbye,
        &s.nobody_free,
        &s.time_warning,
        &s.silence_goodbye,
    ];
    let consent = s.recording_consent.as_ref().filter(|_| s.recording);
    consent.into_iter().chain(always).map(String::as_str).collect()
}

/// Who was not understood twice is also spoken to more slowly (B3).
fn rate_of(settings: &TenantSettings, text: &str) -> SpeechRate {
    if text == settings.slower_request { SpeechRate::SLOWER } else { SpeechRate::NORMAL }
}

fn job(
    settings: &TenantSettings,
    text: &str,
    name: Uuid,
    own_queue: &str,
    now: Timestamp,
) -> Envelope {
    #[expect(clippy::expect_used, reason = "a prefix and a UUID are always a valid id")]
    let call = CallSid::parse(&format!("{CALL_PREFIX}{name}")).expect("a prefix and a UUID");
    Envelope::new(
        // Fresh each time: one asked for again must not be dropped as a repetition.
        EventId::random(),
        settings.tenant,
        ConversationId::from_uuid(name),
        Channel::VOICE,
        now,
        SpeakSentence {
            call,
            attempt: 0,
            index: 0,
            text: Personal::from(text),
            voice: settings.voice.clone(),
            rate: rate_of(settings, text),
            cacheable: true,
        },
    )
    .expiring_at(now.plus(ASK_EVERY))
    .answering_to(own_queue)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spoken(name: Uuid, result: Result<Vec<u8>, domain::SpeechFailure>) -> SentenceSpoken {
        let call = CallSid::parse(&format!("{CALL_PREFIX}{name}")).unwrap();
        SentenceSpoken {
            call,
            attempt: 0,
            index: 0,
            text: "x".into(),
            result,
            part: 0,
            more: false,
        }
    }

    #[test]
    fn a_prompt_that_was_not_rendered_is_asked_for_again_soon_and_then_less_often() {
        let (mut asked, name, start) = (Asked::default(), Uuid::now_v7(), Instant::now());
        let after = |ms| start + Duration::from_millis(ms);
        assert!(asked.is_due(&name, start));
        asked.sent(name, start);
        assert!(!asked.is_due(&name, after(9_999)) && asked.is_due(&name, after(10_000)), "lost");
        let mut now_ms = 0;
        for wait_ms in [1_000, 2_000, 4_000, 8_000, 10_000, 10_000] {
            asked.failed(&name, after(now_ms));
            assert!(!asked.is_due(&name, after(now_ms + wait_ms - 1)), "{wait_ms}");
            now_ms += wait_ms;
            assert!(asked.is_due(&name, after(now_ms)), "{wait_ms}");
            asked.sent(name, after(now_ms));
        }
    }

    #[test]
    fn every_greeting_is_asked_for_before_any_other_prompt() {
        let of = |greeting: &str| {
            Arc::new(TenantSettings { greeting: greeting.into(), ..TenantSettings::default() })
        };
        let tenants = [of("Maple Dental."), of("Oak Dental.")];
        let wanted = wanted(&tenants);
        let texts: Vec<&str> = wanted.iter().map(|(.., text)| *text).take(2).collect();
        assert_eq!(texts, [&*tenants[0].greeting, &*tenants[1].greeting]);
    }

    #[test]
    fn a_prompt_is_ready_once_its_audio_came_in_the_tenants_present_voice() {
        let store = PromptStore::default();
        let settings = TenantSettings::default();
        assert!(store.prompt(&settings, &settings.greeting).is_none());
        assert!(
            store.take_in(&spoken(name_of(&settings, &settings.greeting), Ok(vec![0xff; 160])))
        );
        assert_eq!(store.prompt(&settings, &settings.greeting).unwrap().audio.len(), 160);
        let mut other = settings.clone();
        other.voice.model = "another".into();
        assert!(store.prompt(&other, &settings.greeting).is_none());
        assert!(store.of(&settings).filler.is_none());
    }

    #[test]
    fn who_was_not_understood_twice_is_spoken_to_slowly() {
        let settings = TenantSettings::default();
        let rate = |text: &str| {
            let payload = job(&settings, text, Uuid::nil(), "own", Timestamp::now()).payload;
            let domain::Payload::SpeakSentence(job) = payload else { panic!("{payload:?}") };
            job.rate
        };
        assert_eq!(rate(&settings.repeat_request), SpeechRate::NORMAL);
        assert_eq!(rate(&settings.slower_request), SpeechRate::SLOWER);
        assert!(texts(&settings).contains(&&*settings.slower_request), "it is rendered ahead");
    }

    #[test]
    fn a_failed_prompt_is_not_kept_and_a_calls_sentence_is_none_of_ours() {
        let store = PromptStore::default();
        let settings = TenantSettings::default();
        let failure = Err(domain::SpeechFailure("deepgram: 500".into()));
        assert!(store.take_in(&spoken(name_of(&settings, &settings.filler), failure)));
        assert!(store.prompt(&settings, &settings.filler).is_none());
        let call = CallSid::parse("CA1").unwrap();
        assert!(!store.take_in(&SentenceSpoken { call, ..spoken(Uuid::nil(), Ok(Vec::new())) }));
    }
}
