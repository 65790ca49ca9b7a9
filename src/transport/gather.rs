//! One write per request.
//!
//! ureq writes a request's head and its body apart: two segments, and a relay woken twice. This
//! layer, the outermost, holds the head back until the first octets of the body are there. It
//! also turns the request line into the absolute form that plain proxies want.

use std::sync::Arc;

use ureq::Error;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

use super::line::Line;

/// Every request of this client begins so; what a tunnel or TLS writes before never does.
const METHOD: &[u8] = b"POST ";

/// Puts a [`Gather`] around the connection.
#[derive(Debug)]
pub(super) struct GatherConnector {
    pub line: Arc<Line>,
    /// `http://host:port` if requests are to be in absolute form, else empty.
    pub prefix: Arc<str>,
}

impl<In: Transport> Connector<In> for GatherConnector {
    type Out = Gather<In>;

    fn connect(
        &self,
        _: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        Ok(chained.map(|inner| Gather {
            inner,
            line: Arc::clone(&self.line),
            prefix: Arc::clone(&self.prefix),
            held: Vec::new(),
            in_request: false,
        }))
    }
}

#[derive(Debug)]
pub(super) struct Gather<T> {
    inner: T,
    line: Arc<Line>,
    prefix: Arc<str>,
    /// The head, until the body comes. Keeps its memory from request to request.
    held: Vec<u8>,
    /// From the head of a request to the first input after it.
    in_request: bool,
}

impl<T: Transport> Gather<T> {
    /// Writes the held head and the first `amount` octets of the output buffer behind it, in as
    /// few writes as the buffer allows.
    fn release(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.line.mark_sent();
        let output = self.inner.buffers().output();
        let head = self.held.len();
        if head >= output.len() {
            return Err(Error::LargeResponseHeader(head, output.len()));
        }
        let with_head = amount.min(output.len() - head);
        // What the head pushes out of the buffer goes in a second write.
        self.held.extend_from_slice(&output[with_head..amount]);
        output.copy_within(..with_head, head);
        output[..head].copy_from_slice(&self.held[..head]);
        self.inner.transmit_output(head + with_head, timeout)?;
        let rest = self.held.len() - head;
        if rest > 0 {
            self.inner.buffers().output()[..rest].copy_from_slice(&self.held[head..]);
            self.inner.transmit_output(rest, timeout)?;
        }
        self.held.clear();
        Ok(())
    }
}

impl<T: Transport> Transport for Gather<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        if !self.held.is_empty() {
            return self.release(amount, timeout);
        }
        let output = &self.inner.buffers().output()[..amount];
        if !self.in_request && output.starts_with(METHOD) {
            self.in_request = true;
            let (method, rest) = output.split_at(METHOD.len());
            self.held.extend_from_slice(method);
            self.held.extend_from_slice(self.prefix.as_bytes());
            self.held.extend_from_slice(rest);
            return Ok(());
        }
        self.inner.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.in_request = false;
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}
