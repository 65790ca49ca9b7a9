//! What time does on the way: answers that wait, and bodies that come in pieces.

use std::thread;
use std::time::{Duration, Instant};

use byway::transport::ExchangeFailure;
use byway::transport::probe::{Framing, ProbeAnswer, ProbeWay};

use super::asking::{ECHO, Echo, PATIENCE, ask, ask_on, on_new};
use super::report::{Check, Step, Verdict, ms};

/// The pieces of a body that is to come in pieces, and the time between two: longer than any buffer is
/// flushed by chance, and together below the patience of a person.
const PIECES: u32 = 8;
const GAP: Duration = Duration::from_millis(150);

/// How long a front has to see that the connections of other checks have ended.
const SETTLE: Duration = Duration::from_millis(300);

/// How long a connection is kept busy while another is tried, and how long that one waits until the first is surely
/// under way: beside what an exchange by a new connection takes here.
const BUSY: Duration = Duration::from_millis(1500);
const HEADWAY: Duration = Duration::from_millis(700);

/// What such an exchange is taken to take at most: else one that was slow by chance would make all of this long.
const SLOWEST: Duration = Duration::from_secs(2);

/// The hold of a client that waits: a way that bears it costs nothing.
const USUAL: Duration = Duration::from_secs(25);

/// How many exchanges there can be at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Together {
    Two,
    One,
}

/// Tells whether two exchanges at once are allowed. `usual` is what an exchange by a new connection takes.
pub fn together(way: &ProbeWay, usual: Duration) -> (Together, Check) {
    let one = |seen: String| {
        let check = Check::limited(Step::Two, seen)
            .byway("makes one exchange at a time: hangs up to speak, or holds briefly")
            .remedy("ask the gateway's operator for two connections and two requests at once");
        (Together::One, check)
    };
    let usual = usual.min(SLOWEST);
    let busy = BUSY + 2 * usual;
    thread::sleep(SETTLE);
    let began = Instant::now();
    let (first, second, second_from, second_at) = thread::scope(|scope| {
        let first = scope.spawn(|| hold(way, busy).map(|answer| (answer, began.elapsed())));
        thread::sleep(HEADWAY + usual);
        let second_from = began.elapsed();
        let second = way.open().and_then(|mut line| ask_on(way, &mut line, ECHO, b"x", PATIENCE));
        let second_at = began.elapsed();
        (first.join(), second, second_from, second_at)
    });
    match (first, second) {
        (_, Err(failure)) => one(format!("a second connection: {}", failure.seen)),
        (_, Ok(answer)) if answer.status != 200 => {
            one(format!("a second request: {}", answer.describe()))
        }
        (Ok(Ok((answer, _))), Ok(_)) if answer.status != 200 => {
            one(format!("the first request: {}", answer.describe()))
        }
        (Ok(Ok((answer, first_at))), Ok(_)) => {
            if first_at.saturating_sub(answer.end_at) > second_from {
                one("one of two connections was refused at first".into())
            } else if second_at >= first_at {
                one("a second request waits until the first is answered".into())
            } else {
                (Together::Two, Check::ok(Step::Two, "two exchanges at once are allowed"))
            }
        }
        (Ok(Err(failure)), Ok(_)) => match hold(way, busy) {
            Ok(_) => one(format!("the second ended the first: {}", failure.seen)),
            // Then the second did not end it.
            Err(failure) => {
                let why = format!("a request that waits fails by itself: {}", failure.seen);
                (Together::Two, Check::not_tested(Step::Two, why))
            }
        },
        (Err(_), Ok(_)) => {
            let why = "a thread was lost by a fault of byway; report that";
            (Together::One, Check::not_tested(Step::Two, why))
        }
    }
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
        true => Check::limited(Step::Hold, format!("cut after {seconds:.0} s: {seen}"))
            .byway("asks again sooner, as often as the way wants it")
            .remedy("have the proxy or gateway wait longer for answers, a minute or more"),
        false => Check::ok(
            Step::Hold,
            format!("cut after {seconds:.0} s, longer than byway waits: {seen}"),
        ),
    };
    match held {
        Ok(answer) if Echo::read(&answer).is_some() && after >= time => {
            Check::ok(Step::Hold, format!("an answer may wait for {} s", time.as_secs()))
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
                return Check::not_tested(Step::Down, "the answer was empty");
            };
            let spread = answer.end_at.saturating_sub(first.at);
            match spread > whole / 2 {
                true => Check::ok(
                    Step::Down,
                    format!("answers come as they are sent, in {} pieces", answer.pieces.len()),
                ),
                false => Check::limited(
                    Step::Down,
                    format!("answers are held back until they are whole ({})", ms(first.at)),
                )
                .byway("notices, and waits by long polls")
                .remedy("have the proxy or front not buffer answers (nginx: proxy_buffering off)"),
            }
        }
        Ok(answer) if answer.status == 200 => Check::limited(Step::Down, "a growing answer is cut")
            .byway("notices, and waits by long polls"),
        Ok(answer) => Check::limited(Step::Down, answer.describe()).byway("waits by long polls"),
        Err(failure) => Check::limited(Step::Down, failure.seen).byway("waits by long polls"),
    }
}

/// Tells whether a request goes up in the pieces in which it is sent.
pub fn up(way: &ProbeWay) -> Check {
    let pieces = vec![&[b'x'; 64][..]; PIECES as usize];
    let whole = GAP * (PIECES - 1);
    let head = way.head(ECHO, Framing::Counted(64 * PIECES as usize), true);
    let asked =
        on_new(way, |mut line| line.ask(&head, &pieces, GAP, whole + PATIENCE, way.is_forwarded()));
    let echo = match asked {
        Ok(answer) => Echo::read(&answer).ok_or_else(|| answer.describe()),
        Err(failure) => Err(failure.seen),
    };
    let held = |seen: String| {
        Check::limited(Step::Up, seen)
            .byway("ends requests instead of letting them grow, where that is slow")
            .remedy(
                "have the proxy or front not buffer requests (nginx: proxy_request_buffering off)",
            )
    };
    match echo {
        Ok(echo) => match (echo.pieces.first(), echo.pieces.last()) {
            (Some((first, _)), Some((last, _))) if *last - *first > whole / 2 => Check::ok(
                Step::Up,
                format!("requests go as they are sent, in {} pieces", echo.pieces.len()),
            ),
            (Some(_), Some(_)) => held("requests are held back until they are whole".into()),
            _ => Check::new(Step::Up, Verdict::NotTested, "the relay saw no octet"),
        },
        Err(seen) => held(seen),
    }
}
