//! The configuration with which a client is opened.

use std::ffi::{c_char, c_void};
use std::mem::offset_of;
use std::num::NonZeroU8;
use std::time::Duration;

use super::args::{OutPointer, optional_text, slice, struct_size, text};
use super::byway_error;
use super::guard::entry;
use super::hooks::{self, byway_notice_callback, byway_resolve_callback, byway_socket_callback};
use super::identity::{BYWAY_IDENTITY_SIZE, identity};
use super::last::CallError;
use super::settings::{pace, proxy, security, setting, shared_secret};
use crate::client::{Config, Security};
use crate::session::Profile;
use crate::transport::Roots;

/// Version of byway_config. It rises if the meaning of a field changes.
pub const BYWAY_CONFIG_VERSION: u32 = 1;

/// How a client waits for octets of its peers.
#[repr(i32)]
pub enum byway_pace {
    /// The client waits by answers that stay open, where the path passes them on promptly; else by long
    /// polls.
    Streaming = 0,
    /// The client waits by long polls.
    LongPoll = 1,
    /// The client waits by long polls, as long as the path allows when idle: a request in two minutes.
    Battery = 2,
}

/// Whether to go through an HTTP proxy.
#[repr(i32)]
pub enum byway_proxy {
    /// No proxy, whatever the environment says.
    None = 0,
    /// The proxy that http_proxy, https_proxy, all_proxy and no_proxy of the environment name.
    Environment = 1,
    /// The proxy of proxy_url.
    Url = 2,
}

/// Sizes for common cases. Rings are octets of each channel in each direction.
#[repr(i32)]
pub enum byway_profile {
    /// Firmware: 2 channels, rings of 1 KiB, 1 listener, buffers of 1 KiB.
    Tiny = 0,
    /// An app on a phone: 8 channels, rings of 16 KiB, 4 listeners, buffers of 8 KiB.
    Phone = 1,
    /// A program on a PC: 32 channels, rings of 256 KiB and up to 8 MiB, a pool of 32 MiB, 16 listeners,
    /// buffers of 64 KiB.
    Pc = 2,
    /// Bulk transfer over long paths: 4 channels, rings of 8 MiB, 4 listeners, buffers of 64 KiB.
    Bulk = 3,
    /// Many peers: 256 channels, rings of 64 KiB and up to 16 MiB, a pool of 64 MiB, 16 listeners,
    /// buffers of 64 KiB.
    Server = 4,
    /// An app on a phone with memory to spare: 16 channels, rings of 16 KiB and up to 512 KiB, a pool of
    /// 2 MiB, 4 listeners, buffers of 16 KiB.
    App = 5,
}

/// A header field of HTTP.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct byway_header {
    /// The name of the field.
    pub name: *const c_char,
    /// The value of the field.
    pub value: *const c_char,
}

