//! The kept inputs: a folder for each target, a file for each input.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// Where the inputs of a target are kept.
pub fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target)
}

/// The inputs of a target, in the order of their names.
///
/// # Errors
/// When they cannot be read.
pub fn read(target: &str) -> anyhow::Result<Vec<Vec<u8>>> {
    let folder = folder(target);
    let entries =
        std::fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))?;
    let mut paths = entries.map(|e| Ok(e?.path())).collect::<std::io::Result<Vec<_>>>()?;
    paths.sort();
    let read =
        |path: PathBuf| std::fs::read(&path).with_context(|| format!("read {}", path.display()));
    paths.into_iter().map(read).collect()
}
