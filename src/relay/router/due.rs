//! What is due: uploads that wait or come too slowly, and answers whose time is over.

use tracing::debug;

use super::Router;
use super::exchange::AnswerStage;
use super::key::SessionKey;
use super::park_end::ParkEnd;
use super::rejection::{Limit, MALFORMED, Rejection};

impl Router {
    /// The deadline of the upload that is due first is over.
    pub(super) fn upload_due(&mut self, now: u64) {
        let Some((at, id)) = self.tables.upload_timers.due(now) else { return };
        let Some(upload) = self.uploads.get_mut(&id) else {
            debug_assert!(false, "an upload that ends has no deadline any longer");
            return self.tables.upload_timers.remove(id, at);
        };
        let idle_until = upload.last_byte() + self.tables.config.upload_idle_ms;
        if upload.waits_until().is_some() {
            self.tables.expire(now, upload);
            self.resume(now, id);
        } else if idle_until <= now {
            debug!(exchange = id, "an upload that brought nothing for long is given up");
            self.fail(now, id, MALFORMED);
        } else if upload.is_too_slow(now, &self.tables.config) {
            debug!(exchange = id, "an upload that is too slow is given up");
            self.tables.stats.slow_bodies += 1;
            self.fail(now, id, Rejection::Limited(Limit::BodyRate));
        } else {
            self.tables.upload_timers.set(id, &mut upload.deadline, Some(idle_until));
        }
    }

    /// The deadline of the exchange that is due first is over.
    pub(super) fn exchange_due(&mut self, now: u64) {
        let Some(id) = self.tables.exchanges.pop_due(now) else { return };
        let Some(exchange) = self.tables.exchanges.get(id) else { return };
        let (Some(peer), active) = (exchange.session(), exchange.active()) else { return };
        match exchange.stage() {
            AnswerStage::Parked(park) if park.hold_until <= now => {
                self.tables.end_park(now, id, ParkEnd::Hold);
            }
            AnswerStage::Parked(park) => {
                let hold_until = park.hold_until;
                self.tables.exchanges.arm(id, Some(hold_until));
                self.tables.poke(now, peer);
            }
            AnswerStage::Open(park) | AnswerStage::Full(park) if park.ticks.is_some() => {
                self.tables.tick(now, id);
            }
            AnswerStage::Open(park) | AnswerStage::Full(park) => {
                let since = active.min(self.fed_at(peer).unwrap_or(active)).min(park.hold_until);
                let until = since + self.tables.config.silence_ms;
                if until > now {
                    return self.tables.exchanges.arm(id, Some(until));
                }
                self.tables.targets.silence(peer);
                self.tables.end_park(now, id, ParkEnd::Silence);
            }
            AnswerStage::Reading | AnswerStage::Ended => {}
        }
    }

    /// When an upload for `peer` brought something last; `None` if there is none, or one waits for the
    /// peer's answer. Other traffic does not show that the uploads live for which an answer is open.
    fn fed_at(&self, peer: SessionKey) -> Option<u64> {
        if self.tables.targets.has_waiters(peer) {
            return None;
        }
        let uploads = self.tables.targets.feeders(peer).filter_map(|id| self.uploads.get(&id));
        uploads.map(|upload| upload.last_byte()).max()
    }
}
