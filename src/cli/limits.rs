//! The options of a relay that bound what an address may do.

use byway::relay::{Rate, RouterConfig};
use clap::Args;

use super::parse;

/// Limits of an address: an IPv4 address, or an IPv6 network (/64). This machine's own are exempt.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits of an IPv4 address or IPv6 network (/64)")]
pub struct Limits {
    /// Most memory for what waits to be delivered, of all clients, in MiB [default: 256]
    #[arg(long, value_name = "MIB", value_parser = parse::mebibytes)]
    max_held: Option<usize>,
    /// Most of it for an address, which may hold as much as is free besides [default: a quarter]
    #[arg(long, value_name = "MIB", value_parser = parse::mebibytes)]
    max_held_per_address: Option<usize>,
    /// Most requests a second and at once; more wait a second, and are then asked to come back; none:
    /// any number [default: 10000:20000]
    #[arg(long, value_name = "RATE:BURST|none", value_parser = parse::rate)]
    max_requests: Option<ChosenRate>,
    /// Most connections a second and at once [default: 1000:10000]
    #[arg(long, value_name = "RATE:BURST|none", value_parser = parse::rate)]
    max_new_connections: Option<ChosenRate>,
    /// Most clients a second, and at once, that the relay does not know [default: 500:5000]
    #[arg(long, value_name = "RATE:BURST|none", value_parser = parse::rate)]
    max_new_clients: Option<ChosenRate>,
    /// Most claims a second, and at once, for names that others hold [default: 10:200]
    #[arg(long, value_name = "RATE:BURST|none", value_parser = parse::rate)]
    max_guesses: Option<ChosenRate>,
    /// Most connections a second, and at once, to where nobody listens or the policy forbids it [default: 50:1000]
    #[arg(long, value_name = "RATE:BURST|none", value_parser = parse::rate)]
    max_misses: Option<ChosenRate>,
    /// Most proofs of keys a second, and at once, that are checked [default: 100:2000]
    #[arg(long, value_name = "RATE:BURST|none", value_parser = parse::rate)]
    max_proofs: Option<ChosenRate>,
    /// How often a second, and at once, a client is woken by those with which it has no channel [default: 2:30]
    #[arg(long, value_name = "RATE:BURST|none", value_parser = parse::rate)]
    max_wakes: Option<ChosenRate>,
}

/// A rate as the user chose it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChosenRate {
    /// There is no limit.
    Any,
    /// There is this limit.
    Most(Rate),
}

impl Limits {
    pub fn apply(&self, config: &mut RouterConfig) {
        if let Some(most) = self.max_held {
            config.max_held = most;
            config.max_held_per_origin = most / 4;
        }
        if let Some(most) = self.max_held_per_address {
            config.max_held_per_origin = most;
        }
        let rates = [
            (self.max_requests, &mut config.requests),
            (self.max_new_connections, &mut config.connections),
            (self.max_new_clients, &mut config.new_sessions),
            (self.max_guesses, &mut config.guesses),
            (self.max_misses, &mut config.misses),
            (self.max_proofs, &mut config.proof_checks),
            (self.max_wakes, &mut config.wakes),
        ];
        for (chosen, rate) in rates {
            match chosen {
                None => {}
                Some(ChosenRate::Any) => *rate = None,
                Some(ChosenRate::Most(most)) => *rate = Some(most),
            }
        }
    }
}
