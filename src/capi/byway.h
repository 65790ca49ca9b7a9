/*
 * byway: a socket between two devices that can only make outbound HTTP requests.
 *
 * Generated from src/capi by cbindgen: do not edit.
 *
 *   byway_config config;
 *   byway_handle client, stream;
 *   size_t n;
 *
 *   byway_config_default(&config, sizeof config);
 *   config.relay_url = "http://relay.example:8080";
 *   if (byway_client_open(&config, 10000, &client) != BYWAY_OK) { puts(byway_last_error()); ... }
 *   if (byway_connect(client, "camera:1", 20000, &stream) != BYWAY_OK) ...
 *   while (byway_recv(stream, buffer, sizeof buffer, BYWAY_FOREVER, &n) == BYWAY_OK && n > 0) ...
 *   byway_close(stream, 5000);
 *   byway_close(client, 5000);
 *
 * RESULTS. A function that returns int32_t returns BYWAY_OK (0), or one of enum byway_error, all of
 * which are negative. byway_strerror tells what a code means and what to do, byway_last_error what
 * this thread's last failure was in particular, and byway_last_detail the number that belongs to it.
 * Out-parameters are written only on success.
 *
 * CODES. Each function names the codes it can return, some of them by these groups:
 *   every call:   BYWAY_ERROR_PANIC, BYWAY_ERROR_CALLBACK
 *   handle codes: BYWAY_ERROR_HANDLE (0, closed before, or never given), BYWAY_ERROR_KIND
 *   wait codes:   BYWAY_ERROR_TIMED_OUT, BYWAY_ERROR_CANCELLED, BYWAY_ERROR_CLOSED
 *   path codes:   BYWAY_ERROR_DNS, _CONNECT, _HOOK, _TLS, _SILENCE, _CUT, _HTTP, _PROXY_AUTH,
 *                 _FOREIGN, _RELAY, _RELAY_LIMIT
 *   fatal codes:  BYWAY_ERROR_VERSION, _MALFORMED, _SECRET_SHARED; the client has to be closed
 *   end codes:    what ended a channel: BYWAY_ERROR_CLOSED, _PEER_CLOSED, _PEER_ABORTED,
 *                 _PEER_GAVE_UP, _PEER_UNKNOWN, _PEER_PROTOCOL, _LINGER, _HANDSHAKE, _KEY_REFUSED,
 *                 _TAMPERED, _TAMPERED_THERE, _TRUNCATED; and the fatal codes
 *
 * ENCRYPTION. What channels carry is encrypted from end to end, unless both ends say that it is not
 * (byway_config, plain). An ordinary name says nothing about whom a channel is with: byway_connect_to_key,
 * byway_peer_key and byway_admit do, and a secret that both ends were given (byway_config, shared_secret).
 *
 * HANDLES. A byway_handle names a client, listener, stream or datagram channel: a number, never 0,
 * positive as int64_t. The program that got it owns it and closes it, once, with byway_close or
 * byway_abort, whatever else failed. Handles of listeners and channels outlive their client's: calls with
 * them give BYWAY_ERROR_CLOSED then, and they are closed all the same. A number that was closed is never
 * given again: to use it is an error, nothing worse.
 *
 * THREADS. Any function may be called from any thread, also for the same handle at the same time. One
 * thread may close a handle while others wait on it: their calls return BYWAY_ERROR_CLOSED. One
 * thread may send while another receives. Two threads that receive from one stream each get a part. A client has two threads
 * of its own, and for moments a third that asks DNS; all signals are best blocked before it is
 * opened, since they inherit the mask. After fork() the child calls nothing of byway before it has
 * called exec: locks may be held in it for ever. The library is not to be unloaded (dlclose): threads
 * may outlast their client.
 *
 * TIME. timeout_ms is in milliseconds: 0 only looks and does not wait, BYWAY_FOREVER or any negative
 * number waits for ever. Where 0 finds nothing the code is BYWAY_ERROR_TIMED_OUT, too. Time asleep
 * (suspend) may not count. Functions without timeout_ms do not block.
 *
 * EVENT LOOPS. A program of one thread waits in poll() for descriptors of byway_poll_fd, and gives every
 * call a timeout_ms of 0. A call that opens something (byway_client_open, byway_listen*,
 * byway_connect*) gives its handle at once then: the descriptor for BYWAY_OPENED becomes readable when it is open or has
 * failed, and byway_wait_open tells which. A client need not be open for the others to be asked for.
 *
 * STRINGS are UTF-8 and end with a NUL; the call copies those that it is given before it returns. Lengths are
 * in octets. A pointer may be NULL only where that is said, or where its length is 0.
 *
 * STRUCTS begin with their size, and calls are told it as sizeof: programs that were compiled
 * with the header of an older version, whose structs are shorter, go on working. A program compiled
 * with a newer header than the library works, too, as long as the fields that the library does not
 * know are zero.
 *
 * ENUMS. Parameters, results and fields are integers of 32 bits, so that no number that a later version
 * adds is out of range. The enums have that width, too: where the language lets them (C++, C23,
 * Objective-C, Swift) they are types of their own, open to further values; in older C their names are
 * those of int32_t.
 *
 * SILENCE. Nothing is ever written to stdout or stderr, but for what the Rust runtime says when the
 * system refuses memory, before it aborts. Signal handlers and exit handlers are left alone.
 *
 * PANICS, which are faults of byway itself, end as BYWAY_ERROR_PANIC; the library is built with
 * unwinding (panic = "unwind") for that.
 */


#ifndef BYWAY_H
#define BYWAY_H

#include <stddef.h>
#include <stdint.h>

#if defined(__cplusplus) || (defined(__STDC_VERSION__) && __STDC_VERSION__ >= 202311L)
#define BYWAY_TYPED_ENUMS
#elif defined(__has_feature)
#if __has_feature(objc_fixed_enum)
#define BYWAY_TYPED_ENUMS
#endif
#endif

#ifdef __has_attribute
#if __has_attribute(enum_extensibility)
#define BYWAY_ENUM __attribute__((enum_extensibility(open)))
#endif
#endif
#ifndef BYWAY_ENUM
#define BYWAY_ENUM
#endif

// Success.
#define BYWAY_OK 0

// Version of this header: major, minor and patch in 8 bits each.
#define BYWAY_VERSION 256

// Octets that on_resolve of byway_config may fill: some 64 addresses.
#define BYWAY_ADDRESSES_SIZE 4096

// Octets of an identity.
#define BYWAY_IDENTITY_SIZE 32

// Octets of a key name with its NUL.
#define BYWAY_KEY_NAME_SIZE 46

// Version of byway_config. It rises if the meaning of a field changes.
#define BYWAY_CONFIG_VERSION 1

// Octets of a secret that peers share.
#define BYWAY_SHARED_SECRET_SIZE 32

// Most octets of a greeting.
#define BYWAY_GREETING_SIZE 96

// A timeout_ms that waits for ever.
#define BYWAY_FOREVER -1

// Octets of a buffer that holds every endpoint as text, with its NUL: a name of 48, a colon, a port.
#define BYWAY_ENDPOINT_SIZE 64

// Octets of a peer's address.
#define BYWAY_ADDRESS_SIZE 16

// byway_recv or byway_datagram_recv gives something: octets, a datagram, the end or an error.
#define BYWAY_READABLE 1

// byway_send takes something or fails; not while the channel is being connected. On a datagram
// channel: nothing waits to be sent, so that a datagram of any length fits.
#define BYWAY_WRITABLE 2

// byway_accept gives a channel or an error; or it refuses a peer whose key byway_admit did not name.
#define BYWAY_ACCEPTABLE 4

// byway_next_event gives an event.
#define BYWAY_EVENT 8

// The handle's object has ended: every call that could wait gives the cause, once the octets that came
// before were received.
#define BYWAY_ENDED 16

// byway_wait_open gives BYWAY_OK or why it is in vain: a client has its relay's first answer, a listener
// its endpoint, a channel its peer. Stays so, so that it is to be asked for only until then.
#define BYWAY_OPENED 32

