//! The bus of a cluster: NATS, with the key of the router in a stream of JetStream.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use async_nats::connection::State;
use async_nats::jetstream::context::{CreateStreamErrorKind, PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{self, StorageType};
use async_nats::jetstream::{self, Context};
use async_nats::{Client, ConnectOptions, Event, ServerAddr};
use bytes::Bytes;
use futures_util::StreamExt;
use percent_encoding::percent_decode_str;
use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::super::admission::Admission;
use super::super::shared::SharedRouter;
use super::lease::{KeyOrder, KeyQuestion, TTL};
use super::{Order, RelayId};

/// How long an answer of the bus is waited for: less than the lease waits.
const ANSWER: Duration = Duration::from_millis(1_500);

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

/// What NATS says to more than one replica where there is one server: JSStreamReplicasNotSupportedErr.
const NO_REPLICAS: u64 = 10_074;

/// How many servers have the key, where there is more than one: of three, one may be away.
const REPLICAS: usize = 3;

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
            std::fs::metadata(path).map_err(|error| {
                io::Error::new(error.kind(), format!("{}: {error}", path.display()))
            })?;
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

/// How a relay logs in: the user of a URL, and the password if there is one.
fn login(
    config: &ClusterConfig,
    servers: &[ServerAddr],
) -> io::Result<Option<(String, Option<String>)>> {
    if let Some(path) = &config.password {
        let text = std::fs::read_to_string(path).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", path.display()))
        })?;
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
        options = options.credentials_file(path).await.map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", path.display()))
        })?;
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
        let mut looks = tokio::time::interval(LOOK);
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

/// The key of the router: the only message of a stream. Its number there is its revision.
#[derive(Clone)]
struct Keys {
    jetstream: Context,
    stream: String,
    subject: String,
    value: Bytes,
    /// Why the key was not written when that was tried last.
    cause: Arc<Mutex<String>>,
}

impl Keys {
    fn new(client: &Client, name: &str, id: RelayId) -> Self {
        Self {
            jetstream: jetstream::new(client.clone()),
            stream: format!("byway_{name}"),
            subject: format!("byway.{name}.router"),
            value: Bytes::from(id.to_string()),
            cause: Arc::default(),
        }
    }

    /// Why no relay is in charge, as far as is known here.
    fn cause(&self, client: &Client) -> String {
        match client.connection_state() {
            State::Connected => self.lock().clone(),
            State::Pending | State::Disconnected => {
                "the bus is not reached, or does not let this relay in".into()
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, String> {
        self.cause.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks; the number of the question, and the key's revision if what was asked for was done.
    async fn ask(&self, KeyQuestion { serial, order }: KeyQuestion) -> (u64, Option<u64>) {
        let answer = async {
            match order {
                KeyOrder::Make => {
                    let revision = self.write(0).await?;
                    self.check_stream().await;
                    Some(revision)
                }
                KeyOrder::Renew(revision) => self.write(revision).await,
                KeyOrder::Delete(revision) => self.delete(revision).await,
            }
        };
        let answer = timeout(ANSWER, answer).await;
        if answer.is_err() {
            *self.lock() = "JetStream does not answer; it needs most of its servers, and permissions for $JS.API.>".into();
        }
        (serial, answer.ok().flatten())
    }

    /// Writes the key, whose revision is this one; 0: there is none.
    async fn write(&self, revision: u64) -> Option<u64> {
        let error = match self.publish(revision).await {
            Ok(revision) => return Some(revision),
            Err(error) => error,
        };
        debug!(%error, revision, "the key of the router is not written");
        match error.kind() {
            // Where the bus forgot the stream, the key that this relay had is free for it as for others.
            PublishErrorKind::StreamNotFound if self.make_stream().await => {
                self.publish(0).await.ok()
            }
            PublishErrorKind::StreamNotFound => None,
            // The answer to a write of this relay may have been lost.
            PublishErrorKind::WrongLastSequence => {
                let stream = self.jetstream.get_stream_no_info(&self.stream).await.ok()?;
                let last = stream.get_last_raw_message_by_subject(&self.subject).await.ok()?;
                if last.payload != self.value {
                    *self.lock() = "another relay wrote the key, and is not heard".into();
                    return None;
                }
                self.publish(last.sequence).await.ok()
            }
            _ => {
                *self.lock() = error.to_string();
                None
            }
        }
    }

    async fn publish(&self, revision: u64) -> Result<u64, PublishError> {
        let message = PublishMessage::build()
            .payload(self.value.clone())
            .expected_last_subject_sequence(revision);
        let ack = self.jetstream.send_publish(self.subject.clone(), message).await?.await?;
        Ok(ack.sequence)
    }

    async fn delete(&self, revision: u64) -> Option<u64> {
        let stream = self.jetstream.get_stream_no_info(&self.stream).await.ok()?;
        stream.delete_message(revision).await.ok()?;
        Some(revision)
    }

    fn config(&self, num_replicas: usize) -> stream::Config {
        stream::Config {
            name: self.stream.clone(),
            description: Some("which relay of a byway cluster has the router".into()),
            subjects: vec![self.subject.clone()],
            max_age: Duration::from_millis(TTL),
            duplicate_window: Duration::from_millis(TTL),
            max_messages_per_subject: 1,
            storage: StorageType::Memory,
            num_replicas,
            ..stream::Config::default()
        }
    }

    async fn make_stream(&self) -> bool {
        let mut made = self.jetstream.create_stream(self.config(REPLICAS)).await;
        // A cluster of which too few servers are there is not to have its key in one place for ever.
        if let Err(error) = &made
            && let CreateStreamErrorKind::JetStream(error) = error.kind()
            && error.error_code().0 == NO_REPLICAS
        {
            made = self.jetstream.create_stream(self.config(1)).await;
        }
        if let Err(error) = made {
            *self.lock() =
                format!("{error}; NATS needs JetStream (nats-server -js) and most of its servers");
            return false;
        }
        true
    }

    /// Has the stream keep the key for as long as the relays count on, whoever made it.
    async fn check_stream(&self) {
        let Ok(stream) = self.jetstream.get_stream(&self.stream).await else { return };
        let found = &stream.cached_info().config;
        let wanted = self.config(found.num_replicas);
        if (found.max_age, found.max_messages_per_subject)
            == (wanted.max_age, wanted.max_messages_per_subject)
        {
            return;
        }
        match self.jetstream.update_stream(wanted).await {
            Ok(_) => info!(stream = self.stream, "the key's stream has the settings of byway"),
            Err(error) => {
                warn!(%error, stream = self.stream, "the key's stream has other settings than byway's, and keeps them; delete it");
            }
        }
    }
}
