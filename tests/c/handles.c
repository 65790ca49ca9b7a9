/* Handles and pointers that are not what a call takes. */
#include "check.h"

#include <string.h>

/* Places for results, and what they hold before. */
typedef struct places {
  byway_handle handle;
  size_t size;
  uint32_t bits;
  int32_t fd;
  uint8_t octets[BYWAY_ENDPOINT_SIZE];
  char text[BYWAY_ENDPOINT_SIZE];
  byway_event event;
  byway_client_stats client;
  byway_channel_stats channel;
} places;

#define BEFORE 0xa5

/* Every call that takes a handle gives the code for this one, and writes nothing. Of those that take
 * any handle, only with any. */
static void refuse(int32_t code, byway_handle handle, bool clients, bool listeners, bool streams,
                   bool datagrams, bool any) {
  places at, before;
  uint8_t identity[BYWAY_IDENTITY_SIZE];
  char key_name[BYWAY_KEY_NAME_SIZE];
  memset(identity, 7, sizeof identity);
  OK(byway_identity_name(identity, key_name, sizeof key_name));
  memset(&at, BEFORE, sizeof at);
  memset(&before, BEFORE, sizeof before);
  if (clients) {
    EXPECT(code, byway_network_changed(handle));
    EXPECT(code, byway_listen(handle, "refuse:1", 0, &at.handle));
    EXPECT(code, byway_listen_datagram(handle, "refuse:1", 0, &at.handle));
    EXPECT(code, byway_listen_greeting(handle, "refuse:1", at.octets, 1, 0, &at.handle));
    EXPECT(code, byway_listen_datagram_greeting(handle, "refuse:1", at.octets, 1, 0, &at.handle));
    EXPECT(code, byway_connect(handle, "refuse:1", 0, &at.handle));
    EXPECT(code, byway_connect_datagram(handle, "refuse:1", 0, &at.handle));
    EXPECT(code, byway_connect_greeting(handle, "refuse:1", at.octets, 1, 0, &at.handle));
    EXPECT(code, byway_connect_datagram_greeting(handle, "refuse:1", at.octets, 1, 0, &at.handle));
    EXPECT(code, byway_connect_to_key(handle, "refuse:1", key_name, at.octets, 1, 0, &at.handle));
    EXPECT(code, byway_connect_datagram_to_key(handle, "refuse:1", key_name, at.octets, 1, 0, &at.handle));
    EXPECT(code, byway_next_event(handle, &at.event, sizeof at.event, 0));
    EXPECT(code, byway_client_get_stats(handle, &at.client, sizeof at.client));
  }
  if (listeners) {
    EXPECT(code, byway_accept(handle, 0, &at.handle));
    EXPECT(code, byway_admit(handle, NULL, 0));
    EXPECT(code, byway_refuse(handle, NULL, 0));
  }
  if (listeners && streams) {
    EXPECT(code, byway_endpoint(handle, at.text, sizeof at.text));
    EXPECT(code, byway_id(handle, &at.bits));
  }
  if (streams) {
    EXPECT(code, byway_send(handle, at.octets, 1, 0, &at.size));
    EXPECT(code, byway_recv(handle, at.octets, 1, 0, &at.size));
    EXPECT(code, byway_flush(handle, 0));
    EXPECT(code, byway_wait_acked(handle, 0));
    EXPECT(code, byway_shutdown(handle, BYWAY_HOW_BOTH));
  }
  if (datagrams) {
    EXPECT(code, byway_datagram_send(handle, at.octets, 1, 0));
    EXPECT(code, byway_datagram_recv(handle, at.octets, 1, 0, &at.size));
    EXPECT(code, byway_datagram_max(handle, &at.size));
  }
  if (streams && datagrams) {
    EXPECT(code, byway_peer(handle, at.octets));
    EXPECT(code, byway_peer_key(handle, at.text, sizeof at.text));
    EXPECT(code, byway_refuse_peer(handle));
    EXPECT(code, byway_greeting(handle, at.octets, sizeof at.octets, &at.size));
    EXPECT(code, byway_channel_get_stats(handle, &at.channel, sizeof at.channel));
  }
  if (any) {
    EXPECT(code, byway_readiness(handle, &at.bits));
    EXPECT(code, byway_poll_fd(handle, 0, &at.fd));
    EXPECT(code, byway_second_poll_fd(handle, 0, &at.fd));
    EXPECT(code, byway_wait_open(handle, 0));
    EXPECT(code, byway_cancel(handle));
    EXPECT(code, byway_close(handle, 0));
    EXPECT(code, byway_abort(handle));
  }
  CHECK(memcmp(&at, &before, sizeof at) == 0);
}

