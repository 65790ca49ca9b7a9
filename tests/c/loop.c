/* Programs of one thread that wait in poll() and nowhere else, without a tick. */
#define _POSIX_C_SOURCE 200809L

#include "check.h"

#include <poll.h>
#include <string.h>

/* A handle that something is waited for, and what is done then. */
typedef struct task task;
struct task {
  byway_handle handle;
  uint32_t events;
  void (*step)(task *it);
};

/* Octets that go to the server and come back. */
#define ECHOED 100000

static task server, user;
static byway_handle server_client, user_client, listener;
static uint8_t echo[ECHOED];
static size_t heard, said, sent, received;

static void next(task *it, byway_handle handle, uint32_t events, void (*step)(task *it)) {
  it->handle = handle, it->events = events, it->step = step;
}

static void server_close(task *it) {
  OK(byway_wait_acked(it->handle, 0));
  OK(byway_close(it->handle, 0));
  OK(byway_close(listener, 0));
  it->handle = 0;
}

static void server_echo(task *it) {
  static bool ended;
  size_t n = 0;
  int32_t code = byway_recv(it->handle, echo + heard, ECHOED - heard, 0, &n);
  if (heard == ECHOED) ended = true;
  else if (code == BYWAY_OK) heard += n;
  else EXPECT(BYWAY_ERROR_TIMED_OUT, code);
  if (said < heard) {
    code = byway_send(it->handle, echo + said, heard - said, 0, &n);
    if (code == BYWAY_OK) said += n;
    else EXPECT(BYWAY_ERROR_TIMED_OUT, code);
  }
  it->events = (ended ? 0 : BYWAY_READABLE) | (said < heard ? BYWAY_WRITABLE : 0);
  if (said < ECHOED) return;
  OK(byway_shutdown(it->handle, BYWAY_HOW_WRITE));
  code = byway_wait_acked(it->handle, 0);
  CHECK(code == BYWAY_OK || code == BYWAY_ERROR_TIMED_OUT);
  next(it, it->handle, BYWAY_ACKED, server_close);
}

static void server_accept(task *it) {
  byway_handle stream = 0;
  OK(byway_accept(it->handle, 0, &stream));
  next(it, stream, BYWAY_READABLE, server_echo);
}

static void user_talk(task *it) {
  uint8_t data[3000];
  size_t len = ECHOED - sent < sizeof data ? ECHOED - sent : sizeof data, n = 0, i;
  int32_t code;
  for (i = 0; i < len; i++) data[i] = pattern(30, sent + i);
  if (len > 0) {
    code = byway_send(it->handle, data, len, 0, &n);
    if (code == BYWAY_OK) sent += n;
    else EXPECT(BYWAY_ERROR_TIMED_OUT, code);
    if (sent == ECHOED) OK(byway_shutdown(it->handle, BYWAY_HOW_WRITE));
  }
  it->events = BYWAY_READABLE | (sent < ECHOED ? BYWAY_WRITABLE : 0);
  code = byway_recv(it->handle, data, sizeof data, 0, &n);
  if (code == BYWAY_ERROR_TIMED_OUT) return;
  OK(code);
  for (i = 0; i < n && CHECK(data[i] == pattern(30, received + i)); i++) continue;
  received += n;
  if (n > 0) return;
  OK(byway_close(it->handle, 0));
  it->handle = 0;
}

static void user_connected(task *it) {
  OK(byway_wait_open(it->handle, 0));
  user_talk(it);
  it->step = user_talk;
}

static void server_listens(task *it) {
  byway_handle stream = 0;
  OK(byway_wait_open(it->handle, 0));
  next(it, it->handle, BYWAY_ACCEPTABLE, server_accept);
  /* Whether that client has reached its relay by now need not be known. */
  OK(byway_connect(user_client, "echo:1", 0, &stream));
  next(&user, stream, BYWAY_OPENED, user_connected);
}

static void server_opened(task *it) {
  OK(byway_wait_open(it->handle, 0));
  OK(byway_listen(it->handle, "echo:1", 0, &listener));
  next(it, listener, BYWAY_OPENED, server_listens);
}

