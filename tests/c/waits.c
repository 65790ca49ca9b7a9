/* Waits, and what ends them: cancel, close, poll() on a descriptor. */
#define _POSIX_C_SOURCE 200809L

#include "check.h"

#include <poll.h>
#include <string.h>

/* A call that waits for ever in a thread of its own, and what it gave. */
typedef struct waiter {
  int32_t (*call)(byway_handle handle);
  byway_handle handle;
  int32_t code;
  int done;
} waiter;

static void *wait_there(void *argument) {
  waiter *one = (waiter *)argument;
  one->code = one->call(one->handle);
  set_flag(&one->done, 1);
  return NULL;
}

static int32_t wait_recv(byway_handle handle) {
  uint8_t octet;
  size_t n;
  return byway_recv(handle, &octet, 1, BYWAY_FOREVER, &n);
}

static int32_t wait_send(byway_handle handle) {
  static uint8_t much[1 << 20];
  size_t n;
  int32_t code;
  do code = byway_send(handle, much, sizeof much, BYWAY_FOREVER, &n);
  while (code == BYWAY_OK);
  return code;
}

static int32_t wait_acked(byway_handle handle) { return byway_wait_acked(handle, -7); }

static int32_t wait_flush(byway_handle handle) { return byway_flush(handle, BYWAY_FOREVER); }

static int32_t wait_accept(byway_handle handle) {
  byway_handle channel;
  return byway_accept(handle, BYWAY_FOREVER, &channel);
}

static int32_t wait_datagram(byway_handle handle) {
  uint8_t octet;
  size_t n;
  return byway_datagram_recv(handle, &octet, 1, INT32_MIN, &n);
}

static int32_t wait_event(byway_handle handle) {
  byway_event event;
  int32_t code;
  do code = byway_next_event(handle, &event, sizeof event, BYWAY_FOREVER);
  while (code == BYWAY_OK);
  return code;
}

static int32_t wait_open(byway_handle handle) { return byway_wait_open(handle, BYWAY_FOREVER); }

static int32_t wait_listen(byway_handle handle) {
  byway_handle listener;
  return byway_listen(handle, "never:1", BYWAY_FOREVER, &listener);
}

static int32_t wait_connect(byway_handle handle) {
  byway_handle stream;
  return byway_connect(handle, "never:1", BYWAY_FOREVER, &stream);
}

static int32_t wait_close(byway_handle handle) { return byway_close(handle, BYWAY_FOREVER); }

/* Cancels until it is out: who has not begun to wait yet is not reached. */
static int32_t cancelled(int32_t (*call)(byway_handle), byway_handle handle) {
  waiter one;
  thread *other;
  memset(&one, 0, sizeof one);
  one.call = call, one.handle = handle;
  other = spawn(wait_there, &one);
  while (!get_flag(&one.done)) {
    int32_t code = byway_cancel(handle);
    /* A handle whose close was cancelled is gone. */
    if (code != BYWAY_OK && call != wait_close) OK(code);
    pause_ms(5);
  }
  join(other);
  return one.code;
}

/* A client that waits for a relay that is not there. */
static byway_handle lost_client(void) {
  byway_config config = settings();
  byway_handle client = 0;
  config.relay_url = "http://127.0.0.1:9";
  OK(byway_client_start(&config, &client));
  return client;
}

void test_cancel(void) {
  pair streams, datagrams;
  byway_handle lost = lost_client();
  if (!pair_open_plain(&streams, "cancel:1") || !pair_open(&datagrams, "cancel:2", true)) return;
  EXPECT(BYWAY_ERROR_CANCELLED, cancelled(wait_recv, streams.near));
  EXPECT(BYWAY_ERROR_CANCELLED, cancelled(wait_accept, streams.listener));
  EXPECT(BYWAY_ERROR_CANCELLED, cancelled(wait_accept, datagrams.listener));
  EXPECT(BYWAY_ERROR_CANCELLED, cancelled(wait_datagram, datagrams.near));
  EXPECT(BYWAY_ERROR_CANCELLED, cancelled(wait_event, streams.a));
  EXPECT(BYWAY_ERROR_CANCELLED, cancelled(wait_open, lost));
  EXPECT(BYWAY_ERROR_CANCELLED, cancelled(wait_listen, lost));
  EXPECT(BYWAY_ERROR_CANCELLED, cancelled(wait_connect, lost));
  /* Nothing was lost by that, and calls that begin later wait as ever. */
  send_pattern(streams.far, 20, 0, 1000);
  recv_pattern(streams.near, 20, 0, 1000);
  EXPECT(BYWAY_ERROR_TIMED_OUT, byway_accept(streams.listener, 10, &lost));
  /* Who sends more than the other takes. */
  EXPECT(BYWAY_ERROR_CANCELLED, cancelled(wait_send, streams.near));
  fill(streams.near);
  EXPECT(BYWAY_ERROR_CANCELLED, cancelled(wait_acked, streams.near));
  EXPECT(BYWAY_ERROR_CANCELLED, cancelled(wait_flush, streams.near));
  EXPECT(BYWAY_ERROR_CANCELLED, cancelled(wait_close, streams.near));
  EXPECT(BYWAY_ERROR_HANDLE, byway_cancel(streams.near));
  streams.near = 0;
  pair_close(&streams);
  pair_close(&datagrams);
  OK(byway_abort(lost));
}

