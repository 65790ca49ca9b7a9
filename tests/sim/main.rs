//! Deterministic simulation: real sessions and the relay's router under a virtual clock, joined by
//! HTTP exchanges to which everything happens that happens to HTTP exchanges.

mod answer;
mod app;
mod claims;
mod cuts;
mod fate;
mod flight;
mod naive;
mod net;
mod paths;
mod random;
mod rng;
mod rogue;
mod script;
mod seeds;
mod seen;
mod setup;
mod windows;
mod world;
