/* Datagrams. */
#include "check.h"

#include <string.h>

/* Received out of count; each is whole, unmodified and of a length of its own. */
static size_t receive_all(byway_handle channel, uint32_t seed, size_t count) {
  static const int QUIET = 4000; /* ms; datagrams live for 2 s */
  uint8_t data[2000];
  bool seen[256] = {false};
  size_t received = 0, n, i;
  while (received < count) {
    int32_t code = byway_datagram_recv(channel, data, sizeof data, QUIET, &n);
    if (code == BYWAY_ERROR_TIMED_OUT) break;
    if (!OK(code) || !CHECK(n >= 1 && n == (size_t)data[0] * 7 + 1)) break;
    if (!CHECK(!seen[data[0]])) break;
    seen[data[0]] = true;
    for (i = 1; i < n; i++)
      if (!CHECK(data[i] == pattern(seed + data[0], i))) return received;
    received++;
  }
  return received;
}

static void send_all(byway_handle channel, uint32_t seed, size_t count) {
  uint8_t data[2000];
  size_t number, i;
  for (number = 0; number < count; number++) {
    size_t len = number * 7 + 1;
    for (i = 1; i < len; i++) data[i] = pattern(seed + (uint32_t)number, i);
    data[0] = (uint8_t)number;
    OK(byway_datagram_send(channel, data, len, DEADLINE));
  }
}

void test_datagrams(void) {
  pair two;
  byway_channel_stats stats;
  char text[BYWAY_ENDPOINT_SIZE];
  uint32_t ready = 0;
  if (!pair_open(&two, "parcel:7", true)) return;
  OK(byway_endpoint(two.far, text, sizeof text));
  CHECK(strcmp(text, "parcel:7") == 0);
  /* The path is clean and the rings are large: none is lost. */
  send_all(two.near, 10, 200);
  CHECK(receive_all(two.far, 10, 200) == 200);
  send_all(two.far, 11, 200);
  CHECK(receive_all(two.near, 11, 200) == 200);
  OK(byway_channel_get_stats(two.far, &stats, sizeof stats));
  CHECK(stats.datagrams_dropped == 0 && stats.written == stats.read);
  OK(byway_readiness(two.near, &ready));
  CHECK((ready & BYWAY_READABLE) == 0);
  pair_close(&two);
}

void test_datagram_limits(void) {
  static uint8_t large[1 << 20];
  pair two;
  uint8_t small[4];
  size_t max = 0, n = 99, i;
  int64_t began;
  if (!pair_open(&two, "parcel:8", true)) return;
  OK(byway_datagram_max(two.near, &max));
  CHECK(max > 1000 && max <= 65535);
  EXPECT(BYWAY_ERROR_DATAGRAM_TOO_LONG, byway_datagram_send(two.near, large, max + 1, DEADLINE));
  CHECK(byway_last_detail() == max);
  for (i = 0; i < max; i++) large[i] = pattern(12, i);
  OK(byway_datagram_send(two.near, large, max, DEADLINE));

  EXPECT(BYWAY_ERROR_TIMED_OUT, byway_datagram_recv(two.near, small, sizeof small, 0, &n));
  began = now_ms();
  EXPECT(BYWAY_ERROR_TIMED_OUT, byway_datagram_recv(two.near, small, sizeof small, 50, &n));
  CHECK(now_ms() - began >= 49);

  /* A buffer that is too small gets nothing, and the datagram stays. */
  memset(small, 1, sizeof small);
  EXPECT(BYWAY_ERROR_BUFFER_TOO_SMALL, byway_datagram_recv(two.far, small, 4, DEADLINE, &n));
  CHECK(byway_last_detail() == max && n == 99 && small[0] == 1 && small[3] == 1);
  memset(large, 0, sizeof large);
  OK(byway_datagram_recv(two.far, large, sizeof large, DEADLINE, &n));
  CHECK(n == max);
  for (i = 0; i < max; i++)
    if (!CHECK(large[i] == pattern(12, i))) break;

  /* The end, once everything before it was received. */
  OK(byway_datagram_send(two.near, small, 3, DEADLINE));
  OK(byway_close(two.near, DEADLINE));
  two.near = 0;
  OK(byway_datagram_recv(two.far, large, sizeof large, DEADLINE, &n));
  CHECK(n == 3);
  EXPECT(BYWAY_ERROR_PEER_CLOSED, byway_datagram_recv(two.far, large, sizeof large, DEADLINE, &n));
  EXPECT(BYWAY_ERROR_PEER_CLOSED, byway_datagram_send(two.far, large, 1, DEADLINE));
  pair_close(&two);
}