// The peer's client has everything that was sent, and the end if that was sent, so that byway_wait_acked
// and byway_close need not wait; or it never will. After the last byway_send call byway_wait_acked
// with timeout_ms 0, which asks for the acknowledgement at once. Of datagrams: none is to be sent.
#define BYWAY_ACKED 64

// Octets of byway_event.seen.
#define BYWAY_SEEN_SIZE 128

// Why a call failed, grouped by where something has to change: this program's use of the interface
// (-1 to -99), its configuration (-100 to -199), the other peer (-200 to -299), something used up
// (-300 to -399), the path to the relay (-400 to -499). Later versions may add codes.
enum BYWAY_ENUM byway_error
#ifdef BYWAY_TYPED_ENUMS
  : int32_t
#endif
 {
  // A pointer is NULL or not aligned, a length or number is out of range, or a text is no UTF-8.
  BYWAY_ERROR_ARGUMENT = -1,
  // The handle is 0, was closed before, or was never given.
  BYWAY_ERROR_HANDLE = -2,
  // The handle is of another kind than the call takes: a listener for a stream, say.
  BYWAY_ERROR_KIND = -3,
  // A struct's size or version is none that this library knows.
  BYWAY_ERROR_STRUCT = -4,
  // Called from within a callback of the program, where only the functions without int32_t result may be.
  BYWAY_ERROR_CALLBACK = -5,
  // A fault of byway itself. What the call was for may or may not have happened.
  BYWAY_ERROR_PANIC = -6,
  // The time given is over, or with timeout_ms 0 there was nothing. It may still happen later.
  BYWAY_ERROR_TIMED_OUT = -7,
  // byway_cancel ended the wait.
  BYWAY_ERROR_CANCELLED = -8,
  // This program closed the client, listener or channel, perhaps in another thread.
  BYWAY_ERROR_CLOSED = -9,
  // A client was closed before its peers had acknowledged everything; detail: on how many channels. 0:
  // they had, but may not know yet that this client has everything, too.
  BYWAY_ERROR_UNACKED = -10,
  // Not possible on this channel: sending behind a shutdown of that direction.
  BYWAY_ERROR_UNSUPPORTED = -11,
  // The buffer is too small, and what was to be put there stays; detail: octets needed.
  BYWAY_ERROR_BUFFER_TOO_SMALL = -12,
  // The datagram is too long for this channel; detail: the most octets.
  BYWAY_ERROR_DATAGRAM_TOO_LONG = -13,
  // No valid endpoint: it is written name:port, as in camera:1.
  BYWAY_ERROR_ENDPOINT = -100,
  // The relay's URL cannot be used.
  BYWAY_ERROR_RELAY_URL = -101,
  // A setting of the configuration cannot be used.
  BYWAY_ERROR_SETTING = -102,
  // Another owner listens at the endpoint.
  BYWAY_ERROR_IN_USE = -103,
  // A newer process of the same owner listens at the endpoint.
  BYWAY_ERROR_TAKEN = -104,
  // This client listens at the endpoint already.
  BYWAY_ERROR_DUPLICATE = -105,
  // The endpoint serves datagrams where a stream was asked for, or the reverse.
  BYWAY_ERROR_ENDPOINT_KIND = -106,
  // The relay speaks another version of the protocol; detail: which.
  BYWAY_ERROR_VERSION = -107,
  // The relay calls what this client sends malformed.
  BYWAY_ERROR_MALFORMED = -108,
  // The listener does not encrypt, and this client does.
  BYWAY_ERROR_PEER_PLAIN = -120,
  // The listener encrypts, and this client does not.
  BYWAY_ERROR_PEER_ENCRYPTS = -121,
  // The key name is damaged or another identity's, or the relay does not take the proof of its key.
  BYWAY_ERROR_KEY_NAME = -109,
  // The relay's policy does not give this client's token the endpoint.
  BYWAY_ERROR_FORBIDDEN = -110,
  // Nobody listens at the endpoint.
  BYWAY_ERROR_NO_LISTENER = -200,
  // The listener's backlog or channels are used up.
  BYWAY_ERROR_BACKLOG_FULL = -201,
  // The peer has not asked the relay for data lately.
  BYWAY_ERROR_PEER_AWAY = -202,
  // The peer closed the channel.
  BYWAY_ERROR_PEER_CLOSED = -203,
  // The peer aborted the channel; detail: the first offset that it had not received.
  BYWAY_ERROR_PEER_ABORTED = -204,
  // The peer knows no such channel: its program ended or was restarted; detail: the first offset not acknowledged.
  BYWAY_ERROR_PEER_UNKNOWN = -205,
  // The peer gave up after silence; detail: the first offset that it had not received.
  BYWAY_ERROR_PEER_GAVE_UP = -206,
  // The peer broke the protocol; detail: the first offset not acknowledged.
  BYWAY_ERROR_PEER_PROTOCOL = -207,
  // The two ends could not agree on keys: their shared secrets differ, or the handshake was changed.
  BYWAY_ERROR_HANDSHAKE = -220,
  // The listener has another key than expected.
  BYWAY_ERROR_WRONG_KEY = -221,
  // The listener does not admit this client's key.
  BYWAY_ERROR_KEY_REFUSED = -222,
  // All channels of the client are in use.
  BYWAY_ERROR_CHANNELS = -300,
  // All listeners of the client are in use.
  BYWAY_ERROR_LISTENERS = -301,
  // A limit of the relay is reached; detail: if the relay is full, the seconds until it is asked again.
  BYWAY_ERROR_RELAY_LIMIT = -302,
  // The system has no random numbers.
  BYWAY_ERROR_ENTROPY = -303,
  // The system gives no thread, memory or file descriptor.
  BYWAY_ERROR_SYSTEM = -304,
  // No handle is free: 2^24 are open.
  BYWAY_ERROR_HANDLES = -305,
  // The host name of the relay or proxy does not resolve.
  BYWAY_ERROR_DNS = -400,
  // No connection to the relay or proxy can be made.
  BYWAY_ERROR_CONNECT = -401,
  // The connection ended within the TLS handshake. The codes from -411 to -418 are other faults of TLS.
  BYWAY_ERROR_TLS = -402,
  // Nothing came within the protocol's deadlines.
  BYWAY_ERROR_SILENCE = -403,
  // The answer was cut short on the way.
  BYWAY_ERROR_CUT = -404,
  // An HTTP status other than 200 came; detail: which.
  BYWAY_ERROR_HTTP = -405,
  // The proxy wants authentication.
  BYWAY_ERROR_PROXY_AUTH = -406,
  // Something else than the relay answered, such as a login portal.
  BYWAY_ERROR_FOREIGN = -407,
  // The relay refused the exchange.
  BYWAY_ERROR_RELAY = -408,
  // The channel was given up after silence; detail: the first offset not acknowledged, which is
  // that of the end if the peer only never said that it saw that.
  BYWAY_ERROR_LINGER = -409,
  // Another process uses this session's secret.
  BYWAY_ERROR_SECRET_SHARED = -410,
  // The server's certificate has expired, or this device's clock is ahead.
  BYWAY_ERROR_TLS_EXPIRED = -411,
  // The server's certificate is not valid yet, or this device's clock is behind.
  BYWAY_ERROR_TLS_NOT_YET_VALID = -412,
  // The server's certificate names other hosts.
  BYWAY_ERROR_TLS_WRONG_NAME = -413,
  // Nobody that is trusted issued the server's certificate.
  BYWAY_ERROR_TLS_UNKNOWN_ISSUER = -414,
  // The server's certificate cannot be used for another reason.
  BYWAY_ERROR_TLS_CERTIFICATE = -415,
  // What answers there speaks no TLS.
  BYWAY_ERROR_TLS_NONE = -416,
  // The server knows no version or cipher of TLS that byway knows.
  BYWAY_ERROR_TLS_REFUSED = -417,
  // The server wants to know the client by a certificate.
  BYWAY_ERROR_TLS_CLIENT_CERTIFICATE = -418,
  // The proxy takes no password by Basic; the event's seen names what it offers.
  BYWAY_ERROR_PROXY_SCHEME = -419,
  // The answer was compressed on the way.
  BYWAY_ERROR_COMPRESSED = -420,
  // The head of the answer cannot be read: it is no HTTP, too long, folded or malformed.
  BYWAY_ERROR_HEAD = -421,
  // The program's own on_socket of byway_config refused each socket.
  BYWAY_ERROR_HOOK = -422,
  // What came was changed on the way; detail: the first octet not acknowledged.
  BYWAY_ERROR_TAMPERED = -440,
  // What was sent was changed on the way; detail: the first octet that the peer had not received.
  BYWAY_ERROR_TAMPERED_THERE = -441,
  // The stream ended, and its peer did not say so.
  BYWAY_ERROR_TRUNCATED = -442,
  // The server's key is none of those that are pinned.
  BYWAY_ERROR_TLS_OTHER_KEY = -423,
  // The relay wants a token, and the client has none.
  BYWAY_ERROR_TOKEN_WANTED = -424,
  // The relay refuses the client's token.
  BYWAY_ERROR_TOKEN_REFUSED = -425,
};
#ifndef __cplusplus
#ifdef BYWAY_TYPED_ENUMS
typedef enum byway_error byway_error;
#else
typedef int32_t byway_error;
#endif
#endif // __cplusplus

