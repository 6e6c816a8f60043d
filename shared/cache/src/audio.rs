use std::sync::LazyLock;

use deadpool_redis::redis::Script;

use crate::{Cache, CacheError};

/// A sentence that nobody has spoken for so long is spoken anew.
const AUDIO_TTL_SECONDS: u64 = 7 * 24 * 60 * 60;

/// Longer audio is not kept: what is said often is short. Ten seconds of the telephone's.
const AUDIO_MAX_BYTES: usize = 80_000;

/// So many are kept, those used last: at most 80 MB, in one slot.
const AUDIO_MAX_COUNT: usize = 1000;

static GET: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local audio = redis.call('GET', KEYS[1])
        if audio then
            redis.call('EXPIRE', KEYS[1], ARGV[2])
            redis.call('ZADD', KEYS[2], redis.call('TIME')[1], ARGV[1])
        end
        return audio
        ",
    )
});

static PUT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        redis.call('SET', KEYS[1], ARGV[3], 'EX', ARGV[2])
        redis.call('ZADD', KEYS[2], redis.call('TIME')[1], ARGV[1])
        redis.call('EXPIRE', KEYS[2], ARGV[2])
        local over = redis.call('ZCARD', KEYS[2]) - tonumber(ARGV[4])
        if over > 0 then
            local gone = redis.call('ZPOPMIN', KEYS[2], over)
            for n = 1, #gone, 2 do
                redis.call('DEL', ARGV[5] .. gone[n])
            end
        end
        ",
    )
});

impl Cache {
    /// Audio kept under `name` with [`keep_audio`](Self::keep_audio).
    ///
    /// # Errors
    /// When Redis is away; the vendor is asked then.
    pub async fn audio(&self, name: &str) -> Result<Option<Vec<u8>>, CacheError> {
        let (audio, used) = self.audio_keys(name);
        let name = name.to_owned();
        self.run("audio", |mut c| async move {
            let mut get = GET.key(audio);
            get.key(used).arg(name).arg(AUDIO_TTL_SECONDS).invoke_async(&mut c).await
        })
        .await
    }

    /// Keeps `audio` under `name`, in the place of what was used least lately. Says whether it did:
    /// what is long is not kept.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn keep_audio(&self, name: &str, audio: &[u8]) -> Result<bool, CacheError> {
        if audio.len() > AUDIO_MAX_BYTES {
            return Ok(false);
        }
        let (key, used) = self.audio_keys(name);
        let (name, audio, rest) = (name.to_owned(), audio.to_vec(), self.audio_keys("").0);
        self.run("keep_audio", |mut c| async move {
            let mut put = PUT.key(key);
            put.key(used)
                .arg(name)
                .arg(AUDIO_TTL_SECONDS)
                .arg(audio)
                .arg(AUDIO_MAX_COUNT)
                .arg(rest);
            put.invoke_async(&mut c).await
        })
        .await
        .map(|()| true)
    }

    /// All in one slot, for the one that is put decides which one goes.
    fn audio_keys(&self, name: &str) -> (String, String) {
        (self.key("audio", &format!(":{name}")), self.key("audio", "-used"))
    }
}
