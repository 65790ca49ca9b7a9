//! What a session is made for: what a device never does is not compiled into it.

use core::fmt::Debug;

use super::Lane;
use super::trip::Trip;
use crate::Kind;

/// What a session is made for: [`Full`] or [`Single`].
pub trait Mode: sealed::Sealed {}

/// Two exchanges at once, a park and a send, each on a connection of its own, and everything that
/// a channel can be. What the client with std uses.
#[derive(Debug)]
pub struct Full;

/// One exchange at a time, on the only connection: it is park and send at once. Without `LISTENS`
/// the session has no listeners, without `DATAGRAMS` only streams; the code for them is left out.
#[derive(Debug)]
pub struct Single<const LISTENS: bool, const DATAGRAMS: bool>;

impl Mode for Full {}
impl<const LISTENS: bool, const DATAGRAMS: bool> Mode for Single<LISTENS, DATAGRAMS> {}

pub(super) mod sealed {
    use super::*;

    pub trait Sealed: Sized + Debug + 'static {
        /// One exchange is park and send.
        const SINGLE: bool;
        const LISTENS: bool;
        const DATAGRAMS: bool;
        /// Where the send is kept, if it is an exchange of its own.
        type Beside: Debug;
        const BESIDE: Self::Beside;

        fn send<'t>(park: &'t Trip, beside: &'t Self::Beside) -> &'t Trip;
        fn send_mut<'t>(park: &'t mut Trip, beside: &'t mut Self::Beside) -> &'t mut Trip;

        /// The lane that does the work of `lane`.
        fn lane(lane: Lane) -> Lane {
            if Self::SINGLE { Lane::Park } else { lane }
        }

        /// Whether an exchange on this lane carries what goes.
        fn carries(lane: Lane) -> bool {
            Self::SINGLE || lane == Lane::Send
        }

        /// The kind that a channel has.
        fn kind(kind: Kind) -> Kind {
            if Self::DATAGRAMS { kind } else { Kind::Stream }
        }
    }
}

use sealed::Sealed;

impl Sealed for Full {
    const SINGLE: bool = false;
    const LISTENS: bool = true;
    const DATAGRAMS: bool = true;
    type Beside = Trip;
    const BESIDE: Trip = Trip::new();

    fn send<'t>(_: &'t Trip, beside: &'t Trip) -> &'t Trip {
        beside
    }

    fn send_mut<'t>(_: &'t mut Trip, beside: &'t mut Trip) -> &'t mut Trip {
        beside
    }
}

impl<const L: bool, const D: bool> Sealed for Single<L, D> {
    const SINGLE: bool = true;
    const LISTENS: bool = L;
    const DATAGRAMS: bool = D;
    type Beside = ();
    const BESIDE: () = ();

    fn send<'t>(park: &'t Trip, _: &'t ()) -> &'t Trip {
        park
    }

    fn send_mut<'t>(park: &'t mut Trip, _: &'t mut ()) -> &'t mut Trip {
        park
    }
}