// How a client waits for octets of its peers.
enum BYWAY_ENUM byway_pace
#ifdef BYWAY_TYPED_ENUMS
  : int32_t
#endif
 {
  // The client waits by answers that stay open, where the path passes them on promptly; else by long
  // polls.
  BYWAY_PACE_STREAMING = 0,
  // The client waits by long polls.
  BYWAY_PACE_LONG_POLL = 1,
  // The client waits by long polls, as long as the path allows when idle: a request in two minutes.
  BYWAY_PACE_BATTERY = 2,
};
#ifndef __cplusplus
#ifdef BYWAY_TYPED_ENUMS
typedef enum byway_pace byway_pace;
#else
typedef int32_t byway_pace;
#endif
#endif // __cplusplus

// Whether to go through an HTTP proxy.
enum BYWAY_ENUM byway_proxy
#ifdef BYWAY_TYPED_ENUMS
  : int32_t
#endif
 {
  // No proxy, whatever the environment says.
  BYWAY_PROXY_NONE = 0,
  // The proxy that http_proxy, https_proxy, all_proxy and no_proxy of the environment name.
  BYWAY_PROXY_ENVIRONMENT = 1,
  // The proxy of proxy_url.
  BYWAY_PROXY_URL = 2,
};
#ifndef __cplusplus
#ifdef BYWAY_TYPED_ENUMS
typedef enum byway_proxy byway_proxy;
#else
typedef int32_t byway_proxy;
#endif
#endif // __cplusplus

// Sizes for common cases. Rings are octets of each channel in each direction.
enum BYWAY_ENUM byway_profile
#ifdef BYWAY_TYPED_ENUMS
  : int32_t
#endif
 {
  // Firmware: 2 channels, rings of 1 KiB, 1 listener, buffers of 1 KiB.
  BYWAY_PROFILE_TINY = 0,
  // An app on a phone: 8 channels, rings of 16 KiB, 4 listeners, buffers of 8 KiB.
  BYWAY_PROFILE_PHONE = 1,
  // A program on a PC: 32 channels, rings of 256 KiB and up to 8 MiB, a pool of 32 MiB, 16 listeners,
  // buffers of 64 KiB.
  BYWAY_PROFILE_PC = 2,
  // Bulk transfer over long paths: 4 channels, rings of 8 MiB, 4 listeners, buffers of 64 KiB.
  BYWAY_PROFILE_BULK = 3,
  // Many peers: 256 channels, rings of 64 KiB and up to 16 MiB, a pool of 64 MiB, 16 listeners,
  // buffers of 64 KiB.
  BYWAY_PROFILE_SERVER = 4,
  // An app on a phone with memory to spare: 16 channels, rings of 16 KiB and up to 512 KiB, a pool of
  // 2 MiB, 4 listeners, buffers of 16 KiB.
  BYWAY_PROFILE_APP = 5,
};
#ifndef __cplusplus
#ifdef BYWAY_TYPED_ENUMS
typedef enum byway_profile byway_profile;
#else
typedef int32_t byway_profile;
#endif
#endif // __cplusplus

// Which directions byway_shutdown ends.
enum BYWAY_ENUM byway_how
#ifdef BYWAY_TYPED_ENUMS
  : int32_t
#endif
 {
  // Receiving: it gives the end of the stream, and octets that arrive from now on are dropped.
  BYWAY_HOW_READ = 0,
  // Sending: the peer reads the end of the stream behind what was sent.
  BYWAY_HOW_WRITE = 1,
  // Both directions.
  BYWAY_HOW_BOTH = 2,
};
#ifndef __cplusplus
#ifdef BYWAY_TYPED_ENUMS
typedef enum byway_how byway_how;
#else
typedef int32_t byway_how;
#endif
#endif // __cplusplus

// How much is logged, and the level of a message.
enum BYWAY_ENUM byway_log_level
#ifdef BYWAY_TYPED_ENUMS
  : int32_t
#endif
 {
  // Nothing.
  BYWAY_LOG_LEVEL_OFF = 0,
  // Faults of byway itself.
  BYWAY_LOG_LEVEL_ERROR = 1,
  // Faults of the system that byway gets around, such as a store of certificates that cannot be read.
  BYWAY_LOG_LEVEL_WARN = 2,
  // Events, as byway_next_event gives them: of the path to the relay and of peers. Also why a session
  // cannot go on, and what a client left undelivered when it closed.
  BYWAY_LOG_LEVEL_INFO = 3,
  // Every exchange that failed, and connections and listeners that were given up.
  BYWAY_LOG_LEVEL_DEBUG = 4,
  // Every exchange that ended, with the time that it took.
  BYWAY_LOG_LEVEL_TRACE = 5,
};
#ifndef __cplusplus
#ifdef BYWAY_TYPED_ENUMS
typedef enum byway_log_level byway_log_level;
#else
typedef int32_t byway_log_level;
#endif
#endif // __cplusplus

// Kinds of events. The program need not do anything about them: channels ride out what blocks the path until their
// linger time is over. Later versions may add kinds.
enum BYWAY_ENUM byway_event_kind
#ifdef BYWAY_TYPED_ENUMS
  : int32_t
#endif
 {
  // The client dials its relay: at first, and after a change of the network.
  BYWAY_EVENT_KIND_CONNECTING = 1,
  // Exchanges with the relay fail; cause and seen say why. Told once until the cause changes.
  BYWAY_EVENT_KIND_PATH_BLOCKED = 2,
  // Exchanges succeed again.
  BYWAY_EVENT_KIND_PATH_RESTORED = 3,
  // The peer of channel id has not asked the relay for data lately.
  BYWAY_EVENT_KIND_PEER_AWAY = 4,
  // The peer of channel id is back.
  BYWAY_EVENT_KIND_PEER_BACK = 5,
  // Octets sent on channel id found no room at the peer from offset detail on. They are sent again.
  BYWAY_EVENT_KIND_OVERFLOW = 6,
  // Listener id lost its endpoint; byway_accept says why.
  BYWAY_EVENT_KIND_LISTENER_LOST = 7,
  // The relay has answered for the first time: the client is open.
  BYWAY_EVENT_KIND_OPENED = 8,
};
#ifndef __cplusplus
#ifdef BYWAY_TYPED_ENUMS
typedef enum byway_event_kind byway_event_kind;
#else
typedef int32_t byway_event_kind;
#endif
#endif // __cplusplus

// A header field of HTTP.
typedef struct byway_header {
  // The name of the field.
  const char *name;
  // The value of the field.
  const char *value;
} byway_header;

