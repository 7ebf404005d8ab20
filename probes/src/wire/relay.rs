//! A loopback relay for client libraries that insist on dialling for themselves.
//!
//! The frame dials, does TLS and watches the connection as for everyone; the library connects to a
//! one-shot port on 127.0.0.1 whose bytes are copied to it. Dropping the relay cuts the library off.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, OnceLock},
};

use tokio::{
    io::{AsyncWriteExt, copy_bidirectional_with_sizes},
    net::TcpListener,
    task::JoinHandle,
};

use crate::{failure::Failure, wire::stream::Stream};

/// Small buffers: questions and answers of a probe are short.
const BUFFER: usize = 4096;

/// Copies between a library and our own connection until either ends or it is dropped.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    task: JoinHandle<()>,
    failure: Arc<OnceLock<Failure>>,
}

impl Relay {
    /// Opens a one-shot port for `stream`; `greeting` is what the library reads first.
    ///
    /// # Errors
    /// When no loopback port can be had.
    pub async fn start(mut stream: Stream, greeting: Vec<u8>) -> io::Result<Self> {
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let failure = Arc::new(OnceLock::new());
        let told = Arc::clone(&failure);
        let task = tokio::spawn(async move {
            let Ok((mut library, _)) = listener.accept().await else { return };
            drop(listener);
            let copied = async {
                library.set_nodelay(true)?;
                library.write_all(&greeting).await?;
                copy_bidirectional_with_sizes(&mut library, &mut stream, BUFFER, BUFFER).await
            };
            if let Err(error) = copied.await {
                told.get_or_init(|| Failure::from_io(&error));
            }
        });
        Ok(Self { address, task, failure })
    }

    /// Why the relay ended, if it did not end in order: the cause behind whatever the library reports.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        self.failure.get().cloned()
    }

    /// Where the library must connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}