/// What a client is opened with. byway_config_default fills it; only relay_url has no default. What
/// it points to stays the caller's, and is copied by the call that opens a client.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct byway_config {
    /// Octets of the struct that the caller knows; filled by byway_config_default.
    pub size: u32,
    /// BYWAY_CONFIG_VERSION; filled by byway_config_default.
    pub version: u32,
    /// The relay: http://host:port or https://host, with a path if it has one.
    pub relay_url: *const c_char,
    /// The proxy with BYWAY_PROXY_URL: http://user:password@host:port, all but the host optional, percent-encoded.
    pub proxy_url: *const c_char,
    /// The header field User-Agent; NULL: byway/ and the version; empty: none is sent.
    pub user_agent: *const c_char,
    /// Header fields added to every request, 2 KiB in all at most; NULL if header_count is 0.
    pub headers: *const byway_header,
    /// Number of headers.
    pub header_count: usize,
    /// Certificates (PEM) to trust for https, or pins of the relay's key, pin:sha256/ and 44 characters of
    /// base64 as byway relay prints it, more behind commas: then its certificate's names, dates and issuer do not count.
    /// NULL: the system's, or where it has none as files, the public web's.
    pub roots_pem: *const c_char,
    /// Octets of roots_pem, without a NUL.
    pub roots_pem_len: usize,
    /// Must be NULL.
    pub reserved: *const c_char,
    /// Start of this process in milliseconds since 1970, see owner; 0: now.
    pub epoch_ms: u64,
    /// Octets by which the relay knows this program: a process of the same owner that started later takes over
    /// the endpoints of its predecessor at once. All zeros: random, or made of seed without telling it,
    /// so that no other process has the same.
    pub owner: [u8; 16],
    /// Randomness for where the system has none: octets that nobody can guess, new at each start of the program
    /// and no other program's, since the session's secret and the keys of its channels are made of them. All zeros:
    /// the system's.
    pub seed: [u8; 24],
    /// How long a channel rides out silence while something is outstanding; at least 1. The smaller of
    /// both ends counts, but no less than 66000, or 250000 with BYWAY_PACE_BATTERY. Default 180000.
    pub linger_ms: u32,
    /// How often the peer of an idle channel is probed; 0, the default: never.
    pub keepalive_ms: u32,
    /// How long a TCP connection to the relay or proxy may take, with all its addresses, of which each
    /// gets 250 ms before the next is tried beside it; at least 1. Default 3000.
    pub tcp_timeout_ms: u32,
    /// How the client waits, one of enum byway_pace. Default BYWAY_PACE_STREAMING.
    pub pace: u32,
    /// Whether there is a proxy, one of enum byway_proxy. Default BYWAY_PROXY_NONE.
    pub proxy: u32,
    /// Channels at once, 1 to 256. This and the next three: default as BYWAY_PROFILE_PC.
    pub channels: u32,
    /// Octets of each channel's transmit ring and of its receive ring: a power of two, 256 to 2^30.
    pub ring: u32,
    /// Listeners at once, 0 to 16.
    pub listeners: u32,
    /// Octets of each of the transport's buffers, 512 to 16 MiB.
    pub io_buffer: u32,
    /// Connections that may wait to be accepted at each listener, up to 255; each takes a channel.
    /// 0, the default: as many as there are channels, but at most 255.
    pub backlog: u32,
    /// This and the next five are functions of the program, which byway's own threads call with no lock
    /// held, or NULL, their default. They may be called from several threads at once, must neither throw
    /// nor longjmp, and every function that returns int32_t gives BYWAY_ERROR_CALLBACK within them.
    ///
    /// on_socket is called for every TCP socket before it connects. Where it fails the next address of the
    /// host is tried, and if none is left the cause is BYWAY_ERROR_HOOK. It should not block for long:
    /// that is not cut short, and byway_close may wait half a second for it.
    pub on_socket: byway_socket_callback,
    /// Resolves the relay's or proxy's name in the place of the system's resolver; numeric addresses are
    /// not resolved. May block: a thread of its own calls it, and after 6 s the dial goes on without it.
    /// Where it fails, or gives no address, the cause is BYWAY_ERROR_DNS unless older addresses are known.
    pub on_resolve: byway_resolve_callback,
    /// Is called first thing in every thread of the client: two that live as long as it does, and one
    /// while a name is being resolved.
    pub on_thread_start: byway_notice_callback,
    /// Is called last thing in every thread of the client.
    pub on_thread_end: byway_notice_callback,
    /// Is called when none of these will be called again, so that hooks_userdata may be freed; by the last
    /// thread of the client, behind its on_thread_end, or in the call that closes or fails to make the
    /// client. Once for each call that was given this configuration, however that ended, but for
    /// BYWAY_ERROR_STRUCT and BYWAY_ERROR_CALLBACK. A thread that is resolving a name may outlast the
    /// client.
    pub on_release: byway_notice_callback,
    /// The userdata that these functions get.
    pub hooks_userdata: *mut c_void,
    /// Octets from which streams that need it are lent longer rings, up to a quarter of it each, but two
    /// rings' length at least: 0, or a power of two up to 2^30. With 0, or less than four rings, the
    /// length of a ring never changes.
    /// Default as BYWAY_PROFILE_PC; 0 in the struct of a program that does not know this field.
    pub pool: u64,
    /// The identity of this program, by which it can listen at its own key name, see byway_identity_name: octets
    /// that nobody can guess, made once and kept secret. All zeros, the default: it has none.
    pub identity: [u8; BYWAY_IDENTITY_SIZE],
    /// The token by which a relay with a policy lets this client in, or NULL. It is copied, and shown nowhere.
    pub token: *const c_char,
    /// The file with the token, read when the client is opened and again when the relay refuses the token, or NULL.
    /// Only one of the two may be given.
    pub token_file: *const c_char,
    /// A secret that this program and its peers were given, each on another way than by the relay:
    /// BYWAY_SHARED_SECRET_SIZE octets that nobody can guess. Only peers with the same can have a channel with
    /// this client. NULL, the default: any peer can.
    pub shared_secret: *const u8,
    /// Octets of shared_secret: BYWAY_SHARED_SECRET_SIZE, or 0 if that is NULL.
    pub shared_secret_len: usize,
    /// 1: the token may go over http:// to other machines, where everybody on the way can read it. 0, the
    /// default: opening a client with such a URL is BYWAY_ERROR_SETTING.
    pub token_over_http: u32,
    /// 0, the default: what channels carry is encrypted from end to end. 1: it is not, and the relay, and without
    /// https:// all on the way, can read and change it. Both ends have to agree: none ever falls back.
    pub plain: u32,
    /// The file that keeps the keys of listeners at ordinary names, or NULL, the default: none. A listener that
    /// has an identity and was met before is refused by BYWAY_ERROR_WRONG_KEY when its key is another, as by ssh. The
    /// file is made when there is none. Where it cannot be read, connecting is BYWAY_ERROR_SETTING.
    pub known_peers: *const c_char,
    /// Must be NULL. It fills the struct where pointers have 4 octets.
    pub reserved2: *const c_char,
}

