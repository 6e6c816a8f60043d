//! A proxy between the services and a store that can be cut (what is connected falls, what connects is refused) or fall silent
//! (nothing is carried, and nobody is told).

use std::net::SocketAddr;
use std::pin::pin;

use anyhow::Context as _;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::probe;

/// A line to a store. Dropping it ends it.
pub(super) struct Line {
    address: SocketAddr,
    state: watch::Sender<State>,
    _serving: AbortOnDropHandle<()>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Cut,
    Silent,
}

impl Line {
    /// Opens one to `store`.
    ///
    /// # Errors
    /// When no port is free.
    pub(super) async fn to(store: SocketAddr) -> anyhow::Result<Self> {
        let address = probe::free_address()?;
        let listener = TcpListener::bind(address).await.context("listen for a store")?;
        let state = watch::Sender::new(State::Open);
        let serving = tokio::spawn(serve(listener, store, state.subscribe()));
        Ok(Self { address, state, _serving: AbortOnDropHandle::new(serving) })
    }

    /// Where to connect.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn cut(&self) {
        self.state.send_replace(State::Cut);
    }

    /// What is sent waits, and goes on when the line is mended: connections stay open, new ones too.
    pub(super) fn fall_silent(&self) {
        self.state.send_replace(State::Silent);
    }

    pub(super) fn mend(&self) {
        self.state.send_replace(State::Open);
    }
}

async fn serve(listener: TcpListener, store: SocketAddr, state: watch::Receiver<State>) {
    loop {
        // Too many open files: whoever connects waits meanwhile.
        let Ok((client, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        tokio::spawn(carry_while_open(client, store, state.clone()));
    }
}

async fn carry_while_open(client: TcpStream, store: SocketAddr, mut state: watch::Receiver<State>) {
    let mut carried = pin!(carry(client, store));
    loop {
        // Not asked to go on meanwhile, it holds its connections and carries nothing.
        let heard = state.wait_for(|state| *state != State::Silent).await.map(|state| *state);
        let Ok(State::Open) = heard else { return };
        tokio::select! {
            biased;
            _ = state.wait_for(|state| *state != State::Open) => {}
            () = &mut carried => return,
        }
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
    use std::time::Duration;

    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    /// A line to what sends back all it gets.
    async fn line_to_an_echo() -> Line {
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
        line
    }

    async fn echoed(client: &mut TcpStream) -> Option<usize> {
        client.write_all(b"x").await.ok()?;
        client.read_exact(&mut [0]).await.ok()
    }

    #[tokio::test]
    async fn a_cut_line_falls_and_a_mended_one_carries_again() {
        let line = line_to_an_echo().await;
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

    #[tokio::test]
    async fn what_goes_over_a_silent_line_comes_once_it_is_mended() {
        let line = line_to_an_echo().await;
        let mut client = TcpStream::connect(line.address()).await.unwrap();
        assert!(echoed(&mut client).await.is_some());
        line.fall_silent();
        let mut late = TcpStream::connect(line.address()).await.unwrap();
        for client in [&mut client, &mut late] {
            let answer = tokio::time::timeout(Duration::from_millis(100), echoed(client)).await;
            assert!(answer.is_err(), "neither an answer nor an end");
        }
        line.mend();
        for client in [&mut client, &mut late] {
            assert!(client.read_exact(&mut [0]).await.is_ok());
        }
    }

    #[tokio::test]
    async fn a_silent_line_that_is_cut_falls() {
        let line = line_to_an_echo().await;
        let mut client = TcpStream::connect(line.address()).await.unwrap();
        assert!(echoed(&mut client).await.is_some());
        line.fall_silent();
        line.cut();
        assert!(client.read(&mut [0]).await.is_ok_and(|read| read == 0), "it falls");
    }
}
