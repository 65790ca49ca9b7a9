//! The command that connects: a pipe, or a forward of connections that programs make here.

use std::time::Duration;

use byway::Kind;
use byway::secure::PublicKey;
use byway::session::Profile;
use clap::{ArgGroup, Args};

use super::failure::CommandError;
use super::forward::connect::Way;
use super::forward::udp::{self, Udp};
use super::forward::{self, Life, Means};
use super::local::LocalAddress;
use super::metrics::MetricsOptions;
use super::open::{Opened, PARTING, Start, open, open_anywhere};
use super::options::{ClientOptions, Place, Role};
use super::peers::Target;
use super::{notify, parse, pipe, retry, stdout};

/// The options of a connecting end.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("forward").args(["from", "socks"]))]
pub struct Options {
    /// Where somebody listens, as in camera:1; or at the own key name, as in @:1. Without it --socks connects to
    /// what each request names
    #[arg(value_name = "NAME:PORT", value_parser = parse::place, required_unless_present = "socks")]
    endpoint: Option<Place>,
    /// Accept connections here, at all addresses of a name or at a Unix socket, and forward each; prints the
    /// addresses when it is ready, one a line
    #[arg(long, value_name = "HOST:PORT|unix:PATH", value_parser = parse::local)]
    from: Option<LocalAddress>,
    /// Accept SOCKS5 connections here: without NAME:PORT to byway names, as web or web.byway, else to what
    /// the listener there dials (listen --to-any)
    #[arg(long, value_name = "HOST:PORT|unix:PATH", value_parser = parse::local)]
    socks: Option<LocalAddress>,
    /// Forward datagrams of UDP, each address that sends to --from by a channel of its own
    #[arg(long, requires = "from", conflicts_with = "socks")]
    udp: bool,
    /// With --udp, end the channel of an address after so much silence
    #[arg(long, value_name = "SECONDS", default_value_t = udp::SILENCE, value_parser = parse::seconds, requires = "udp")]
    silence: u64,
    /// Forward one connection and end with its result, or at the first loss, instead of going on for ever
    #[arg(long, requires = "forward")]
    once: bool,
    /// Connect only if the listener has this key, which byway id show prints there: whoever else took the
    /// name is refused. A key name as NAME says the key itself
    #[arg(long, value_name = "KEYNAME", value_parser = parse::key_name, conflicts_with = "plain")]
    peer_key: Option<PublicKey>,
    #[command(flatten)]
    metrics: MetricsOptions,
    #[command(flatten)]
    options: ClientOptions,
}

/// Connects, and carries until the forward or the pipe has ended.
pub fn run(options: Options) -> Result<(), CommandError> {
    let Options { endpoint, from, socks, udp, silence, once, peer_key: key, metrics, options } =
        options;
    let metrics = metrics.bind()?;
    let life = if once { Life::Once } else { Life::ForEver };
    let start = Start { life, metrics };
    let Some(place) = endpoint else {
        let at =
            socks.ok_or_else(|| CommandError::usage("nowhere to connect to: give NAME:PORT"))?;
        if key.is_some() {
            return Err(CommandError::usage(
                "--peer-key is the key of one listener: give NAME:PORT as well",
            ));
        }
        let (opened, own) = open_anywhere(options, Profile::SERVER, start)?;
        let way = Way::SocksHere { own: own.map(|key| key.name()) };
        return forward::connect::run(&Means::new(&opened), way, &at, "--socks", life);
    };
    let role = Role::Connects(place);
    if let (true, Some(from @ LocalAddress::Unix(_))) = (udp, &from) {
        return Err(CommandError::usage(format_args!(
            "--udp takes no datagrams at {from}: write --from HOST:PORT"
        )));
    }
    let at = match (from, socks) {
        (Some(from), _) => At::From(from),
        (None, Some(socks)) => At::Socks(socks),
        (None, None) => return join_pipe(options, role, key, start),
    };
    let opened = open(options, role, Profile::SERVER, u8::MAX, start)?;
    let means = Means::new(&opened);
    let target = Target { endpoint: opened.endpoint, key };
    match at {
        At::From(LocalAddress::Tcp(from)) if udp => {
            let udp = Udp::new(&means, Duration::from_secs(silence));
            udp::connect(udp, target, &from, life)
        }
        At::From(from) => forward::connect::run(&means, Way::To(target), &from, "--from", life),
        At::Socks(socks) => {
            forward::connect::run(&means, Way::SocksThere(target), &socks, "--socks", life)
        }
    }
}

/// Where a forward to one listener accepts connections, and which.
enum At {
    From(LocalAddress),
    Socks(LocalAddress),
}

fn join_pipe(
    options: ClientOptions,
    role: Role,
    key: Option<PublicKey>,
    start: Start,
) -> Result<(), CommandError> {
    stdout::check()?;
    let start = Start { life: Life::Once, ..start };
    let opened = open(options, role, Profile::PC, 1, start)?;
    let Opened { client, endpoint, permits, patience, .. } = opened;
    let stream = retry::connect(&client, Target { endpoint, key }, patience).map_err(|error| {
        // A listener that was refused has a place for somebody else as soon as it knows.
        let _ = client.close(PARTING);
        CommandError::connecting(error, Kind::Stream)
    })?;
    notify::alive_during(|| pipe::join(&client, &stream, &permits))
}
