//! The floor of HTTP: POSTs to a trivial server, two for each round trip through a relay, by the HTTP
//! client that byway uses, and by a socket that knows what the answer will be.

use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::TcpStream;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// Octets of a ping, and of a small message.
pub const PING: usize = 64;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Answers each POST with its body, for ever.
pub async fn serve(listener: TcpListener) -> std::io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let io = TokioIo::new(stream);
        tokio::spawn(http1::Builder::new().serve_connection(io, service_fn(echo)));
    }
}

async fn echo(
    request: Request<Incoming>,
) -> std::result::Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    Ok(Response::new(Full::new(body)))
}

/// A client that makes POSTs there and back. A message needs two through any relay that only
/// answers.
pub trait Posts {
    /// Makes one POST, and reads the answer.
    fn post(&mut self) -> Result<()>;
}

/// The POSTs by the client that byway uses, with its own settings.
pub struct ByClient {
    agent: ureq::Agent,
    url: String,
}

impl ByClient {
    pub fn new(at: &str) -> Self {
        let agent = ureq::Agent::config_builder().proxy(None).build().into();
        Self { agent, url: format!("http://{at}/") }
    }
}

impl Posts for ByClient {
    fn post(&mut self) -> Result<()> {
        let mut answer = self.agent.post(&self.url).send(&[b'.'; PING])?;
        // The answer is read to its end: only then is the connection kept for the next request.
        answer.body_mut().read_to_vec()?;
        Ok(())
    }
}

/// The POSTs by a socket that knows the answer beforehand.
pub struct Bare {
    stream: TcpStream,
    request: Vec<u8>,
}

impl Bare {
    /// Connects to the server at `at`, or to a proxy that leads there.
    pub fn new(at: &str, proxy: Option<&str>) -> Result<Self> {
        let proxy = proxy.map(|url| url.trim_start_matches("http://"));
        let stream = TcpStream::connect(proxy.unwrap_or(at))?;
        stream.set_nodelay(true)?;
        let mut request =
            format!("POST http://{at}/ HTTP/1.1\r\nHost: {at}\r\nContent-Length: {PING}\r\n\r\n")
                .into_bytes();
        request.resize(request.len() + PING, b'.');
        Ok(Self { stream, request })
    }
}

impl Posts for Bare {
    fn post(&mut self) -> Result<()> {
        self.stream.write_all(&self.request)?;
        let mut answer = [0; 512];
        let mut len = 0;
        // The body is the only run of full stops.
        while !answer[..len].ends_with(&[b'.'; PING]) {
            match self.stream.read(&mut answer[len..])? {
                0 => return Err("the server is gone".into()),
                n => len += n,
            }
        }
        Ok(())
    }
}
