//! The stand-ins for AWS. How they differ from it stands in STANDINS.md.

use std::path::Path;

use anyhow::Context as _;
use rustix::process::Signal;

use super::Running;
use crate::log::Log;
use crate::probe;
use crate::process::Launch;
use crate::tools;

/// fauxqs's own start listens on every interface, without an option; its application can be told where.
const FAUXQS_ON_LOOPBACK: &str = r#"
import { buildApp } from "fauxqs";
const app = buildApp({ logger: false });
for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => process.exit(0));
await app.listen({ host: "127.0.0.1", port: Number(process.argv[1]) });
"#;

/// SQS and SNS.
pub(super) async fn start_fauxqs(log: &Log) -> anyhow::Result<Running> {
    let address = probe::free_address()?;
    let launch = Launch::new(tools::node()?)
        .args(["--input-type=module", "--eval", FAUXQS_ON_LOOPBACK])
        .args([address.port().to_string()])
        // Where the import is resolved.
        .folder(tools::npm_folder()?);
    let mut process = launch.spawn(&log.task("fauxqs")?)?;
    probe::await_ready("fauxqs", &mut process, log, async || {
        probe::answers_ok(address, "/health").await
    })
    .await?;
    Ok(Running {
        name: "fauxqs",
        launch,
        process,
        stop_signal: Signal::TERM,
        url: format!("http://{address}"),
    })
}

/// S3, Secrets Manager and KMS (SQS and SNS as well, for tests on both).
pub(super) async fn start_ministack(state: &Path, log: &Log) -> anyhow::Result<Running> {
    let address = probe::free_address()?;
    let folder = state.join("ministack");
    std::fs::create_dir(&folder).context("create ministack's folder")?;
    let launch = Launch::new(tools::python_program("ministack")?)
        .envs([
            ("BIND_HOST", "127.0.0.1".to_owned()),
            ("GATEWAY_PORT", address.port().to_string()),
            ("STATE_DIR", folder.display().to_string()),
            ("S3_DATA_DIR", folder.join("s3").display().to_string()),
        ])
        .folder(&folder);
    let mut process = launch.spawn(&log.task("ministack")?)?;
    probe::await_ready("ministack", &mut process, log, async || {
        probe::answers_ok(address, "/health").await
    })
    .await?;
    Ok(Running {
        name: "ministack",
        launch,
        process,
        stop_signal: Signal::TERM,
        url: format!("http://{address}"),
    })
}
