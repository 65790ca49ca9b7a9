//! The head of a response (RFC 9112 sections 4 and 5). Sans-I/O.

use super::body::BodyReader;
use super::refusal::{UNREADABLE, refusal};
use super::same;
use crate::error::Blocked;

/// Header fields that a head may have: the relay sends 5, proxies and gateways add theirs. Each
/// takes the stack four words while a head is read.
const FIELDS: usize = 24;

/// What the head of a response says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ResponseHead {
    /// Octets of the head.
    pub len: usize,
    /// The body behind the head; `None`: the response is an interim one (1xx), and another follows.
    pub body: Option<BodyReader>,
    /// Whether the connection serves another exchange.
    pub keep: bool,
}

impl ResponseHead {
    /// Reads a head from the front of `octets`; `None` while the head is not whole. `by_proxy`: requests
    /// name the relay in full, for a proxy. Some proxies serve a single request without saying so, hence
    /// a proxy is asked again only if it says that it keeps the connection.
    ///
    /// # Errors
    /// Why the response is no relay's answer.
    // Its fields are not to stay on the stack while the session works.
    #[inline(never)]
    pub fn read(octets: &[u8], by_proxy: bool) -> Result<Option<Self>, Blocked> {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS];
        let mut response = httparse::Response::new(&mut fields);
        let len = match response.parse(octets) {
            Ok(httparse::Status::Complete(len)) => len,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err(UNREADABLE),
        };
        debug_assert!(response.code.is_some(), "a whole head has a status");
        let status = response.code.unwrap_or(0);
        if status / 100 == 1 {
            return Ok(Some(Self { len, body: None, keep: true }));
        }
        let told = response.headers.iter().map(|field| (field.name, field.value));
        if let Some(cause) = refusal(status, told, by_proxy) {
            return Err(cause);
        }
        let mut keep = response.version == Some(1) && !by_proxy;
        let mut body = BodyReader::UNTIL_END;
        for field in response.headers {
            let is = |name: &[u8]| same(field.name.as_bytes(), name);
            let value = field.value;
            if is(b"transfer-encoding") {
                if !same(value, b"chunked") {
                    return Err(UNREADABLE);
                }
                body = BodyReader::CHUNKED;
            } else if is(b"content-length") && !body.is_chunked() {
                let counted = BodyReader::counted(number(value).ok_or(UNREADABLE)?);
                if !body.is_until_end() && body != counted {
                    return Err(UNREADABLE);
                }
                body = counted;
            } else if is(b"connection") || is(b"proxy-connection") {
                for word in value.split(|octet| *octet == b',') {
                    if same(word, b"close") {
                        keep = false;
                    } else if same(word, b"keep-alive") {
                        keep = true;
                    }
                }
            }
        }
        keep &= !body.is_until_end();
        Ok(Some(Self { len, body: Some(body), keep }))
    }
}

/// A number in decimal digits, below 2^32.
fn number(value: &[u8]) -> Option<u32> {
    let mut number: u32 = 0;
    for octet in value.trim_ascii() {
        let digit = octet.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number.checked_mul(10)?.checked_add(digit.into())?;
    }
    Some(number)
}
