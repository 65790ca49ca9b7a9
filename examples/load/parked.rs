//! Sessions that listen, and have nothing to say: what they take of the relay.

use std::rc::Rc;
use std::time::{Duration, Instant};

use byway::session::Profile;
use tokio::time::sleep;

use crate::Result;
use crate::client::Client;
use crate::crowd;
use crate::process::Usage;
use crate::relay::Relay;
use crate::report::Figures;
use crate::world::World;

/// Opens so many sessions that listen.
pub async fn open(world: &Rc<World>, number: usize) -> Result<Vec<Client>> {
    crowd::each(number, |_| {
        let world = Rc::clone(world);
        async move {
            let client = Client::open(&world, &Profile::TINY)?;
            client.listen().await?;
            Ok(client)
        }
    })
    .await
}

/// Measures so many sessions for the second of two times: within the first, connections that are not used any
/// longer are closed, and holds get longer.
pub async fn run(
    world: &Rc<World>,
    relay: &Relay,
    number: usize,
    (settle, measured): (Duration, Duration),
) -> Result<Figures> {
    let (empty, sockets_before) = (relay.usage()?, relay.sockets()?);
    let kib =
        |now: &Usage| (now.resident.saturating_sub(empty.resident) >> 10) as f64 / number as f64;
    let sockets =
        || Result::Ok(relay.sockets()?.saturating_sub(sockets_before) as f64 / number as f64);
    let began = Instant::now();
    let clients = open(world, number).await?;
    let (opening, opened) = (began.elapsed().as_secs_f64(), relay.usage()?);
    let opened_sockets = sockets()?;
    sleep(settle).await;
    let (began, settled) = (Instant::now(), relay.usage()?);
    sleep(measured).await;
    let (minutes, idle) = (began.elapsed().as_secs_f64() / 60.0, relay.usage()?);
    let parked = clients.iter().filter(|client| client.is_parked()).count();
    let cpu = (idle.cpu - settled.cpu).as_secs_f64() / minutes;
    let [connect, full, cut, other] = world.failures.counts();
    Ok(vec![
        ("relay, KiB a session", kib(&idle)),
        ("just opened", kib(&opened)),
        ("sockets a session", sockets()?),
        ("just opened", opened_sockets),
        ("relay, CPU ms a session and idle minute", cpu * 1e3 / number as f64),
        ("relay, CPU s an idle minute", cpu),
        ("opened within s", opening),
        ("parked at the end", parked as f64),
        ("exchanges without connection", connect as f64),
        ("refused: full", full as f64),
        ("cut or silent", cut as f64),
        ("failed otherwise", other as f64),
    ])
}
