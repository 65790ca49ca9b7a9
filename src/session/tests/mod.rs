//! Tests of the session by itself.