// Gets a TCP socket before it connects to the relay or a proxy, to bind it to a network or to mark
// it: fd stays byway's. Returns 0, or an error number as of errno.
typedef int32_t (*byway_socket_callback)(void *userdata, int32_t fd);

// Resolves a host: writes numeric addresses, separated by blanks, and a NUL into addresses, which has
// size octets, BYWAY_ADDRESSES_SIZE. Returns 0, or another number, which the event then has.
typedef int32_t (*byway_resolve_callback)(void *userdata,
                                          const char *host,
                                          uint16_t port,
                                          char *addresses,
                                          size_t size);

// Is called when the event has happened that the field's comment names.
typedef void (*byway_notice_callback)(void *userdata);

// What a client is opened with. byway_config_default fills it; only relay_url has no default. What
// it points to stays the caller's, and is copied by the call that opens a client.
typedef struct byway_config {
  // Octets of the struct that the caller knows; filled by byway_config_default.
  uint32_t size;
  // BYWAY_CONFIG_VERSION; filled by byway_config_default.
  uint32_t version;
  // The relay: http://host:port or https://host, with a path if it has one.
  const char *relay_url;
  // The proxy with BYWAY_PROXY_URL: http://user:password@host:port, all but the host optional, percent-encoded.
  const char *proxy_url;
  // The header field User-Agent; NULL: byway/ and the version; empty: none is sent.
  const char *user_agent;
  // Header fields added to every request, 2 KiB in all at most; NULL if header_count is 0.
  const struct byway_header *headers;
  // Number of headers.
  size_t header_count;
  // Certificates (PEM) to trust for https, or pins of the relay's key, pin:sha256/ and 44 characters of
  // base64 as byway relay prints it, more behind commas: then its certificate's names, dates and issuer do not count.
  // NULL: the system's, or where it has none as files, the public web's.
  const char *roots_pem;
  // Octets of roots_pem, without a NUL.
  size_t roots_pem_len;
  // Must be NULL.
  const char *reserved;
  // Start of this process in milliseconds since 1970, see owner; 0: now.
  uint64_t epoch_ms;
  // Octets by which the relay knows this program: a process of the same owner that started later takes over
  // the endpoints of its predecessor at once. All zeros: random, or made of seed without telling it,
  // so that no other process has the same.
  uint8_t owner[16];
  // Randomness for where the system has none: octets that nobody can guess, new at each start of the program
  // and no other program's, since the session's secret and the keys of its channels are made of them. All zeros:
  // the system's.
  uint8_t seed[24];
  // How long a channel rides out silence while something is outstanding; at least 1. The smaller of
  // both ends counts, but no less than 66000, or 250000 with BYWAY_PACE_BATTERY. Default 180000.
  uint32_t linger_ms;
  // How often the peer of an idle channel is probed; 0, the default: never.
  uint32_t keepalive_ms;
  // How long a TCP connection to the relay or proxy may take, with all its addresses, of which each
  // gets 250 ms before the next is tried beside it; at least 1. Default 3000.
  uint32_t tcp_timeout_ms;
  // How the client waits, one of enum byway_pace. Default BYWAY_PACE_STREAMING.
  uint32_t pace;
  // Whether there is a proxy, one of enum byway_proxy. Default BYWAY_PROXY_NONE.
  uint32_t proxy;
  // Channels at once, 1 to 256. This and the next three: default as BYWAY_PROFILE_PC.
  uint32_t channels;
  // Octets of each channel's transmit ring and of its receive ring: a power of two, 256 to 2^30.
  uint32_t ring;
  // Listeners at once, 0 to 16.
  uint32_t listeners;
  // Octets of each of the transport's buffers, 512 to 16 MiB.
  uint32_t io_buffer;
  // Connections that may wait to be accepted at each listener, up to 255; each takes a channel.
  // 0, the default: as many as there are channels, but at most 255.
  uint32_t backlog;
  // This and the next five are functions of the program, which byway's own threads call with no lock
  // held, or NULL, their default. They may be called from several threads at once, must neither throw
  // nor longjmp, and every function that returns int32_t gives BYWAY_ERROR_CALLBACK within them.
  //
  // on_socket is called for every TCP socket before it connects. Where it fails the next address of the
  // host is tried, and if none is left the cause is BYWAY_ERROR_HOOK. It should not block for long:
  // that is not cut short, and byway_close may wait half a second for it.
  byway_socket_callback on_socket;
  // Resolves the relay's or proxy's name in the place of the system's resolver; numeric addresses are
  // not resolved. May block: a thread of its own calls it, and after 6 s the dial goes on without it.
  // Where it fails, or gives no address, the cause is BYWAY_ERROR_DNS unless older addresses are known.
  byway_resolve_callback on_resolve;
  // Is called first thing in every thread of the client: two that live as long as it does, and one
  // while a name is being resolved.
  byway_notice_callback on_thread_start;
  // Is called last thing in every thread of the client.
  byway_notice_callback on_thread_end;
  // Is called when none of these will be called again, so that hooks_userdata may be freed; by the last
  // thread of the client, behind its on_thread_end, or in the call that closes or fails to make the
  // client. Once for each call that was given this configuration, however that ended, but for
  // BYWAY_ERROR_STRUCT and BYWAY_ERROR_CALLBACK. A thread that is resolving a name may outlast the
  // client.
  byway_notice_callback on_release;
  // The userdata that these functions get.
  void *hooks_userdata;
  // Octets from which streams that need it are lent longer rings, up to a quarter of it each, but two
  // rings' length at least: 0, or a power of two up to 2^30. With 0, or less than four rings, the
  // length of a ring never changes.
  // Default as BYWAY_PROFILE_PC; 0 in the struct of a program that does not know this field.
  uint64_t pool;
  // The identity of this program, by which it can listen at its own key name, see byway_identity_name: octets
  // that nobody can guess, made once and kept secret. All zeros, the default: it has none.
  uint8_t identity[BYWAY_IDENTITY_SIZE];
  // The token by which a relay with a policy lets this client in, or NULL. It is copied, and shown nowhere.
  const char *token;
  // The file with the token, read when the client is opened and again when the relay refuses the token, or NULL.
  // Only one of the two may be given.
  const char *token_file;
  // A secret that this program and its peers were given, each on another way than by the relay:
  // BYWAY_SHARED_SECRET_SIZE octets that nobody can guess. Only peers with the same can have a channel with
  // this client. NULL, the default: any peer can.
  const uint8_t *shared_secret;
  // Octets of shared_secret: BYWAY_SHARED_SECRET_SIZE, or 0 if that is NULL.
  size_t shared_secret_len;
  // 1: the token may go over http:// to other machines, where everybody on the way can read it. 0, the
  // default: opening a client with such a URL is BYWAY_ERROR_SETTING.
  uint32_t token_over_http;
  // 0, the default: what channels carry is encrypted from end to end. 1: it is not, and the relay, and without
  // https:// all on the way, can read and change it. Both ends have to agree: none ever falls back.
  uint32_t plain;
  // The file that keeps the keys of listeners at ordinary names, or NULL, the default: none. A listener that
  // has an identity and was met before is refused by BYWAY_ERROR_WRONG_KEY when its key is another, as by ssh. The
  // file is made when there is none. Where it cannot be read, connecting is BYWAY_ERROR_SETTING.
  const char *known_peers;
  // Must be NULL. It fills the struct where pointers have 4 octets.
  const char *reserved2;
} byway_config;

// Names a client, listener, stream or datagram channel. 0 is none.
typedef uint64_t byway_handle;

