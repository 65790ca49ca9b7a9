//! The floors: what a plain TCP relay does, and what plain HTTP does.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;

use crate::Result;
use crate::part::say;
use crate::peer::PING;

/// Octets of a copy, in a relay and in a peer.
pub const BUFFER: usize = 64 << 10;

/// Joins each two connections whose first octet is the same. The first octet is not passed on.
pub fn tcp_relay() -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    say(listener.local_addr()?);
    let mut waiting = HashMap::new();
    loop {
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let mut name = [0; 1];
        if stream.read_exact(&mut name).is_err() {
            continue;
        }
        match waiting.remove(&name) {
            None => drop(waiting.insert(name, stream)),
            Some(other) => {
                let (a, b) = (stream.try_clone()?, other.try_clone()?);
                thread::spawn(move || pump(a, other));
                thread::spawn(move || pump(b, stream));
            }
        }
    }
}

/// Until either side is gone.
fn pump(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = vec![0; BUFFER];
    while let Ok(n) = from.read(&mut buffer) {
        if n == 0 || to.write_all(&buffer[..n]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// Answers a POST with its body.
pub fn http_server() -> Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
        say(listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let io = TokioIo::new(stream);
            tokio::spawn(http1::Builder::new().serve_connection(io, service_fn(echo)));
        }
    })
}

async fn echo(
    request: Request<Incoming>,
) -> std::result::Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    Ok(Response::new(Full::new(body)))
}

/// Two POSTs there and back, which is what a message needs through any relay that is only asked.
pub trait Posts {
    fn post(&mut self) -> Result<()>;
}

/// By a well-kept client: the one that byway uses, as it comes.
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
        Ok(answer.body_mut().as_reader().read_exact(&mut [0; PING])?)
    }
}

/// By a socket that knows what the answer will be.
pub struct Bare {
    stream: TcpStream,
    request: Vec<u8>,
}

impl Bare {
    /// To the server at `at`, or to a proxy that leads there.
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
