/* Endpoints, and what is used up. */
#include "check.h"

#include <string.h>

static void test_malformed(byway_handle client) {
  static const char *const wrong[] = {"", "camera", ":1", "camera:", "camera:65536", "a b:1",
                                      "camera:-1", "camera:1:2",
                                      "0123456789012345678901234567890123456789012345678:1"};
  byway_handle handle = 0;
  size_t i;
  for (i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    EXPECT(BYWAY_ERROR_ENDPOINT, byway_listen(client, wrong[i], DEADLINE, &handle));
    EXPECT(BYWAY_ERROR_ENDPOINT, byway_listen_datagram(client, wrong[i], DEADLINE, &handle));
    EXPECT(BYWAY_ERROR_ENDPOINT, byway_connect(client, wrong[i], DEADLINE, &handle));
    EXPECT(BYWAY_ERROR_ENDPOINT, byway_connect_datagram(client, wrong[i], DEADLINE, &handle));
  }
  CHECK(handle == 0);
}

static void test_key_names(void) {
  byway_config config = settings();
  byway_handle owner, other, listener, far, near, again = 0;
  char at[BYWAY_KEY_NAME_SIZE + 2];
  memset(config.identity, 0x5a, sizeof config.identity);
  config.identity[0] = 1;
  EXPECT(BYWAY_ERROR_ARGUMENT, byway_identity_name(NULL, at, sizeof at));
  EXPECT(BYWAY_ERROR_BUFFER_TOO_SMALL,
         byway_identity_name(config.identity, at, BYWAY_KEY_NAME_SIZE - 1));
  OK(byway_identity_name(config.identity, at, BYWAY_KEY_NAME_SIZE));
  CHECK(strlen(at) == BYWAY_KEY_NAME_SIZE - 1 && at[0] == 'k' && at[1] == '.');
  strcat(at, ":1");
  owner = open_with(&config);
  config.identity[0] = 2;
  other = open_with(&config);
  OK(byway_listen(owner, at, DEADLINE, &listener));
  EXPECT(BYWAY_ERROR_KEY_NAME, byway_listen(other, at, DEADLINE, &again));
  EXPECT(BYWAY_ERROR_KEY_NAME, byway_connect(other, "k.camera:1", DEADLINE, &again));
  CHECK(again == 0);
  OK(byway_connect(other, at, DEADLINE, &near));
  OK(byway_accept(listener, DEADLINE, &far));
  CHECK(send_pattern(near, 1, 0, 1000) && recv_pattern(far, 1, 0, 1000));
  OK(byway_abort(owner));
  OK(byway_abort(other));
}

void test_endpoints(void) {
  static const char longest[] = "012345678901234567890123456789012345678901234567:65535";
  char text[BYWAY_ENDPOINT_SIZE];
  byway_handle a = open_client(), b = open_client(), listener, parcels, again = 0, full;
  int64_t until = now_ms() + DEADLINE;
  int32_t code;
  test_malformed(a);
  test_key_names();
  OK(byway_listen(a, longest, DEADLINE, &full));
  OK(byway_endpoint(full, text, sizeof text));
  CHECK(strcmp(text, longest) == 0);

  OK(byway_listen(a, "one:1", DEADLINE, &listener));
  OK(byway_listen_datagram(a, "one:2", DEADLINE, &parcels));
  EXPECT(BYWAY_ERROR_DUPLICATE, byway_listen(a, "one:1", DEADLINE, &again));
  EXPECT(BYWAY_ERROR_DUPLICATE, byway_listen_datagram(a, "one:2", DEADLINE, &again));
  EXPECT(BYWAY_ERROR_IN_USE, byway_listen(b, "one:1", DEADLINE, &again));
  EXPECT(BYWAY_ERROR_IN_USE, byway_listen_datagram(b, "one:2", DEADLINE, &again));
  EXPECT(BYWAY_ERROR_ENDPOINT_KIND, byway_connect(b, "one:2", DEADLINE, &again));
  EXPECT(BYWAY_ERROR_ENDPOINT_KIND, byway_connect_datagram(b, "one:1", DEADLINE, &again));
  EXPECT(BYWAY_ERROR_NO_LISTENER, byway_connect(b, "nobody:1", DEADLINE, &again));
  EXPECT(BYWAY_ERROR_NO_LISTENER, byway_connect_datagram(b, "nobody:1", DEADLINE, &again));
  CHECK(again == 0);

  /* An endpoint that was given back is free for others, once the relay has heard so. */
  OK(byway_close(listener, DEADLINE));
  do code = byway_listen(b, "one:1", DEADLINE, &listener);
  while (code == BYWAY_ERROR_IN_USE && now_ms() < until);
  OK(code);
  OK(byway_connect(a, "one:1", DEADLINE, &again));
  drop(listener);
  drop(parcels);
  drop(full);
  drop(again);
  OK(byway_close(a, DEADLINE));
  OK(byway_close(b, DEADLINE));
}

