//! The bus of a cluster: NATS, with the key of the router in a stream of JetStream.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use async_nats::connection::State;
use async_nats::{Client, ConnectOptions, Event, ServerAddr, Subscriber};
use futures_util::StreamExt;
use percent_encoding::percent_decode_str;
use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{debug, error, info, warn};

use super::super::admission::Admission;
use super::super::shared::SharedRouter;
use super::keys::Keys;
use super::{KeyQuestion, Order, RelayId};

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

/// The pause before the work with the bus begins anew, should it have ended: a fault that stays is told once a second.
const ANEW: Duration = Duration::from_secs(1);

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
        let bus = Arc::new(Bus {
            name: config.name.clone(),
            id,
            servers,
            options,
            shared: Arc::clone(shared),
            admission: Arc::clone(admission),
        });
        let work = async move {
            let clock = keep(ends.clone(), || {
                let shared = Arc::clone(&bus.shared);
                async move {
                    shared.run_timer().await;
                    Ok(())
                }
            });
            let serving = keep(ends.clone(), || Arc::clone(&bus).run(ends.clone()));
            // Apart: the relay's clock goes on while the work with the bus begins anew.
            tokio::select! {
                () = clock => {}
                () = serving => {}
            }
        };
        let work = move || runtime.block_on(work);
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

/// Works until the relay ends. Work that ends before by an error or a panic is told, and begun anew: what is under way
/// between relays breaks by that, as by a bus that was away.
async fn keep<W>(mut ends: watch::Receiver<End>, mut begin: impl FnMut() -> W)
where
    W: Future<Output = io::Result<()>> + Send + 'static,
{
    while *ends.borrow() == End::NotYet {
        match tokio::spawn(begin()).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => {
                error!(%error, "the work with the cluster's bus ended, and begins anew; check --cluster");
            }
            Err(panic) => {
                error!(%panic, "the work with the cluster's bus ended, and begins anew; this is a fault of byway, please report it");
            }
        }
        // Either way, look again.
        let _ = timeout(ANEW, ends.wait_for(|end| *end != End::NotYet)).await;
    }
}

/// What the thread of a bus works with.
struct Bus {
    name: String,
    id: RelayId,
    servers: Vec<ServerAddr>,
    options: ConnectOptions,
    shared: Arc<SharedRouter>,
    admission: Arc<Admission>,
}

impl Bus {
    /// Serves until the relay ends.
    async fn run(self: Arc<Self>, mut ends: watch::Receiver<End>) -> io::Result<()> {
        let connecting = self.options.clone().connect(self.servers.clone());
        let client = connecting.await.map_err(io::Error::other)?;
        let end = tokio::select! {
            failure = self.serve(&client) => return failure,
            end = ends.wait_for(|end| *end != End::NotYet) => end.map_or(End::AtOnce, |end| *end),
        };
        if end == End::Flush && timeout(FLUSH, client.flush()).await.is_err() {
            warn!("the last messages did not reach the cluster's bus");
        }
        Ok(())
    }

    /// Serves until a part of that ends, which is an error.
    async fn serve(&self, client: &Client) -> io::Result<()> {
        let inbox = client.subscribe(self.inbox(self.id)).await.map_err(io::Error::other)?;
        let calls = client.subscribe(self.calls()).await.map_err(io::Error::other)?;
        let keys = Keys::new(client, &self.name, self.id);
        // Apart, so that what the bus brings is heard while it is slow to take what it is given.
        tokio::select! {
            () = self.hear(inbox, calls) => {}
            () = self.obey(client, &keys) => {}
            () = self.look(client, &keys) => {}
        }
        Err(io::Error::other("the client of NATS gave up"))
    }

    /// Takes what the bus brings.
    async fn hear(&self, mut inbox: Subscriber, mut calls: Subscriber) {
        loop {
            tokio::select! {
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
            }
        }
    }

    /// Tells an operator that no relay is in charge.
    async fn look(&self, client: &Client, keys: &Keys) {
        let mut looks = tokio::time::interval_at(tokio::time::Instant::now() + LOOK, LOOK);
        let mut told: Option<Instant> = None;
        loop {
            looks.tick().await;
            if self.shared.cluster().is_none_or(|stats| stats.is_placed) {
                told = None;
            } else if told.is_none_or(|at| at.elapsed() > AGAIN) {
                told = Some(Instant::now());
                let cause = keys.cause(client);
                warn!(%cause, "no relay of the cluster is in charge, and none serves; mend its bus");
            }
        }
    }

    /// Does what the bus is to do.
    async fn obey(&self, client: &Client, keys: &Keys) {
        loop {
            let mut patience = GIVE;
            while let Some(order) =
                self.shared.with_node(|node, _, now| node.poll_order(now)).flatten()
            {
                let (subject, octets) = match order {
                    Order::Key(question) => {
                        self.ask(keys, question);
                        continue;
                    }
                    Order::Call(octets) => (self.calls(), octets),
                    Order::Message(to, octets) => (self.inbox(to), octets),
                };
                // A bus that comes back brings nothing that is late.
                if client.connection_state() == State::Connected {
                    let given = timeout(patience, client.publish(subject, octets)).await;
                    patience = match given {
                        Ok(Ok(())) => GIVE,
                        Ok(Err(_)) | Err(_) => {
                            debug!("a message was not given to the cluster's bus");
                            // The next ones are as late.
                            Duration::ZERO
                        }
                    };
                }
            }
            self.shared.ordered().await;
        }
    }

    /// Asks for the key; others may be asked meanwhile.
    fn ask(&self, keys: &Keys, question: KeyQuestion) {
        let (keys, shared) = (keys.clone(), Arc::clone(&self.shared));
        tokio::spawn(async move {
            let (serial, revision) = keys.ask(question).await;
            shared.with_node(|node, router, now| {
                node.handle_answer(now, router, serial, revision);
            });
        });
    }

    fn inbox(&self, id: RelayId) -> String {
        format!("byway.{}.relay.{id}", self.name)
    }

    fn calls(&self) -> String {
        format!("byway.{}.all", self.name)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    use super::*;

    #[tokio::test]
    async fn work_that_ends_by_an_error_or_a_panic_is_begun_anew_until_the_relay_ends() {
        let (end, ends) = watch::channel(End::NotYet);
        let begun = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&begun);
        let given = ends.clone();
        let begin = move || {
            let turn = counted.fetch_add(1, Relaxed);
            let mut ends = given.clone();
            async move {
                assert_ne!(turn, 0, "the first ends by a panic");
                if turn == 1 {
                    return Err(io::Error::other("the second ends by an error"));
                }
                let _ = ends.wait_for(|end| *end != End::NotYet).await;
                Ok(())
            }
        };
        let kept = tokio::spawn(keep(ends, begin));
        while begun.load(Relaxed) < 3 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(!kept.is_finished());
        end.send_replace(End::Flush);
        kept.await.expect("it ends in order");
        assert_eq!(begun.load(Relaxed), 3);
    }
}
