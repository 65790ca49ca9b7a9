/* A path that goes dark for longer than channels ride out: a minute, beside the other tests. */
#include "check.h"

#include "net.h"

/* The shortest linger time that two clients agree on, whatever they ask for, in ms. */
#define LINGER 66000

/* Until an event of this kind. */
static void expect_event(byway_handle client, uint32_t kind) {
  byway_event event;
  do {
    if (!OK(byway_next_event(client, &event, sizeof event, DEADLINE))) return;
  } while (event.kind != kind);
}

static void *go_dark(void *argument) {
  server *between = gate();
  byway_config config = settings();
  byway_handle here, there, listener, stream = 0;
  byway_handle kept[2] = {0, 0}, given_up[2] = {0, 0};
  uint8_t octet = 1;
  size_t n;
  int64_t began;
  int32_t code;
  (void)argument;

  config.linger_ms = 1;
  here = open_with(&config);
  config.relay_url = url_of(between);
  there = open_with(&config);
  OK(byway_listen(there, "dark:1", DEADLINE, &listener));
  OK(byway_connect(here, "dark:1", DEADLINE, &kept[0]));
  OK(byway_accept(listener, DEADLINE, &kept[1]));
  OK(byway_connect(here, "dark:1", DEADLINE, &given_up[0]));
  OK(byway_accept(listener, DEADLINE, &given_up[1]));

  began = now_ms();
  set_dark(between, 1);
  /* The peer does not hear of this: it is told for 9 s. */
  OK(byway_abort(kept[0]));
  OK(byway_send(given_up[0], &octet, 1, DEADLINE, &n));
  /* Until the relay finds that nobody takes what it writes, time-outs have no cause. */
  do code = byway_connect(here, "dark:1", 1000, &stream);
  while (code == BYWAY_ERROR_TIMED_OUT && now_ms() - began < DEADLINE);
  EXPECT(BYWAY_ERROR_PEER_AWAY, code);
  CHECK(stream == 0);
  expect_event(here, BYWAY_EVENT_KIND_PEER_AWAY);
  expect_event(there, BYWAY_EVENT_KIND_PATH_BLOCKED);
  EXPECT(BYWAY_ERROR_LINGER, byway_wait_acked(given_up[0], DEADLINE));
  CHECK(byway_last_detail() == 0 && now_ms() - began >= LINGER - 1000);
  /* What was reported dead is over when the program lets go of it; the peer is told all the same. */
  OK(byway_abort(given_up[0]));

  set_dark(between, 0);
  expect_event(there, BYWAY_EVENT_KIND_PATH_RESTORED);
  do code = byway_recv(given_up[1], &octet, 1, DEADLINE, &n);
  while (code == BYWAY_OK && n > 0);
  EXPECT(BYWAY_ERROR_PEER_GAVE_UP, code);
  /* A probe may have found it out before. */
  (void)byway_send(kept[1], &octet, 1, DEADLINE, &n);
  EXPECT(BYWAY_ERROR_PEER_UNKNOWN, byway_recv(kept[1], &octet, 1, DEADLINE, &n));
  /* The way is open again. */
  OK(byway_connect(here, "dark:1", DEADLINE, &stream));
  drop(stream);
  drop(given_up[1]);
  drop(kept[1]);
  drop(listener);
  OK(byway_abort(there));
  began = now_ms();
  OK(byway_close(here, DEADLINE));
  CHECK(now_ms() - began < 10000);
  stop(between);
  return NULL;
}

static thread *darkness;

void begin_dark(void) { darkness = spawn(go_dark, NULL); }

/* What it finds out is counted where it is printed. */
void test_dark(void) { join(darkness); }
