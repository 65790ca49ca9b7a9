//! How the core tells of its transitions: by the crate `log`, if the feature `log` is on, as it is with
//! `std`. Without it the arguments are checked, and neither code nor text of them is in the program.

#[cfg(feature = "log")]
pub(crate) use log::{debug, trace};

/// Checks the arguments, and says nothing.
#[cfg(not(feature = "log"))]
macro_rules! nothing {
    ($($argument:tt)+) => {
        // A closure that nobody calls is in no program.
        {
            let _ = || {
                let _ = ::core::format_args!($($argument)+);
            };
        }
    };
}

#[cfg(not(feature = "log"))]
pub(crate) use {nothing as debug, nothing as trace};