void test_stale(void) {
  byway_handle clients[3], stale[5];
  pair two;
  size_t i;
  pair_open(&two, "stale:1", false);
  stale[0] = two.near, stale[1] = two.far, stale[2] = two.listener;
  stale[3] = two.a, stale[4] = two.b;
  for (i = 0; i < 5; i++) CHECK(stale[i] != 0 && (int64_t)stale[i] > 0);
  OK(byway_close(two.near, DEADLINE));
  OK(byway_abort(two.far));
  OK(byway_close(two.listener, 0));
  OK(byway_abort(two.a));
  OK(byway_close(two.b, DEADLINE));
  /* Others take the places. */
  for (i = 0; i < 3; i++) clients[i] = open_client();
  for (i = 0; i < 5; i++) refuse(BYWAY_ERROR_HANDLE, stale[i], true, true, true, true, true);
  refuse(BYWAY_ERROR_HANDLE, 0, true, true, true, true, true);
  refuse(BYWAY_ERROR_HANDLE, 1, true, true, true, true, true);
  refuse(BYWAY_ERROR_HANDLE, UINT64_MAX, true, true, true, true, true);
  refuse(BYWAY_ERROR_HANDLE, clients[0] ^ (byway_handle)1 << 56, true, true, true, true, true);
  for (i = 0; i < 3; i++) {
    CHECK(clients[i] != stale[0] && clients[i] != stale[3]);
    OK(byway_wait_open(clients[i], 0));
    OK(byway_close(clients[i], DEADLINE));
  }
}

void test_kind(void) {
  pair streams, datagrams;
  char text[BYWAY_ENDPOINT_SIZE];
  uint8_t address[BYWAY_ADDRESS_SIZE];
  byway_channel_stats stats;
  uint32_t id;
  size_t n;
  pair_open(&streams, "kind:1", false);
  pair_open(&datagrams, "kind:2", true);
  refuse(BYWAY_ERROR_KIND, streams.a, false, true, true, true, false);
  refuse(BYWAY_ERROR_KIND, streams.near, true, false, false, true, false);
  refuse(BYWAY_ERROR_KIND, streams.near, false, false, false, true, false);
  refuse(BYWAY_ERROR_KIND, datagrams.near, true, false, true, false, false);
  refuse(BYWAY_ERROR_KIND, streams.listener, true, false, false, true, false);
  refuse(BYWAY_ERROR_KIND, datagrams.listener, true, false, true, false, false);
  EXPECT(BYWAY_ERROR_KIND, byway_accept(streams.near, 0, &datagrams.near));
  EXPECT(BYWAY_ERROR_KIND, byway_peer(streams.listener, address));
  EXPECT(BYWAY_ERROR_KIND, byway_greeting(streams.listener, address, sizeof address, &n));
  EXPECT(BYWAY_ERROR_KIND, byway_channel_get_stats(datagrams.listener, &stats, sizeof stats));
  EXPECT(BYWAY_ERROR_KIND, byway_endpoint(streams.b, text, sizeof text));
  EXPECT(BYWAY_ERROR_KIND, byway_id(streams.b, &id));
  pair_close(&streams);
  pair_close(&datagrams);
}

