//! The turn ledger, and what stands in for it while Redis is away (DESIGN 2, 5).

use anyhow::Context as _;
use cache::{Cache, CacheError, Ledger, Sequel};
use domain::{ConversationId, Timestamp, Turn};

/// What this and earlier runs of a turn have recorded.
///
/// While Redis is away a turn goes on under an attempt of its own with what this run alone knows:
/// a caller must not wait for it, and the edge plays only one attempt.
pub(crate) struct TurnLedger<'a> {
    cache: &'a Cache,
    conversation: ConversationId,
    turn: Turn,
    known: Ledger,
    is_shared: bool,
}

impl<'a> TurnLedger<'a> {
    pub(crate) async fn open(cache: &'a Cache, conversation: ConversationId, turn: Turn) -> Self {
        let (known, is_shared) = match cache.begin_turn(conversation, turn).await {
            Ok(ledger) => (ledger, true),
            Err(error) => {
                tracing::warn!(%error, "the turn goes on without its ledger");
                let attempt = (Timestamp::now().as_micros() as u32 & 0x7fff_ffff).max(1);
                (Ledger { attempt, ..Ledger::default() }, false)
            }
        };
        Self { cache, conversation, turn, known, is_shared }
    }

    pub(crate) fn attempt(&self) -> u32 {
        self.known.attempt
    }

    /// The sentences that stand, as the model wrote them.
    pub(crate) fn sentences(&self) -> &[String] {
        &self.known.sentences
    }

    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.known.values.get(name).map(String::as_str)
    }

    /// What [`Self::finish`] recorded, by this run or an earlier one.
    pub(crate) fn finished(&self) -> Option<&str> {
        self.known.finished.as_deref()
    }

    /// Records a value and returns what stands.
    pub(crate) async fn record_value(&mut self, name: &str, value: &str) -> anyhow::Result<String> {
        if let Some(standing) = self.value(name) {
            return Ok(standing.to_owned());
        }
        let attempt = self.known.attempt;
        let recording = self.cache.record_value(self.conversation, self.turn, attempt, name, value);
        let standing = Self::standing(&mut self.is_shared, recording, value.to_owned()).await?;
        self.known.values.insert(name.to_owned(), standing.clone());
        Ok(standing)
    }

    /// Records the next sentence. `false` when another run recorded a different one in its place:
    /// this run's reply is not the one being given.
    pub(crate) async fn record_sentence(&mut self, text: &str) -> anyhow::Result<bool> {
        let attempt = self.known.attempt;
        let index = self.known.sentences.len();
        let recording =
            self.cache.record_sentence(self.conversation, self.turn, attempt, index, text);
        let standing = Self::standing(&mut self.is_shared, recording, text.to_owned()).await?;
        let is_ours = standing == text;
        self.known.sentences.push(standing);
        Ok(is_ours)
    }

    /// As [`Self::record_sentence`] for the first sentence of a reply, which stands together with
    /// `value` under `name` or not at all.
    pub(crate) async fn record_first_sentence(
        &mut self,
        text: &str,
        name: &str,
        value: &str,
    ) -> anyhow::Result<bool> {
        let attempt = self.known.attempt;
        let recording = self.cache.record_first_sentence(
            self.conversation,
            self.turn,
            attempt,
            text,
            (name, value),
        );
        let ours = [text, value].map(str::to_owned);
        let [sentence, value] = Self::standing(&mut self.is_shared, recording, ours).await?;
        let is_ours = sentence == text;
        self.known.sentences.push(sentence);
        self.known.values.insert(name.to_owned(), value);
        Ok(is_ours)
    }

    /// Records that the turn is whole.
    pub(crate) async fn finish(&mut self, meta: &str, sequel: &Sequel) -> anyhow::Result<()> {
        let attempt = self.known.attempt;
        let recording = self.cache.finish_turn(self.conversation, self.turn, attempt, meta, sequel);
        Self::standing(&mut self.is_shared, recording, meta.to_owned()).await?;
        Ok(())
    }

    async fn standing<T>(
        is_shared: &mut bool,
        recording: impl Future<Output = Result<T, CacheError>>,
        ours: T,
    ) -> anyhow::Result<T> {
        if !*is_shared {
            return Ok(ours);
        }
        match recording.await {
            Ok(standing) => Ok(standing),
            Err(lost @ CacheError::LedgerLost) => Err(lost).context("record the turn"),
            Err(error) => {
                tracing::warn!(%error, "the turn goes on without its ledger");
                *is_shared = false;
                Ok(ours)
            }
        }
    }
}
