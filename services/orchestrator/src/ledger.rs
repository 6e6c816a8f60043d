//! The turn ledger, and what stands in for it while Redis is away (DESIGN 2, 5).

use std::time::Duration;

use anyhow::{Context as _, bail};
use boot::crash_point;
use cache::{Cache, CacheError, Ledger, Record, Sequel};
use domain::{ConversationId, Timestamp, Turn};
use tokio::time::Instant;

const OPEN_EVERY: Duration = Duration::from_millis(200);

/// What this and earlier runs of a turn have recorded.
///
/// While Redis is away a turn goes on under an attempt of its own with what this run alone knows:
/// a caller must not wait for it, and the edge plays only one attempt.
pub(crate) struct TurnLedger<'a> {
    cache: &'a Cache,
    conversation: ConversationId,
    turn: Turn,
    known: Ledger,
    /// Of what is known, that which nothing depends on yet: it is written with the next thing that has to stand, or by
    /// [`Self::settle`].
    noted: Vec<Noted>,
    is_shared: bool,
}

/// Where in the ledger something stands.
enum Noted {
    Sentence(usize),
    Value(String),
}

impl<'a> TurnLedger<'a> {
    /// Begins the turn. Where Redis is away that is tried again for `patience`.
    pub(crate) async fn open(
        cache: &'a Cache,
        conversation: ConversationId,
        turn: Turn,
        patience: Duration,
    ) -> Self {
        let until = Instant::now() + patience;
        let mut begun = cache.begin_turn(conversation, turn).await;
        while begun.is_err() && Instant::now() < until {
            tokio::time::sleep(OPEN_EVERY).await;
            begun = cache.begin_turn(conversation, turn).await;
        }
        let (known, is_shared) = match begun {
            Ok(ledger) => (ledger, true),
            Err(error) => {
                tracing::warn!(%error, "the turn goes on without its ledger");
                let attempt = (Timestamp::now().as_micros() as u32 & 0x7fff_ffff).max(1);
                (Ledger { attempt, ..Ledger::default() }, false)
            }
        };
        Self { cache, conversation, turn, known, noted: Vec::new(), is_shared }
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

    /// Notes a value, unless one stands.
    pub(crate) fn note_value(&mut self, name: &str, value: &str) {
        if self.value(name).is_none() {
            self.known.values.insert(name.to_owned(), value.to_owned());
            self.noted.push(Noted::Value(name.to_owned()));
        }
    }

    /// Notes the next sentence. It may be spoken after [`Self::settle`].
    pub(crate) fn note_sentence(&mut self, text: &str) {
        self.noted.push(Noted::Sentence(self.known.sentences.len()));
        self.known.sentences.push(text.to_owned());
    }

    /// Records a value together with what was noted, and returns what stands.
    ///
    /// # Errors
    /// As [`Self::settle`].
    pub(crate) async fn record_value(&mut self, name: &str, value: &str) -> anyhow::Result<String> {
        if let Some(standing) = self.value(name) {
            return Ok(standing.to_owned());
        }
        let mut standing = self.write(&[Record::Value(name, value)]).await?;
        let standing = standing.pop().unwrap_or_else(|| value.to_owned());
        self.known.values.insert(name.to_owned(), standing.clone());
        Ok(standing)
    }

    /// Records what was noted: it may have effect now.
    ///
    /// # Errors
    /// When another run recorded something else in its place, and this run's reply is not the one being given; or the ledger
    /// is lost.
    pub(crate) async fn settle(&mut self) -> anyhow::Result<()> {
        if !self.noted.is_empty() {
            self.write(&[]).await?;
            crash_point("orchestrator.ledgered");
        }
        Ok(())
    }

    /// Writes what was noted and `also`, in one step; what stands in the places of `also`.
    async fn write(&mut self, also: &[Record<'_>]) -> anyhow::Result<Vec<String>> {
        let Self { known, noted, .. } = self;
        let mut records: Vec<Record<'_>> = Vec::with_capacity(noted.len() + also.len());
        for noted in noted.iter() {
            records.push(match noted {
                Noted::Sentence(index) => Record::Sentence(*index, &known.sentences[*index]),
                Noted::Value(name) => Record::Value(name, &known.values[name]),
            });
        }
        records.extend(also);
        let ours: Vec<String> = records
            .iter()
            .map(|(Record::Sentence(_, text) | Record::Value(_, text))| (*text).to_owned())
            .collect();
        let recording = self.cache.record(self.conversation, self.turn, known.attempt, &records);
        let mut standing = Self::standing(&mut self.is_shared, recording, ours.clone()).await?;
        if standing[..noted.len()] != ours[..noted.len()] {
            bail!("another run is giving this reply");
        }
        let standing = standing.split_off(noted.len());
        noted.clear();
        Ok(standing)
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