/* What outlives its client answers CLOSED. */
void test_handles_after_client(void) {
  pair streams, datagrams;
  uint8_t octets[BYWAY_ADDRESS_SIZE] = {0};
  char text[BYWAY_ENDPOINT_SIZE];
  size_t n;
  byway_channel_stats stats;
  byway_handle other;
  uint32_t ready = 0;
  pair_open(&streams, "after:1", false);
  pair_open(&datagrams, "after:2", true);
  OK(byway_close(streams.a, DEADLINE));
  OK(byway_abort(datagrams.a));
  EXPECT(BYWAY_ERROR_CLOSED, byway_accept(streams.listener, DEADLINE, &other));
  EXPECT(BYWAY_ERROR_CLOSED, byway_accept(datagrams.listener, 0, &other));
  EXPECT(BYWAY_ERROR_CLOSED, byway_send(streams.far, octets, 1, DEADLINE, &n));
  EXPECT(BYWAY_ERROR_CLOSED, byway_recv(streams.far, octets, 1, DEADLINE, &n));
  EXPECT(BYWAY_ERROR_CLOSED, byway_flush(streams.far, DEADLINE));
  EXPECT(BYWAY_ERROR_CLOSED, byway_wait_acked(streams.far, DEADLINE));
  EXPECT(BYWAY_ERROR_CLOSED, byway_shutdown(streams.far, BYWAY_HOW_WRITE));
  EXPECT(BYWAY_ERROR_CLOSED, byway_peer(streams.far, octets));
  EXPECT(BYWAY_ERROR_CLOSED, byway_greeting(streams.far, octets, sizeof octets, &n));
  EXPECT(BYWAY_ERROR_CLOSED, byway_endpoint(streams.far, text, sizeof text));
  EXPECT(BYWAY_ERROR_CLOSED, byway_channel_get_stats(streams.far, &stats, sizeof stats));
  EXPECT(BYWAY_ERROR_CLOSED, byway_datagram_send(datagrams.far, octets, 1, DEADLINE));
  EXPECT(BYWAY_ERROR_CLOSED, byway_datagram_recv(datagrams.far, octets, 1, DEADLINE, &n));
  EXPECT(BYWAY_ERROR_CLOSED, byway_datagram_max(datagrams.far, &n));
  OK(byway_readiness(streams.far, &ready));
  CHECK((ready & BYWAY_ENDED) != 0);
  OK(byway_cancel(streams.far));
  OK(byway_close(streams.listener, DEADLINE));
  OK(byway_close(datagrams.listener, DEADLINE));
  OK(byway_abort(streams.far));
  OK(byway_abort(datagrams.far));
  drop(streams.near);
  drop(datagrams.near);
  drop(streams.b);
  drop(datagrams.b);
}

