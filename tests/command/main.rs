//! The command, from outside: processes, pipes, signals, exit codes, curl.

mod admission;
mod again;
mod bytes;
mod doctor;
mod exec;
mod exit;
mod forward;
mod id;
mod keys;
mod orders;
mod overload;
mod ping;
mod pipe;
mod preset;
mod process;
mod protocol;
mod recording;
mod service;
mod share;
mod share_rogue;
mod socks;
mod status;
mod trace;
mod udp;
mod unix;
mod web;