// An event, with the numbers that belong to its kind.
typedef struct byway_event {
  // Octets of this struct that were filled.
  uint32_t size;
  // The kind of the event, one of enum byway_event_kind.
  uint32_t kind;
  // The channel or listener, as byway_id gives it; else 0.
  uint32_t id;
  // The path code with BYWAY_EVENT_KIND_PATH_BLOCKED, else 0.
  int32_t cause;
  // The first offset with BYWAY_EVENT_KIND_OVERFLOW, the HTTP status with cause BYWAY_ERROR_HTTP, the
  // seconds until the relay is asked again with cause BYWAY_ERROR_RELAY_LIMIT; else 0.
  uint64_t detail;
  // What was seen with BYWAY_EVENT_KIND_PATH_BLOCKED, such as the first characters of a page. Ends
  // with a NUL.
  char seen[BYWAY_SEEN_SIZE];
} byway_event;

// Counts and measurements of a client since it was opened.
typedef struct byway_client_stats {
  // Octets of this struct that were filled.
  uint32_t size;
  // Smoothed time from sending to acknowledgement, in milliseconds; 0: none measured.
  uint32_t srtt_ms;
  // Exchanges begun that carry octets to the relay.
  uint64_t sends;
  // Exchanges begun that wait at the relay for octets from peers.
  uint64_t parks;
  // Parks whose answer was to stay open.
  uint64_t streams;
  // Answers that were to stay open, and came late or were cut.
  uint64_t late;
  // Exchanges that failed.
  uint64_t failed;
  // Octets of payload sent for the first time.
  uint64_t sent;
  // Octets of payload received.
  uint64_t received;
  // Octets of payload sent again.
  uint64_t retransmitted;
  // Notices that octets found no room at a peer.
  uint64_t overflows;
  // Datagrams that expired before they could be sent, or found no room here.
  uint64_t datagrams_lost;
  // Events dropped because the program did not take them.
  uint64_t events_lost;
  // Octets of memory of the client's state and rings; does not change while it is open.
  uint64_t memory;
} byway_client_stats;

// Counts of a stream or datagram channel. Offsets count octets from the beginning; on a datagram
// channel with 6 more for each datagram.
typedef struct byway_channel_stats {
  // Octets of this struct that were filled.
  uint32_t size;
  // Notices that octets found no room at the peer.
  uint32_t overflows;
  // Datagrams that expired unsent.
  uint32_t datagrams_expired;
  // Datagrams that came and found no room.
  uint32_t datagrams_dropped;
  // First offset not sent by the program.
  uint64_t written;
  // First offset not acknowledged by the peer; the end of the stream counts as one.
  uint64_t acked;
  // First offset not received by the client; the end of the stream counts as one.
  uint64_t received;
  // First offset not received by the program.
  uint64_t read;
  // First offset that the peer would not take now.
  uint64_t window;
  // Octets sent again.
  uint64_t retransmitted;
} byway_channel_stats;

// Gets a message: one line of UTF-8 without a line feed, which is valid during the call only, and a
// level of enum byway_log_level. userdata is what byway_set_log was given.
typedef void (*byway_log_callback)(void *userdata, uint32_t level, const char *message);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Version of the library that runs, as BYWAY_VERSION is written. Does not block.
uint32_t byway_version(void);

// Version of the library that runs, as text: "0.1.0". The string is static. Does not block.
const char *byway_version_string(void);

// What a code means and what to do about it, in one line. The string is static; an unknown code has
// a line, too. Does not block.
const char *byway_strerror(int32_t code);

// What this thread's last failure was in detail: cause and remedy in one line, with names,
// numbers and offsets. Empty if no call of this thread has failed. A call that succeeds leaves it.
//
// The string belongs to the library. It is valid for as long as this thread lives, but the thread's next
// failure overwrites it. At most 511 octets. Does not block.
const char *byway_last_error(void);

// The number that belongs to this thread's last failure, where enum byway_error says "detail"; else
// 0. Does not block.
uint64_t byway_last_detail(void);

// Puts the key name of an identity into buffer, with a NUL: "k." and 43 characters, which stand for its public
// key. A client of that identity (byway_config) listens there, as in "k.OJmJ...:1"; nobody else can, and
// those who connect there reach it or nobody. identity has BYWAY_IDENTITY_SIZE octets: random ones that
// nobody can guess, made once and kept secret. size is that of the buffer; BYWAY_KEY_NAME_SIZE is always
// enough.
//
// Does not block. Returns BYWAY_OK, BYWAY_ERROR_ARGUMENT (also if all octets are zero),
// BYWAY_ERROR_BUFFER_TOO_SMALL (detail: octets needed), or what every call can.
int32_t byway_identity_name(const uint8_t *identity,
                            char *buffer,
                            size_t size);

// Fills a configuration with the defaults. size is sizeof *config.
//
// Does not block. Returns BYWAY_OK, BYWAY_ERROR_ARGUMENT (config is NULL), BYWAY_ERROR_STRUCT (no
// size that a byway_config ever had), or what every call can.
int32_t byway_config_default(struct byway_config *config, size_t size);

// Sets channels, ring, listeners, io_buffer and pool of a configuration that byway_config_default has
// filled to those of a profile, one of enum byway_profile.
//
// Does not block. Returns BYWAY_OK, BYWAY_ERROR_ARGUMENT (config is NULL, or no such profile),
// BYWAY_ERROR_STRUCT (the struct has not been filled, or is too short for these fields), or what every
// call can.
int32_t byway_config_profile(struct byway_config *config,
                             uint32_t profile);

// Opens a session with a relay and waits until the relay has answered. What blocks the path is tried
// again until then.
//
// On success *client is a handle that the caller owns and closes by byway_close or byway_abort.
// What config points to stays the caller's. The memory of the client is taken here, once. After a
// failure its threads may stay for as long as byway_close says.
//
// Blocks for at most timeout_ms; 0: as byway_client_start. Cannot be cancelled: byway_client_start
// with byway_wait_open can. Returns BYWAY_OK, BYWAY_ERROR_ARGUMENT, BYWAY_ERROR_STRUCT (config was not
// filled by byway_config_default), BYWAY_ERROR_RELAY_URL, BYWAY_ERROR_SETTING, BYWAY_ERROR_ENTROPY,
// BYWAY_ERROR_SYSTEM, BYWAY_ERROR_HANDLES, BYWAY_ERROR_CLOSED, a path code with what stood in the way
// last when the time is over, a fatal code, or what every call can.
int32_t byway_client_open(const struct byway_config *config,
                          int32_t timeout_ms,
                          byway_handle *client);

// Opens a session as byway_client_open does, but does not wait for the relay, which is dialled in the background for as long
// as the client is open. byway_next_event tells how that goes, with BYWAY_EVENT_KIND_OPENED when the
// relay has answered, and byway_wait_open waits for it. Listening and connecting need not wait for
// that.
//
// Does not block. Returns BYWAY_OK, BYWAY_ERROR_ARGUMENT, BYWAY_ERROR_STRUCT, BYWAY_ERROR_RELAY_URL,
// BYWAY_ERROR_SETTING, BYWAY_ERROR_ENTROPY, BYWAY_ERROR_SYSTEM, BYWAY_ERROR_HANDLES, or what every
// call can.
int32_t byway_client_start(const struct byway_config *config,
                           byway_handle *client);

// Waits until a handle is open that was made without waiting: a client of byway_client_start has
// its relay's first answer; a listener of byway_listen* with timeout_ms 0 has its endpoint; a stream or
// datagram channel of byway_connect* with timeout_ms 0 has its peer. Once that is so, later calls
// succeed at once, also if a channel has ended since. A poll for BYWAY_OPENED tells when to look.
//
// Blocks for at most timeout_ms. Returns BYWAY_OK; a handle code; BYWAY_ERROR_CANCELLED,
// BYWAY_ERROR_CLOSED; while it goes on, BYWAY_ERROR_TIMED_OUT with timeout_ms 0, and else, when the time
// is over, what stood in the way last: a path code (client: BYWAY_ERROR_SILENCE if nothing failed yet),
// BYWAY_ERROR_NO_LISTENER, BYWAY_ERROR_PEER_AWAY or BYWAY_ERROR_RELAY_LIMIT (channel), or
// BYWAY_ERROR_TIMED_OUT; when it has failed for good, one of the codes by which byway_listen and
// byway_connect tell that they were refused, an end code, or a fatal code; or what every call can.
int32_t byway_wait_open(byway_handle handle,
                        int32_t timeout_ms);

