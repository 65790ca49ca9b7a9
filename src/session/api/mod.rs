//! The session's public methods. They check what the application gives, delegate, and see to it that
//! everybody is woken.

mod channels;
mod connections;
mod exchanges;
mod life;
mod listeners;

/// What a session says that was made for something else.
const NOT_MADE_FOR: &str = "this session was not made for that: see session::Purpose";
