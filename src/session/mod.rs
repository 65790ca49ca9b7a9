//! The sans-I/O session.
