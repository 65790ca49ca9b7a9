//! Connections that are refused before a request was read.

use std::io::{self, Write};
use std::net::Shutdown;
#[cfg(feature = "relay-tls")]
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWriteExt};
use tokio::net::TcpStream;

use super::answers::{FULL, RETRY_AFTER};
use super::places::ConnectionPlaces;
use super::service::Service;
use super::stall::LINGER;

/// Answers a connection for which there is no place, without having read a request.
pub(super) fn refuse(
    stream: TcpStream,
    #[cfg_attr(not(feature = "relay-tls"), expect(unused_variables))] service: &Service,
    places: &ConnectionPlaces,
) -> io::Result<()> {
    #[cfg(feature = "relay-tls")]
    if let Some(server) = &service.tls {
        let server = Arc::clone(server);
        // Beyond these handshakes a client finds its connection closed, and comes back.
        if server.may_refuse()
            && let Some(right) = places.refuse()
        {
            tokio::spawn(async move {
                server.refuse(stream, full().as_bytes()).await;
                drop(right);
            });
        }
        return Ok(());
    }
    let mut stream = stream.into_std()?;
    // A new socket has room for that.
    stream.write_all(full().as_bytes())?;
    if let Some(right) = places.refuse() {
        stream.shutdown(Shutdown::Write)?;
        let stream = TcpStream::from_std(stream)?;
        tokio::spawn(async move {
            // The kernel would answer octets still on their way by a reset, which destroys the answer.
            let _ = tokio::time::timeout(LINGER, drain(stream)).await;
            drop(right);
        });
    }
    Ok(())
}

/// The answer to a client for which there is no place.
pub(super) fn full() -> String {
    let more = format!("Byway-Status: full\r\nRetry-After: {RETRY_AFTER}\r\n");
    refusal("503 Service Unavailable", &more, FULL)
}

/// A response behind which the connection is closed.
pub(super) fn refusal(status: &str, fields: &str, text: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nCache-Control: no-store\r\n\
         {fields}Connection: close\r\nContent-Length: {}\r\n\r\n{text}",
        text.len()
    )
}

/// Reads until the client has closed.
pub(super) async fn drain(mut stream: impl AsyncRead + Unpin) -> io::Result<()> {
    tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.map(|_| ())
}

/// Answers a connection that is refused behind its proxy's header.
pub(super) async fn turn_away(
    mut stream: TcpStream,
    #[cfg_attr(not(feature = "relay-tls"), expect(unused_variables))] service: &Service,
    answer: &str,
) {
    #[cfg(feature = "relay-tls")]
    if let Some(server) = &service.tls {
        return server.refuse(stream, answer.as_bytes()).await;
    }
    let refused = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        drain(stream).await
    };
    // The kernel would answer octets still on their way by a reset, which destroys the answer.
    let _ = tokio::time::timeout(LINGER, refused).await;
}