// Says that the device has another address or network now: both connections to the relay are dropped
// and dialled anew at once, by the proxy that is set, if one is. Channels survive. On Linux and Android a
// client notices by itself that the device slept for over 5 s.
//
// Does not block. Returns BYWAY_OK, a handle code, or what every call can.
int32_t byway_network_changed(byway_handle client);

// Says what byway_network_changed does, where the way to the relay is by another proxy from now on. proxy is one of
// enum byway_proxy: none, the one that the environment names now, which this call reads, or proxy_url,
// which is else ignored. After a failure nothing has changed, and connections stay.
//
// Does not block. Returns BYWAY_OK, BYWAY_ERROR_ARGUMENT, BYWAY_ERROR_SETTING, a handle code, or what
// every call can.
int32_t byway_network_changed_with(byway_handle client,
                                   uint32_t proxy,
                                   const char *proxy_url);

// Claims an endpoint, "name:port", for streams, and waits until the relay has granted it. The client
// then answers peers that connect, for as long as backlog and channels last.
//
// On success *listener is a handle that the caller owns and closes by byway_close, which gives the
// endpoint back. With timeout_ms 0 it is given at once, and the relay is asked for the endpoint in the
// background: byway_wait_open tells how that ended, and BYWAY_OPENED when.
//
// Blocks for at most timeout_ms; byway_cancel of the client ends that. Returns BYWAY_OK,
// BYWAY_ERROR_ARGUMENT, BYWAY_ERROR_ENDPOINT, BYWAY_ERROR_KEY_NAME, BYWAY_ERROR_IN_USE, BYWAY_ERROR_TAKEN,
// BYWAY_ERROR_DUPLICATE, BYWAY_ERROR_LISTENERS, BYWAY_ERROR_RELAY_LIMIT, BYWAY_ERROR_HANDLES, a
// handle code, a wait code, a path code with what stood in the way when the time is over, a fatal
// code, or what every call can.
int32_t byway_listen(byway_handle client,
                     const char *endpoint,
                     int32_t timeout_ms,
                     byway_handle *listener);

// Claims an endpoint for datagram channels; else as byway_listen, with the same results.
int32_t byway_listen_datagram(byway_handle client,
                              const char *endpoint,
                              int32_t timeout_ms,
                              byway_handle *listener);

// Claims an endpoint for streams as byway_listen does, and answers each peer that connects with a
// greeting of greeting_len octets, at most BYWAY_GREETING_SIZE: the connecting program reads it by
// byway_greeting as soon as its stream is open. The greeting is copied. The client answers before
// byway_accept gives the stream, so that all peers of a listener get the same greeting.
//
// Blocks for at most timeout_ms. Returns what byway_listen does; BYWAY_ERROR_ARGUMENT, too, if the
// greeting is too long.
int32_t byway_listen_greeting(byway_handle client,
                              const char *endpoint,
                              const uint8_t *greeting,
                              size_t greeting_len,
                              int32_t timeout_ms,
                              byway_handle *listener);

// Claims an endpoint for datagram channels, and answers with a greeting; else as
// byway_listen_greeting, with the same results.
int32_t byway_listen_datagram_greeting(byway_handle client,
                                       const char *endpoint,
                                       const uint8_t *greeting,
                                       size_t greeting_len,
                                       int32_t timeout_ms,
                                       byway_handle *listener);

// Connects to the listener for streams at an endpoint, "name:port". A listener that has no room is
// asked again until the time is over, and BYWAY_ERROR_BACKLOG_FULL is returned only then.
//
// On success *stream is a handle that the caller owns and closes by byway_close or byway_abort. With
// timeout_ms 0 it is given at once, as by connect(2) with O_NONBLOCK, and the connection is made in the
// background, however long that takes: byway_wait_open tells how it ended, and BYWAY_OPENED or
// BYWAY_WRITABLE when. Until then sending and receiving wait or give BYWAY_ERROR_TIMED_OUT, and closing
// it gives the connection up.
//
// Blocks for at most timeout_ms; byway_cancel of the client ends that. Returns BYWAY_OK,
// BYWAY_ERROR_ARGUMENT, BYWAY_ERROR_ENDPOINT, BYWAY_ERROR_ENDPOINT_KIND, BYWAY_ERROR_NO_LISTENER,
// BYWAY_ERROR_BACKLOG_FULL, BYWAY_ERROR_PEER_AWAY, BYWAY_ERROR_PEER_PLAIN, BYWAY_ERROR_PEER_ENCRYPTS,
// BYWAY_ERROR_WRONG_KEY (at a key name, or with known_peers), BYWAY_ERROR_HANDSHAKE (another shared_secret),
// BYWAY_ERROR_KEY_NAME, BYWAY_ERROR_CHANNELS, BYWAY_ERROR_RELAY_LIMIT,
// BYWAY_ERROR_HANDLES, a handle code, a wait code, an end code, a path code with what stood in the
// way when the time is over, or what every call can.
int32_t byway_connect(byway_handle client,
                      const char *endpoint,
                      int32_t timeout_ms,
                      byway_handle *stream);

// Connects to the listener for datagrams at an endpoint; else as byway_connect, with the same
// results. *channel is a handle of a datagram channel.
int32_t byway_connect_datagram(byway_handle client,
                               const char *endpoint,
                               int32_t timeout_ms,
                               byway_handle *channel);

// Connects as byway_connect does, and gives the listener's program a greeting of greeting_len octets,
// at most BYWAY_GREETING_SIZE: that program reads it by byway_greeting as soon as it has accepted. The
// greeting is copied.
//
// Blocks for at most timeout_ms. Returns what byway_connect does; BYWAY_ERROR_ARGUMENT, too, if the
// greeting is too long.
int32_t byway_connect_greeting(byway_handle client,
                               const char *endpoint,
                               const uint8_t *greeting,
                               size_t greeting_len,
                               int32_t timeout_ms,
                               byway_handle *stream);

// Connects for datagrams, with a greeting; else as byway_connect_greeting, with the same results.
// *channel is a handle of a datagram channel.
int32_t byway_connect_datagram_greeting(byway_handle client,
                                        const char *endpoint,
                                        const uint8_t *greeting,
                                        size_t greeting_len,
                                        int32_t timeout_ms,
                                        byway_handle *channel);

// Connects as byway_connect_greeting does, to a listener that has this key and no other: whoever else took
// the endpoint's name is refused, and gets no greeting. key_name is the listener's key name, as byway_identity_name
// and "byway id show" give it. greeting may be NULL if greeting_len is 0. At an endpoint that is a key name
// byway_connect does the same.
//
// Blocks for at most timeout_ms. Returns what byway_connect_greeting does; BYWAY_ERROR_WRONG_KEY if the
// listener has another key; BYWAY_ERROR_KEY_NAME if key_name is none; BYWAY_ERROR_UNSUPPORTED if the client
// is plain.
int32_t byway_connect_to_key(byway_handle client,
                             const char *endpoint,
                             const char *key_name,
                             const uint8_t *greeting,
                             size_t greeting_len,
                             int32_t timeout_ms,
                             byway_handle *stream);

// Connects for datagrams to a listener that has this key; else as byway_connect_to_key, with the same results.
// *channel is a handle of a datagram channel.
int32_t byway_connect_datagram_to_key(byway_handle client,
                                      const char *endpoint,
                                      const char *key_name,
                                      const uint8_t *greeting,
                                      size_t greeting_len,
                                      int32_t timeout_ms,
                                      byway_handle *channel);

