//! The bus of a cluster: NATS, with the key of the router in a stream of JetStream.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use async_nats::connection::State;
use async_nats::{Client, ConnectOptions, Event, ServerAddr};
use futures_util::StreamExt;
use percent_encoding::percent_decode_str;
use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::super::admission::Admission;
use super::super::shared::SharedRouter;
use super::keys::Keys;
use super::{Order, RelayId};

/// How long an answer of the bus is waited for: less than the lease waits.
pub(super) const ANSWER: Duration = Duration::from_millis(1_500);

/// How often a connection to the bus is tried: a relay that is without its bus for longer than its lease is
/// without the router as well.
const PING: Duration = Duration::from_secs(2);

/// Longest pause before the next try to connect to the bus.
const RECONNECT: Duration = Duration::from_secs(2);

/// How long a message waits to be given to a bus that is slow. Then it is lost, as a bus may lose messages.
const GIVE: Duration = Duration::from_millis(500);

/// How long the last messages of a relay that stops may take.
const FLUSH: Duration = Duration::from_secs(1);

/// How often it is looked whether a relay is in charge, and how long after it was told an operator is told again that
/// none is.
const LOOK: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_secs(60);

/// The cluster in which a relay is. All its relays have the same, and the same policy.
#[derive(Debug, Clone)]
pub struct ClusterConfig {
    /// NATS servers with JetStream, as `nats://` or `tls://` URLs; the first user and password among them count for
    /// all. One that answers is enough; the others of its cluster are found.
    pub servers: Vec<String>,
    /// The name of the cluster, of letters, digits, `-` and `_`: relays with other names have nothing to do with
    /// each other.
    pub name: String,
    /// A file with a JWT and a seed, as `nsc` makes them.
    pub credentials: Option<PathBuf>,
    /// A file with a line `USER:PASSWORD`, so that these need not stand in a URL.
    pub password: Option<PathBuf>,
    /// A PEM file with the certificates of who signed for the servers, beside those of the system.
    pub roots: Option<PathBuf>,
}

impl ClusterConfig {
    /// A cluster of this name at these servers.
    pub fn new(servers: Vec<String>, name: impl Into<String>) -> Self {
        Self { servers, name: name.into(), credentials: None, password: None, roots: None }
    }

    /// Checks what can be checked without the bus, which [`Relay::serve`](super::super::Relay::serve) does as well.
    ///
    /// # Errors
    /// The name or a server's URL cannot be used (`InvalidInput`), or there is no such file (`NotFound`).
    pub fn check(&self) -> io::Result<()> {
        self.addresses()?;
        for path in [&self.credentials, &self.roots, &self.password].into_iter().flatten() {
            std::fs::metadata(path).map_err(|error| of_file(path, &error))?;
        }
        Ok(())
    }

    fn addresses(&self) -> io::Result<Vec<ServerAddr>> {
        let wrong = |why: String| io::Error::new(io::ErrorKind::InvalidInput, why);
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if self.name.is_empty() || !self.name.chars().all(is_plain) {
            return Err(wrong(format!(
                "the name of a cluster has letters, digits, - and _ alone, and {:?} has others",
                self.name
            )));
        }
        if self.servers.is_empty() {
            return Err(wrong("a cluster needs the URL of a NATS server".into()));
        }
        let parse = |url: &String| {
            url.parse::<ServerAddr>()
                .map_err(|error| wrong(format!("a NATS server's URL cannot be read: {error}")))
        };
        self.servers.iter().map(parse).collect()
    }
}

/// How the thread of a bus ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    NotYet,
    /// What is to be said still goes.
    Flush,
    AtOnce,
}

/// A relay's connection to the bus, with a thread of its own. Dropping it ends it at once.
pub(in crate::relay) struct Cluster {
    end: watch::Sender<End>,
    thread: Option<JoinHandle<()>>,
}

