//! Deterministic simulation: real sessions and the relay's router under a virtual clock, joined by
//! HTTP exchanges with every fault that HTTP exchanges can have.

mod adapt;
mod answer;
mod app;
mod attacks;
mod claims;
mod client;
mod cuts;
mod datagrams;
mod endings;
mod fate;
mod flight;
mod gate;
mod gateways;
mod herd;
mod key_names;
mod naive;
mod net;
mod path;
mod paths;
mod random;
mod rng;
mod roam;
mod rogue;
mod script;
mod seeds;
mod seen;
mod setup;
mod single;
mod speak;
mod tamper;
mod upheaval;
mod vanish;
mod windows;
mod world;
