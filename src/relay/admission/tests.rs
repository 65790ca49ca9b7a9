//! Tokens that are let in, and everything else that is not.

mod guesses;
pub mod jwts;
mod policies;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue};

use super::*;

/// An address beyond loopback.
const FAR: Origin = Origin::Address(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));

fn headers(token: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let value = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
    headers.insert(AUTHORIZATION, value);
    headers
}

fn admission(policy: &str) -> Admission {
    Admission::new(&RelayAccess::Policy(Arc::new(Policy::parse(policy).unwrap())))
}

fn admit(admission: &Admission, token: &str) -> Result<Arc<Grant>, Denial> {
    admission.admit(&headers(token), &FAR).map(|grant| grant.expect("there is a policy"))
}
