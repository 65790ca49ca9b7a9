//! The conversation of a transfer, for ends that break its rules.
#![allow(dead_code)]

use std::time::Duration;

#[path = "../../src/cli/share/agree.rs"]
pub mod agree;
#[path = "../../src/cli/share/amount.rs"]
pub mod amount;
#[path = "../../src/cli/share/code.rs"]
pub mod code;
#[path = "../../src/cli/share/message.rs"]
pub mod message;

/// As in the command.
const FAREWELL: Duration = Duration::from_secs(1);
