//! The command, from outside: processes, pipes, signals, exit codes, curl.

mod admission;
mod bytes;
mod exit;
mod forward;
mod id;
mod keys;
mod orders;
mod overload;
mod pipe;
mod preset;
mod process;
mod protocol;
mod recording;
mod share;
mod share_rogue;
mod trace;
mod web;
