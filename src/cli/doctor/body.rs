//! What becomes of requests and answers on the way: bodies, header fields, connections, numbers of requests.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use byway::error::Blocked;
use byway::transport::ExchangeFailure;
use byway::transport::probe::{Framing, ProbeAnswer, ProbeWay, chunked};

use super::Notes;
use super::asking::{ECHO, Echo, PATIENCE, ask, ask_on, octets, on_new};
use super::report::{Check, Step, Verdict, ms};

/// Sizes of bodies that are tried, in octets: a small one, a stream's usual one, and the largest of a relay.
const SIZES: [usize; 4] = [1, 64 << 10, 1 << 20, 4 << 20];

/// Once a size took so long, a larger one is not tried: it would take a minute.
const SLOW: Duration = Duration::from_secs(3);

/// Requests in a row that tell whether there is a limit: as many as a channel makes that opens and
/// speaks.
const IN_A_ROW: usize = 20;

/// How far clocks may be apart: TLS and JWTs allow minutes at most.
const CLOCKS: Duration = Duration::from_secs(60);

/// Header fields that the relay itself gives its answers, or that belong to a connection.
const ANSWERS: [&str; 7] = [
    "cache-control",
    "connection",
    "content-length",
    "content-type",
    "keep-alive",
    "transfer-encoding",
    "x-accel-buffering",
];

/// Tells whether bodies come through whole, and how large they may be.
pub fn bodies(way: &ProbeWay, notes: &Notes) {
    let whole = octets(256);
    notes.add(match ask(way, ECHO, &whole, PATIENCE).map(|answer| Echo::read(&answer)) {
        Ok(Some(echo)) if echo.has(&whole) => {
            Check::ok(Step::Whole, "octets of all 256 values come through both ways")
        }
        Ok(_) => Check::new(Step::Whole, Verdict::Blocked, "octets are changed on the way")
            .remedy("have the proxy or gateway leave application/octet-stream alone; use https://"),
        Err(failure) => Check::blocked(Step::Whole, &failure),
    });
    notes.add(size(way));
    notes.add(chunks(way));
}

/// Tells how large a body may be.
fn size(way: &ProbeWay) -> Check {
    let mut largest = None;
    let limited = |largest: Option<usize>, seen: String, remedy| match largest {
        Some(size) => Check::limited(Step::Size, format!("{size} octets in a request; {seen}"))
            .byway("sends bodies as large as come through")
            .remedy(remedy),
        None => Check::new(Step::Size, Verdict::Blocked, seen)
            .remedy("have the proxy or gateway allow bodies of requests"),
    };
    for size in SIZES {
        let body = octets(size);
        let began = Instant::now();
        let refused = match ask(way, ECHO, &body, PATIENCE) {
            Ok(answer) => match Echo::read(&answer) {
                Some(echo) if echo.has(&body) => None,
                Some(echo) => {
                    Some(format!("{} of {size} octets arrived as they were", echo.length))
                }
                None => Some(format!("{size} octets: {}", answer.describe())),
            },
            Err(failure) => Some(format!("{size} octets: {}", failure.seen)),
        };
        if let Some(seen) = refused {
            let remedy = "for more speed have the proxy or front allow 4 MiB (nginx: client_max_body_size 4m)";
            return limited(largest, seen, remedy);
        }
        largest = Some(size);
        let took = began.elapsed();
        if took > SLOW && size != SIZES[SIZES.len() - 1] {
            let seen = format!("they took {}, so larger ones were not tried", ms(took));
            return limited(largest, seen, "");
        }
    }
    Check::ok(Step::Size, format!("{} octets in a request", SIZES[SIZES.len() - 1]))
}

/// Tells whether bodies in chunks come through, which byway itself never sends.
fn chunks(way: &ProbeWay) -> Check {
    let body = octets(1000);
    let framed = chunked(&body, 300);
    let head = way.head(ECHO, Framing::Chunked, true);
    let asked = on_new(way, |mut line| {
        line.ask(&head, &[&framed], Duration::ZERO, PATIENCE, way.is_forwarded())
    });
    match asked {
        Ok(answer) => match Echo::read(&answer) {
            Some(echo) if echo.has(&body) => {
                Check::ok(Step::Chunked, format!("they come through, and arrive {}", echo.framing))
            }
            _ => Check::ok(Step::Chunked, format!("refused: {}", answer.describe()))
                .byway("always says Content-Length"),
        },
        Err(failure) => Check::ok(Step::Chunked, format!("refused: {}", failure.seen))
            .byway("always says Content-Length"),
    }
}

