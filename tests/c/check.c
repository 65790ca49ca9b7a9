#define _POSIX_C_SOURCE 200809L

#include "check.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int failures;

/* The codes of the header, and which of them were seen. */
static struct {
  const char *name;
  int32_t code;
  bool seen;
} codes[] = {
#define CODE(name) {#name, name, false},
#include "codes.inc"
#undef CODE
};
#define CODES (sizeof codes / sizeof codes[0])

#define NEEDS_TLS "needs a server that speaks TLS: the tests of src/transport"

#define NEEDS_POLICY "needs a relay with a policy: tests/admission"

#define NEEDS_ROGUE "needs a relay that changes what it passes on: tests/sim/tamper.rs"

/* What no C program can provoke, and where it is tested instead. */
static const struct {
  int32_t code;
  const char *where;
} elsewhere[] = {
    {BYWAY_ERROR_PANIC, "needs a fault in byway: injected by the tests of src/capi"},
    {BYWAY_ERROR_ENTROPY, "needs a system without random numbers"},
    {BYWAY_ERROR_HANDLES, "needs 2^24 open handles"},
    {BYWAY_ERROR_PEER_PROTOCOL, "needs a peer that breaks the protocol: the tests of src/session"},
    {BYWAY_ERROR_TAMPERED, NEEDS_ROGUE},
    {BYWAY_ERROR_TAMPERED_THERE, NEEDS_ROGUE},
    {BYWAY_ERROR_TRUNCATED, NEEDS_ROGUE},
    {BYWAY_ERROR_TLS, NEEDS_TLS},
    {BYWAY_ERROR_TLS_EXPIRED, NEEDS_TLS},
    {BYWAY_ERROR_TLS_NOT_YET_VALID, NEEDS_TLS},
    {BYWAY_ERROR_TLS_WRONG_NAME, NEEDS_TLS},
    {BYWAY_ERROR_TLS_UNKNOWN_ISSUER, NEEDS_TLS},
    {BYWAY_ERROR_TLS_CERTIFICATE, NEEDS_TLS},
    {BYWAY_ERROR_TLS_REFUSED, NEEDS_TLS},
    {BYWAY_ERROR_TLS_CLIENT_CERTIFICATE, NEEDS_TLS},
    {BYWAY_ERROR_TLS_OTHER_KEY, "needs a relay that speaks TLS: tests/tls"},
    {BYWAY_ERROR_FORBIDDEN, NEEDS_POLICY},
    {BYWAY_ERROR_TOKEN_WANTED, NEEDS_POLICY},
    {BYWAY_ERROR_TOKEN_REFUSED, NEEDS_POLICY},
};

bool expect_code(const char *file, int line, const char *call, int32_t wanted, int32_t got) {
  size_t i;
  pthread_mutex_lock(&lock);
  for (i = 0; i < CODES; i++)
    if (codes[i].code == got && wanted == got) codes[i].seen = true;
  if (wanted != got) {
    failures++;
    printf("%s:%d: %s gave %ld, not %ld; last error: %s\n", file, line, call, (long)got,
           (long)wanted, byway_last_error());
    fflush(stdout);
  }
  pthread_mutex_unlock(&lock);
  return wanted == got;
}

bool check_that(const char *file, int line, const char *condition, bool holds) {
  if (!holds) {
    pthread_mutex_lock(&lock);
    failures++;
    printf("%s:%d: not so: %s\n", file, line, condition);
    fflush(stdout);
    pthread_mutex_unlock(&lock);
  }
  return holds;
}

/* Every code of the header was provoked, or it is said why not. */
static void test_every_code(void) {
  size_t i, j;
  for (i = 0; i < CODES; i++) {
    const char *why = NULL;
    for (j = 0; j < sizeof elsewhere / sizeof elsewhere[0]; j++)
      if (elsewhere[j].code == codes[i].code) why = elsewhere[j].where;
    printf("  %-34s %5ld  %s\n", codes[i].name, (long)codes[i].code,
           codes[i].seen ? "seen" : why != NULL ? why : "NOT SEEN");
    CHECK(codes[i].seen != (why != NULL));
  }
}

static const struct {
  const char *name;
  void (*run)(void);
} tests[] = {
#define TEST(name) {#name, test_##name}
    TEST(library),       TEST(log),           TEST(config_struct), TEST(config_values),
    TEST(null),          TEST(stale),         TEST(kind),          TEST(handles_after_client),
    TEST(stream),        TEST(half_close),    TEST(stream_ends),   TEST(stream_times),
    TEST(datagrams),     TEST(datagram_limits), TEST(cancel),      TEST(close_while_waiting),
    TEST(readiness),     TEST(poll_loop),     TEST(event_loop),    TEST(without_waiting),
    TEST(two_loops),     TEST(threads),       TEST(greetings),     TEST(endpoints),
    TEST(pinned_key),    TEST(admit),         TEST(refuse),        TEST(shared_secret),
    TEST(plain),
    TEST(taken),         TEST(used_up),       TEST(unacked),       TEST(secret_shared),
    TEST(paths),         TEST(refusals),      TEST(hooks),         TEST(other_proxy),
    TEST(dark),          TEST(descriptors),   TEST(no_leaks),
#undef TEST
};

static int passed, failed;

static void run(const char *name, void (*test)(void)) {
  int64_t began = now_ms();
  int before = failures;
  test();
  if (failures == before) passed++;
  else failed++;
  printf("test %s ... %s (%ld ms)\n", name, failures == before ? "ok" : "FAILED",
         (long)(now_ms() - began));
  fflush(stdout);
}

/* Arguments are the tests to run; none: all, and what codes they saw. */
int main(int argc, char **argv) {
  size_t i;
  int j;
  if (argc == 2 && strcmp(argv[1], "--loud") == 0) {
    be_loud();
    return failures == 0 ? 0 : 1;
  }
  for (j = 1; j < argc && strcmp(argv[j], "dark") != 0; j++) continue;
  if (argc == 1 || j < argc) begin_dark();
  for (i = 0; i < sizeof tests / sizeof tests[0]; i++) {
    bool wanted = argc == 1;
    for (j = 1; j < argc; j++) wanted = wanted || strcmp(argv[j], tests[i].name) == 0;
    if (wanted) run(tests[i].name, tests[i].run);
  }
  if (argc == 1) run("every_code", test_every_code);
  printf("test result: %s. %d passed; %d failed\n", failed == 0 ? "ok" : "FAILED", passed, failed);
  return failed == 0 && passed > 0 ? 0 : 1;
}
