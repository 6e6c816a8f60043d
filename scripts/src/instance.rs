//! The one mesh that `scripts/mesh up` runs: how `down`, `demo` and the benches find it.
//!
//! A lock says whether it lives, not the process id in it: a lock goes with its holder, however that ends.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, geteuid, kill_process};
use serde::{Deserialize, Serialize};

use crate::mesh::Endpoints;
use crate::stores::Environment;

const LOCK_FILE: &str = "mesh.lock";
const DETAILS_FILE: &str = "mesh.json";
const POLL: Duration = Duration::from_millis(50);

/// What a running mesh tells others. Secrets of the stores are in it: only its owner may read the file.
#[derive(Debug, Serialize, Deserialize)]
pub struct Details {
    /// Where it is reached.
    pub endpoints: Endpoints,
    /// The variables its services run with.
    pub environment: Environment,
    /// Where its logs are.
    pub logs: PathBuf,
}

/// The folder by which a mesh of this user is found: `SB_STATE_DIR`, or one below the temporary folder.
///
/// # Errors
/// When it cannot be made, or is another user's.
pub fn folder() -> anyhow::Result<PathBuf> {
    let uid = geteuid();
    let folder = std::env::var_os("SB_STATE_DIR").filter(|path| !path.is_empty()).map_or_else(
        || std::env::temp_dir().join(format!("switchboard-{}", uid.as_raw())),
        PathBuf::from,
    );
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .with_context(|| format!("create {}", folder.display()))?;
    let owner = std::fs::symlink_metadata(&folder)
        .with_context(|| format!("look at {}", folder.display()))?
        .uid();
    // Whoever owns a folder in a world-writable place could put a process id of their choice there.
    anyhow::ensure!(owner == uid.as_raw(), "{} belongs to another user", folder.display());
    Ok(folder)
}

/// The claim of this process to be the mesh of its folder.
#[derive(Debug)]
pub struct Claim {
    folder: PathBuf,
    _lock: File,
}

impl Claim {
    /// Claims the folder; none when a mesh is up already.
    ///
    /// # Errors
    /// When the lock cannot be had for another reason.
    pub fn take(folder: &Path) -> anyhow::Result<Option<Self>> {
        let mut lock = open_lock(folder)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error).context("lock the mesh's folder"),
        }
        lock.set_len(0).and_then(|()| lock.seek(SeekFrom::Start(0))).context("write the lock")?;
        write!(lock, "{}", std::process::id()).context("write the lock")?;
        Ok(Some(Self { folder: folder.to_owned(), _lock: lock }))
    }

    /// Tells others where the mesh is; before that it counts as starting.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn publish(&self, details: &Details) -> anyhow::Result<()> {
        let path = self.folder.join(DETAILS_FILE);
        let text = serde_json::to_vec_pretty(details).context("encode the mesh's details")?;
        OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| file.write_all(&text))
            .with_context(|| format!("write {}", path.display()))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Nobody reads it without a held lock.
        let _ = std::fs::remove_file(self.folder.join(DETAILS_FILE));
    }
}

/// The details of the mesh that is up; none when there is none, or it is still starting.
///
/// # Errors
/// When they cannot be read.
pub fn running(folder: &Path) -> anyhow::Result<Option<Details>> {
    if holder(folder)?.is_none() {
        return Ok(None);
    }
    match std::fs::read(folder.join(DETAILS_FILE)) {
        Ok(text) => serde_json::from_slice(&text).context("decode the mesh's details").map(Some),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context("read the mesh's details"),
    }
}

/// Tells the mesh that is up to stop and waits until it has; false when none was up.
///
/// # Errors
/// When it cannot be told, or has not stopped within `limit`.
pub async fn stop_running(folder: &Path, limit: Duration) -> anyhow::Result<bool> {
    let Some(pid) = holder(folder)? else {
        return Ok(false);
    };
    kill_process(pid, Signal::TERM).context("signal the mesh")?;
    tokio::time::timeout(limit, async {
        while holder(folder)?.is_some() {
            tokio::time::sleep(POLL).await;
        }
        anyhow::Ok(true)
    })
    .await
    .with_context(|| format!("the mesh has not stopped within {} s", limit.as_secs()))?
}

/// The process that holds the lock.
fn holder(folder: &Path) -> anyhow::Result<Option<Pid>> {
    let mut lock = open_lock(folder)?;
    match lock.try_lock() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            lock.read_to_string(&mut text).context("read the lock")?;
            let pid = text.trim().parse().ok().and_then(Pid::from_raw);
            pid.context("read the process id in the lock").map(Some)
        }
        Err(TryLockError::Error(error)) => Err(error).context("try the mesh's lock"),
    }
}

fn open_lock(folder: &Path) -> anyhow::Result<File> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(folder.join(LOCK_FILE))
        .context("open the mesh's lock")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_folder_has_one_mesh_and_is_free_again_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let claim = Claim::take(folder.path()).unwrap().expect("the folder is free");
        assert!(Claim::take(folder.path()).unwrap().is_none());
        drop(claim);
        assert!(Claim::take(folder.path()).unwrap().is_some());
    }

    #[test]
    fn details_left_by_a_mesh_that_was_killed_do_not_count() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(DETAILS_FILE), "{}").unwrap();
        assert!(running(folder.path()).unwrap().is_none());
    }
}
