//! The floor: two plain keep-alive POSTs to a trivial server, as any path through a relay needs.

use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::net::TcpStream;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::peers::PING;

/// A trivial server, and a connection to it.
pub struct Floor {
    stream: TcpStream,
    request: Vec<u8>,
    _server: Runtime,
}

impl Floor {
    /// Starts the server on a free loopback port.
    pub fn start() -> io::Result<Self> {
        let server =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let listener = server.block_on(TcpListener::bind(("127.0.0.1", 0)))?;
        let address = listener.local_addr()?;
        server.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let io = TokioIo::new(stream);
                tokio::spawn(http1::Builder::new().serve_connection(io, service_fn(echo)));
            }
        });
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let mut request =
            format!("POST / HTTP/1.1\r\nHost: {address}\r\nContent-Length: {PING}\r\n\r\n")
                .into_bytes();
        request.resize(request.len() + PING, b'.');
        Ok(Self { stream, request, _server: server })
    }

    /// One request and its answer, twice.
    pub fn two_hops(&mut self) -> io::Result<()> {
        for _ in 0..2 {
            self.stream.write_all(&self.request)?;
            let mut answer = [0; 512];
            let mut len = 0;
            // The body is what was sent: no other octet of the answer is a full stop but in the head's date.
            while !answer[..len].ends_with(&[b'.'; PING]) {
                match self.stream.read(&mut answer[len..])? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    n => len += n,
                }
            }
        }
        Ok(())
    }
}

async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    Ok(Response::new(Full::new(body)))
}
