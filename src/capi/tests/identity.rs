//! Identities and key names.

use std::ffi::CStr;
use std::ptr::null_mut;

use super::*;
use crate::secure::Identity;

const IDENTITY: [u8; BYWAY_IDENTITY_SIZE] = [7; BYWAY_IDENTITY_SIZE];

#[test]
fn key_name_is_that_of_rust() {
    let mut name = [1; BYWAY_KEY_NAME_SIZE];
    // SAFETY: as large as it says.
    check(unsafe { byway_identity_name(IDENTITY.as_ptr(), name.as_mut_ptr(), name.len()) });
    // SAFETY: it ends with NUL.
    let text = unsafe { CStr::from_ptr(name.as_ptr()) };
    let expected = Identity::from_seed(IDENTITY).public_key().to_string();
    assert_eq!(text.to_str(), Ok(expected.as_str()));
    // SAFETY: nothing is written into a buffer that is too small.
    let code = unsafe { byway_identity_name(IDENTITY.as_ptr(), name.as_mut_ptr(), name.len() - 1) };
    expect(code, byway_error::BufferTooSmall);
    assert_eq!(byway_last_detail(), BYWAY_KEY_NAME_SIZE as u64);
    // SAFETY: a buffer of no octets.
    let code = unsafe { byway_identity_name(IDENTITY.as_ptr(), null_mut(), 0) };
    expect(code, byway_error::BufferTooSmall);
}

#[test]
fn client_listens_at_its_own_key_name_alone() {
    let relay = relay();
    let url = CString::new(relay.url()).expect("a URL");
    let own = Identity::from_seed(IDENTITY).public_key();
    let own = CString::new(format!("{own}:1")).expect("an endpoint");
    let other = Identity::from_seed([8; 32]).public_key();
    let other = CString::new(format!("{other}:1")).expect("an endpoint");
    let mut config = default_config();
    assert_eq!(config.identity, [0; BYWAY_IDENTITY_SIZE]);
    config.relay_url = url.as_ptr();
    config.identity = IDENTITY;
    let (mut client, mut listener, mut stream) = (0, 0, 0);
    // SAFETY: the pointers are to what lives longer than the calls.
    unsafe {
        check(byway_client_open(&config, 20_000, &mut client));
        check(byway_listen(client, own.as_ptr(), 20_000, &mut listener));
        let code = byway_listen(client, other.as_ptr(), 20_000, &mut stream);
        expect(code, byway_error::KeyName);
        expect(byway_connect(client, c"k.x:1".as_ptr(), 0, &mut stream), byway_error::KeyName);
        check(byway_connect(client, own.as_ptr(), 20_000, &mut stream));
    }
    check(byway_abort(client));
}
