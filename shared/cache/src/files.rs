use std::{collections::HashMap, sync::LazyLock};

use deadpool_redis::redis::{Script, cmd};
use domain::{ConversationId, EventId, KeptFile};

use crate::{Cache, CacheError};

/// Whoever waits for the file gives up long before.
const FILE_TTL_SECONDS: u64 = 24 * 60 * 60;

/// What was settled first stands: somebody may have been told of it.
static SETTLE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        if redis.call('EXISTS', KEYS[1]) == 0 then
            redis.call('HSET', KEYS[1], unpack(ARGV, 2))
            redis.call('EXPIRE', KEYS[1], ARGV[1])
        end
        ",
    )
});

/// What became of a file that somebody sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SettledFile {
    /// It is kept there.
    Kept(KeptFile),
    /// It could not be had.
    Missing,
}

impl Cache {
    /// Notes where the file that came with `message` is kept; `None` where it could not be had. The first word of it stands.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn settle_file(
        &self,
        conversation: ConversationId,
        message: EventId,
        file: Option<&KeptFile>,
    ) -> Result<(), CacheError> {
        let key = self.key(&conversation.to_string(), &format!(":file:{message}"));
        let text = |field: fn(&KeptFile) -> &str| file.map_or("", field).to_owned();
        let (bucket, path) = (text(|f| &f.bucket), text(|f| &f.key));
        let (mime_type, bytes) = (text(|f| &f.mime_type), file.map_or(0, |f| f.bytes));
        self.run("settle_file", |mut c| async move {
            SETTLE
                .key(key)
                .arg(FILE_TTL_SECONDS)
                .arg("bucket")
                .arg(bucket)
                .arg("key")
                .arg(path)
                .arg("mime_type")
                .arg(mime_type)
                .arg("bytes")
                .arg(bytes)
                .invoke_async(&mut c)
                .await
        })
        .await
    }

    /// What became of the file that came with `message`, once that is settled.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn settled_file(
        &self,
        conversation: ConversationId,
        message: EventId,
    ) -> Result<Option<SettledFile>, CacheError> {
        let key = self.key(&conversation.to_string(), &format!(":file:{message}"));
        let mut fields: HashMap<String, String> = self
            .run("settled_file", |mut c| async move {
                cmd("HGETALL").arg(key).query_async(&mut c).await
            })
            .await?;
        let path = fields.remove("key");
        Ok(path.map(|key| match key.is_empty() {
            true => SettledFile::Missing,
            false => SettledFile::Kept(KeptFile {
                bucket: fields.remove("bucket").unwrap_or_default(),
                key,
                mime_type: fields.remove("mime_type").unwrap_or_default(),
                bytes: fields.get("bytes").and_then(|n| n.parse().ok()).unwrap_or(0),
            }),
        }))
    }
}