/* Closes a handle on which another thread waits, by close or abort. A thread that has not begun to
 * wait finds no handle: then give it more time. */
static bool closed_under(int32_t (*call)(byway_handle), byway_handle handle, bool abort, int pause) {
  waiter one;
  thread *other;
  memset(&one, 0, sizeof one);
  one.call = call, one.handle = handle;
  other = spawn(wait_there, &one);
  pause_ms(pause);
  CHECK(get_flag(&one.done) == 0);
  OK(abort ? byway_abort(handle) : byway_close(handle, 0));
  join(other);
  return one.code != BYWAY_ERROR_HANDLE && EXPECT(BYWAY_ERROR_CLOSED, one.code);
}

void test_close_while_waiting(void) {
  pair two;
  byway_handle datagrams, near, far;
  int pause;
  bool reached[5] = {false};
  for (pause = 10; pause < 5000; pause *= 2) {
    bool all = true;
    size_t i;
    if (!pair_open(&two, "under:1", false)) return;
    OK(byway_listen_datagram(two.a, "under:2", DEADLINE, &datagrams));
    OK(byway_connect(two.b, "under:1", DEADLINE, &near));
    OK(byway_accept(two.listener, DEADLINE, &far));
    reached[0] |= closed_under(wait_recv, two.near, false, pause);
    reached[1] |= closed_under(wait_recv, far, true, pause);
    reached[2] |= closed_under(wait_accept, two.listener, false, pause);
    reached[3] |= closed_under(wait_accept, datagrams, true, pause);
    reached[4] |= closed_under(wait_event, two.b, false, pause);
    drop(near);
    drop(two.far);
    OK(byway_close(two.a, DEADLINE));
    for (i = 0; i < 5; i++) all = all && reached[i];
    if (all) return;
  }
  CHECK(reached[0] && reached[1] && reached[2] && reached[3] && reached[4]);
}

static bool readable(int32_t fd, int ms) {
  struct pollfd one;
  one.fd = fd, one.events = POLLIN, one.revents = 0;
  return poll(&one, 1, ms) == 1 && (one.revents & POLLIN) != 0;
}

/* A stream on which nothing is under way. */
#define IDLE (BYWAY_WRITABLE | BYWAY_OPENED | BYWAY_ACKED)

static uint32_t ready_bits(byway_handle handle) {
  uint32_t ready = 0;
  OK(byway_readiness(handle, &ready));
  return ready;
}

void test_readiness(void) {
  pair two;
  int32_t near, again, listener, event, all;
  byway_handle streams[2];
  byway_event what;
  if (!pair_open(&two, "ready:1", false)) return;
  CHECK(ready_bits(two.near) == IDLE);
  CHECK(ready_bits(two.listener) == BYWAY_OPENED);
  EXPECT(BYWAY_ERROR_ARGUMENT, byway_poll_fd(two.near, 128, &near));
  EXPECT(BYWAY_ERROR_ARGUMENT, byway_poll_fd(two.near, UINT32_MAX, &near));
  OK(byway_poll_fd(two.near, BYWAY_READABLE, &near));
  OK(byway_poll_fd(two.listener, BYWAY_ACCEPTABLE, &listener));
  OK(byway_poll_fd(two.b, BYWAY_EVENT, &event));
  OK(byway_poll_fd(two.far, BYWAY_READABLE | BYWAY_WRITABLE, &all));
  CHECK(readable(all, DEADLINE) && !readable(near, 0) && !readable(listener, 0));

  /* Level-triggered, until it was received. */
  send_pattern(two.far, 21, 0, 10);
  CHECK(readable(near, DEADLINE) && readable(near, 0));
  CHECK(ready_bits(two.near) == (BYWAY_READABLE | IDLE));
  recv_pattern(two.near, 21, 0, 9);
  CHECK(readable(near, 0));
  recv_pattern(two.near, 21, 9, 10);
  CHECK(!readable(near, 0));

  /* One descriptor for each handle, with other events from now on. */
  OK(byway_poll_fd(two.near, BYWAY_WRITABLE, &again));
  CHECK(again == near && readable(near, 0));
  OK(byway_poll_fd(two.near, 0, &again));
  CHECK(again == near && !readable(near, 0));

  OK(byway_connect(two.b, "ready:1", DEADLINE, &streams[0]));
  CHECK(readable(listener, DEADLINE));
  CHECK(ready_bits(two.listener) == (BYWAY_ACCEPTABLE | BYWAY_OPENED));
  OK(byway_accept(two.listener, 0, &streams[1]));
  CHECK(!readable(listener, 0));

  while (byway_next_event(two.b, &what, sizeof what, 0) == BYWAY_OK) CHECK(what.kind != 0);
  CHECK(!readable(event, 0) && ready_bits(two.b) == BYWAY_OPENED);
  OK(byway_network_changed(two.b));
  CHECK(readable(event, DEADLINE) && ready_bits(two.b) == (BYWAY_EVENT | BYWAY_OPENED));
  OK(byway_next_event(two.b, &what, sizeof what, DEADLINE));
  CHECK(what.size == sizeof what && what.kind == BYWAY_EVENT_KIND_CONNECTING && what.cause == 0);
  CHECK(what.seen[0] == 0 && what.seen[BYWAY_SEEN_SIZE - 1] == 0);
  send_pattern(two.near, 22, 0, 10000);
  recv_pattern(two.far, 22, 0, 10000);

  /* The end need not be asked for. */
  OK(byway_abort(two.far));
  two.far = 0;
  CHECK(readable(near, DEADLINE) && (ready_bits(two.near) & BYWAY_ENDED) != 0);
  OK(byway_abort(streams[0]));
  OK(byway_abort(streams[1]));
  pair_close(&two);
}

