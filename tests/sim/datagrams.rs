//! What the applications do with datagrams.

use byway::error::Error;

use crate::app::Finish;
use crate::rng::fill;
use crate::world::World;

/// How long after the last datagram was sent others may still be on their way, in ms.
const LATE: u64 = 3000;

/// How long an application waits without a datagram before it gives up, in ms.
const QUIET: u64 = 60_000;

impl World {
    /// Has an application send and receive what it can.
    pub fn run_datagrams(&mut self, n: usize, side: usize) -> Result<(), Error> {
        let now = self.now;
        let key = self.chans[n].key;
        let other = &self.chans[n].ends[1 - side];
        let all_sent_at = (other.finished || other.done).then_some(other.next_write);
        let end = &mut self.chans[n].ends[side];
        let Some(id) = end.id else { return Ok(()) };
        let plan = end.plan;
        let mut session = self.peers[end.peer].storage.session();
        let mut buffer = vec![0; 1 << 16];
        while let Some(got) = session.recv_datagram(now, id, &mut buffer)? {
            let number = u64::from_be_bytes(buffer[..8].try_into().expect("8 octets"));
            let mut expected = vec![0; got];
            datagram(key | (1 - side) as u64, number, &mut expected);
            assert!(buffer[..got] == expected, "seed {}: chan {n} side {side}", self.seed);
            assert!(end.numbers.insert(number), "seed {}: {number} came twice", self.seed);
            end.read += 1;
            end.progress(now);
        }
        while end.written < plan.count && now >= end.next_write {
            let most = session.max_datagram(id)?.min(plan.write);
            let size = 8 + (end.written.wrapping_mul(7919) as usize) % (most - 7);
            datagram(key | side as u64, end.written, &mut buffer[..size]);
            if !session.send_datagram(now, id, &buffer[..size])? {
                break;
            }
            end.written += 1;
            if plan.write_pause > 0 {
                end.next_write = now + plan.write_pause;
            }
        }
        let ready = session.connected(id)?;
        if end.written == plan.count && !end.finished && plan.finish != Finish::Hold && ready {
            end.finished = true;
            end.next_write = now + LATE;
        }
        // The message that the other end has closed may be lost for good, with nothing outstanding.
        let quiet_at = end.read_at.max(end.next_write) + QUIET;
        let closes_at = match all_sent_at {
            Some(at) if side == 0 => at.max(end.next_write),
            _ => quiet_at,
        };
        if end.finished && now >= closes_at {
            session.release(now, id);
            end.done = true;
        } else {
            let next = match end.finished {
                true if side == 0 => Some(closes_at.min(now + LATE)),
                true => Some(closes_at),
                false => (end.next_write > now).then_some(end.next_write),
            };
            self.alarm(n, side, next);
        }
        Ok(())
    }
}

/// Datagram `number`: the number, then octets that follow from it.
fn datagram(key: u64, number: u64, out: &mut [u8]) {
    fill(key ^ number << 32, 0, out);
    out[..8].copy_from_slice(&number.to_be_bytes());
}
