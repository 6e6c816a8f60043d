use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use aws_sdk_secretsmanager::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    operation::get_secret_value::{GetSecretValueError, GetSecretValueOutput},
};

use crate::Secret;

/// How long after a rotation the value before it is still accepted, min. Vendors sign with the old
/// one for a while, and requests are under way.
const OVERLAP_MIN: u64 = 60;

/// Credentials by the name of their variable, such as `TWILIO_AUTH_TOKEN`: the environment's own
/// variable wins, else Secrets Manager has it under the prefix (DESIGN 9). Each is read once and
/// then followed by [`Secrets::keep_fresh`].
#[derive(Clone)]
pub struct Secrets {
    shared: Arc<Shared>,
}

type Variable = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

struct Shared {
    variable: Variable,
    client: Client,
    prefix: String,
    followed: Mutex<HashMap<String, Arc<RotatingSecret>>>,
}

/// Why a credential is not at hand.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Neither the environment nor Secrets Manager has it.
    #[error("{name} is neither in the environment nor in Secrets Manager as {id}")]
    Missing {
        /// The variable.
        name: String,
        /// Where it was looked for.
        id: String,
    },
    /// Secrets Manager cannot be asked; again later may do.
    #[error("ask Secrets Manager for {id}")]
    Unavailable {
        /// What was asked for.
        id: String,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The id of the secret behind a variable: `{prefix}/{name}`.
pub fn secret_id(prefix: &str, name: &str) -> String {
    format!("{prefix}/{name}")
}

impl Secrets {
    /// Looks variables up with `variable` and everything else in Secrets Manager under `prefix`
    /// (`SB_SECRETS_PREFIX`).
    pub fn new(
        variable: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
        client: Client,
        prefix: impl Into<String>,
    ) -> Self {
        let shared = Shared {
            variable: Box::new(variable),
            client,
            prefix: prefix.into(),
            followed: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The credential `name`, to be kept: its value changes with rotation.
    ///
    /// # Errors
    /// [`SecretError::Missing`] when nobody has it.
    pub async fn get(&self, name: &str) -> Result<Arc<RotatingSecret>, SecretError> {
        self.find(name).await?.ok_or_else(|| SecretError::Missing {
            name: name.to_owned(),
            id: secret_id(&self.shared.prefix, name),
        })
    }

    /// As [`Secrets::get`], for a credential that may be missing.
    ///
    /// # Errors
    /// [`SecretError::Unavailable`] when Secrets Manager cannot be asked.
    pub async fn find(&self, name: &str) -> Result<Option<Arc<RotatingSecret>>, SecretError> {
        if let Some(value) = (self.shared.variable)(name).filter(|v| !v.is_empty()) {
            return Ok(Some(Arc::new(RotatingSecret::fixed(value))));
        }
        if let Some(held) = self.followed().get(name) {
            return Ok(Some(held.clone()));
        }
        let Some(values) = self.read(name).await? else { return Ok(None) };
        let secret = Arc::new(RotatingSecret { values: RwLock::new(values) });
        Ok(Some(self.followed().entry(name.to_owned()).or_insert(secret).clone()))
    }

    /// Reads again every secret that was handed out. One that cannot be read keeps its value.
    pub async fn refresh(&self) {
        let held: Vec<_> = self.followed().iter().map(|(n, s)| (n.clone(), s.clone())).collect();
        for (name, secret) in held {
            match self.read(&name).await {
                Ok(Some(values)) => secret.take_in(values),
                Ok(None) => {
                    tracing::warn!(secret = name, "a secret in use is gone; kept as it was")
                }
                Err(e) => {
                    let cause: &dyn std::error::Error = &e;
                    tracing::warn!(secret = name, cause, "a secret in use cannot be read again");
                }
            }
        }
    }

    /// Refreshes for as long as it is polled.
    pub async fn keep_fresh(self, every: Duration) {
        loop {
            tokio::time::sleep(every).await;
            self.refresh().await;
        }
    }

    async fn read(&self, name: &str) -> Result<Option<Values>, SecretError> {
        let Some(current) = self.version(name, "AWSCURRENT").await? else { return Ok(None) };
        let Some(value) = current.secret_string else { return Ok(None) };
        let rotated_at = current.created_date.and_then(|at| SystemTime::try_from(at).ok());
        let until = rotated_at.map(|at| at + Duration::from_secs(OVERLAP_MIN * 60));
        // A task that starts within the overlap has not seen the old value itself.
        let previous = match until.filter(|until| SystemTime::now() < *until) {
            Some(until) => self
                .version(name, "AWSPREVIOUS")
                .await?
                .and_then(|v| v.secret_string)
                .map(|old| (Secret::new(old), until)),
            None => None,
        };
        Ok(Some(Values { current: Secret::new(value), previous }))
    }

    async fn version(
        &self,
        name: &str,
        stage: &str,
    ) -> Result<Option<GetSecretValueOutput>, SecretError> {
        let id = secret_id(&self.shared.prefix, name);
        let asked = self.shared.client.get_secret_value().secret_id(&id).version_stage(stage);
        match asked.send().await {
            Ok(version) => Ok(Some(version)),
            Err(e) if is_missing(&e) => Ok(None),
            Err(e) => Err(SecretError::Unavailable { id, source: Box::new(e) }),
        }
    }

    fn followed(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<RotatingSecret>>> {
        self.shared.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_missing(e: &SdkError<GetSecretValueError>) -> bool {
    e.code() == Some("ResourceNotFoundException")
}

/// A credential that may be rotated while it is in use.
#[derive(Debug)]
pub struct RotatingSecret {
    values: RwLock<Values>,
}

#[derive(Debug)]
struct Values {
    current: Secret,
    /// The value before, and until when it is accepted.
    previous: Option<(Secret, SystemTime)>,
}

impl RotatingSecret {
    /// A credential that does not rotate, such as one of the environment.
    pub fn fixed(value: impl Into<String>) -> Self {
        Self { values: RwLock::new(Values { current: Secret::new(value), previous: None }) }
    }

    /// The value to use for what we send.
    pub fn current(&self) -> Secret {
        self.values.read().unwrap_or_else(PoisonError::into_inner).current.clone()
    }

    /// The values to accept in what we receive: the current one, and for a while after a rotation
    /// the one before it.
    pub fn accepted(&self) -> Vec<Secret> {
        let values = self.values.read().unwrap_or_else(PoisonError::into_inner);
        let previous =
            values.previous.iter().filter(|(_, until)| SystemTime::now() < *until).map(|(s, _)| s);
        std::iter::once(&values.current).chain(previous).cloned().collect()
    }

    /// The values as whoever connects somewhere asks for them, each time anew: the current one first, then, for a while
    /// after a rotation, the one before it.
    pub fn follow(self: Arc<Self>) -> impl Fn() -> Vec<String> + Send + Sync + 'static {
        move || self.accepted().iter().map(|value| value.reveal().to_owned()).collect()
    }

    fn take_in(&self, new: Values) {
        *self.values.write().unwrap_or_else(PoisonError::into_inner) = new;
    }
}
