//! Tests by the public interface, under a virtual clock.

mod acks;
mod asked;
mod claims;
mod cut_through;
mod life;
mod limits;
mod malformed;
mod parks;
mod policy;
mod proofs;
mod single;
mod streaming;
mod verdicts;
mod wakes;
