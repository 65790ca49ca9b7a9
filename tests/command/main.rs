//! The command, from outside: processes, pipes, signals, exit codes, curl.

mod admission;
mod bytes;
mod doctor;
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
mod recording;
mod status;
mod trace;
mod web;
