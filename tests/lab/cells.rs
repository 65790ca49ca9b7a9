//! The cells: the proxy in between, the task, the pace, and the fault.

use std::time::Instant;

use byway::session::{Pace, Profile};

use crate::doctor::Obstacle;
use crate::faults::{self, Fault};
use crate::parts::Proxy;
use crate::peers::Lab;
use crate::report::{Carried, Figures};
use crate::streams::Ways;
use crate::{Result, datagrams, doctor, streams, thin};

/// Octets that a stream carries each way, unless faults decide how long it lasts.
const VOLUME: u64 = 8 << 20;

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    pub task: Task,
    pub pace: Pace,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// A stream, through a proxy or directly.
    Stream(Option<Proxy>),
    /// Datagrams, through a proxy or directly.
    Datagrams(Option<Proxy>),
    /// A stream without a proxy, where IPv6 swallows packets.
    DeadIpv6,
    /// A stream without a proxy, and a number of faults of one kind.
    Fault(Fault, u32),
    /// The command's doctor.
    Doctor(Obstacle),
    /// The command's TCP forward over a long line, beside plain TCP.
    Long(thin::Kind),
}

/// All cells.
pub fn full() -> Vec<Cell> {
    let mut cells = Vec::new();
    let ways = [
        None,
        Some(Proxy::Squid),
        Some(Proxy::SquidIcap),
        Some(Proxy::Tinyproxy),
        Some(Proxy::Nginx),
        Some(Proxy::NginxUnbuffered),
        Some(Proxy::Haproxy),
    ];
    for way in ways {
        for task in [Task::Stream(way), Task::Datagrams(way)] {
            cells.extend(paces(task));
        }
    }
    cells.push(streaming(Task::Stream(Some(Proxy::Varnish))));
    for task in [
        Task::Stream(Some(Proxy::HaproxyOneConnection)),
        Task::Stream(Some(Proxy::HaproxyOneRequest)),
        Task::Stream(Some(Proxy::HaproxyTls)),
        Task::DeadIpv6,
    ] {
        cells.extend(paces(task));
    }
    let others = [Proxy::HaproxyOneConnection, Proxy::HaproxyOneRequest, Proxy::Varnish];
    let proxies = ways.into_iter().flatten().chain(others).map(Obstacle::Proxy);
    for obstacle in [Obstacle::None].into_iter().chain(proxies).chain([Obstacle::DeadIpv6]) {
        cells.push(streaming(Task::Doctor(obstacle)));
    }
    for fault in [
        Task::Fault(Fault::Roam, 40),
        Task::Fault(Fault::NatAddress, 20),
        Task::Fault(Fault::Forget, 10),
        Task::Fault(Fault::Dark(1), 5),
        Task::Fault(Fault::Dark(5), 3),
        Task::Fault(Fault::Dark(30), 1),
        Task::Fault(Fault::Dark(120), 1),
        Task::Fault(Fault::Reset, 30),
        Task::Fault(Fault::Kill, 20),
    ] {
        cells.extend(paces(fault));
    }
    cells.extend([thin::Kind::Thin, thin::Kind::Fat].map(|kind| streaming(Task::Long(kind))));
    cells
}

/// One cell of each kind.
pub fn some() -> Vec<Cell> {
    vec![
        streaming(Task::Stream(None)),
        long_poll(Task::Stream(Some(Proxy::Squid))),
        streaming(Task::Stream(Some(Proxy::SquidIcap))),
        streaming(Task::Datagrams(Some(Proxy::Tinyproxy))),
        streaming(Task::Stream(Some(Proxy::Nginx))),
        streaming(Task::Stream(Some(Proxy::NginxUnbuffered))),
        long_poll(Task::Datagrams(Some(Proxy::Haproxy))),
        streaming(Task::Stream(Some(Proxy::Varnish))),
        streaming(Task::Stream(Some(Proxy::HaproxyOneConnection))),
        streaming(Task::Stream(Some(Proxy::HaproxyOneRequest))),
        long_poll(Task::Stream(Some(Proxy::HaproxyTls))),
        streaming(Task::Doctor(Obstacle::Proxy(Proxy::Nginx))),
        streaming(Task::Doctor(Obstacle::Proxy(Proxy::Squid))),
        streaming(Task::Doctor(Obstacle::Proxy(Proxy::HaproxyOneConnection))),
        streaming(Task::DeadIpv6),
        streaming(Task::Fault(Fault::Roam, 5)),
        long_poll(Task::Fault(Fault::NatAddress, 3)),
        streaming(Task::Fault(Fault::Forget, 2)),
        streaming(Task::Fault(Fault::Dark(5), 1)),
        streaming(Task::Fault(Fault::Reset, 6)),
        long_poll(Task::Fault(Fault::Kill, 3)),
    ]
}

