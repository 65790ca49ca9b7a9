//! A stranger that takes all channels of a listener.

use std::io::{Read, Write};
use std::thread;
use std::time::Instant;

use byway::client::{Client, Config, Stream};
use byway::session::Profile;

use super::{CHANNELS, LONG, client, config, relay};

/// Answers on every channel what comes there, until the channel ends.
fn serve(server: &Client) {
    let listener = server.listen("echo:1").unwrap();
    thread::spawn(move || {
        while let Ok(stream) = listener.accept_timeout(10 * LONG) {
            thread::spawn(move || {
                let mut octets = [0; 5];
                while (&stream).read_exact(&mut octets).is_ok() {
                    (&stream).write_all(&octets).unwrap();
                }
            });
        }
    });
}

fn echo(stream: &Stream) {
    echoes(stream).unwrap();
}

fn echoes(mut stream: &Stream) -> std::io::Result<()> {
    let mut heard = [0; 5];
    stream.write_all(b"hello")?;
    stream.read_exact(&mut heard)?;
    assert_eq!(&heard, b"hello");
    Ok(())
}

#[test]
fn newcomer_gets_the_place_of_a_strangers_unused_channel() {
    let relay = relay();
    let (server, friend, stranger) = (client(&relay), client(&relay), client(&relay));
    serve(&server);
    let used = friend.connect("echo:1").unwrap();
    echo(&used);
    let _unused: Vec<_> = (1..CHANNELS).map(|_| stranger.connect("echo:1").unwrap()).collect();
    let newcomer = client(&relay);
    let began = Instant::now();
    let stream = newcomer.connect_timeout("echo:1", 3 * LONG).unwrap();
    echo(&stream);
    assert!(began.elapsed() < LONG, "{:?}", began.elapsed());
    // Neither the channels of others in use nor their peers felt it.
    echo(&used);
}

#[test]
fn newcomer_gets_a_place_of_a_stranger_that_uses_all() {
    let relay = relay();
    // As many channels as an app has: those with fewer keep what is used.
    let open = || Client::open(Config { profile: Profile::APP, ..config(&relay) }).unwrap();
    let (server, friend, stranger) = (open(), open(), open());
    serve(&server);
    let used = friend.connect("echo:1").unwrap();
    echo(&used);
    let taken: Vec<_> =
        (1..Profile::APP.channels).map(|_| stranger.connect("echo:1").unwrap()).collect();
    taken.iter().for_each(echo);
    let newcomer = client(&relay);
    let began = Instant::now();
    let stream = newcomer.connect_timeout("echo:1", 3 * LONG).unwrap();
    echo(&stream);
    assert!(began.elapsed() < LONG, "{:?}", began.elapsed());
    // The stranger lost a channel, or another before the server let go of that; peers within their share none.
    let lost = taken.iter().filter(|stream| echoes(stream).is_err()).count();
    assert!((1..=3).contains(&lost), "{lost}");
    echo(&used);
    echo(&stream);
}
