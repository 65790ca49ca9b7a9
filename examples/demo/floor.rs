//! The floor: two plain keep-alive POSTs to a trivial server, one for each way through a relay;
//! by the HTTP client that byway uses, and by a socket that knows what the answer will be.

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

/// A trivial server, and two clients of it, each with its connection.
pub struct Floor {
    agent: ureq::Agent,
    url: String,
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
        let agent = ureq::Agent::config_builder().proxy(None).build().into();
        let url = format!("http://{address}/");
        Ok(Self { agent, url, stream, request, _server: server })
    }

    /// One request and its answer, twice, by ureq.
    pub fn two_posts(&mut self) -> Result<(), ureq::Error> {
        for _ in 0..2 {
            let mut answer = self.agent.post(&self.url).send(&[b'.'; PING])?;
            let mut body = [0; PING];
            answer.body_mut().as_reader().read_exact(&mut body)?;
        }
        Ok(())
    }

    /// The same by the socket: what the machine can do at best.
    pub fn two_bare_posts(&mut self) -> io::Result<()> {
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
