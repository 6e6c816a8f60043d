use domain::{ConversationId, EventId};

use crate::{Cache, CacheError};

/// Whoever waits for the words gives up long before.
const WORDS_TTL_SECONDS: u64 = 24 * 60 * 60;

impl Cache {
    /// Notes what the voice note that came as `message` says; `None` where nobody could understand it. The first word of
    /// it stands.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn settle_words(
        &self,
        conversation: ConversationId,
        message: EventId,
        words: Option<&str>,
    ) -> Result<(), CacheError> {
        let key = self.key(&conversation.to_string(), &format!(":words:{message}"));
        let words = words.unwrap_or_default().to_owned();
        self.run("settle_words", |mut c| async move {
            deadpool_redis::redis::cmd("SET")
                .arg(key)
                .arg(words)
                .arg("NX")
                .arg("EX")
                .arg(WORDS_TTL_SECONDS)
                .query_async::<Option<String>>(&mut c)
                .await
        })
        .await
        .map(drop)
    }

    /// What the voice note that came as `message` says, once that is settled; empty where nobody could understand it.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn settled_words(
        &self,
        conversation: ConversationId,
        message: EventId,
    ) -> Result<Option<String>, CacheError> {
        let key = self.key(&conversation.to_string(), &format!(":words:{message}"));
        self.run("settled_words", |mut c| async move {
            deadpool_redis::redis::cmd("GET").arg(key).query_async(&mut c).await
        })
        .await
    }
}
