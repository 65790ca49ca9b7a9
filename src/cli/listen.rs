//! The command that listens: a pipe, or a forward to a server, a command, or what peers ask for.

use std::sync::Arc;
use std::time::Duration;

use byway::client::{ByteStream, Datagrams};
use byway::session::Profile;
use clap::{ArgGroup, Args};

use super::failure::CommandError;
use super::forward::allow::{Allowed, Pattern};
use super::forward::listen::{Service, accept_all};
use super::forward::udp::{self, Udp};
use super::forward::{self, Life, Means};
use super::local::LocalAddress;
use super::metrics::MetricsOptions;
use super::open::{Opened, Start, open};
use super::options::{ClientOptions, Place, Role};
use super::peers::{self, Admission, Door};
use super::{notify, parse, ping, pipe, retry, say, stdout};

/// The options of a listening end.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("forward").args(["to", "exec", "to_any"]))]
pub struct Options {
    /// Where to listen: a name of 1 to 48 of A-Z a-z 0-9 . _ - and a port, as in camera:1; or the
    /// own key name, which nobody else can take, as @:1
    #[arg(value_name = "NAME:PORT", value_parser = parse::place)]
    endpoint: Place,
    /// Forward every connection to this server: a TCP address, or a Unix socket
    #[arg(long, value_name = "HOST:PORT|unix:PATH", value_parser = parse::server)]
    to: Option<LocalAddress>,
    /// Run a command for every connection by `sh -c`, whose stdin and stdout the connection is;
    /// BYWAY_ENDPOINT and BYWAY_PEER_KEY tell it where and whose
    #[arg(long, value_name = "COMMAND")]
    exec: Option<String>,
    /// Forward every connection to the target that its SOCKS request names (connect --socks), if an --allow
    /// has it
    #[arg(long, requires = "allow")]
    to_any: bool,
    /// A target of --to-any: host:port, where * stands for anything in a name and for all ports, as in
    /// *.example.org:443, 10.0.0.0/8:22 or nas:8000-8080; may be repeated. Addresses that are not public take
    /// their network, or their very name and port: byway help forward
    #[arg(long, value_name = "PATTERN", requires = "to_any")]
    allow: Vec<Pattern>,
    /// Forward datagrams of UDP to the server of --to, each address that sends by a channel of its own
    #[arg(long, requires = "to", conflicts_with_all = ["exec", "to_any"])]
    udp: bool,
    /// With --udp, end the channel of an address after so much silence
    #[arg(long, value_name = "SECONDS", default_value_t = udp::SILENCE, value_parser = parse::seconds, requires = "udp")]
    silence: u64,
    /// Forward one connection and end with its result, or at the first loss, instead of going on for ever
    #[arg(long, requires = "forward")]
    once: bool,
    #[command(flatten)]
    admission: Admission,
    #[command(flatten)]
    metrics: MetricsOptions,
    #[command(flatten)]
    options: ClientOptions,
}

/// Listens until the forward or the pipe has ended.
pub fn run(options: Options) -> Result<(), CommandError> {
    let Options {
        endpoint,
        to,
        exec,
        to_any,
        allow,
        udp,
        silence,
        once,
        admission,
        metrics,
        options,
    } = options;
    let metrics = metrics.bind()?;
    let role = Role::Listens(endpoint);
    let door = Door::new(admission);
    let life = if once { Life::Once } else { Life::ForEver };
    let start = Start { life, metrics };
    let service = match (to, exec) {
        (Some(LocalAddress::Tcp(to)), _) if udp => {
            let opened = open(options, role, Profile::SERVER, u8::MAX, start)?;
            let means = Means::new(&opened);
            let udp = Udp::new(&means, Duration::from_secs(silence));
            let answer = move |channel: &_| udp.answer(channel, &to);
            return accept_all::<Datagrams>(&means, opened.endpoint, &door, life, answer);
        }
        (Some(to), _) if udp => {
            return Err(CommandError::usage(format_args!(
                "--udp has no server at {to}: write --to HOST:PORT"
            )));
        }
        (Some(to), _) => Service::Server(to),
        (None, Some(command)) => Service::Exec(command),
        (None, None) if to_any => Service::Any(Arc::new(Allowed::new(allow))),
        (None, None) => return join_pipe(options, role, &door, start),
    };
    let opened = open(options, role, Profile::SERVER, u8::MAX, start)?;
    forward::listen::run(&Means::new(&opened), opened.endpoint, &door, service, life)
}

fn join_pipe(
    options: ClientOptions,
    role: Role,
    door: &Door,
    start: Start,
) -> Result<(), CommandError> {
    stdout::check()?;
    let start = Start { life: Life::Once, ..start };
    let opened = open(options, role, Profile::PC, 1, start)?;
    let Opened { client, endpoint, permits, patience, claim } = opened;
    let listener = retry::listen::<ByteStream>(&client, endpoint, patience)?;
    claim.note_granted();
    say(format_args!("listening on {endpoint}"));
    let stream = ping::accept(|| door.accept(&listener))?;
    peers::tell_key(&stream, endpoint);
    drop(listener);
    notify::alive_during(|| pipe::join(&client, &stream, &permits))
}