fn streaming(task: Task) -> Cell {
    Cell { task, pace: Pace::Streaming }
}

fn long_poll(task: Task) -> Cell {
    Cell { task, pace: Pace::LongPoll }
}

fn paces(task: Task) -> [Cell; 2] {
    [long_poll(task), streaming(task)]
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
            Task::Doctor(obstacle) => format!("doctor/{}", obstacle.name()),
            Task::DeadIpv6 => format!("dead-ipv6/stream/{pace}"),
            Task::Datagrams(proxy) => format!("{}/datagram/{pace}", way(proxy)),
            Task::Fault(fault, _) => format!("{}/{pace}", fault.name()),
            Task::Long(kind) => format!("{}/{pace}", kind.name()),
        }
    }

    /// The proxy that the cell needs.
    pub fn proxy(&self) -> Option<Proxy> {
        match self.task {
            Task::Stream(proxy) | Task::Datagrams(proxy) => proxy,
            Task::Doctor(Obstacle::Proxy(proxy)) => Some(proxy),
            Task::Doctor(_) | Task::DeadIpv6 | Task::Fault(..) | Task::Long(_) => None,
        }
    }

    /// The program that the cell needs, and others do not.
    pub fn program(&self) -> Option<&'static str> {
        match self.task {
            Task::Long(_) => Some("socat"),
            _ => self.proxy().map(|proxy| proxy.program().0),
        }
    }

    /// Runs the cell; `figures` tell how far it got.
    pub fn run(&self, seed: u64, figures: &mut Figures) -> Result<()> {
        let began = Instant::now();
        let alone = match self.task {
            Task::Long(kind) => Some(thin::run(kind, seed, figures)),
            Task::Doctor(obstacle) => Some(doctor::run(obstacle, figures)),
            _ => None,
        };
        if let Some(result) = alone {
            figures.seconds = began.elapsed().as_secs_f64();
            return result;
        }
        let mut lab = match self.task {
            Task::DeadIpv6 => Lab::with_dead_ipv6(self.pace, Profile::PC)?,
            _ => Lab::start(self.proxy(), self.pace, Profile::PC)?,
        };
        let ways = Ways::new();
        let began = Instant::now();
        let result = match self.task {
            Task::Stream(_) | Task::DeadIpv6 => stream(&lab, seed, &ways),
            Task::Datagrams(_) => datagrams(&lab, seed, &ways, figures),
            Task::Fault(fault, count) => faulty(&mut lab, seed, &ways, fault, count, figures),
            Task::Long(_) | Task::Doctor(_) => Ok(()),
        };
        figures.seconds = began.elapsed().as_secs_f64();
        figures.spent = lab.spent();
        let [there, back] = ways.both().map(|way| way.figures());
        figures.stall = there.stall.max(back.stall);
        if let Carried::Octets(..) = figures.carried {
            figures.carried = Carried::Octets(there.received, back.received);
        }
        result?;
        lab.close()
    }
}

fn stream(lab: &Lab, seed: u64, ways: &Ways) -> Result<()> {
    let (phone, pc) = lab.streams()?;
    streams::carry(seed, phone, pc, ways, || {
        for way in ways.both() {
            way.allow(VOLUME, true);
        }
        Ok(())
    })
}

fn datagrams(lab: &Lab, seed: u64, ways: &Ways, figures: &mut Figures) -> Result<()> {
    let (phone, pc) = lab.datagrams()?;
    let [there, back] = datagrams::carry(seed, &phone, &pc, ways)?;
    let lost = there.lost + back.lost;
    figures.carried = Carried::Datagrams { there: there.datagrams, back: back.datagrams, lost };
    match lost {
        0 => Ok(()),
        _ => Err(format!("{lost} datagrams were lost on a clean path").into()),
    }
}

fn faulty(
    lab: &mut Lab,
    seed: u64,
    ways: &Ways,
    fault: Fault,
    count: u32,
    figures: &mut Figures,
) -> Result<()> {
    faults::limit_rate()?;
    let (phone, pc) = lab.streams()?;
    streams::carry(seed, phone, pc, ways, || fault.script(count, seed, lab, ways, figures))
}