/// Octets of a secret that peers share.
pub const BYWAY_SHARED_SECRET_SIZE: usize = 32;

/// No padding, here and on 32-bit targets: a field added in the place of padding would be garbage
/// in the structs of programs that do not know it.
const POINTER: usize = size_of::<usize>();
const _: () = assert!(
    size_of::<byway_config>()
        == 2 * 4 + 14 * POINTER + 8 + 40 + 10 * 4 + 8 + 32 + 4 * POINTER + 2 * 4 + 2 * POINTER
);

/// What a struct has at the very least: up to `relay_url`, rounded up to 8 for 32-bit targets.
const LEAST: usize = (offset_of!(byway_config, relay_url) + POINTER).next_multiple_of(8);

/// Larger buffers speed nothing up.
const MAX_IO_BUFFER: u32 = 16 << 20;

/// Header fields that could fit into 2 KiB.
const MAX_HEADERS: usize = 1024;

fn defaults() -> byway_config {
    let config = Config::new("");
    let millis = |time: Duration| time.as_millis() as u32;
    let mut defaults = byway_config {
        size: size_of::<byway_config>() as u32,
        version: BYWAY_CONFIG_VERSION,
        relay_url: std::ptr::null(),
        proxy_url: std::ptr::null(),
        user_agent: std::ptr::null(),
        headers: std::ptr::null(),
        header_count: 0,
        roots_pem: std::ptr::null(),
        roots_pem_len: 0,
        reserved: std::ptr::null(),
        epoch_ms: 0,
        owner: [0; 16],
        seed: [0; 24],
        linger_ms: millis(config.linger),
        keepalive_ms: 0,
        tcp_timeout_ms: millis(config.tcp_timeout),
        pace: byway_pace::Streaming as u32,
        proxy: byway_proxy::None as u32,
        channels: 0,
        ring: 0,
        listeners: 0,
        io_buffer: 0,
        backlog: 0,
        on_socket: None,
        on_resolve: None,
        on_thread_start: None,
        on_thread_end: None,
        on_release: None,
        hooks_userdata: std::ptr::null_mut(),
        pool: 0,
        identity: [0; BYWAY_IDENTITY_SIZE],
        token: std::ptr::null(),
        token_file: std::ptr::null(),
        shared_secret: std::ptr::null(),
        shared_secret_len: 0,
        token_over_http: 0,
        plain: 0,
        known_peers: std::ptr::null(),
        reserved2: std::ptr::null(),
    };
    set_profile(&mut defaults, &config.profile);
    defaults
}

