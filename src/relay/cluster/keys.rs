//! The key of the router, in a stream of JetStream.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::Client;
use async_nats::connection::State;
use async_nats::jetstream::context::{CreateStreamErrorKind, PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{self, StorageType};
use async_nats::jetstream::{self, Context};
use bytes::Bytes;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::RelayId;
use super::lease::{KeyOrder, KeyQuestion, TTL};
use super::nats::ANSWER;

/// How many servers have the key, where there is more than one: of three, one may be away.
const REPLICAS: usize = 3;

/// What NATS says to more than one replica where there is one server: JSStreamReplicasNotSupportedErr.
const NO_REPLICAS: u64 = 10_074;

/// The key of the router: the only message of a stream. Its number there is its revision.
#[derive(Clone)]
pub(super) struct Keys {
    jetstream: Context,
    stream: String,
    subject: String,
    value: Bytes,
    /// Why the key was not written when that was tried last.
    cause: Arc<Mutex<String>>,
}

impl Keys {
    pub fn new(client: &Client, name: &str, id: RelayId) -> Self {
        Self {
            jetstream: jetstream::new(client.clone()),
            stream: format!("byway_{name}"),
            subject: format!("byway.{name}.router"),
            value: Bytes::from(id.to_string()),
            cause: Arc::default(),
        }
    }

    /// Why no relay is in charge, as far as is known here.
    pub fn cause(&self, client: &Client) -> String {
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
    pub async fn ask(&self, KeyQuestion { serial, order }: KeyQuestion) -> (u64, Option<u64>) {
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
