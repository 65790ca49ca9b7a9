//! What clients do where nothing gets through, or only one way: they ask seldom, and go on.

mod server;

use std::io::{Read, Write};
use std::num::NonZeroU8;
use std::thread;
use std::time::{Duration, Instant};

use byway::client::{Client, Config, Stream};
use byway::session::{Pace, Profile};

use super::{LONG, config, pattern, relay};
use server::{Answer, ENDLESS, FRUITLESS, Hostile, Lanes};

/// How long a client has to find out that it asks in vain.
const LEARNS: Duration = Duration::from_secs(2);
/// How long it is watched then,
const WATCHED: Duration = Duration::from_secs(10);
/// and how many requests, or connections, it may make meanwhile: four a second, and half of that but
/// where it looks whether something lets it have a single exchange at a time.
const MOST: usize = 40;

/// Says something, and hears it.
fn echo(stream: &mut Stream, said: &[u8]) {
    stream.write_all(said).unwrap();
    let mut heard = vec![0; said.len()];
    stream.read_exact(&mut heard).unwrap();
    assert_eq!(heard, said);
}

/// A client with an open channel, at work while `answer` is all that it gets: what it asks for.
fn watch(hostile: &Hostile, client: &Client, case: (Lanes, Answer)) -> (usize, usize) {
    let mut stream = client.connect_timeout("camera:1", LONG).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    echo(&mut stream, &[1]);
    hostile.turn(case.0, case.1);
    // Something to claim, and to say, of which the peer takes only a part as its echo does not come.
    let said = pattern(12_000);
    stream.write_all(&said).unwrap();
    let name = format!("other:{}", hostile.addr.port());
    let claims = client.clone();
    let claiming = thread::spawn(move || claims.listen_timeout(name.as_str(), 4 * LEARNS).is_ok());
    thread::sleep(LEARNS);
    let before = hostile.counts();
    thread::sleep(WATCHED);
    let after = hostile.counts();
    hostile.relent();
    // It has not given up.
    let mut heard = vec![0; said.len()];
    stream.read_exact(&mut heard).unwrap();
    assert!(heard == said);
    echo(&mut stream, &[2]);
    claiming.join().unwrap();
    (after.requests - before.requests, after.connections - before.connections)
}

#[test]
fn requests_without_progress_are_seldom() {
    let relay = relay();
    let profile =
        Profile { channels: 64, ring: 4 << 10, pool: 0, listeners: 1, io_buffer: 8 << 10 };
    let server =
        Client::open(Config { profile, backlog: NonZeroU8::new(64), ..config(&relay) }).unwrap();
    let listener = server.listen("camera:1").unwrap();
    thread::spawn(move || {
        // Until the client is closed.
        while let Ok(mut stream) = listener.accept() {
            thread::spawn(move || {
                let mut some = [0; 1_000];
                while let Ok(n @ 1..) = stream.read(&mut some) {
                    stream.write_all(&some[..n]).unwrap();
                }
            });
        }
    });
    let cases = [Lanes::Parks, Lanes::Sends, Lanes::Both]
        .into_iter()
        .flat_map(|lanes| FRUITLESS.map(|answer| (lanes, answer)));
    let relay = &relay;
    thread::scope(|scope| {
        let watched: Vec<_> = cases
            .map(|case| {
                scope.spawn(move || {
                    let hostile = Hostile::before(relay.local_addr());
                    let url = format!("http://{}", hostile.addr);
                    // Its answers are passed on whole.
                    let config = Config { url, pace: Pace::LongPoll, ..config(relay) };
                    let client = Client::open(config).unwrap();
                    (case, watch(&hostile, &client, case))
                })
            })
            .collect();
        let mut storms = Vec::new();
        for watched in watched {
            let (case, (requests, connections)) = watched.join().unwrap();
            println!("{case:?}: {requests} requests, {connections} connections in {WATCHED:?}");
            if requests > MOST || connections > MOST {
                storms.push(case);
            }
            assert!(requests >= 3, "it goes on asking");
        }
        assert!(storms.is_empty(), "storms: {storms:?}");
    });
    server.abort();
}

/// How long an answer without end may be taken: what is in the kernels' buffers is soon written.
const TAKEN: Duration = Duration::from_secs(5);

#[test]
fn answers_without_end_are_dropped() {
    let relay = relay();
    let server = Client::open(config(&relay)).unwrap();
    let listener = server.listen("camera:1").unwrap();
    let cases = [Lanes::Parks, Lanes::Sends]
        .into_iter()
        .flat_map(|lanes| ENDLESS.map(|answer| (lanes, answer)));
    for (lanes, answer) in cases {
        let hostile = Hostile::before(relay.local_addr());
        let config = Config {
            url: format!("http://{}", hostile.addr),
            pace: Pace::LongPoll,
            ..config(&relay)
        };
        let client = Client::open(config).unwrap();
        let mut stream = client.connect_timeout("camera:1", LONG).unwrap();
        let mut accepted = listener.accept_timeout(LONG).unwrap();
        hostile.turn(lanes, answer);
        stream.write_all(b"through").unwrap();
        let begun = Instant::now();
        while hostile.taken().len() < 3 {
            assert!(begun.elapsed() < LONG, "{lanes:?} {answer:?}: the client reads on and on");
            thread::sleep(Duration::from_millis(10));
        }
        let before = hostile.counts();
        thread::sleep(WATCHED / 2);
        let requests = hostile.counts().requests - before.requests;
        assert!(requests <= MOST, "{lanes:?} {answer:?}: {requests} requests");
        hostile.relent();
        let taken = hostile.taken();
        println!("{lanes:?} {answer:?}: {requests} requests in {:?}, taken {taken:?}", WATCHED / 2);
        assert!(taken.iter().all(|&time| time < TAKEN), "{lanes:?} {answer:?}: {taken:?}");
        // Nothing is lost.
        let mut heard = [0; 7];
        accepted.set_read_timeout(Some(LONG)).unwrap();
        accepted.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"through");
    }
}
