//! Keeps the event logs of calls (`call_core::event_log`) as files, where somebody asks for them (`SB_CALL_LOG_DIR`).
//!
//! For developers and for the one call that nobody understands: a log holds the sound of both sides.

use std::{
    fs::{File, OpenOptions},
    io::{BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use call_core::{
    Action, Input, Moment,
    event_log::{self, Beginning},
};
use domain::CallSid;
use tokio::{runtime::Handle, sync::mpsc};

/// Lines that may wait for the disk; a log that falls further behind is given up rather than hold up a call.
const BACKLOG: usize = 4_096;

/// Where event logs go.
#[derive(Clone, Debug, Default)]
pub struct EventLogs {
    folder: Option<PathBuf>,
}

impl EventLogs {
    /// Into `folder`, which is made where it is missing; nowhere without one (`SB_CALL_LOG_DIR`).
    pub fn new(folder: Option<PathBuf>) -> Self {
        Self { folder }
    }

    /// The log of one connection of a call, written by a thread of `runtime`.
    pub(super) fn begin(
        &self,
        runtime: &Handle,
        call: &CallSid,
        attempt: u32,
        beginning: &Beginning,
    ) -> EventLog {
        let Some(folder) = &self.folder else { return EventLog { lines: None } };
        let (lines, queue) = mpsc::channel(BACKLOG);
        let path = folder.join(format!("{call}.{attempt}.jsonl"));
        let call = call.clone();
        runtime.spawn_blocking(move || {
            if let Err(error) = write(&path, queue) {
                tracing::warn!(%call, path = %path.display(), %error, "event log of a call not kept");
            }
        });
        let mut log = EventLog { lines: Some(lines) };
        log.line(|| beginning.line());
        log
    }
}

/// The log of one connection of a call, if one is kept.
pub(super) struct EventLog {
    lines: Option<mpsc::Sender<String>>,
}

impl EventLog {
    pub(super) fn happened(&mut self, input: &Input<'_>, at: Moment) {
        self.line(|| event_log::happened(input, at));
    }

    pub(super) fn decided(&mut self, action: &Action) {
        self.line(|| event_log::decided(action));
    }

    fn line(&mut self, line: impl FnOnce() -> String) {
        // A log with a hole replays to nothing: better none from here on.
        self.lines.take_if(|lines| lines.try_send(line()).is_err());
    }
}

fn write(path: &Path, mut lines: mpsc::Receiver<String>) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut file = BufWriter::new(create(path)?);
    while let Some(line) = lines.blocking_recv() {
        writeln!(file, "{line}")?;
        if lines.is_empty() {
            file.flush()?;
        }
    }
    file.flush()
}

/// Readable for its owner alone.
fn create(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}
