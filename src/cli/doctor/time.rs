//! What time does on the way: answers that wait, and bodies that come in pieces.

use std::thread;
use std::time::{Duration, Instant};

use byway::transport::ExchangeFailure;
use byway::transport::probe::{Framing, ProbeAnswer, ProbeWay};

use super::asking::{AGAIN, ECHO, Echo, PATIENCE, ask, open};
use super::report::{Check, Verdict, ms};

/// The pieces of a body that is to come in pieces, and the time between two: longer than any buffer is
/// flushed by chance, and together below the patience of a person.
const PIECES: u32 = 8;
const GAP: Duration = Duration::from_millis(150);

/// How long a connection is kept busy while another is tried.
const BUSY: Duration = Duration::from_millis(1500);

/// How long the other waits until the first is surely under way, and before both how long the connections of
/// other checks have to end: longer than [`AGAIN`], after which a refused connection is tried again.
const HEADWAY: Duration = Duration::from_millis(700);

/// The hold of a client that waits: a way that bears it costs nothing.
const USUAL: Duration = Duration::from_secs(25);

/// How many exchanges there can be at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Together {
    Two,
    One,
}

/// Tells whether two exchanges at once are allowed.
pub fn together(way: &ProbeWay) -> (Together, Check) {
    let one = |seen: String| {
        let check = Check::limited("two", seen)
            .byway("makes one exchange at a time: hangs up to speak, or holds briefly")
            .remedy("ask the gateway's operator for two connections and two requests at once");
        (Together::One, check)
    };
    thread::sleep(AGAIN);
    let began = Instant::now();
    thread::scope(|scope| {
        let first = scope
            .spawn(|| hold(way, BUSY).map(|answer| began.elapsed().saturating_sub(answer.end_at)));
        thread::sleep(HEADWAY);
        let second_from = began.elapsed();
        let second = way
            .open()
            .and_then(|mut line| super::asking::ask_on(way, &mut line, ECHO, b"x", PATIENCE));
        let second_at = began.elapsed();
        let first = first.join().map_err(|_| ());
        match (first, second) {
            (_, Err(failure)) => one(format!("a second connection: {}", failure.seen)),
            (_, Ok(answer)) if answer.status != 200 => {
                one(format!("a second request: {}", answer.describe()))
            }
            (Ok(Err(failure)), Ok(_)) => {
                one(format!("the second ended the first: {}", failure.seen))
            }
            (Ok(Ok(first_from)), Ok(_)) if first_from > second_from => {
                one("one of two connections was refused at first".into())
            }
            (_, Ok(_)) if second_at >= BUSY => {
                one("a second request waits until the first is answered".into())
            }
            (_, Ok(_)) => (Together::Two, Check::ok("two", "two exchanges at once are allowed")),
        }
    })
}

fn hold(way: &ProbeWay, time: Duration) -> Result<ProbeAnswer, ExchangeFailure> {
    let path = format!("/v1/probe/hold?n=1&ms={}", time.as_millis());
    ask(way, &path, b"x", time + PATIENCE)
}

/// Tells for how long an answer may wait.
pub fn holds(way: &ProbeWay, time: Duration) -> Check {
    let began = Instant::now();
    let held = hold(way, time);
    let after = began.elapsed();
    let seconds = after.as_secs_f64();
    let cut = |seen: String| match after < USUAL.min(time) {
        true => Check::limited("hold", format!("cut after {seconds:.0} s: {seen}"))
            .byway("asks again sooner, as often as the way wants it")
            .remedy("have the proxy or gateway wait longer for answers, a minute or more"),
        false => {
            Check::ok("hold", format!("cut after {seconds:.0} s, longer than byway waits: {seen}"))
        }
    };
    match held {
        Ok(answer) if Echo::read(&answer).is_some() && after >= time => {
            Check::ok("hold", format!("an answer may wait for {} s", time.as_secs()))
        }
        Ok(answer) => cut(answer.describe()),
        Err(failure) => cut(failure.seen),
    }
}

/// Tells whether an answer comes down in the pieces in which it is sent.
pub fn down(way: &ProbeWay) -> Check {
    let path = format!("/v1/probe/stream?n=1&pieces={PIECES}&ms={}", GAP.as_millis());
    let whole = GAP * (PIECES - 1);
    match ask(way, &path, b"x", whole + PATIENCE) {
        Ok(answer) if answer.status == 200 && answer.is_whole => {
            let Some(first) = answer.pieces.first() else {
                return Check::not_tested("down", "the answer was empty");
            };
            let spread = answer.end_at.saturating_sub(first.at);
            match spread > whole / 2 {
                true => Check::ok(
                    "down",
                    format!("answers come as they are sent, in {} pieces", answer.pieces.len()),
                ),
                false => Check::limited(
                    "down",
                    format!("answers are held back until they are whole ({})", ms(first.at)),
                )
                .byway("notices, and waits by long polls")
                .remedy("have the proxy or front not buffer answers (nginx: proxy_buffering off)"),
            }
        }
        Ok(answer) if answer.status == 200 => Check::limited("down", "a growing answer is cut")
            .byway("notices, and waits by long polls"),
        Ok(answer) => Check::limited("down", answer.describe()).byway("waits by long polls"),
        Err(failure) => Check::limited("down", failure.seen).byway("waits by long polls"),
    }
}

/// Tells whether a request goes up in the pieces in which it is sent.
pub fn up(way: &ProbeWay) -> Check {
    let pieces = vec![&[b'x'; 64][..]; PIECES as usize];
    let whole = GAP * (PIECES - 1);
    let asked = open(way).and_then(|mut line| {
        let head = way.head(ECHO, Framing::Counted(64 * PIECES as usize), true);
        line.ask(&head, &pieces, GAP, whole + PATIENCE, way.is_forwarded())
    });
    let echo = match asked {
        Ok(answer) => Echo::read(&answer).ok_or_else(|| answer.describe()),
        Err(failure) => Err(failure.seen),
    };
    let held = |seen: String| {
        Check::limited("up", seen)
            .byway("ends requests instead of letting them grow, where that is slow")
            .remedy(
                "have the proxy or front not buffer requests (nginx: proxy_request_buffering off)",
            )
    };
    match echo {
        Ok(echo) => match (echo.pieces.first(), echo.pieces.last()) {
            (Some((first, _)), Some((last, _))) if *last - *first > whole / 2 => Check::ok(
                "up",
                format!("requests go as they are sent, in {} pieces", echo.pieces.len()),
            ),
            (Some(_), Some(_)) => held("requests are held back until they are whole".into()),
            _ => Check::new("up", Verdict::NotTested, "the relay saw no octet"),
        },
        Err(seen) => held(seen),
    }
}
