//! Phone and PC, with the parts between them.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use byway::client::{Client, Config, DatagramChannel, Stream};
use byway::session::{Pace, Profile};
use byway::transport::Hooks;

use crate::Result;
use crate::net::{self, Host, Net, RELAY};
use crate::parts::{Proxy, Relay, Running};

/// How long the close may take: longer than any retransmission.
const CLOSE: Duration = Duration::from_secs(20);

/// A lab that runs. Its parts are dropped in this order, the hosts last.
pub struct Lab {
    pub phone: Client,
    pc: Client,
    pub relay: Relay,
    _proxy: Option<Running>,
    _net: Net,
}

/// The exchanges and repeats of both clients.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spent {
    pub exchanges: u64,
    pub retransmitted: u64,
}

impl Lab {
    /// Starts all parts.
    pub fn start(proxy: Option<Proxy>, pace: Pace, profile: Profile) -> Result<Self> {
        Self::build(proxy, pace, profile, Ok)
    }

    /// Starts all parts, without a proxy. The phone's IPv6 swallows packets, and the relay has four
    /// addresses by IPv6 and one by IPv4.
    pub fn with_dead_ipv6(pace: Pace, profile: Profile) -> Result<Self> {
        Self::build(None, pace, profile, |config| {
            let addresses = net::swallow_ipv6()?;
            let addresses = addresses.iter().map(|address| address.parse::<IpAddr>());
            let addresses = addresses.collect::<std::result::Result<Vec<_>, _>>()?;
            let hooks = Hooks::default().on_resolve(move |_, port| {
                Ok(addresses.iter().map(|address| SocketAddr::from((*address, port))).collect())
            });
            Ok(Config { url: "http://relay.lab:80".into(), hooks, ..config })
        })
    }

    /// `change` says how the phone's configuration differs from the usual one.
    fn build(
        proxy: Option<Proxy>,
        pace: Pace,
        profile: Profile,
        change: impl FnOnce(Config) -> Result<Config>,
    ) -> Result<Self> {
        let net = Net::build()?;
        let relay = Relay::start()?;
        let running = proxy.map(Proxy::start).transpose()?;
        let direct = Config { pace, profile, ..Config::new(format!("http://{RELAY}:80")) };
        let by_proxy = match proxy.zip(running.as_ref()) {
            None => direct.clone(),
            Some((proxy, running)) => Config { pace, profile, ..proxy.way(running) },
        };
        // The PC has no proxy of its own, but passes one that stands before the relay.
        let both = proxy.is_some_and(Proxy::is_before_the_relay);
        let pc = if both { by_proxy.clone() } else { direct };
        let phone = change(by_proxy)?;
        let phone = Host::Phone.enter(|| Client::open(phone))??;
        let pc = Host::Pc.enter(|| Client::open(pc))??;
        Ok(Self { phone, pc, relay, _proxy: running, _net: net })
    }

    /// A stream from the phone to the PC: the phone's end, then the PC's.
    pub fn streams(&self) -> Result<(Stream, Stream)> {
        let listener = self.pc.listen("pc:1")?;
        Ok((self.phone.connect("pc:1")?, listener.accept_timeout(CLOSE)?))
    }

    /// A datagram channel from the phone to the PC: the phone's end, then the PC's.
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