void test_event_loop(void) {
  task *const tasks[2] = {&server, &user};
  byway_config config = settings();
  heard = said = sent = received = 0;
  OK(byway_client_start(&config, &server_client));
  OK(byway_client_open(&config, 0, &user_client));
  next(&server, server_client, BYWAY_OPENED, server_opened);
  while (server.handle != 0 || user.handle != 0) {
    struct pollfd fds[2];
    size_t i;
    for (i = 0; i < 2; i++) {
      int32_t fd = -1;
      if (tasks[i]->handle != 0) OK(byway_poll_fd(tasks[i]->handle, tasks[i]->events, &fd));
      fds[i].fd = fd, fds[i].events = POLLIN, fds[i].revents = 0;
    }
    if (!CHECK(poll(fds, 2, DEADLINE) > 0)) return;
    for (i = 0; i < 2; i++)
      if (fds[i].revents != 0) tasks[i]->step(tasks[i]);
  }
  CHECK(received == ECHOED);
  OK(byway_abort(user_client));
  OK(byway_abort(server_client));
}

static bool ready(byway_handle handle, uint32_t events, int ms) {
  struct pollfd one;
  OK(byway_poll_fd(handle, events, &one.fd));
  one.events = POLLIN, one.revents = 0;
  return poll(&one, 1, ms) == 1;
}

static void test_opened(void) {
  byway_config config = settings();
  byway_event event;
  byway_handle client, there = 0, here = 0, none = 0, other = open_client();
  memset(&event, 0, sizeof event);
  OK(byway_client_start(&config, &client));
  while (event.kind != BYWAY_EVENT_KIND_OPENED) {
    if (!CHECK(ready(client, BYWAY_EVENT, DEADLINE))) return;
    OK(byway_next_event(client, &event, sizeof event, 0));
    CHECK(event.kind == BYWAY_EVENT_KIND_CONNECTING || event.kind == BYWAY_EVENT_KIND_OPENED);
  }
  CHECK(ready(client, BYWAY_OPENED, 0));
  OK(byway_wait_open(client, 0));

  /* Refusals: the descriptor tells when, the call tells which. */
  OK(byway_listen_datagram(other, "loop:1", 0, &there));
  CHECK(ready(there, BYWAY_OPENED, DEADLINE));
  OK(byway_wait_open(there, 0));
  OK(byway_listen(client, "loop:1", 0, &here));
  CHECK(ready(here, BYWAY_OPENED, DEADLINE));
  EXPECT(BYWAY_ERROR_IN_USE, byway_wait_open(here, 0));
  EXPECT(BYWAY_ERROR_IN_USE, byway_accept(here, 0, &none));
  OK(byway_close(here, 0));
  OK(byway_connect(client, "loop:1", 0, &here));
  CHECK(ready(here, BYWAY_WRITABLE, DEADLINE));
  EXPECT(BYWAY_ERROR_ENDPOINT_KIND, byway_wait_open(here, 0));
  OK(byway_close(here, 0));
  OK(byway_connect_datagram(client, "loop:1", 0, &here));
  CHECK(ready(here, BYWAY_WRITABLE, DEADLINE));
  OK(byway_wait_open(here, 0));
  drop(here);
  drop(there);
  OK(byway_close(client, DEADLINE));
  OK(byway_close(other, DEADLINE));
}

