use std::{collections::HashMap, sync::LazyLock};

use deadpool_redis::redis::{Script, cmd};
use domain::{CallSid, Handover, Personal, ReplyWritten, Turn};

use crate::{Cache, CacheError};

/// Twice the longest call (B4).
const REPLY_TTL_SECONDS: u64 = 60 * 60;

/// The reply written first stands: it may have been spoken.
static KEEP: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        if redis.call('EXISTS', KEYS[1]) == 0 then
            redis.call('HSET', KEYS[1], unpack(ARGV, 2))
            redis.call('EXPIRE', KEYS[1], ARGV[1])
        end
        ",
    )
});

impl Cache {
    /// Keeps the reply to `turn` of a call without a media stream, where any edge task finds it: the
    /// next webhook may come to another one than waits for it (A3). A reply kept before stays.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn keep_reply(&self, turn: Turn, reply: &ReplyWritten) -> Result<(), CacheError> {
        let key = self.reply_key(&reply.call, turn);
        self.run("keep_reply", |mut c| async move {
            KEEP.key(key)
                .arg(REPLY_TTL_SECONDS)
                .arg("attempt")
                .arg(reply.attempt)
                .arg("text")
                .arg(reply.text.reveal())
                .arg("hang_up")
                .arg(u8::from(reply.hang_up))
                .arg("transfer_to")
                .arg(reply.transfer.as_ref().map_or("", |t| t.to.reveal()))
                .arg("summary")
                .arg(reply.transfer.as_ref().map_or("", |t| t.summary.reveal()))
                .arg("language")
                .arg(reply.language.as_deref().unwrap_or(""))
                .invoke_async(&mut c)
                .await
        })
        .await
    }

    /// The reply to `turn` of `call`, once it is kept.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn kept_reply(
        &self,
        call: &CallSid,
        turn: Turn,
    ) -> Result<Option<ReplyWritten>, CacheError> {
        let key = self.reply_key(call, turn);
        let mut fields: HashMap<String, String> =
            self.run("kept_reply", |mut c| async move {
                cmd("HGETALL").arg(key).query_async(&mut c).await
            })
            .await?;
        let text = fields.remove("text");
        Ok(text.map(|text| ReplyWritten {
            call: call.clone(),
            attempt: fields.get("attempt").and_then(|n| n.parse().ok()).unwrap_or(0),
            text: text.into(),
            hang_up: fields.get("hang_up").is_some_and(|flag| flag == "1"),
            transfer: fields.remove("transfer_to").filter(|to| !to.is_empty()).map(|to| Handover {
                to: to.into(),
                summary: fields.remove("summary").unwrap_or_default().into(),
            }),
            language: fields.remove("language").filter(|language| !language.is_empty()),
        }))
    }

    /// Keeps the document that tells whoever takes `call` over what it is about (A7).
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn keep_whisper(&self, call: &CallSid, whisper: &Personal) -> Result<(), CacheError> {
        let key = self.key(call.as_str(), ":whisper");
        self.run("keep_whisper", |mut c| async move {
            cmd("SET")
                .arg(key)
                .arg(whisper.reveal())
                .arg("EX")
                .arg(REPLY_TTL_SECONDS)
                .query_async(&mut c)
                .await
        })
        .await
    }

    /// The document that tells whoever takes `call` over what it is about.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn whisper(&self, call: &CallSid) -> Result<Option<Personal>, CacheError> {
        let key = self.key(call.as_str(), ":whisper");
        self.run("whisper", |mut c| async move {
            cmd("GET").arg(key).query_async::<Option<String>>(&mut c).await
        })
        .await
        .map(|whisper| whisper.map(Personal::from))
    }

    fn reply_key(&self, call: &CallSid, turn: Turn) -> String {
        self.key(call.as_str(), &format!(":reply:{}", turn.0))
    }
}
