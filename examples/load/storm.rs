//! Parked sessions whose relay is killed and started again: how long until all are back.

use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::Result;
use crate::parked;
use crate::relay::{Relay, RelayCommand};
use crate::report::Figures;
use crate::world::World;

/// How long the relay is gone: longer than a crash and a restart by a service manager take.
const DOWN: Duration = Duration::from_secs(1);

/// How often is looked how many sessions are back.
const LOOK: Duration = Duration::from_millis(100);

/// Longest time that is waited until all are back.
const DEADLINE: Duration = Duration::from_secs(180);

/// After the last one is back, failures and time on the processor are counted for so long: what is refused
/// then comes again.
const AFTER: Duration = Duration::from_secs(5);

/// Measures a storm of so many sessions. A session is back when its park is written to the new relay, which has
/// taken as many connections.
pub async fn run(
    world: &Rc<World>,
    relay: Relay,
    command: &RelayCommand,
    (number, settle): (usize, Duration),
) -> Result<Figures> {
    let clients = parked::open(world, number).await?;
    sleep(settle).await;
    let parked = || clients.iter().filter(|client| client.is_parked()).count();
    let port = relay.address.port();
    drop(relay);
    sleep(DOWN).await;
    let command = command.clone();
    // The load goes on meanwhile. An error is text, which goes from thread to thread.
    let start = move || command.start(port, number).map_err(|error| error.to_string());
    let relay = tokio::task::spawn_blocking(start).await??;
    let began = Instant::now();
    let (before, failed_before) = (relay.usage()?, world.failures.counts());
    let sockets_before = relay.sockets()?;
    let mut times = [None; 3];
    let shares = [number.div_ceil(2), (number * 9).div_ceil(10), number];
    while times[2].is_none() {
        // Looking at sockets takes some ms, too: they are not looked at before.
        let parked = parked();
        let back = if parked < shares[0] {
            0
        } else {
            parked.min(relay.sockets()?.saturating_sub(sockets_before))
        };
        for (time, share) in times.iter_mut().zip(shares) {
            if back >= share && time.is_none() {
                *time = Some(began.elapsed().as_secs_f64());
            }
        }
        if began.elapsed() > DEADLINE {
            return Err(format!("{back} of {number} were back after {DEADLINE:?}").into());
        }
        sleep(LOOK).await;
    }
    sleep(AFTER).await;
    let after = relay.usage()?;
    let failed: Vec<_> =
        world.failures.counts().iter().zip(failed_before).map(|(n, before)| n - before).collect();
    Ok(vec![
        ("all back, s", times[2].unwrap_or(f64::NAN)),
        ("90 %", times[1].unwrap_or(f64::NAN)),
        ("50 %", times[0].unwrap_or(f64::NAN)),
        ("relay, CPU s", (after.cpu - before.cpu).as_secs_f64()),
        ("its peak, MiB", after.peak as f64 / f64::from(1 << 20)),
        ("MiB 5 s later", after.resident as f64 / f64::from(1 << 20)),
        ("exchanges without connection", failed[0] as f64),
        ("refused: full", failed[1] as f64),
        ("cut or silent", failed[2] as f64),
        ("failed otherwise", failed[3] as f64),
        ("parked at the end", parked() as f64),
    ])
}
