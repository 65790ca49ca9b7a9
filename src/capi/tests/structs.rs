//! Structs of older and newer programs.

use super::*;

const SIZE: usize = size_of::<byway_config>();

/// A place for a config of any size, aligned, filled with something.
#[repr(C, align(8))]
struct Place([u8; 8192]);

fn place() -> Box<Place> {
    Box::new(Place([0xa5; 8192]))
}

impl Place {
    fn config(&mut self) -> *mut byway_config {
        self.0.as_mut_ptr().cast()
    }

    /// # Safety
    /// It holds a config of `size` octets.
    unsafe fn set_url(&mut self, url: &CStr) {
        // SAFETY: the first fields are there in any size.
        unsafe { (*self.config()).relay_url = url.as_ptr() };
    }
}

#[test]
fn defaults_are_those_of_rust() {
    let config = default_config();
    assert_eq!((config.size as usize, config.version), (SIZE, BYWAY_CONFIG_VERSION));
    assert_eq!((config.linger_ms, config.keepalive_ms, config.tcp_timeout_ms), (180_000, 0, 3_000));
    assert_eq!((config.channels, config.ring, config.listeners), (32, 256 << 10, 16));
    assert_eq!(config.pool, 32 << 20);
    assert_eq!((config.io_buffer, config.backlog), (64 << 10, 0));
    assert!(config.relay_url.is_null() && config.reserved.is_null() && config.reserved2.is_null());
}

#[test]
fn a_default_fills_what_the_program_knows_and_no_more() {
    for size in [16, 24, 64, SIZE - 8, SIZE, SIZE + 8, 4096] {
        let mut place = place();
        // SAFETY: the place is longer than all sizes.
        check(unsafe { byway_config_default(place.config(), size) });
        assert!(place.0[size..].iter().all(|octet| *octet == 0xa5), "{size}: written behind");
        assert!(place.0[SIZE.min(size)..size].iter().all(|octet| *octet == 0), "{size}: zeros");
        assert_eq!(u32::from_ne_bytes(place.0[..4].try_into().expect("4 octets")), size as u32);
    }
    for size in [0, 1, 4, 8, 17, SIZE + 1, SIZE - 4, 4104, usize::MAX, usize::MAX & !7] {
        let mut place = place();
        // SAFETY: nothing may be written for these sizes.
        expect(unsafe { byway_config_default(place.config(), size) }, byway_error::Struct);
        assert!(place.0.iter().all(|octet| *octet == 0xa5), "{size}");
    }
}

#[test]
fn programs_of_other_versions_open_clients() {
    let relay = relay();
    let url = CString::new(relay.url()).expect("a URL");
    // The shorter ones knew less settings, the longer one knows more, and leaves them as they are.
    for size in [24, 64, SIZE - 8, SIZE + 64] {
        let mut place = place();
        // SAFETY: the place holds a config of this size, filled by the first call.
        let client = unsafe {
            check(byway_config_default(place.config(), size));
            place.set_url(&url);
            // Behind what the program knows lies something else.
            given(|handle| byway_client_open(place.config(), LONG, handle))
        };
        check(byway_close(client, LONG));
    }
}

#[test]
fn unknown_sizes_versions_and_settings_are_refused() {
    let mut place = place();
    let mut handle = NOTHING;
    let mut refused = |place: &mut Place, change: &dyn Fn(&mut Place)| {
        // SAFETY: the place holds a config of the size it says, but where that is refused.
        unsafe {
            check(byway_config_default(place.config(), SIZE + 64));
            place.set_url(c"http://127.0.0.1:1");
            change(place);
            expect(byway_client_start(place.config(), &mut handle), byway_error::Struct);
        }
        assert_eq!(handle, NOTHING);
    };
    let set = |at: usize, value: u32| {
        move |place: &mut Place| place.0[at..at + 4].copy_from_slice(&value.to_ne_bytes())
    };
    for size in [0, 7, 8, SIZE as u32 - 1, 4104, u32::MAX] {
        refused(&mut place, &set(0, size));
    }
    refused(&mut place, &set(4, 0));
    refused(&mut place, &set(4, BYWAY_CONFIG_VERSION + 1));
    refused(&mut place, &set(SIZE + 60, 1));
    // A struct that no function has filled.
    refused(&mut place, &|place| place.0.fill(0));
}

#[test]
fn a_profile_needs_its_fields() {
    let mut place = place();
    // SAFETY: the place holds a config of this size.
    unsafe {
        check(byway_config_default(place.config(), 64));
        expect(byway_config_profile(place.config(), 1), byway_error::Struct);
        check(byway_config_default(place.config(), SIZE));
        for (profile, channels) in [(0, 2), (1, 8), (2, 32), (3, 4), (4, 256), (5, 16)] {
            check(byway_config_profile(place.config(), profile));
            assert_eq!((*place.config()).channels, channels);
        }
        let before = place.0;
        expect(byway_config_profile(place.config(), 6), byway_error::Argument);
        assert!(before == place.0);
    }
}

