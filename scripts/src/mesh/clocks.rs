//! A wall clock for each task, which can be stepped as a bad time server steps one.
//!
//! The wall clock has no namespace of its own, so Debian's `libfaketime` is loaded into each task. The time that only goes
//! forward stays the machine's, as it does where a real clock steps.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// Where Debian and Ubuntu put the library, below a folder named after the architecture.
const LIBRARY: &str = "faketime/libfaketime.so.1";
/// How long a task goes by what it last read of its clock's file, s: the shortest the library knows short of reading it each
/// time it is asked.
const READ_EVERY_SECONDS: &str = "1";

/// The clocks of a mesh's tasks, one file each. Dropping it removes them.
#[derive(Debug)]
pub(super) struct Clocks {
    library: PathBuf,
    files: tempfile::TempDir,
}

impl Clocks {
    /// Clocks that are all right.
    ///
    /// # Errors
    /// When `libfaketime` is not installed, or there is no place for the files.
    pub(super) fn new() -> anyhow::Result<Self> {
        let library = find_library()
            .context("libfaketime is not installed: scripts/install --for-tests does it")?;
        let files = tempfile::tempdir().context("make a folder for the tasks' clocks")?;
        Ok(Self { library, files })
    }

    /// What a task is told, so that it goes by its own clock.
    ///
    /// # Errors
    /// When its file cannot be written.
    pub(super) fn of_task(&self, task: &str) -> anyhow::Result<Vec<(&'static str, String)>> {
        self.step(task, 0)?;
        Ok(vec![
            ("LD_PRELOAD", self.library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.file(task).display().to_string()),
            ("FAKETIME_CACHE_DURATION", READ_EVERY_SECONDS.to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("NO_FAKE_STAT", "1".to_owned()),
        ])
    }

    /// Sets a task's clock so many seconds ahead of the machine's, or behind it. The task sees it within a second.
    ///
    /// # Errors
    /// When its file cannot be written.
    pub(super) fn step(&self, task: &str, seconds: i64) -> anyhow::Result<()> {
        let file = self.file(task);
        // A task that reads while it is written must not find half of it.
        let new = file.with_extension("new");
        std::fs::write(&new, format!("{seconds:+}\n"))
            .and_then(|()| std::fs::rename(&new, &file))
            .with_context(|| format!("set the clock of {task}"))
    }

    fn file(&self, task: &str) -> PathBuf {
        self.files.path().join(task)
    }
}

impl Drop for Clocks {
    /// A process that was killed leaves behind what the library shares between a process and its children.
    fn drop(&mut self) {
        let Ok(shared) = std::fs::read_dir("/dev/shm") else { return };
        for file in shared.filter_map(Result::ok) {
            let name = file.file_name();
            let name = name.to_string_lossy();
            let of = name
                .strip_prefix("faketime_shm_")
                .or_else(|| name.strip_prefix("sem.faketime_sem_"));
            if of.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
                // Another may be tidying up as well.
                let _ = std::fs::remove_file(file.path());
            }
        }
    }
}

fn find_library() -> Option<PathBuf> {
    let architectures = std::fs::read_dir("/usr/lib").ok()?.filter_map(Result::ok);
    architectures.map(|folder| folder.path().join(LIBRARY)).find(|library| library.exists())
}
