//! A small program on a phone: the memory of a client without the bench around it.

use std::io::{Read, Write};

use byway::client::{Client, Config};
use byway::session::Profile;

/// Octets there and back.
const CARRIED: usize = 4 << 20;

fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let url = std::env::args().nth(1).ok_or("usage: bench-client URL")?;
    let client = Client::open(Config { profile: Profile::PHONE, ..Config::new(url) })?;
    let mut stream = client.connect("bench:1")?;
    // The bench's listener expects the name first.
    stream.write_all(&[0])?;
    let mut writer = stream.try_clone()?;
    let mut buffer = [0; 4 << 10];
    let writing = std::thread::spawn(move || {
        for _ in 0..CARRIED / buffer.len() {
            writer.write_all(&buffer)?;
        }
        std::io::Result::Ok(())
    });
    for _ in 0..CARRIED / buffer.len() {
        stream.read_exact(&mut buffer)?;
    }
    writing.join().map_err(|_| "the writer panicked")??;
    println!("carried");
    // The bench looks at this process before it ends.
    std::io::stdin().read_line(&mut String::new())?;
    Ok(())
}
