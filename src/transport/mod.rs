//! How exchanges are carried.
