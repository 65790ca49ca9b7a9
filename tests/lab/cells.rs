//! The cells: what stands in the way, what is carried, and at which pace.

use std::time::Instant;

use byway::session::{Pace, Profile};

use crate::parts::Proxy;
use crate::peers::Lab;
use crate::report::{Carried, Figures};
use crate::streams::Ways;
use crate::{Result, datagrams, streams};

/// Octets that a stream carries each way.
const VOLUME: u64 = 8 << 20;

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Cell {
    pub task: Task,
    pub pace: Pace,
}

#[derive(Debug, Clone, Copy)]
pub enum Task {
    Stream(Option<Proxy>),
    Datagrams(Option<Proxy>),
}

impl Cell {
    pub fn name(&self) -> String {
        let pace = match self.pace {
            Pace::Streaming => "streaming",
            Pace::LongPoll => "longpoll",
            Pace::Battery => "battery",
        };
        let way = |proxy: Option<Proxy>| proxy.map_or("direct", Proxy::name);
        match self.task {
            Task::Stream(proxy) => format!("{}/stream/{pace}", way(proxy)),
            Task::Datagrams(proxy) => format!("{}/datagram/{pace}", way(proxy)),
        }
    }

    /// Runs it; `figures` say how far it came.
    pub fn run(&self, seed: u64, figures: &mut Figures) -> Result<()> {
        match self.task {
            Task::Stream(proxy) => self.stream(proxy, seed, figures),
            Task::Datagrams(proxy) => self.datagrams(proxy, seed, figures),
        }
    }

    fn stream(&self, proxy: Option<Proxy>, seed: u64, figures: &mut Figures) -> Result<()> {
        let lab = Lab::start(proxy, self.pace, Profile::PC)?;
        let (phone, pc) = lab.streams()?;
        let ways = Ways::new();
        let began = Instant::now();
        let script = || {
            for way in ways.both() {
                way.allow(VOLUME, true);
            }
            Ok(())
        };
        let result = streams::carry(seed, phone, pc, &ways, script);
        note(figures, began, &lab, &ways);
        result?;
        lab.close()
    }

    fn datagrams(&self, proxy: Option<Proxy>, seed: u64, figures: &mut Figures) -> Result<()> {
        let lab = Lab::start(proxy, self.pace, Profile::PC)?;
        let (phone, pc) = lab.datagrams()?;
        let ways = Ways::new();
        let began = Instant::now();
        let result = datagrams::carry(seed, &phone, &pc, &ways);
        note(figures, began, &lab, &ways);
        let [there, back] = result?;
        let lost = there.lost + back.lost;
        figures.carried = Carried::Datagrams { there: there.datagrams, back: back.datagrams, lost };
        if lost > 0 {
            return Err(format!("{lost} datagrams were lost on a clean path").into());
        }
        lab.close()
    }
}

fn note(figures: &mut Figures, began: Instant, lab: &Lab, ways: &Ways) {
    let [(_, there, one), (_, back, other)] = ways.both().map(|way| way.figures());
    figures.carried = Carried::Octets(there, back);
    figures.seconds = began.elapsed().as_secs_f64();
    figures.spent = lab.spent();
    figures.stall = one.max(other);
}
