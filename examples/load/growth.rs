//! Sessions that come and go: whether the relay grows.

use std::rc::Rc;
use std::time::{Duration, Instant};

use byway::session::Profile;
use tokio::time::sleep;

use crate::Result;
use crate::client::Client;
use crate::crowd;
use crate::relay::Relay;
use crate::report::Figures;
use crate::world::World;

/// The first measurement is after this share of the sessions: by then all is in use that ever is.
const FIRST: usize = 10;

/// The last measurement is so long after the last session: the allocator gives memory back within ten seconds.
const AFTER: Duration = Duration::from_secs(15);

/// Has so many sessions come and go, two by two with a channel between them.
pub async fn run(world: &Rc<World>, relay: &Relay, number: usize) -> Result<Figures> {
    let mib = || Result::Ok(relay.usage()?.resident as f64 / f64::from(1 << 20));
    let pairs = number.div_ceil(2);
    let began = Instant::now();
    let (empty, before) = (mib()?, relay.usage()?);
    let mut resident = vec![];
    for i in 0..FIRST {
        let share = pairs * (i + 1) / FIRST - pairs * i / FIRST;
        crowd::each(share, |_| life(Rc::clone(world))).await?;
        resident.push(mib()?);
    }
    let sessions = 2.0 * pairs as f64;
    let (seconds, after) = (began.elapsed().as_secs_f64(), relay.usage()?);
    sleep(AFTER).await;
    let [connect, full, cut, other] = world.failures.counts();
    Ok(vec![
        ("MiB at the end", resident[FIRST - 1]),
        ("after the first tenth", resident[0]),
        ("after half", resident[FIRST / 2 - 1]),
        ("empty", empty),
        ("15 s after the end", mib()?),
        ("sessions a second", sessions / seconds),
        ("relay, CPU ms a session", 1e3 * (after.cpu - before.cpu).as_secs_f64() / sessions),
        ("exchanges without connection", connect as f64),
        ("refused: full", full as f64),
        ("cut or silent", cut as f64),
        ("failed otherwise", other as f64),
    ])
}

/// Two sessions meet, exchange a message, and end in order.
async fn life(world: Rc<World>) -> Result<()> {
    let (near, far) =
        (Client::open(&world, &Profile::TINY)?, Client::open(&world, &Profile::TINY)?);
    let listener = far.listen().await?;
    let (connected, accepted) = tokio::join!(near.connect(far.number()), far.accept(listener));
    let (near_end, far_end) = (connected?, accepted?);
    near.write(near_end, b"hello").await?;
    let mut octets = [0; 8];
    far.read(far_end, &mut octets).await?;
    let (one, other) = tokio::join!(near.close(), far.close());
    one.and(other)
}