impl Cluster {
    /// Connects, and keeps at it while the bus is away.
    pub fn start(
        config: &ClusterConfig,
        id: RelayId,
        shared: &Arc<SharedRouter>,
        admission: &Arc<Admission>,
    ) -> io::Result<Self> {
        let servers = config.addresses()?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let options = runtime.block_on(options(config, &servers, id))?;
        let servers = servers.into_iter().map(bare).collect::<io::Result<Vec<_>>>()?;
        let (end, ends) = watch::channel(End::NotYet);
        let bus = Bus {
            name: config.name.clone(),
            id,
            shared: Arc::clone(shared),
            admission: Arc::clone(admission),
        };
        let work = move || runtime.block_on(bus.run(servers, options, ends));
        let thread = thread::Builder::new().name("byway-cluster".into()).spawn(work)?;
        Ok(Self { end, thread: Some(thread) })
    }

    /// Says what is to be said, and ends. Blocks until then.
    pub fn stop(mut self) {
        self.finish(End::Flush);
    }

    fn finish(&mut self, how: End) {
        self.end.send_replace(how);
        if let Some(thread) = self.thread.take() {
            // The thread ends by a panic only if the relay is at fault.
            let _ = thread.join();
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.finish(End::AtOnce);
    }
}

/// An error with the name of its file.
fn of_file(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// How a relay logs in: the user of a URL, and the password if there is one.
fn login(
    config: &ClusterConfig,
    servers: &[ServerAddr],
) -> io::Result<Option<(String, Option<String>)>> {
    if let Some(path) = &config.password {
        let text = std::fs::read_to_string(path).map_err(|error| of_file(path, &error))?;
        let Some((user, password)) = text.trim().split_once(':') else {
            let why = format!("{}: it has no line USER:PASSWORD", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        };
        return Ok(Some((user.to_owned(), Some(password.to_owned()))));
    }
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let named = servers.iter().find_map(|server| {
        let url = server.clone().into_inner();
        let user = Some(decoded(url.username())).filter(|user| !user.is_empty())?;
        Some((user, url.password().map(decoded)))
    });
    Ok(named)
}

/// The server's address without what logs in there, which libraries would show in a log.
fn bare(server: ServerAddr) -> io::Result<ServerAddr> {
    let mut url = server.into_inner();
    if url.set_username("").and_then(|()| url.set_password(None)).is_err() {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    ServerAddr::from_url(url)
}

async fn options(
    config: &ClusterConfig,
    servers: &[ServerAddr],
    id: RelayId,
) -> io::Result<ConnectOptions> {
    let mut options = ConnectOptions::new()
        .name(format!("byway relay {id}"))
        .no_echo()
        .retry_on_initial_connect()
        .ping_interval(PING)
        .connection_timeout(PING)
        .request_timeout(Some(ANSWER))
        .reconnect_delay_callback(|attempts| {
            Duration::from_millis(50 * attempts.min(1_000) as u64).min(RECONNECT)
        })
        .event_callback(|event| async move {
            match event {
                Event::Connected => info!("connected to the cluster's bus"),
                Event::Disconnected => warn!("the cluster's bus is away; trying to reach it again"),
                other => debug!(event = %other, "the cluster's bus"),
            }
        });
    match login(config, servers)? {
        Some((user, Some(password))) => options = options.user_and_password(user, password),
        // As the URLs of NATS have a token.
        Some((token, None)) => options = options.token(token),
        None => {}
    }
    if let Some(path) = &config.credentials {
        options = options.credentials_file(path).await.map_err(|error| of_file(path, &error))?;
    }
    if let Some(path) = &config.roots {
        if !path.is_file() {
            let why = format!("{}: no such file of certificates", path.display());
            return Err(io::Error::new(io::ErrorKind::NotFound, why));
        }
        options = options.add_root_certificates(path.clone());
    }
    Ok(options)
}

/// What the thread of a bus works with.
struct Bus {
    name: String,
    id: RelayId,
    shared: Arc<SharedRouter>,
    admission: Arc<Admission>,
}

impl Bus {
    async fn run(
        self,
        servers: Vec<ServerAddr>,
        options: ConnectOptions,
        mut ends: watch::Receiver<End>,
    ) {
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move { shared.run_timer().await });
        let client = match options.connect(servers).await {
            Ok(client) => client,
            Err(error) => {
                warn!(%error, "cannot use the cluster's bus: this relay serves nobody; check --cluster");
                // An error means that the relay is gone.
                let _ = ends.wait_for(|end| *end != End::NotYet).await;
                return;
            }
        };
        let serving = self.serve(&client);
        let end = tokio::select! {
            () = serving => End::AtOnce,
            end = ends.wait_for(|end| *end != End::NotYet) => end.map_or(End::AtOnce, |end| *end),
        };
        if end == End::Flush && timeout(FLUSH, client.flush()).await.is_err() {
            warn!("the last messages did not reach the cluster's bus");
        }
    }

    async fn serve(&self, client: &Client) {
        let inbox = client.subscribe(self.inbox(self.id)).await;
        let calls = client.subscribe(self.calls()).await;
        let (Ok(mut inbox), Ok(mut calls)) = (inbox, calls) else { return };
        let keys = Keys::new(client, &self.name, self.id);
        let mut questions = JoinSet::new();
        let mut looks = tokio::time::interval_at(tokio::time::Instant::now() + LOOK, LOOK);
        let mut told: Option<Instant> = None;
        loop {
            self.obey(client, &keys, &mut questions).await;
            tokio::select! {
                _ = looks.tick() => {
                    let is_placed = self.shared.cluster().is_none_or(|stats| stats.is_placed);
                    if is_placed {
                        told = None;
                    } else if told.is_none_or(|at| at.elapsed() > AGAIN) {
                        told = Some(Instant::now());
                        let cause = keys.cause(client);
                        warn!(%cause, "no relay of the cluster is in charge, and none serves; mend its bus");
                    }
                }
                message = inbox.next() => {
                    let Some(message) = message else { return };
                    let admit = &mut |token: Option<&[u8]>, origin: &_| {
                        self.admission.admit_again(token, origin).map_err(drop)
                    };
                    self.shared.with_node(|node, router, now| {
                        node.handle_message(now, router, &message.payload, admit);
                    });
                }
                call = calls.next() => {
                    let Some(call) = call else { return };
                    self.shared.with_node(|node, router, now| {
                        node.handle_call(now, router, &call.payload);
                    });
                }
                Some(Ok((serial, revision))) = questions.join_next() => {
                    self.shared.with_node(|node, router, now| {
                        node.handle_answer(now, router, serial, revision);
                    });
                }
                () = self.shared.ordered() => {}
            }
        }
    }

    /// Does what the bus is to do.
    async fn obey(
        &self,
        client: &Client,
        keys: &Keys,
        questions: &mut JoinSet<(u64, Option<u64>)>,
    ) {
        let mut patience = GIVE;
        while let Some(order) = self.shared.with_node(|node, _, now| node.poll_order(now)).flatten()
        {
            let (subject, octets) = match order {
                Order::Key(question) => {
                    let keys = keys.clone();
                    questions.spawn(async move { keys.ask(question).await });
                    continue;
                }
                Order::Call(octets) => (self.calls(), octets),
                Order::Message(to, octets) => (self.inbox(to), octets),
            };
            // A bus that comes back brings nothing that is late.
            if client.connection_state() == State::Connected {
                let given = timeout(patience, client.publish(subject, octets)).await;
                if !matches!(given, Ok(Ok(()))) {
                    debug!("a message was not given to the cluster's bus");
                    // The others do not wait as well: what the bus brings is to be heard.
                    patience = Duration::ZERO;
                }
            }
        }
    }

    fn inbox(&self, id: RelayId) -> String {
        format!("byway.{}.relay.{id}", self.name)
    }

    fn calls(&self) -> String {
        format!("byway.{}.all", self.name)
    }
}