// Waits for a peer to connect. Several threads may wait on one listener; each peer goes to one.
//
// On success *channel is a handle that the caller owns and closes by byway_close or byway_abort: of
// a stream if the listener was made by byway_listen, of a datagram channel if by
// byway_listen_datagram.
//
// Blocks for at most timeout_ms; 0 only takes a peer that waits already. Returns BYWAY_OK,
// BYWAY_ERROR_ARGUMENT, BYWAY_ERROR_IN_USE, BYWAY_ERROR_TAKEN, BYWAY_ERROR_KEY_NAME or BYWAY_ERROR_RELAY_LIMIT (the
// endpoint was lost), BYWAY_ERROR_HANDLES, a handle code, a wait code, a fatal code, or what every
// call can.
int32_t byway_accept(byway_handle listener,
                     int32_t timeout_ms,
                     byway_handle *channel);

// Closes a client, listener, stream or datagram channel. The handle is gone when this returns,
// whatever it returns; waits on it in other threads return BYWAY_ERROR_CLOSED; its file
// descriptors of byway_poll_fd and byway_second_poll_fd are closed.
//
// A stream or datagram channel: what was sent is delivered, and the peer reads the end behind it.
// Waits until the peer's client has acknowledged everything, or its datagrams were delivered or have
// expired; what is left when the time is over is still delivered in the background, for as long as
// the client is open and at most for its linger time. With timeout_ms 0 the result says nothing
// about that. A connection that is still being made is given up.
//
// A listener: gives the endpoint back; channels that were accepted stay. Does not wait.
//
// A client: ends its listeners, then waits as above for all its channels; what is left when the
// time is over is aborted. Takes up to a second more: half of it to tell relay and peers, and half for
// its threads to end. They do, unless a name is being resolved or a callback of the program is under way:
// such a thread ends by itself when that is over. Handles of its listeners and channels stay to be
// closed.
//
// Blocks for at most timeout_ms, and a client for up to a second more. byway_cancel of the handle
// ends the wait as if the time were over. Returns BYWAY_OK, BYWAY_ERROR_HANDLE, BYWAY_ERROR_UNACKED
// (client; detail: on how many channels peers had not acknowledged everything),
// BYWAY_ERROR_TIMED_OUT or BYWAY_ERROR_CANCELLED (stream, datagram channel), an end code if the
// channel had ended before everything was acknowledged, or what every call can.
int32_t byway_close(byway_handle handle,
                    int32_t timeout_ms);

// Closes at once: what is not acknowledged may be lost, and peers are told of the abort. The handle is
// gone when this returns; waits on it in other threads return BYWAY_ERROR_CLOSED. A client tells
// relay and peers in the background: its threads end seconds later. A listener closes as by
// byway_close.
//
// Does not block. Returns BYWAY_OK, BYWAY_ERROR_HANDLE, or what every call can.
int32_t byway_abort(byway_handle handle);

// Ends every wait on this handle that is in progress, in whatever threads, with
// BYWAY_ERROR_CANCELLED, unless what it waits for has come by then; nothing is lost by that. On a
// client these are byway_wait_open, byway_next_event, byway_listen*, byway_connect* and byway_close;
// waits on its listeners and channels go on. A call that begins later waits as ever: a thread that is to
// stop has to look at a flag of the program's own before it calls again, and a thread that has not begun
// to wait yet is not reached, so cancel again until it is out.
//
// Does not block. Returns BYWAY_OK, BYWAY_ERROR_HANDLE, or what every call can.
int32_t byway_cancel(byway_handle handle);

// Puts the endpoint into buffer, as "name:port" with a NUL: of a listener where it listens, of a
// stream or datagram channel the one that was connected to, here or by the peer. size is that of the
// buffer; BYWAY_ENDPOINT_SIZE is always enough.
//
// Does not block. Returns BYWAY_OK, BYWAY_ERROR_ARGUMENT, BYWAY_ERROR_BUFFER_TOO_SMALL (detail:
// octets needed), a handle code, BYWAY_ERROR_CLOSED, or what every call can.
int32_t byway_endpoint(byway_handle handle,
                       char *buffer,
                       size_t size);

// Puts the address of the peer's client at the other end of a stream or datagram channel into
// address: BYWAY_ADDRESS_SIZE octets. The relay vouches for it; it is another one each time the
// peer's client is opened, unless that is given a seed.
//
// Does not block. Returns BYWAY_OK, BYWAY_ERROR_ARGUMENT, a handle code, BYWAY_ERROR_CLOSED,
// BYWAY_ERROR_TIMED_OUT (it is being connected), or what every call can.
int32_t byway_peer(byway_handle handle, uint8_t *address);

// Puts the greeting that came with the connection of a stream or datagram channel into buffer, and its
// length in octets into *len; *len is 0 if there was none. It is what the connecting program gave to
// byway_connect_greeting, if the channel was accepted; if it was connected by this program it is what
// the listening program gave to byway_listen_greeting. size is that of the buffer; BYWAY_GREETING_SIZE is always enough.
//
// Does not block. Returns BYWAY_OK, BYWAY_ERROR_ARGUMENT, BYWAY_ERROR_BUFFER_TOO_SMALL (detail:
// octets needed), a handle code, BYWAY_ERROR_CLOSED, BYWAY_ERROR_TIMED_OUT (it is being connected), or
// what every call can.
int32_t byway_greeting(byway_handle channel,
                       uint8_t *buffer,
                       size_t size,
                       size_t *len);

// The number by which events of the client name this listener or channel: *id. Never used again
// within the client; a listener and a channel may have the same.
//
// Does not block. Returns BYWAY_OK, BYWAY_ERROR_ARGUMENT, a handle code, or what every call can.
int32_t byway_id(byway_handle handle, uint32_t *id);

// Puts the key name of the peer of a stream or datagram channel into buffer, with a NUL: that of the key that the
// peer has proved to have, as "k.OJmJ...". An empty text if the channel is not encrypted. A peer that was given no
// identity has another key each time that it is started. size is that of the buffer; BYWAY_KEY_NAME_SIZE is
// always enough.
//
// Does not block. Returns BYWAY_OK, BYWAY_ERROR_ARGUMENT, BYWAY_ERROR_BUFFER_TOO_SMALL (detail: octets
// needed), a handle code, BYWAY_ERROR_CLOSED, BYWAY_ERROR_TIMED_OUT (it is being connected), or what every
// call can.
int32_t byway_peer_key(byway_handle channel,
                       char *buffer,
                       size_t size);

// Lets a listener admit the peers that have one of these keys, and no others from now on: byway_accept never gives
// their channels, which end with BYWAY_ERROR_KEY_REFUSED for them. Peers that came before and were not accepted
// yet are subject to it, too, so that nobody slips in between byway_listen and this call. key_names are count
// key names, as byway_identity_name and "byway id show" give them, and are copied; with a count of 0 nobody is
// admitted. A later call replaces the keys of an earlier one. A channel that is not encrypted proves no key. Peers are
// refused by calls of byway_accept, which may find nobody else then and give BYWAY_ERROR_TIMED_OUT.
//
// Does not block. Returns BYWAY_OK, BYWAY_ERROR_ARGUMENT, BYWAY_ERROR_KEY_NAME (one of them is none: nothing has
// changed), a handle code, or what every call can.
int32_t byway_admit(byway_handle listener,
                    const char *const *key_names,
                    size_t count);

// Lets a listener admit the peers that have one of these keys no longer, whether all were admitted before or some,
// as byway_admit says. Channels that were accepted stay: byway_refuse_peer ends one. A peer that was given no
// identity comes back with another key once it is started anew.
//
// Does not block. Returns BYWAY_OK, BYWAY_ERROR_ARGUMENT, BYWAY_ERROR_KEY_NAME (one of them is none: nothing has
// changed), a handle code, or what every call can.
int32_t byway_refuse(byway_handle listener,
                     const char *const *key_names,
                     size_t count);

// Does not let the peer of a stream or datagram channel in: gives the channel up as byway_abort does, and the peer
// gets BYWAY_ERROR_KEY_REFUSED, which it does not take for a reason to try again, or BYWAY_ERROR_ABORTED if the
// channel is not encrypted. The handle is still to be closed. byway_refuse has a listener refuse its key from then on.
//
// Does not block. Returns BYWAY_OK, a handle code, or what every call can.
int32_t byway_refuse_peer(byway_handle channel);

