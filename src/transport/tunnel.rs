//! A tunnel through an HTTP proxy (RFC 9110 section 9.3.6).

use std::fmt::{self, Write};

use ureq::Error;
use ureq::http::header::{HeaderMap, HeaderName, HeaderValue};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, Transport};

use super::Obstacle;
use super::address::RelayTarget;
use crate::error::Blocked;
use crate::http::detail;

/// Header fields that a proxy's answer may have.
const FIELDS: usize = 64;

/// Asks the proxy at the other end of a new connection for a tunnel to the relay.
pub(super) struct Tunnel {
    /// The request, if there is a proxy for a tunnel.
    pub request: Option<String>,
}

impl Tunnel {
    pub fn new(target: &RelayTarget, user_agent: &str) -> Self {
        let Some(proxy) = target.tunnel_proxy() else { return Self { request: None } };
        let place = format!("{}:{}", target.url.host.in_url(), target.url.port.number());
        // Old proxies keep a connection only because of this field.
        let mut request = format!(
            "CONNECT {place} HTTP/1.1\r\nHost: {place}\r\nProxy-Connection: Keep-Alive\r\n"
        );
        // A string takes whatever is written.
        if !user_agent.is_empty() {
            let _ = write!(request, "User-Agent: {user_agent}\r\n");
        }
        if let Some(Ok(value)) = proxy.authorization.as_ref().map(|value| value.to_str()) {
            let _ = write!(request, "Proxy-Authorization: {value}\r\n");
        }
        request.push_str("\r\n");
        Self { request: Some(request) }
    }
}

impl fmt::Debug for Tunnel {
    /// Shows the request's first line: among the others is the proxy's password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.request.as_deref().and_then(|request| request.lines().next());
        f.debug_tuple("Tunnel").field(&line).finish()
    }
}

impl<In: Transport> Connector<In> for Tunnel {
    type Out = In;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<In>, Error> {
        let (mut connection, request) = match (chained, &self.request) {
            (Some(connection), Some(request)) => (connection, request),
            (chained, _) => return Ok(chained),
        };
        for piece in request.as_bytes().chunks(connection.buffers().output().len()) {
            connection.buffers().output()[..piece.len()].copy_from_slice(piece);
            connection.transmit_output(piece.len(), details.timeout)?;
        }
        while !take_answer(&mut connection)? {
            if !connection.await_input(details.timeout)? {
                return Err(Obstacle::error(Blocked::Cut, "the proxy hung up on CONNECT"));
            }
        }
        Ok(Some(connection))
    }
}

/// Takes the proxy's answer to CONNECT out of the input; whether the answer has come, and grants the
/// tunnel.
fn take_answer(connection: &mut impl Transport) -> Result<bool, Error> {
    let buffers = connection.buffers();
    loop {
        let input = buffers.input();
        let mut fields = [httparse::EMPTY_HEADER; FIELDS];
        let mut response = httparse::Response::new(&mut fields);
        let len = match response.parse(input) {
            Ok(httparse::Status::Complete(len)) => len,
            Ok(httparse::Status::Partial) if buffers.input_append_buf().is_empty() => {
                return Err(unreadable(buffers));
            }
            Ok(httparse::Status::Partial) => return Ok(false),
            Err(_) => return Err(unreadable(buffers)),
        };
        debug_assert!(response.code.is_some(), "a whole head has a status");
        match response.code.unwrap_or(0) {
            // An interim response: another follows.
            100..=199 => buffers.input_consume(len),
            // Whatever the header fields say, the octets behind them are the tunnel's.
            200..=299 => {
                buffers.input_consume(len);
                return Ok(true);
            }
            status => {
                let headers = header_map(response.headers);
                let page = String::from_utf8_lossy(&input[len..]);
                let seen = detail::tunnel_line(status, &headers, &page);
                return Err(Obstacle::error(detail::tunnel_refused(status, &headers), seen));
            }
        }
    }
}

/// Collects the header fields that are valid.
fn header_map(fields: &[httparse::Header<'_>]) -> HeaderMap {
    let fields = fields.iter().filter_map(|field| {
        let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
        Some((name, HeaderValue::from_bytes(field.value).ok()?))
    });
    fields.collect()
}

fn unreadable(buffers: &mut dyn Buffers) -> Error {
    let (cause, seen) = detail::unreadable(buffers.input());
    Obstacle::error(cause, seen)
}
