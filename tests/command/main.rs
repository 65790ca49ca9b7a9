//! The command, from outside: processes, pipes, signals, exit codes, curl.

mod admission;
mod again;
mod bytes;
mod exec;
mod exit;
mod forward;
mod id;
mod keys;
mod orders;
mod overload;
mod pipe;
mod preset;
mod process;
mod recording;
mod service;
mod socks;
mod trace;
mod udp;
mod unix;
mod web;
