//! A plain web server, and curl.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;

use crate::bytes::Noise;

/// The octets of `/file`.
pub const FILE: usize = 20_000_000;

/// Serves on a free port until the tests end.
pub fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.expect("accepts");
            thread::spawn(move || answer(stream));
        }
    });
    address
}

fn answer(mut stream: TcpStream) -> io::Result<()> {
    let mut requests = BufReader::new(stream.try_clone()?).lines();
    while let Some(request) = requests.next().transpose()? {
        let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
        // The rest of the head; curl's GET has no body.
        while requests.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
        let mut head = |status: &str, len: usize| {
            write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {len}\r\n\r\n")
        };
        match path.as_str() {
            "/file" => {
                head("200 OK", FILE)?;
                Noise::new(3).write(&stream, FILE)?;
            }
            "/until-closed" => {
                write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto the end")?;
                return Ok(());
            }
            "/missing" => head("404 Not Found", 0)?,
            path => {
                head("200 OK", path.len())?;
                stream.write_all(path.as_bytes())?;
            }
        }
    }
    Ok(())
}

/// A curl that prints only errors, and ignores the environment.
pub fn curl() -> Command {
    let mut curl = Command::new("curl");
    curl.args(["-q", "--silent", "--show-error", "--noproxy", "*", "--max-time", "100"]);
    curl
}

/// The output of curl and its exit code.
pub fn run(curl: &mut Command) -> (Vec<u8>, Option<i32>) {
    let output = curl.output().expect("curl runs: install the package curl");
    (output.stdout, output.status.code())
}