/* Pointers that are NULL or not aligned, and lengths that cannot be. */
void test_null(void) {
  pair streams, datagrams;
  byway_config config = settings();
  byway_handle handle = 0;
  uint8_t octet = 0;
  size_t n = 0;
  uint64_t room[2];
  byway_handle *crooked = (byway_handle *)(void *)((char *)room + 1);

  EXPECT(BYWAY_ERROR_ARGUMENT, byway_config_default(NULL, sizeof config));
  EXPECT(BYWAY_ERROR_ARGUMENT, byway_config_profile(NULL, BYWAY_PROFILE_PC));
  EXPECT(BYWAY_ERROR_ARGUMENT, byway_client_open(NULL, 0, &handle));
  EXPECT(BYWAY_ERROR_ARGUMENT, byway_client_open(&config, 0, NULL));
  EXPECT(BYWAY_ERROR_ARGUMENT, byway_client_start(NULL, &handle));
  EXPECT(BYWAY_ERROR_ARGUMENT, byway_client_start(&config, NULL));
  EXPECT(BYWAY_ERROR_ARGUMENT, byway_client_start(&config, crooked));

  pair_open(&streams, "null:1", false);
  pair_open(&datagrams, "null:2", true);
  EXPECT(BYWAY_ERROR_ARGUMENT, byway_listen(streams.a, NULL, 0, &handle));
  EXPECT(BYWAY_ERROR_ARGUMENT, byway_listen(streams.a, "null:3", 0, NULL));
  EXPECT(BYWAY_ERROR_ARGUMENT, byway_listen_datagram(streams.a, NULL, 0, &handle));
  EXPECT(BYWAY_ERROR_ARGUMENT, byway_listen_datagram(streams.a, "null:3", 0, NULL));
  EXPECT(BYWAY_ERROR_ARGUMENT, byway_connect(streams.a, NULL, 0, &handle));
  EXPECT(BYWAY_ERROR_ARGUMENT, byway_connect(streams.a, "null:1", 0, NULL));
  EXPECT(BYWAY_ERROR_ARGUMENT, byway_connect(streams.a, "\xc0:1", 0, &handle));
  EXPECT(BYWAY_ERROR_ARGUMENT, byway_connect_datagram(streams.a, NULL, 0, &handle));
  EXPECT(BYWAY_ERROR_ARGUMENT, byway_connect_datagram(streams.a, "null:2", 0, NULL));
  EXPECT(BYWAY_ERROR_ARGUMENT, byway_connect_greeting(streams.a, "null:1", NULL, 1, 0, &handle));
  EXPECT(BYWAY_ERROR_ARGUMENT, byway_connect_greeting(streams.a, "null:1", &octet, 1, 0, NULL));
  EXPECT(BYWAY_ERROR_ARGUMENT,
         byway_connect_datagram_greeting(streams.a, "null:2", &octet, SIZE_MAX, 0, &handle));
  EXPECT(BYWAY_ERROR_ARGUMENT, byway_listen_greeting(streams.a, "null:1", NULL, 1, 0, &handle));
  EXPECT(BYWAY_ERROR_ARGUMENT, byway_listen_greeting(streams.a, "null:1", &octet, 1, 0, NULL));
  EXPECT(BYWAY_ERROR_ARGUMENT,
         byway_listen_datagram_greeting(streams.a, "null:2", &octet, SIZE_MAX, 0, &handle));
  EXPECT(BYWAY_ERROR_ARGUMENT, byway_greeting(streams.near, NULL, 1, &n));
  EXPECT(BYWAY_ERROR_ARGUMENT, byway_greeting(streams.near, &octet, 1, NULL));
  EXPECT(BYWAY_ERROR_ARGUMENT, byway_accept(streams.listener, 0, NULL));
  EXPECT(BYWAY_ERROR_ARGUMENT, byway_send(streams.near, NULL, 1, 0, &n));
  EXPECT(BYWAY_ERROR_ARGUMENT, byway_send(streams.near, &octet, 1, 0, NULL));
  EXPECT(BYWAY_ERROR_ARGUMENT, byway_send(streams.near, &octet, SIZE_MAX, 0, &n));
  EXPECT(BYWAY_ERROR_ARGUMENT, byway_recv(streams.near, NULL, 1, 0, &n));
  EXPECT(BYWAY_ERROR_ARGUMENT, byway_recv(streams.near, &octet, 1, 0, NULL));
  EXPECT(BYWAY_ERROR_ARGUMENT, byway_recv(streams.near, &octet, SIZE_MAX / 2 + 1, 0, &n));
  EXPECT(BYWAY_ERROR_ARGUMENT, byway_shutdown(streams.near, 3));
  EXPECT(BYWAY_ERROR_ARGUMENT, byway_datagram_send(datagrams.near, NULL, 1, 0));
  EXPECT(BYWAY_ERROR_ARGUMENT, byway_datagram_send(datagrams.near, &octet, SIZE_MAX, 0));
  EXPECT(BYWAY_ERROR_ARGUMENT, byway_datagram_recv(datagrams.near, NULL, 1, 0, &n));
  EXPECT(BYWAY_ERROR_ARGUMENT, byway_datagram_recv(datagrams.near, &octet, 1, 0, NULL));
  EXPECT(BYWAY_ERROR_ARGUMENT, byway_datagram_max(datagrams.near, NULL));
  EXPECT(BYWAY_ERROR_ARGUMENT, byway_readiness(streams.near, NULL));
  EXPECT(BYWAY_ERROR_ARGUMENT, byway_poll_fd(streams.near, BYWAY_READABLE, NULL));
  EXPECT(BYWAY_ERROR_ARGUMENT, byway_endpoint(streams.near, NULL, BYWAY_ENDPOINT_SIZE));
  EXPECT(BYWAY_ERROR_BUFFER_TOO_SMALL, byway_endpoint(streams.near, NULL, 0));
  EXPECT(BYWAY_ERROR_ARGUMENT, byway_peer(streams.near, NULL));
  EXPECT(BYWAY_ERROR_ARGUMENT, byway_id(streams.near, NULL));
  EXPECT(BYWAY_ERROR_ARGUMENT, byway_next_event(streams.a, NULL, sizeof(byway_event), 0));
  EXPECT(BYWAY_ERROR_ARGUMENT, byway_client_get_stats(streams.a, NULL, sizeof(byway_client_stats)));
  EXPECT(BYWAY_ERROR_ARGUMENT,
         byway_channel_get_stats(streams.near, NULL, sizeof(byway_channel_stats)));
  CHECK(handle == 0 && n == 0);

  /* NULL is fine where the length is 0. */
  OK(byway_send(streams.near, NULL, 0, 0, &n));
  CHECK(n == 0);
  OK(byway_datagram_send(datagrams.near, NULL, 0, DEADLINE));
  n = 1;
  OK(byway_datagram_recv(datagrams.far, NULL, 0, DEADLINE, &n));
  CHECK(n == 0);
  pair_close(&streams);
  pair_close(&datagrams);
}
