//! A plain proxy before the relay. The client does not know the relay's address.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use crate::tls::forward;

/// The relay's URL, as the proxy understands it.
pub const RELAY: &str = "http://relay.invalid";

/// Serves as proxy for a relay at `relay`; gives its URL.
pub fn serve(relay: SocketAddr) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("a port"));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || connection(stream, relay));
        }
    });
    url
}

/// Ends with an error when either side hangs up.
fn connection(mut client: TcpStream, relay: SocketAddr) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut relay = TcpStream::connect(relay)?;
    relay.set_nodelay(true)?;
    loop {
        forward(&mut client, &mut relay, origin_form)?;
        forward(&mut relay, &mut client, as_proxies_do)?;
    }
}

/// Rewrites a request in absolute form as an origin expects it.
fn origin_form(head: &str) -> String {
    let path = head.strip_prefix("POST ").and_then(|rest| rest.strip_prefix(RELAY));
    format!("POST {}", path.expect("the absolute form"))
}

/// Adds the header fields of squid to an answer.
fn as_proxies_do(head: &str) -> String {
    let fields =
        "\r\nvia: 1.1 proxy\r\ncache-status: proxy;detail=mismatch\r\nconnection: keep-alive";
    head.replacen("\r\n\r\n", &format!("{fields}\r\n\r\n"), 1)
}