// Takes octets for sending: as many as there is room for, which *sent says; at least 1 unless len is
// 0. They are copied, kept until the peer's client has acknowledged them, and sent again as often
// as it takes.
//
// Blocks while there is no room, at most for timeout_ms. Returns BYWAY_OK, BYWAY_ERROR_ARGUMENT,
// BYWAY_ERROR_UNSUPPORTED (behind a shutdown of this direction), a handle code, a wait code, an end
// code, or what every call can. After any code but BYWAY_OK nothing of data was taken.
int32_t byway_send(byway_handle stream,
                   const uint8_t *data,
                   size_t len,
                   int32_t timeout_ms,
                   size_t *sent);

// Receives octets into buffer: as many as there are, at most len. *received says how many; 0 is the
// end of the stream, unless len is 0.
//
// Blocks while there is none, at most for timeout_ms. Returns BYWAY_OK, BYWAY_ERROR_ARGUMENT, a
// handle code, a wait code, an end code once everything that came before was received, or what
// every call can. After any code but BYWAY_OK nothing was received, and nothing is lost.
int32_t byway_recv(byway_handle stream,
                   uint8_t *buffer,
                   size_t len,
                   int32_t timeout_ms,
                   size_t *received);

// Waits until the relay has passed everything sent before on to the peer.
//
// Blocks for at most timeout_ms. Returns BYWAY_OK, a handle code, a wait code, an end code, or what
// every call can.
int32_t byway_flush(byway_handle stream, int32_t timeout_ms);

// Waits until the peer's client has acknowledged everything sent before. That the peer's program has
// received it is not said by this.
//
// Blocks for at most timeout_ms. Returns BYWAY_OK, a handle code, a wait code, an end code, or what
// every call can.
int32_t byway_wait_acked(byway_handle stream,
                         int32_t timeout_ms);

// Ends directions of a stream, one of enum byway_how, and wakes the threads that wait in them. The other
// direction goes on (half-close). The handle stays, and is to be closed.
//
// Does not block. Returns BYWAY_OK, BYWAY_ERROR_ARGUMENT (no such how), a handle code, an end code, or
// what every call can.
int32_t byway_shutdown(byway_handle stream,
                       uint32_t how);

// Takes a datagram for sending. It arrives whole and at most once, or not at all: it is kept until
// the relay has delivered it, or for 2 s. Its length may be 0.
//
// Blocks while there is no room, at most for timeout_ms. Returns BYWAY_OK, BYWAY_ERROR_ARGUMENT,
// BYWAY_ERROR_DATAGRAM_TOO_LONG (detail: the most octets), a handle code, a wait code, an end code,
// or what every call can. After any code but BYWAY_OK it was not taken.
int32_t byway_datagram_send(byway_handle channel,
                            const uint8_t *data,
                            size_t len,
                            int32_t timeout_ms);

// Receives the next datagram into buffer; *received is its length, which may be 0.
//
// Blocks while there is none, at most for timeout_ms. Returns BYWAY_OK, BYWAY_ERROR_ARGUMENT,
// BYWAY_ERROR_BUFFER_TOO_SMALL (the datagram stays; detail: its length), a handle code, a wait code,
// an end code once everything that came before was received, or what every call can.
int32_t byway_datagram_recv(byway_handle channel,
                            uint8_t *buffer,
                            size_t len,
                            int32_t timeout_ms,
                            size_t *received);

// The most octets that a datagram on this channel may have: *max.
//
// Does not block. Returns BYWAY_OK, BYWAY_ERROR_ARGUMENT, a handle code, BYWAY_ERROR_CLOSED,
// BYWAY_ERROR_TIMED_OUT (it is being connected), or what every call can.
int32_t byway_datagram_max(byway_handle channel, size_t *max);

// What can be done with a handle now without waiting: *ready gets bits of BYWAY_READABLE,
// BYWAY_WRITABLE and BYWAY_ACKED (streams, datagram channels), BYWAY_ACCEPTABLE (listeners), BYWAY_EVENT (clients),
// and BYWAY_OPENED and BYWAY_ENDED (all).
//
// Does not block. Returns BYWAY_OK, BYWAY_ERROR_ARGUMENT, BYWAY_ERROR_HANDLE, or what every call can.
int32_t byway_readiness(byway_handle handle,
                        uint32_t *ready);

// A file descriptor for poll, select, epoll, kqueue and the like: *fd. It is readable (POLLIN) exactly
// while the handle is ready for one of events, which are bits as byway_readiness gives them, or has
// ended, which need not be asked for. Level-triggered: it stays readable until the program has
// received, sent, accepted or taken what there is.
//
// Each handle has one, which a later call gives again, with the events of that call from then on; for
// two loops there is byway_second_poll_fd. It belongs to the handle and is closed with it: take it out
// of every poll set before. Wait for readability only; never read, write or close it. With timeout_ms 0
// the calls behind it do not wait.
//
// Does not block. Returns BYWAY_OK, BYWAY_ERROR_ARGUMENT (fd is NULL, or events has other bits),
// BYWAY_ERROR_SYSTEM (no file descriptor is free), BYWAY_ERROR_HANDLE, or what every call can.
int32_t byway_poll_fd(byway_handle handle,
                      uint32_t events,
                      int32_t *fd);

// A second descriptor of the handle, with events of its own; else as byway_poll_fd, with the same
// results. So one loop may wait to receive by the first while another waits to send by this. It is made
// when it is asked for.
int32_t byway_second_poll_fd(byway_handle handle,
                             uint32_t events,
                             int32_t *fd);

// Takes the client's next event into *event. size is sizeof *event: only so much is filled, and what
// this version does not know is set to zero. The newest 16 events are kept until the program takes them.
//
// Blocks while there is none, at most for timeout_ms. Returns BYWAY_OK, BYWAY_ERROR_ARGUMENT,
// BYWAY_ERROR_STRUCT, a handle code, a wait code, a fatal code once no event is left, or what every
// call can.
int32_t byway_next_event(byway_handle client,
                         struct byway_event *event,
                         size_t size,
                         int32_t timeout_ms);

// Fills *stats with the counts and measurements of a client. size is sizeof *stats: only so much is filled, and what
// this version does not know is set to zero.
//
// Does not block. Returns BYWAY_OK, BYWAY_ERROR_ARGUMENT, BYWAY_ERROR_STRUCT, a handle code, or what
// every call can.
int32_t byway_client_get_stats(byway_handle client,
                               struct byway_client_stats *stats,
                               size_t size);

// Fills *stats with the counts of a stream or datagram channel. size is sizeof *stats: only so much
// is filled, and what this version does not know is set to zero.
//
// Does not block. Returns BYWAY_OK, BYWAY_ERROR_ARGUMENT, BYWAY_ERROR_STRUCT, a handle code,
// BYWAY_ERROR_CLOSED, or what every call can.
int32_t byway_channel_get_stats(byway_handle channel,
                                struct byway_channel_stats *stats,
                                size_t size);

// Has messages of at most this level given to callback, from now on; NULL: none. For all clients of
// the process. At first there are none, and nothing is ever printed instead.
//
// The callback is called from any thread that is in a call of byway and from byway's own, also from
// several at once, with locks held: it must be quick, must not wait for a thread that is in a call of
// byway, and must neither throw nor longjmp. Within it every function that returns int32_t gives
// BYWAY_ERROR_CALLBACK.
//
// Blocks only while the callback that was set before is being called: when this returns it is never
// called again, so userdata may be freed. Returns BYWAY_OK, BYWAY_ERROR_ARGUMENT (no such level),
// BYWAY_ERROR_UNSUPPORTED (byway is part of a Rust program that has a logger of its own), or what
// every call can.
int32_t byway_set_log(byway_log_callback callback,
                      void *userdata,
                      uint32_t level);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* BYWAY_H */
