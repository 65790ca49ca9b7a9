//! The files of a relay, which SIGHUP has read again.

#[cfg(feature = "relay-tls")]
use std::path::PathBuf;

#[cfg(feature = "relay-tls")]
use byway::relay::Certificate;
use byway::relay::{Relay, RelayConfig};
use clap::Args;

use super::failure::CommandError;
#[cfg(feature = "relay-tls")]
use super::say;
use super::signals::Hangup;

/// The options that name files.
#[derive(Debug, Args)]
pub struct Files {
    /// Speak TLS: the relay's certificate, then its issuers', in PEM. The URL begins with https://, and
    /// SIGHUP has the two files read again, which ends no connection
    #[cfg(feature = "relay-tls")]
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The private key of the certificate, in PEM
    #[cfg(feature = "relay-tls")]
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

/// A relay that speaks no TLS has no such file.
#[cfg(not(feature = "relay-tls"))]
impl Files {
    pub fn hangup(&self) -> Hangup {
        Hangup::Ends
    }

    pub fn load(&self, _: &mut RelayConfig) -> Result<(), CommandError> {
        Ok(())
    }

    pub fn reload(&self, _: &Relay) {}
}

#[cfg(feature = "relay-tls")]
impl Files {
    /// What SIGHUP means.
    pub fn hangup(&self) -> Hangup {
        match self.tls_cert {
            Some(_) => Hangup::Reloads,
            None => Hangup::Ends,
        }
    }

    /// Reads the files at the start of a relay.
    pub fn load(&self, config: &mut RelayConfig) -> Result<(), CommandError> {
        config.tls = self.certificate().transpose()?;
        if let Some(certificate) = &config.tls {
            tell_pin(certificate);
        }
        Ok(())
    }

    /// Reads the files again; what cannot be used changes nothing.
    pub fn reload(&self, relay: &Relay) {
        match self.certificate() {
            Some(Ok(certificate)) => match relay.set_certificate(certificate.clone()) {
                Ok(()) => {
                    say("byway: the certificate was read again");
                    tell_pin(&certificate);
                }
                Err(error) => say(format_args!("byway: the old certificate stays: {error}")),
            },
            Some(Err(error)) => say(format_args!("byway: {error}; the old certificate stays")),
            None => {}
        }
    }

    fn certificate(&self) -> Option<Result<Certificate, CommandError>> {
        let (chain, key) = (self.tls_cert.as_ref()?, self.tls_key.as_ref()?);
        let read = Certificate::read(chain, key);
        Some(
            read.map_err(|fault| {
                CommandError::usage(format_args!("--tls-cert, --tls-key: {fault}"))
            }),
        )
    }
}

/// Tells by which pin clients may know the relay.
#[cfg(feature = "relay-tls")]
fn tell_pin(certificate: &Certificate) {
    say(format_args!("byway: clients may pin the relay's key: --roots pin:{}", certificate.pin()));
}
