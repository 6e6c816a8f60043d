//! A proxy between the services and a store that can be cut: what is connected falls, what connects is refused.

use std::net::SocketAddr;

use anyhow::Context as _;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::probe;

/// A line to a store. Dropping it ends it.
pub(super) struct Line {
    address: SocketAddr,
    is_cut: watch::Sender<bool>,
    _serving: AbortOnDropHandle<()>,
}

impl Line {
    /// Opens one to `store`.
    ///
    /// # Errors
    /// When no port is free.
    pub(super) async fn to(store: SocketAddr) -> anyhow::Result<Self> {
        let address = probe::free_address()?;
        let listener = TcpListener::bind(address).await.context("listen for a store")?;
        let is_cut = watch::Sender::new(false);
        let serving = tokio::spawn(serve(listener, store, is_cut.subscribe()));
        Ok(Self { address, is_cut, _serving: AbortOnDropHandle::new(serving) })
    }

    /// Where to connect.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn cut(&self) {
        self.is_cut.send_replace(true);
    }

    pub(super) fn mend(&self) {
        self.is_cut.send_replace(false);
    }
}

async fn serve(listener: TcpListener, store: SocketAddr, is_cut: watch::Receiver<bool>) {
    loop {
        // Too many open files: whoever connects waits meanwhile.
        let Ok((client, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let mut is_cut = is_cut.clone();
        tokio::spawn(async move {
            if *is_cut.borrow_and_update() {
                return;
            }
            tokio::select! {
                () = carry(client, store) => {}
                _ = is_cut.wait_for(|is_cut| *is_cut) => {}
            }
        });
    }
}

/// Until either side closes; a store that is away closes the client's.
async fn carry(mut client: TcpStream, store: SocketAddr) {
    let Ok(mut store) = TcpStream::connect(store).await else { return };
    let _ = (client.set_nodelay(true), store.set_nodelay(true));
    let _ = copy_bidirectional(&mut client, &mut store).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[tokio::test]
    async fn a_cut_line_falls_and_a_mended_one_carries_again() {
        let store = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let line = Line::to(store.local_addr().unwrap()).await.unwrap();
        tokio::spawn(async move {
            loop {
                let (mut client, _) = store.accept().await.unwrap();
                tokio::spawn(async move {
                    let (mut from, mut to) = client.split();
                    tokio::io::copy(&mut from, &mut to).await.unwrap();
                });
            }
        });
        let echoed = async |client: &mut TcpStream| {
            client.write_all(b"x").await.ok()?;
            let mut one = [0];
            client.read_exact(&mut one).await.ok()
        };
        let mut client = TcpStream::connect(line.address()).await.unwrap();
        assert!(echoed(&mut client).await.is_some());
        line.cut();
        assert!(client.read(&mut [0]).await.is_ok_and(|read| read == 0), "it falls");
        let mut refused = TcpStream::connect(line.address()).await.unwrap();
        assert!(echoed(&mut refused).await.is_none());
        line.mend();
        let mut again = TcpStream::connect(line.address()).await.unwrap();
        assert!(echoed(&mut again).await.is_some());
    }
}
