use std::{path::PathBuf, process, sync::OnceLock};

/// Ends the process without a word when `SB_CRASH_AT` names this point: how the tests prove that a
/// task may die anywhere (issue "kill test"). Its value is `POINT=FILE`: the process dies at POINT,
/// once, for it leaves FILE behind and does not die again where FILE exists. Set in production it
/// does nothing.
pub fn crash_point(name: &'static str) {
    static ARMED: OnceLock<Option<(String, PathBuf)>> = OnceLock::new();
    let armed = ARMED.get_or_init(|| {
        let production = std::env::var("SB_ENV").is_ok_and(|v| v == "production");
        let setting = std::env::var("SB_CRASH_AT").ok().filter(|_| !production)?;
        let (point, marker) = setting.split_once('=')?;
        Some((point.to_owned(), PathBuf::from(marker)))
    });
    let Some((point, marker)) = armed else { return };
    if point == name && std::fs::File::create_new(marker).is_ok() {
        tracing::warn!(point = name, "crashing as told by SB_CRASH_AT");
        process::abort();
    }
}
