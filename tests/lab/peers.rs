//! Phone and PC, with what lies between them.

use std::time::Duration;

use byway::client::{Client, Config, DatagramChannel, Stream};
use byway::session::{Pace, Profile};
use byway::transport;

use crate::Result;
use crate::net::{Host, Net, PROXY, RELAY};
use crate::parts::{Proxy, Relay, Running};

/// How long the end may take: longer than any retransmission.
const CLOSE: Duration = Duration::from_secs(20);

/// A lab that runs. Its parts go away in this order, the hosts last.
pub struct Lab {
    pub phone: Client,
    pc: Client,
    pub relay: Relay,
    _proxy: Option<Running>,
    _net: Net,
}

/// Exchanges and repeats of both clients.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spent {
    pub exchanges: u64,
    pub retransmitted: u64,
}

impl Lab {
    /// Starts all parts.
    pub fn start(proxy: Option<Proxy>, pace: Pace, profile: Profile) -> Result<Self> {
        let net = Net::build()?;
        let relay = Relay::start()?;
        let running = proxy.map(Proxy::start).transpose()?;
        let direct = Config { pace, profile, ..Config::new(format!("http://{RELAY}:80")) };
        let by_proxy = match proxy {
            None => direct.clone(),
            Some(proxy) if proxy.is_forward() => Config {
                proxy: transport::Proxy::Url(format!("http://{PROXY}:8080")),
                ..direct.clone()
            },
            Some(_) => Config { url: format!("http://{PROXY}:8080"), ..direct.clone() },
        };
        // The PC has no proxy of its own, but comes through one that stands before the relay.
        let both = proxy.is_some_and(|proxy| !proxy.is_forward());
        let pc = if both { by_proxy.clone() } else { direct };
        let phone = Host::Phone.enter(|| Client::open(by_proxy))??;
        let pc = Host::Pc.enter(|| Client::open(pc))??;
        Ok(Self { phone, pc, relay, _proxy: running, _net: net })
    }

    /// A stream from the phone to the PC: the phone's end, then the PC's.
    pub fn streams(&self) -> Result<(Stream, Stream)> {
        let listener = self.pc.listen("pc:1")?;
        Ok((self.phone.connect("pc:1")?, listener.accept_timeout(CLOSE)?))
    }

    /// A datagram channel likewise.
    pub fn datagrams(&self) -> Result<(DatagramChannel, DatagramChannel)> {
        let listener = self.pc.listen_datagram("pc:2")?;
        Ok((self.phone.connect_datagram("pc:2")?, listener.accept_timeout(CLOSE)?))
    }

    pub fn spent(&self) -> Spent {
        let stats = [self.phone.stats(), self.pc.stats()];
        Spent {
            exchanges: stats.iter().map(|stats| stats.sends + stats.parks).sum(),
            retransmitted: stats.iter().map(|stats| stats.retransmitted).sum(),
        }
    }

    /// Closes both clients in order.
    pub fn close(mut self) -> Result<()> {
        self.phone.close(CLOSE)?;
        self.pc.close(CLOSE)?;
        if self.relay.lives()? { Ok(()) } else { Err("the relay died".into()) }
    }
}