#[test]
fn settings_that_cannot_be_used_are_refused() {
    let refused = |code, change: &dyn Fn(&mut byway_config)| {
        let mut config = default_config();
        config.relay_url = c"http://127.0.0.1:1".as_ptr();
        change(&mut config);
        let mut handle = NOTHING;
        // SAFETY: the pointers in it are NULL, or to what lives longer than the call.
        expect(unsafe { byway_client_start(&config, &mut handle) }, code);
        assert_eq!(handle, NOTHING);
    };
    let setting = |change: &dyn Fn(&mut byway_config)| refused(byway_error::Setting, change);
    let header = byway_header { name: c"Host".as_ptr(), value: c"x".as_ptr() };
    setting(&|config| config.channels = 0);
    setting(&|config| config.channels = 257);
    setting(&|config| config.channels = u32::MAX);
    setting(&|config| config.ring = 1000);
    setting(&|config| config.pool = 1000);
    setting(&|config| config.pool = u64::MAX);
    setting(&|config| config.listeners = 17);
    setting(&|config| config.io_buffer = 511);
    setting(&|config| config.io_buffer = u32::MAX);
    setting(&|config| config.backlog = 256);
    setting(&|config| config.linger_ms = 0);
    setting(&|config| config.tcp_timeout_ms = 0);
    setting(&|config| config.pace = 3);
    setting(&|config| config.proxy = 3);
    setting(&|config| config.reserved = c"".as_ptr());
    setting(&|config| config.reserved2 = c"".as_ptr());
    setting(&|config| config.token = c"".as_ptr());
    setting(&|config| config.token = c"two words".as_ptr());
    setting(&|config| config.token_file = c"/nowhere/at/all".as_ptr());
    setting(&|config| {
        config.token = c"x".as_ptr();
        config.token_file = c"/dev/null".as_ptr();
    });
    setting(&|config| {
        config.token = c"x".as_ptr();
        config.token_over_http = 2;
    });
    setting(&|config| {
        config.relay_url = c"http://192.0.2.1".as_ptr();
        config.token = c"x".as_ptr();
    });
    setting(&|config| config.plain = 2);
    let secret = [7; 33];
    for len in [0, 1, 31, 33] {
        setting(&|config| {
            (config.shared_secret, config.shared_secret_len) = (secret.as_ptr(), len)
        });
    }
    setting(&|config| {
        (config.shared_secret, config.shared_secret_len) = ([0; 32].as_ptr(), 32);
    });
    setting(&|config| {
        config.plain = 1;
        (config.shared_secret, config.shared_secret_len) = (secret.as_ptr(), 32);
    });
    setting(&|config| {
        config.proxy = byway_proxy::Url as u32;
        config.proxy_url = c"socks5://proxy".as_ptr();
    });
    setting(&|config| (config.headers, config.header_count) = (&header, 1));
    setting(&|config| (config.headers, config.header_count) = (&header, usize::MAX));
    setting(&|config| config.user_agent = c"a\nb".as_ptr());
    let argument = |change: &dyn Fn(&mut byway_config)| refused(byway_error::Argument, change);
    argument(&|config| config.relay_url = std::ptr::null());
    argument(&|config| config.relay_url = c"\xff".as_ptr());
    argument(&|config| config.proxy = byway_proxy::Url as u32);
    argument(&|config| config.header_count = 1);
    argument(&|config| config.roots_pem_len = 1);
    argument(&|config| config.shared_secret_len = 32);
    argument(&|config| {
        config.roots_pem = c"x".as_ptr();
        config.roots_pem_len = usize::MAX;
    });
    refused(byway_error::RelayUrl, &|config| config.relay_url = c"ftp://host".as_ptr());
    // 512 GiB: refused, where Rust would end the process.
    #[cfg(target_pointer_width = "64")]
    refused(byway_error::System, &|config| (config.channels, config.ring) = (256, 1 << 30));
}

#[test]
fn stats_are_given_to_programs_of_other_versions() {
    let pair = Pair::new();
    let known = size_of::<byway_channel_stats>();
    for size in [8, 16, known, known + 16] {
        let mut place = place();
        // SAFETY: the place is longer than all sizes.
        check(unsafe {
            byway_channel_get_stats(pair.streams[0], place.0.as_mut_ptr().cast(), size)
        });
        assert_eq!(place.0[..4], (size.min(known) as u32).to_ne_bytes());
        assert!(place.0[known.min(size)..size].iter().all(|octet| *octet == 0));
        assert!(place.0[size..].iter().all(|octet| *octet == 0xa5));
    }
    let known = size_of::<byway_client_stats>();
    for size in [8, known, known + 16] {
        let mut place = place();
        // SAFETY: as above.
        check(unsafe {
            byway_client_get_stats(pair.clients[0], place.0.as_mut_ptr().cast(), size)
        });
        assert_eq!(place.0[..4], (size.min(known) as u32).to_ne_bytes());
        assert!(place.0[size..].iter().all(|octet| *octet == 0xa5));
    }
    for size in [0, 4, 9, 1 << 20] {
        let mut place = place();
        let (stats, event) = (place.0.as_mut_ptr(), place.0.as_mut_ptr());
        // SAFETY: nothing may be written for these sizes.
        unsafe {
            let code = byway_channel_get_stats(pair.streams[0], stats.cast(), size);
            expect(code, byway_error::Struct);
            let code = byway_client_get_stats(pair.clients[0], stats.cast(), size);
            expect(code, byway_error::Struct);
            let code = byway_next_event(pair.clients[0], event.cast(), size, 0);
            expect(code, byway_error::Struct);
        }
        assert!(place.0.iter().all(|octet| *octet == 0xa5), "{size}");
    }
}
