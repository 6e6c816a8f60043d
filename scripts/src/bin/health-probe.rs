//! The health check of our container images, which hold no shell and no curl: asks the service in the same container
//! whether it is alive, and exits 0 if so. Only the standard library, so that it adds little to an image.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

/// DESIGN section 9.
const OPS_PORT: u16 = 9100;
const LIMIT: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let port = std::env::var("SB_OPS_LISTEN")
        .ok()
        .and_then(|listen| listen.parse::<SocketAddr>().ok())
        .map_or(OPS_PORT, |listen| listen.port());
    match status((Ipv4Addr::LOCALHOST, port).into()) {
        Ok(status) if status.starts_with("HTTP/1.1 200") => ExitCode::SUCCESS,
        Ok(status) => {
            eprintln!("{status}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The first line of the answer to `GET /healthz`. Alive, not ready: a task is not to be replaced because a database is
/// away.
fn status(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = [0; 256];
    let length = stream.read(&mut answer)?;
    let text = String::from_utf8_lossy(&answer[..length]);
    Ok(text.lines().next().unwrap_or_default().to_owned())
}
