//! One log for many processes: each line goes to the file of its task and, prefixed and coloured, to the terminal.

use std::fs::{File, OpenOptions};
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::task::JoinHandle;

/// Columns of the 256-colour palette that are readable on dark and on light ground.
const PALETTE: [u8; 12] = [33, 37, 71, 98, 130, 136, 161, 166, 68, 104, 143, 175];
const PREFIX_WIDTH_COLUMNS: usize = 14;

/// Whether lines are also shown, or only kept in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Echo {
    /// To files only, as for the backing stores and in tests.
    Off,
    /// To the standard output as well, in colour when that is a terminal and `NO_COLOR` is unset.
    Stdout,
}

/// A folder of logs, one file per task, cheap to clone.
#[derive(Debug, Clone)]
pub struct Log {
    folder: Arc<Path>,
    echo: Echo,
    colour: bool,
}

impl Log {
    /// Opens the log folder, making it when it is not there.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn open(folder: &Path, echo: Echo) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("create the log folder {}", folder.display()))?;
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Ok(Self { folder: folder.into(), echo, colour })
    }

    /// The same folder, without showing lines.
    #[must_use]
    pub fn quiet(&self) -> Self {
        Self { echo: Echo::Off, ..self.clone() }
    }

    /// Where the lines of a task are kept.
    #[must_use]
    pub fn path(&self, task: &str) -> PathBuf {
        self.folder.join(format!("{task}.log"))
    }

    /// All a task has written so far, over all its starts; empty when it has written nothing.
    #[must_use]
    pub fn read(&self, task: &str) -> String {
        std::fs::read(self.path(task))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// The last `lines` lines of a task, for an error message.
    #[must_use]
    pub fn tail(&self, task: &str, lines: usize) -> String {
        let text = self.read(task);
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// Shows a line of the supervisor's own.
    pub fn say(&self, line: &str) {
        self.show("mesh", line);
    }

    /// A sink for the output of one task, open for as long as the task may restart.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn task(&self, name: &str) -> anyhow::Result<TaskLog> {
        let path = self.path(name);
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .with_context(|| format!("open the log {}", path.display()))?;
        Ok(TaskLog { log: self.clone(), name: name.into(), file: Arc::new(Mutex::new(file)) })
    }

    fn show(&self, name: &str, line: &str) {
        if self.echo == Echo::Off {
            return;
        }
        let prefix = if self.colour {
            format!("\x1b[38;5;{}m{name:<PREFIX_WIDTH_COLUMNS$}\x1b[0m", colour_of(name))
        } else {
            format!("{name:<PREFIX_WIDTH_COLUMNS$}")
        };
        // A reader that has gone away (`mesh up | head`) is no reason to stop the mesh.
        let _ = writeln!(std::io::stdout().lock(), "{prefix} {line}");
    }
}

/// Where the lines of one task go.
#[derive(Debug, Clone)]
pub struct TaskLog {
    log: Log,
    name: Arc<str>,
    file: Arc<Mutex<File>>,
}

impl TaskLog {
    /// Writes one line.
    pub fn line(&self, line: &str) {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        // A full disk must not take the mesh down; the terminal still shows the line.
        let _ = writeln!(file, "{line}");
        drop(file);
        self.log.show(&self.name, line);
    }

    /// Copies lines until the other end closes.
    pub fn pump(&self, from: impl AsyncRead + Unpin + Send + 'static) -> JoinHandle<()> {
        let sink = self.clone();
        tokio::spawn(async move {
            let mut reader = BufReader::new(from);
            let mut line = Vec::new();
            while matches!(reader.read_until(b'\n', &mut line).await, Ok(read) if read > 0) {
                sink.line(String::from_utf8_lossy(&line).trim_end());
                line.clear();
            }
        })
    }
}

/// The same colour for a name in every run.
fn colour_of(name: &str) -> u8 {
    let hash = name
        .bytes()
        .fold(0_usize, |hash, byte| hash.wrapping_mul(31).wrapping_add(usize::from(byte)));
    PALETTE[hash % PALETTE.len()]
}
