/* What the C tests have in common: checks that count, a relay to talk through, patterns to send. */
#ifndef CHECK_H
#define CHECK_H

#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>

#include "byway.h"

/* Milliseconds: longer than anything here takes on a slow and busy machine, under valgrind too. */
#define DEADLINE 120000

/* Calls, and expects a code; remembers that the code was seen. True if it was that one. */
#define EXPECT(code, call) expect_code(__FILE__, __LINE__, #call, (code), (call))

/* True if the condition holds; else the test has failed, and goes on. */
#define CHECK(condition) check_that(__FILE__, __LINE__, #condition, (condition))

#define OK(call) EXPECT(BYWAY_OK, call)

bool expect_code(const char *file, int line, const char *call, int32_t wanted, int32_t got);
bool check_that(const char *file, int line, const char *condition, bool holds);

/* The relay that the runner started: its URL. */
const char *relay_url(void);

/* Octets of a long transfer; BYWAY_TEST_OCTETS makes it shorter where everything is slow. */
size_t long_transfer(void);

/* The default configuration, for that relay. */
byway_config settings(void);

/* A client of it, or of another configuration. */
byway_handle open_client(void);
byway_handle open_with(const byway_config *config);

/* Two clients and a channel between them. far is the listener's end. */
typedef struct pair {
  byway_handle a, b, listener, near, far;
} pair;

/* Datagrams or a stream, at an endpoint of the name. */
bool pair_open(pair *two, const char *endpoint, bool datagram);
/* A stream that is not encrypted: how many octets fit into the rings is known. */
bool pair_open_plain(pair *two, const char *endpoint);
void pair_close(pair *two);

/* Closes what may be left open, whatever that says. */
void drop(byway_handle handle);

/* Octet i of the stream with this seed. */
uint8_t pattern(uint32_t seed, size_t i);
/* Sends octets from to to of it; receives and compares as many. */
bool send_pattern(byway_handle stream, uint32_t seed, size_t from, size_t to);
bool recv_pattern(byway_handle stream, uint32_t seed, size_t from, size_t to);
/* Sends until the rings of both ends are full, of a plain stream that nobody receives from: sending waits
 * from then on. How much that was in all. */
size_t fill(byway_handle stream);
/* The stream ends here. */
bool recv_end(byway_handle stream);

/* Milliseconds of a clock that only goes forward. */
int64_t now_ms(void);
void pause_ms(int ms);

/* A thread, and its end. */
typedef struct thread thread;
thread *spawn(void *(*run)(void *), void *argument);
void join(thread *other);

/* What two threads share. */
int get_flag(const int *flag);
void set_flag(int *flag, int value);

/* The tests, by file. */
void test_library(void);
void test_log(void);
void test_config_struct(void);
void test_config_values(void);
void test_null(void);
void test_stale(void);
void test_kind(void);
void test_handles_after_client(void);
void test_stream(void);
void test_half_close(void);
void test_stream_ends(void);
void test_stream_times(void);
void test_datagrams(void);
void test_datagram_limits(void);
void test_cancel(void);
void test_close_while_waiting(void);
void test_readiness(void);
void test_poll_loop(void);
void test_threads(void);
void test_event_loop(void);
void test_without_waiting(void);
void test_two_loops(void);
void test_greetings(void);
void test_pinned_key(void);
void test_admit(void);
void test_refuse(void);
void test_shared_secret(void);
void test_plain(void);
void test_endpoints(void);
void test_taken(void);
void test_used_up(void);
void test_unacked(void);
void test_secret_shared(void);
void test_paths(void);
void test_refusals(void);
void test_hooks(void);
void test_other_proxy(void);
/* begin_dark begins what test_dark ends. */
void begin_dark(void);
void test_dark(void);
void test_descriptors(void);
void test_no_leaks(void);

/* Everything that has something to say, for a process whose output is watched. */
void be_loud(void);

#endif
