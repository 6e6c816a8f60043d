use std::{
    path::{Path, PathBuf},
    process,
    sync::OnceLock,
};

static SERVICE: OnceLock<&'static str> = OnceLock::new();

/// Says which service this process is, for the names of its crash points.
pub(crate) fn name_service(service: &'static str) {
    // A second telemetry start fails by itself; the first name stands.
    let _ = SERVICE.set(service);
}

/// Ends the process without a word where a test wants it to die: how the tests prove that a task
/// may die anywhere.
///
/// A test arms a point by putting a file `{service}.{point}` into the folder `SB_CRASH_DIR`, such as
/// `voice.spoken` or `voice.bus.before-delete`; the first task that comes to the point takes the
/// file away and dies. Without the variable, and in production, nothing is ever looked for.
pub fn crash_point(name: &'static str) {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let production = std::env::var("SB_ENV").is_ok_and(|v| v == "production");
        std::env::var_os("SB_CRASH_DIR").filter(|_| !production).map(PathBuf::from)
    });
    if let (Some(folder), Some(service)) = (folder, SERVICE.get())
        && std::fs::remove_file(armed_file(folder, service, name)).is_ok()
    {
        tracing::warn!(point = name, "crashing as told by SB_CRASH_DIR");
        process::abort();
    }
}

/// A service's own points begin with its name already.
fn armed_file(folder: &Path, service: &str, name: &str) -> PathBuf {
    let own = name.strip_prefix(service).and_then(|rest| rest.strip_prefix('.'));
    folder.join(format!("{service}.{}", own.unwrap_or(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_armed_by_service_and_name() {
        let file = |service, name| armed_file(Path::new("/d"), service, name);
        assert_eq!(file("voice", "voice.spoken"), Path::new("/d/voice.spoken"));
        assert_eq!(file("voice", "bus.received"), Path::new("/d/voice.bus.received"));
    }
}
