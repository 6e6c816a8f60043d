//! The whole simulator inside another process: tests and benches.

use std::net::TcpListener;

use actix_web::{dev::ServerHandle, web};
use anyhow::Context;

use crate::{World, config::Config, serve};

/// A simulator that runs until this is dropped.
#[derive(Debug)]
pub struct Running {
    /// What has happened in it.
    pub world: web::Data<World>,
    base_url: String,
    handle: ServerHandle,
}

impl Running {
    /// Starts one at `config.listen`, whose port may be 0. Needs a tokio runtime.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn start(config: Config) -> anyhow::Result<Self> {
        let listener =
            TcpListener::bind(config.listen).with_context(|| format!("bind {}", config.listen))?;
        let address = listener.local_addr().context("read the bound address")?;
        let world = web::Data::new(World::new(config));
        let server = serve(listener, world.clone(), false)?;
        let handle = server.handle();
        tokio::spawn(server);
        Ok(Self { world, base_url: format!("http://{address}"), handle })
    }

    /// Where it listens; a vendor's prefix follows.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The order to stop is given at once; only the wait for it is dropped.
        drop(self.handle.stop(false));
    }
}