/* Of a relay that is not there: all of it goes on, and is given up by closing. */
static void test_under_way(void) {
  byway_config config = settings();
  byway_event event;
  byway_handle client, stream = 0, datagrams = 0, listener_there = 0, none = 0;
  uint8_t octets[BYWAY_ADDRESS_SIZE] = {0};
  size_t n;
  uint32_t bits = 0;
  config.relay_url = "http://127.0.0.1:9";
  OK(byway_client_open(&config, 0, &client));
  memset(&event, 0, sizeof event);
  while (event.kind != BYWAY_EVENT_KIND_PATH_BLOCKED) {
    if (!CHECK(ready(client, BYWAY_EVENT, DEADLINE))) return;
    OK(byway_next_event(client, &event, sizeof event, 0));
  }
  CHECK(event.cause == BYWAY_ERROR_CONNECT);
  EXPECT(BYWAY_ERROR_TIMED_OUT, byway_wait_open(client, 0));
  EXPECT(BYWAY_ERROR_CONNECT, byway_wait_open(client, 1));
  OK(byway_listen(client, "loop:1", 0, &listener_there));
  OK(byway_connect(client, "loop:1", 0, &stream));
  OK(byway_connect_datagram(client, "loop:1", 0, &datagrams));
  EXPECT(BYWAY_ERROR_TIMED_OUT, byway_wait_open(listener_there, 0));
  EXPECT(BYWAY_ERROR_TIMED_OUT, byway_accept(listener_there, 0, &none));
  EXPECT(BYWAY_ERROR_TIMED_OUT, byway_wait_open(stream, 0));
  EXPECT(BYWAY_ERROR_TIMED_OUT, byway_send(stream, octets, 1, 0, &n));
  EXPECT(BYWAY_ERROR_TIMED_OUT, byway_recv(stream, octets, 1, 0, &n));
  EXPECT(BYWAY_ERROR_TIMED_OUT, byway_peer(stream, octets));
  EXPECT(BYWAY_ERROR_TIMED_OUT, byway_wait_open(datagrams, 0));
  EXPECT(BYWAY_ERROR_TIMED_OUT, byway_datagram_send(datagrams, octets, 1, 0));
  EXPECT(BYWAY_ERROR_TIMED_OUT, byway_datagram_recv(datagrams, octets, 1, 0, &n));
  EXPECT(BYWAY_ERROR_TIMED_OUT, byway_datagram_max(datagrams, &n));
  EXPECT(BYWAY_ERROR_CONNECT, byway_wait_open(stream, 1));
  OK(byway_readiness(stream, &bits));
  CHECK((bits & (BYWAY_OPENED | BYWAY_WRITABLE | BYWAY_READABLE)) == 0);
  OK(byway_close(stream, BYWAY_FOREVER));
  OK(byway_close(datagrams, BYWAY_FOREVER));
  OK(byway_close(listener_there, BYWAY_FOREVER));
  OK(byway_abort(client));
}

void test_without_waiting(void) {
  test_opened();
  test_under_way();
}

/* One loop receives from a stream while another sends on it: each by a descriptor of its own. */
typedef struct direction {
  byway_handle stream;
  size_t done;
} direction;

static bool wait_by(int32_t (*of)(byway_handle, uint32_t, int32_t *), byway_handle stream,
                    uint32_t events) {
  struct pollfd one;
  OK(of(stream, events, &one.fd));
  one.events = POLLIN, one.revents = 0;
  return CHECK(poll(&one, 1, DEADLINE) == 1);
}

static void *send_there(void *argument) {
  direction *it = (direction *)argument;
  uint8_t data[3000];
  size_t n, i;
  while (it->done < ECHOED && wait_by(byway_second_poll_fd, it->stream, BYWAY_WRITABLE)) {
    size_t len = ECHOED - it->done < sizeof data ? ECHOED - it->done : sizeof data;
    for (i = 0; i < len; i++) data[i] = pattern(31, it->done + i);
    if (!OK(byway_send(it->stream, data, len, 0, &n))) break;
    it->done += n;
  }
  return NULL;
}

static void *receive_there(void *argument) {
  direction *it = (direction *)argument;
  uint8_t data[3000];
  size_t n, i;
  while (it->done < ECHOED && wait_by(byway_poll_fd, it->stream, BYWAY_READABLE)) {
    if (!OK(byway_recv(it->stream, data, sizeof data, 0, &n))) break;
    for (i = 0; i < n; i++)
      if (!CHECK(data[i] == pattern(31, it->done + i))) return NULL;
    it->done += n;
  }
  return NULL;
}

void test_two_loops(void) {
  pair two;
  direction directions[4];
  thread *threads[4];
  int32_t first = -1, second = -1, again = -1;
  size_t i;
  if (!pair_open(&two, "loops:1", false)) return;
  OK(byway_poll_fd(two.near, BYWAY_READABLE, &first));
  OK(byway_second_poll_fd(two.near, BYWAY_WRITABLE, &second));
  CHECK(first != second);
  OK(byway_second_poll_fd(two.near, 0, &again));
  CHECK(again == second);
  EXPECT(BYWAY_ERROR_ARGUMENT, byway_second_poll_fd(two.near, 128, &again));
  EXPECT(BYWAY_ERROR_ARGUMENT, byway_second_poll_fd(two.near, 0, NULL));
  for (i = 0; i < 4; i++) {
    directions[i].stream = i < 2 ? two.near : two.far, directions[i].done = 0;
    threads[i] = spawn(i % 2 == 0 ? send_there : receive_there, &directions[i]);
  }
  for (i = 0; i < 4; i++) join(threads[i]);
  for (i = 0; i < 4; i++) CHECK(directions[i].done == ECHOED);
  pair_close(&two);
}