/* A process of the same owner takes over. */
void test_taken(void) {
  byway_config config = settings();
  byway_handle a, b, first = 0, second = 0, none = 0;
  byway_event event;
  uint32_t id = 0;
  memset(config.owner, 7, sizeof config.owner);
  config.epoch_ms = 1000;
  a = open_with(&config);
  config.epoch_ms = 2000;
  b = open_with(&config);
  OK(byway_listen(a, "taken:1", DEADLINE, &first));
  OK(byway_listen(b, "taken:1", DEADLINE, &second));
  EXPECT(BYWAY_ERROR_TAKEN, byway_accept(first, DEADLINE, &none));
  OK(byway_id(first, &id));
  do {
    if (!OK(byway_next_event(a, &event, sizeof event, DEADLINE))) break;
  } while (event.kind != BYWAY_EVENT_KIND_LISTENER_LOST);
  CHECK(event.id == id);
  OK(byway_close(first, DEADLINE));
  /* Whoever listens now is the newer one. */
  OK(byway_listen(a, "taken:1", DEADLINE, &first));
  EXPECT(BYWAY_ERROR_TAKEN, byway_accept(second, DEADLINE, &none));
  CHECK(none == 0);
  drop(first);
  drop(second);
  OK(byway_close(a, DEADLINE));
  OK(byway_close(b, DEADLINE));
}

void test_used_up(void) {
  byway_config config = settings();
  byway_handle a = open_client(), b, c, here, there, first, second = 0, accepted;
  OK(byway_config_profile(&config, BYWAY_PROFILE_TINY));
  config.channels = 2;
  config.backlog = 1;
  b = open_with(&config);
  config.channels = 1;
  c = open_with(&config);
  OK(byway_listen(a, "used:1", DEADLINE, &there));
  OK(byway_listen(b, "used:2", DEADLINE, &here));
  EXPECT(BYWAY_ERROR_LISTENERS, byway_listen(b, "used:3", DEADLINE, &second));

  /* One waits to be accepted, and a second may not. */
  OK(byway_connect(a, "used:2", DEADLINE, &first));
  EXPECT(BYWAY_ERROR_BACKLOG_FULL, byway_connect(a, "used:2", 700, &second));
  OK(byway_accept(here, DEADLINE, &accepted));
  drop(first);
  drop(accepted);

  OK(byway_connect(c, "used:1", DEADLINE, &first));
  EXPECT(BYWAY_ERROR_CHANNELS, byway_connect(c, "used:1", DEADLINE, &second));
  EXPECT(BYWAY_ERROR_CHANNELS, byway_connect_datagram(c, "used:1", DEADLINE, &second));
  CHECK(second == 0);
  drop(first);
  drop(here);
  drop(there);
  OK(byway_close(a, DEADLINE));
  OK(byway_close(b, DEADLINE));
  OK(byway_close(c, DEADLINE));
}

/* A client that is closed while its peer does not receive. */
void test_unacked(void) {
  pair two;
  if (!pair_open_plain(&two, "unacked:1")) return;
  fill(two.near);
  EXPECT(BYWAY_ERROR_UNACKED, byway_close(two.b, 100));
  CHECK(byway_last_detail() == 1);
  EXPECT(BYWAY_ERROR_HANDLE, byway_close(two.b, 100));
  drop(two.near);
  drop(two.far);
  drop(two.listener);
  OK(byway_close(two.a, DEADLINE));
}

/* Two sessions of one secret end each other. */
void test_secret_shared(void) {
  byway_config config = settings();
  byway_handle a, b, none = 0;
  byway_handle listener = 0;
  int64_t until = now_ms() + DEADLINE;
  int32_t code = BYWAY_OK, other = BYWAY_OK;
  /* The relay may remember those of an earlier run. */
  memcpy(config.seed, &until, sizeof until);
  a = open_with(&config);
  OK(byway_listen(a, "shared:1", DEADLINE, &listener));
  OK(byway_client_start(&config, &b));
  while (code != BYWAY_ERROR_SECRET_SHARED && other != BYWAY_ERROR_SECRET_SHARED &&
         now_ms() < until) {
    code = byway_connect(b, "nobody:2", 200, &none);
    other = byway_connect(a, "nobody:2", 200, &none);
  }
  EXPECT(BYWAY_ERROR_SECRET_SHARED, code == BYWAY_ERROR_SECRET_SHARED ? code : other);
  drop(listener);
  OK(byway_abort(a));
  OK(byway_abort(b));
}
