//! The floor: two plain keep-alive POSTs to a trivial server, one for each way through a relay.

use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::posts::{self, Bare, ByClient, Posts};

/// A trivial server and two clients of it, each with its connection.
pub struct Floor {
    client: ByClient,
    bare: Bare,
    _server: Runtime,
}

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

impl Floor {
    /// Starts the server on a free loopback port.
    pub fn start() -> Result<Self> {
        let server =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let listener = server.block_on(TcpListener::bind(("127.0.0.1", 0)))?;
        let address = listener.local_addr()?.to_string();
        server.spawn(posts::serve(listener));
        let bare = Bare::new(&address, None)?;
        Ok(Self { client: ByClient::new(&address), bare, _server: server })
    }

    /// Makes one request twice by ureq, and reads the answers.
    pub fn two_posts(&mut self) -> Result<()> {
        self.client.post()?;
        self.client.post()
    }

    /// Does the same on the socket: the best that the machine can do.
    pub fn two_bare_posts(&mut self) -> Result<()> {
        self.bare.post()?;
        self.bare.post()
    }
}