fn set_profile(config: &mut byway_config, profile: &Profile) {
    config.channels = profile.channels as u32;
    config.ring = profile.ring as u32;
    config.pool = profile.pool as u64;
    config.listeners = profile.listeners as u32;
    config.io_buffer = profile.io_buffer as u32;
}

/// Writes the first `size` octets of `value`, and zeros behind what we know.
///
/// # Safety
/// `config` is valid for writes of `size` octets.
unsafe fn write(config: *mut byway_config, size: usize, value: &byway_config) {
    let known = size.min(size_of::<byway_config>());
    // SAFETY: `known` octets of ours can be read, `size` of the caller's written, as it says.
    unsafe {
        let place = config.cast::<u8>();
        std::ptr::copy_nonoverlapping(std::ptr::from_ref(value).cast(), place, known);
        place.add(known).write_bytes(0, size - known);
    }
}

/// Reads what the caller knows of the struct, and defaults for the rest.
///
/// # Safety
/// `config` is NULL or points to a struct of as many octets as its first field says.
unsafe fn read(config: *const byway_config) -> Result<byway_config, CallError> {
    let place = OutPointer::new(config.cast_mut(), "config")?.into_ptr();
    // SAFETY: not NULL and aligned; its first fields are there, as the caller says.
    let (size, version) = unsafe { ((*place).size as usize, (*place).version) };
    let size = struct_size(size, LEAST, "byway_config")?;
    let unknown = |line: &'static str| Err(CallError::new(byway_error::Struct, line));
    if version != BYWAY_CONFIG_VERSION {
        return unknown(
            "config has another version: fill it by byway_config_default, or update byway",
        );
    }
    let known = size.min(size_of::<byway_config>());
    let mut value = byway_config { pool: 0, ..defaults() };
    // SAFETY: `size` octets are there, as the caller says; any of them are a valid number or pointer.
    let rest = unsafe {
        std::ptr::copy_nonoverlapping(
            place.cast::<u8>(),
            std::ptr::from_mut(&mut value).cast(),
            known,
        );
        std::slice::from_raw_parts(place.cast::<u8>().add(known), size - known)
    };
    if rest.iter().any(|octet| *octet != 0) {
        return unknown(
            "config has settings that this version does not know: zero them, or update byway",
        );
    }
    Ok(value)
}

