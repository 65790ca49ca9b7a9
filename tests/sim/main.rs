//! Deterministic simulation: real sessions and the relay's router under a virtual clock, joined by
//! HTTP exchanges to which everything happens that happens to HTTP exchanges.

mod app;
mod claims;
mod cuts;
mod fault;
mod naive;
mod net;
mod paths;
mod random;
mod rng;
mod script;
mod setup;
mod windows;
mod world;
