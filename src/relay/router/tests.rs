//! Tests by the public interface, under a virtual clock.

mod acks;
mod asked;
mod claims;
mod cut_through;
mod drain;
mod life;
mod limits;
mod malformed;
mod parks;
mod policy;
mod proofs;
mod seen;
mod single;
mod streaming;
mod verdicts;
mod wakes;