impl byway_config {
    /// # Safety
    /// The pointers are NULL or valid as their fields' comments say.
    unsafe fn to_config(self) -> Result<Config, CallError> {
        // First, so that on_release is called whatever else is wrong.
        let hooks = hooks::hooks(&self);
        if !self.reserved.is_null() || !self.reserved2.is_null() {
            return Err(setting("config.reserved and config.reserved2 must be NULL"));
        }
        // SAFETY: as the caller says.
        let known_peers = unsafe { optional_text(self.known_peers, "known_peers") }?;
        // SAFETY: as the caller says.
        let token = unsafe { self.token() }?;
        let security = security(self.plain)?;
        // SAFETY: as the caller says.
        let shared_secret = unsafe { shared_secret(self.shared_secret, self.shared_secret_len) }?;
        if security == Security::Plain && shared_secret.is_some() {
            return Err(setting("config.shared_secret is of no use where config.plain is 1"));
        }
        // SAFETY: as the caller says.
        let url = unsafe { text(self.relay_url, "relay_url") }?;
        let defaults = Config::new(url);
        // SAFETY: as the caller says.
        let proxy = unsafe { proxy(self.proxy, self.proxy_url) }?;
        if self.header_count > MAX_HEADERS {
            return Err(setting("the headers are too long: 2 KiB in all at most"));
        }
        if !(512..=MAX_IO_BUFFER).contains(&self.io_buffer) {
            return Err(setting("config.io_buffer must be from 512 to 16 MiB"));
        }
        // SAFETY: as the caller says.
        let headers = unsafe { slice(self.headers, self.header_count, "headers") }?;
        let headers = headers.iter().map(|header| {
            // SAFETY: as the caller says.
            let (name, value) =
                unsafe { (text(header.name, "header name")?, text(header.value, "header value")?) };
            Ok((name.to_owned(), value.to_owned()))
        });
        // SAFETY: as the caller says.
        let user_agent = unsafe { optional_text(self.user_agent, "user_agent") }?;
        // SAFETY: as the caller says.
        let roots = unsafe { slice(self.roots_pem.cast::<u8>(), self.roots_pem_len, "roots_pem") }?;
        let millis = |ms: u32| Duration::from_millis(ms.into());
        let tcp_timeout = millis(self.tcp_timeout_ms);
        if tcp_timeout.is_zero() {
            return Err(setting("config.tcp_timeout_ms must be at least 1"));
        }
        Ok(Config {
            profile: Profile {
                channels: self.channels as usize,
                ring: self.ring as usize,
                pool: usize::try_from(self.pool).unwrap_or(usize::MAX),
                listeners: self.listeners as usize,
                io_buffer: self.io_buffer as usize,
            },
            owner: Some(self.owner).filter(|owner| *owner != [0; 16]),
            epoch: Some(self.epoch_ms).filter(|epoch| *epoch != 0),
            seed: Some(self.seed).filter(|seed| *seed != [0; 24]),
            identity: identity(&self.identity),
            security,
            shared_secret,
            known_peers: known_peers.map(Into::into),
            linger: millis(self.linger_ms),
            keepalive: Some(millis(self.keepalive_ms)).filter(|time| !time.is_zero()),
            pace: pace(self.pace)?,
            tcp_timeout,
            backlog: u8::try_from(self.backlog)
                .map(NonZeroU8::new)
                .map_err(|_| setting("config.backlog must be from 0 to 255"))?,
            proxy,
            headers: headers.collect::<Result<_, CallError>>()?,
            user_agent: user_agent.map_or(defaults.user_agent, str::to_owned),
            roots: match roots {
                [] => defaults.roots,
                octets => Roots::from_octets(octets).map_err(|_| {
                    // The library's own text names the option of the command.
                    setting("config.roots_pem must be PEM, or pin:sha256/ and 44 characters of base64 as byway relay prints")
                })?,
            },
            hooks,
            token,
            ..Config::new(url)
        })
    }
}

/// # Safety
/// `config` is NULL, or points to a struct of the size it says, with valid pointers in it.
pub(super) unsafe fn config(config: *const byway_config) -> Result<Config, CallError> {
    // SAFETY: the same is asked of the caller.
    unsafe { read(config)?.to_config() }
}

/// Fills a configuration with the defaults. size is sizeof *config.
///
/// Does not block. Returns BYWAY_OK, BYWAY_ERROR_ARGUMENT (config is NULL), BYWAY_ERROR_STRUCT (no
/// size that a byway_config ever had), or what every call can.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn byway_config_default(config: *mut byway_config, size: usize) -> i32 {
    entry(|| {
        let place = OutPointer::new(config, "config")?.into_ptr();
        let size = struct_size(size, LEAST, "byway_config")?;
        let value = byway_config { size: size as u32, ..defaults() };
        // SAFETY: the caller says that there are so many octets.
        unsafe { write(place, size, &value) };
        Ok(())
    })
}

/// Sets channels, ring, listeners, io_buffer and pool of a configuration that byway_config_default has
/// filled to those of a profile, one of enum byway_profile.
///
/// Does not block. Returns BYWAY_OK, BYWAY_ERROR_ARGUMENT (config is NULL, or no such profile),
/// BYWAY_ERROR_STRUCT (the struct has not been filled, or is too short for these fields), or what every
/// call can.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn byway_config_profile(config: *mut byway_config, profile: u32) -> i32 {
    entry(|| {
        // SAFETY: the caller says that it points to a struct of the size it says.
        let mut value = unsafe { read(config) }?;
        let profile = match profile {
            0 => Profile::TINY,
            1 => Profile::PHONE,
            2 => Profile::PC,
            3 => Profile::BULK,
            4 => Profile::SERVER,
            5 => Profile::APP,
            _ => return Err(CallError::argument("profile must be one of enum byway_profile")),
        };
        let size = value.size as usize;
        struct_size(size, offset_of!(byway_config, backlog), "a byway_config with a profile")?;
        set_profile(&mut value, &profile);
        // SAFETY: it was read from there, and may be written, as the caller says.
        unsafe { write(config, size, &value) };
        Ok(())
    })
}