/// Tells which header fields are added or changed on the way.
pub fn headers(way: &ProbeWay, answer: &ProbeAnswer, echo: &Echo) -> Check {
    let sent = way.head(ECHO, Framing::Counted(1), true);
    let sent = String::from_utf8_lossy(&sent).into_owned();
    let sent: Vec<_> = sent.lines().filter_map(|line| line.split_once(": ")).collect();
    let mut added = Vec::new();
    let mut changed = Vec::new();
    for (name, value) in &echo.fields {
        match sent.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
            None => added.push(name.clone()),
            Some((_, was)) => {
                let may_differ =
                    matches!(name.as_str(), "host" | "content-length") || value.ends_with("octets");
                // Some add to a value, as squid a max-age.
                if !value.starts_with(was) && !may_differ {
                    changed.push(format!("{name} ({value})"));
                }
            }
        }
    }
    let back: Vec<_> = answer
        .fields
        .iter()
        .map(|(name, _)| name.clone())
        .filter(|name| !ANSWERS.contains(&name.as_str()))
        .collect();
    let list = |names: &[String]| match names.is_empty() {
        true => "nothing".to_owned(),
        false => names.join(", "),
    };
    let seen = format!(
        "added to requests: {}; changed: {}; added to answers: {}",
        list(&added),
        list(&changed),
        list(&back)
    );
    match changed.is_empty() {
        true => Check::ok(Step::Headers, seen),
        false => Check::limited(Step::Headers, seen)
            .remedy("if the relay's front or policy needs these fields, have the proxy leave them"),
    }
}

/// Compares the clocks, by the relay's, or by the Date of an answer.
pub fn clock(relay_ms: Option<u64>, answer: &ProbeAnswer) -> Check {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let date = || {
        let date = httpdate::parse_http_date(answer.field("date")?).ok()?;
        date.duration_since(UNIX_EPOCH).ok()
    };
    let Some(theirs) = relay_ms.map(Duration::from_millis).or_else(date) else {
        return Check::not_tested(Step::Clock, "no answer tells a time");
    };
    let (apart, which) = match now.checked_sub(theirs) {
        Some(ahead) => (ahead, "ahead of"),
        None => (theirs.saturating_sub(now), "behind"),
    };
    match apart > CLOCKS {
        true => Check::limited(
            Step::Clock,
            format!("this device's clock is {} s {which} the server's", apart.as_secs()),
        )
        .remedy(
            "set the clock that is wrong: certificates and tokens with dates are refused by it",
        ),
        false => Check::ok(Step::Clock, format!("{} s apart", apart.as_secs())),
    }
}

/// Tells whether a connection serves more than one request, and whether many in a row are allowed.
pub fn requests(way: &ProbeWay, notes: &Notes) {
    let mut limit = None;
    let (mut served, mut serves_one, mut dialled) = (0, false, 0);
    let mut line = None;
    let mut fastest = Duration::MAX;
    for _ in 0..IN_A_ROW {
        let on_kept = line.take().map(|mut line| {
            ask_on(way, &mut line, ECHO, b"x", PATIENCE).map(|answer| (answer, line))
        });
        let asked = match on_kept {
            // There is none, or its end came behind its last answer.
            None | Some(Err(ExchangeFailure { cause: Blocked::Cut, .. })) => {
                dialled += 1;
                on_new(way, |mut line| {
                    ask_on(way, &mut line, ECHO, b"x", PATIENCE).map(|answer| (answer, line))
                })
            }
            Some(asked) => asked,
        };
        match asked {
            Ok((answer, on)) if answer.status == 200 => {
                served += 1;
                fastest = fastest.min(answer.end_at);
                serves_one |= answer.serves_one();
                let closes = answer.field("connection").is_some_and(|it| it.contains("close"));
                if !closes && !answer.serves_one() && answer.is_whole {
                    line = Some(on);
                }
            }
            Ok((answer, _)) => limit = Some(answer.describe()),
            Err(failure) => limit = Some(failure.seen),
        }
        if limit.is_some() {
            break;
        }
    }
    let reuse = format!("{served} requests by {dialled} connections");
    notes.add(if serves_one {
        Check::limited(Step::Reuse, format!("{reuse}: tinyproxy serves one request a connection"))
            .byway("dials for each exchange")
    } else if dialled > 1 {
        Check::limited(Step::Reuse, format!("{reuse}: they are closed behind answers"))
            .byway("goes on by new connections")
    } else {
        Check::ok(Step::Reuse, reuse)
    });
    notes.add(match limit {
        None => Check::ok(Step::Rate, format!("{served} in a row, the fastest {}", ms(fastest))),
        Some(seen) => Check::limited(Step::Rate, format!("after {served} requests: {seen}"))
            .byway("asks again when it is told to, and less often")
            .remedy("ask the gateway's operator for more requests"),
    });
}