/* Both directions at once by one thread that never waits but in poll(). */
void test_poll_loop(void) {
  pair two;
  struct pollfd fds[2];
  byway_handle ends[2];
  size_t sent[2] = {0, 0}, received[2] = {0, 0}, total = long_transfer() / 2, i, j, n;
  uint8_t data[3000];
  int32_t code;
  if (!pair_open(&two, "loop:1", false)) return;
  ends[0] = two.near, ends[1] = two.far;
  while (received[0] < total || received[1] < total) {
    for (i = 0; i < 2; i++) {
      uint32_t events = BYWAY_READABLE | (sent[i] < total ? BYWAY_WRITABLE : 0);
      int32_t fd = -1;
      OK(byway_poll_fd(ends[i], events, &fd));
      fds[i].fd = fd, fds[i].events = POLLIN, fds[i].revents = 0;
    }
    if (!CHECK(poll(fds, 2, DEADLINE) > 0)) break;
    for (i = 0; i < 2; i++) {
      size_t len = total - sent[i] < sizeof data ? total - sent[i] : sizeof data;
      for (j = 0; j < len; j++) data[j] = pattern((uint32_t)i, sent[i] + j);
      if (len > 0) {
        code = byway_send(ends[i], data, len, 0, &n);
        if (code == BYWAY_OK) sent[i] += n;
        else if (!EXPECT(BYWAY_ERROR_TIMED_OUT, code)) return;
      }
      code = byway_recv(ends[i], data, sizeof data, 0, &n);
      if (code == BYWAY_ERROR_TIMED_OUT) continue;
      if (!OK(code) || !CHECK(n > 0)) return;
      for (j = 0; j < n; j++)
        if (!CHECK(data[j] == pattern((uint32_t)(1 - i), received[i] + j))) return;
      received[i] += n;
    }
  }
  pair_close(&two);
}

typedef struct worker {
  pair *two;
  uint32_t seed;
} worker;

#define ROUNDS 10

static void *work(void *argument) {
  worker *one = (worker *)argument;
  byway_handle stream;
  uint32_t round;
  byway_client_stats stats;
  for (round = 0; round < ROUNDS; round++) {
    uint8_t seed = (uint8_t)(one->seed * ROUNDS + round);
    size_t n = 0;
    if (!OK(byway_connect(one->two->b, "many:1", DEADLINE, &stream))) return NULL;
    OK(byway_send(stream, &seed, 1, DEADLINE, &n));
    CHECK(n == 1);
    OK(byway_client_get_stats(one->two->b, &stats, sizeof stats));
    recv_pattern(stream, seed, 0, 3000);
    recv_end(stream);
    OK(byway_close(stream, DEADLINE));
  }
  return NULL;
}

static void *serve(void *argument) {
  worker *one = (worker *)argument;
  byway_handle stream;
  uint32_t round;
  for (round = 0; round < ROUNDS; round++) {
    uint8_t seed = 0;
    size_t n = 0;
    if (!OK(byway_accept(one->two->listener, DEADLINE, &stream))) return NULL;
    OK(byway_recv(stream, &seed, 1, DEADLINE, &n));
    CHECK(n == 1);
    send_pattern(stream, seed, 0, 3000);
    OK(byway_close(stream, DEADLINE));
  }
  return NULL;
}

/* 8 threads use each client, and one listener. */
void test_threads(void) {
  pair two;
  worker workers[8];
  thread *threads[16];
  uint32_t i;
  if (!pair_open(&two, "many:1", false)) return;
  for (i = 0; i < 8; i++) {
    workers[i].two = &two, workers[i].seed = i;
    threads[i] = spawn(work, &workers[i]);
    threads[i + 8] = spawn(serve, &workers[i]);
  }
  for (i = 0; i < 16; i++) join(threads[i]);
  pair_close(&two);
}
