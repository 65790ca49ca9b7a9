/* Streams. */
#include "check.h"

#include <string.h>

typedef struct transfer {
  byway_handle stream;
  uint32_t seed;
} transfer;

static void *send_long(void *argument) {
  transfer *what = (transfer *)argument;
  size_t half = long_transfer() / 2;
  if (send_pattern(what->stream, what->seed, 0, half)) {
    OK(byway_flush(what->stream, DEADLINE));
    send_pattern(what->stream, what->seed, half, long_transfer());
  }
  OK(byway_wait_acked(what->stream, DEADLINE));
  return NULL;
}

static void check_stats(pair *two) {
  struct {
    byway_channel_stats known;
    uint64_t later[2];
  } wide;
  byway_channel_stats stats;
  byway_client_stats client, shorter;

  memset(&stats, 0xa5, sizeof stats);
  OK(byway_channel_get_stats(two->near, &stats, sizeof stats));
  CHECK(stats.size == sizeof stats && stats.written == long_transfer());
  CHECK(stats.acked == stats.written && stats.received == stats.read);
  CHECK(stats.read == long_transfer() && stats.window >= stats.acked);
  CHECK(stats.datagrams_expired == 0 && stats.datagrams_dropped == 0);

  memset(&stats, 0xa5, sizeof stats);
  EXPECT(BYWAY_ERROR_STRUCT, byway_channel_get_stats(two->near, &stats, 0));
  EXPECT(BYWAY_ERROR_STRUCT, byway_channel_get_stats(two->near, &stats, 4));
  EXPECT(BYWAY_ERROR_STRUCT, byway_channel_get_stats(two->near, &stats, 12));
  CHECK(stats.size == 0xa5a5a5a5u);
  OK(byway_channel_get_stats(two->near, &stats, 24));
  CHECK(stats.size == 24 && stats.written == long_transfer());
  CHECK(stats.acked == UINT64_C(0xa5a5a5a5a5a5a5a5));

  memset(&wide, 0xa5, sizeof wide);
  OK(byway_channel_get_stats(two->near, &wide.known, sizeof wide));
  CHECK(wide.known.size == sizeof wide.known && wide.later[0] == 0 && wide.later[1] == 0);

  OK(byway_client_get_stats(two->a, &client, sizeof client));
  CHECK(client.size == sizeof client && client.sent >= long_transfer());
  CHECK(client.received >= long_transfer() && client.sends > 0 && client.parks > 0);
  CHECK(client.memory > 0);
  memset(&shorter, 0xa5, sizeof shorter);
  OK(byway_client_get_stats(two->a, &shorter, 8));
  CHECK(shorter.size == 8 && shorter.sends == UINT64_C(0xa5a5a5a5a5a5a5a5));
  EXPECT(BYWAY_ERROR_STRUCT, byway_client_get_stats(two->a, &shorter, sizeof shorter + 1));
}

static void check_names(pair *two) {
  char text[BYWAY_ENDPOINT_SIZE], exact[sizeof "stream:65535"];
  uint8_t near[BYWAY_ADDRESS_SIZE], far[BYWAY_ADDRESS_SIZE];
  uint32_t id = 0;
  const byway_handle named[3] = {two->near, two->far, two->listener};
  size_t i;
  for (i = 0; i < 3; i++) {
    OK(byway_endpoint(named[i], text, sizeof text));
    CHECK(strcmp(text, "stream:65535") == 0);
    OK(byway_id(named[i], &id));
    CHECK(id != 0);
  }
  OK(byway_endpoint(two->near, exact, sizeof exact));
  EXPECT(BYWAY_ERROR_BUFFER_TOO_SMALL, byway_endpoint(two->near, exact, sizeof exact - 1));
  CHECK(byway_last_detail() == sizeof exact);
  OK(byway_peer(two->near, near));
  OK(byway_peer(two->far, far));
  CHECK(memcmp(near, far, sizeof near) != 0);
}

void test_stream(void) {
  pair two;
  transfer there, back;
  thread *threads[2];
  if (!pair_open(&two, "stream:65535", false)) return;
  there.stream = two.near, there.seed = 1;
  back.stream = two.far, back.seed = 2;
  threads[0] = spawn(send_long, &there);
  threads[1] = spawn(send_long, &back);
  /* In turns: what is not read here holds the other up, but not for ever. */
  recv_pattern(two.far, 1, 0, long_transfer() / 2);
  recv_pattern(two.near, 2, 0, long_transfer());
  recv_pattern(two.far, 1, long_transfer() / 2, long_transfer());
  join(threads[0]);
  join(threads[1]);
  check_stats(&two);
  check_names(&two);
  OK(byway_close(two.near, DEADLINE));
  two.near = 0;
  recv_end(two.far);
  pair_close(&two);
}

void test_half_close(void) {
  pair two;
  uint8_t octet = 0;
  size_t n = 7;
  if (!pair_open(&two, "half:1", false)) return;
  send_pattern(two.near, 3, 0, 1000);
  OK(byway_shutdown(two.near, BYWAY_HOW_WRITE));
  OK(byway_shutdown(two.near, BYWAY_HOW_WRITE));
  EXPECT(BYWAY_ERROR_UNSUPPORTED, byway_send(two.near, &octet, 1, DEADLINE, &n));
  CHECK(n == 7);
  recv_pattern(two.far, 3, 0, 1000);
  recv_end(two.far);
  recv_end(two.far);
  /* The other direction goes on. */
  send_pattern(two.far, 4, 0, 50000);
  recv_pattern(two.near, 4, 0, 50000);
  /* And ends here first, then there. */
  OK(byway_shutdown(two.near, BYWAY_HOW_READ));
  recv_end(two.near);
  OK(byway_close(two.far, DEADLINE));
  two.far = 0;
  OK(byway_close(two.near, DEADLINE));
  two.near = 0;
  pair_close(&two);

  if (!pair_open(&two, "half:2", false)) return;
  OK(byway_shutdown(two.far, BYWAY_HOW_BOTH));
  recv_end(two.far);
  recv_end(two.near);
  EXPECT(BYWAY_ERROR_UNSUPPORTED, byway_send(two.far, &octet, 1, 0, &n));
  pair_close(&two);
}

/* Sends until the channel has ended, which takes a moment to get here. */
static int32_t send_until_ended(byway_handle stream) {
  int64_t until = now_ms() + DEADLINE;
  uint8_t octets[100] = {0};
  size_t n;
  int32_t code;
  do code = byway_send(stream, octets, sizeof octets, 50, &n);
  while ((code == BYWAY_OK || code == BYWAY_ERROR_TIMED_OUT) && now_ms() < until);
  return code;
}

void test_stream_ends(void) {
  pair two;
  uint8_t octet;
  size_t n;
  uint32_t ready = 0;
  if (!pair_open(&two, "ends:1", false)) return;
  send_pattern(two.near, 5, 0, 100);
  OK(byway_wait_acked(two.near, DEADLINE));
  OK(byway_abort(two.far));
  two.far = 0;
  EXPECT(BYWAY_ERROR_PEER_ABORTED, byway_recv(two.near, &octet, 1, DEADLINE, &n));
  CHECK(byway_last_detail() == 100);
  EXPECT(BYWAY_ERROR_PEER_ABORTED, byway_send(two.near, &octet, 1, DEADLINE, &n));
  EXPECT(BYWAY_ERROR_PEER_ABORTED, byway_shutdown(two.near, BYWAY_HOW_WRITE));
  OK(byway_readiness(two.near, &ready));
  CHECK((ready & BYWAY_ENDED) != 0 && (ready & BYWAY_READABLE) != 0);
  /* Everything was acknowledged before. */
  OK(byway_close(two.near, DEADLINE));
  EXPECT(BYWAY_ERROR_HANDLE, byway_close(two.near, DEADLINE));
  two.near = 0;
  pair_close(&two);

  if (!pair_open(&two, "ends:2", false)) return;
  OK(byway_close(two.far, DEADLINE));
  two.far = 0;
  EXPECT(BYWAY_ERROR_PEER_CLOSED, send_until_ended(two.near));
  pair_close(&two);

  /* Something was not acknowledged when the peer went away. */
  if (!pair_open_plain(&two, "ends:3")) return;
  fill(two.near);
  OK(byway_abort(two.far));
  two.far = 0;
  EXPECT(BYWAY_ERROR_PEER_ABORTED, byway_wait_acked(two.near, DEADLINE));
  EXPECT(BYWAY_ERROR_PEER_ABORTED, byway_close(two.near, DEADLINE));
  two.near = 0;
  pair_close(&two);
}

void test_stream_times(void) {
  static uint8_t much[65536];
  pair two;
  uint8_t octet;
  size_t n = 9, taken;
  int64_t began;
  if (!pair_open_plain(&two, "times:1")) return;
  EXPECT(BYWAY_ERROR_TIMED_OUT, byway_recv(two.near, &octet, 1, 0, &n));
  began = now_ms();
  EXPECT(BYWAY_ERROR_TIMED_OUT, byway_recv(two.near, &octet, 1, 50, &n));
  CHECK(now_ms() - began >= 49);
  CHECK(n == 9);
  /* More than all rings hold: sending waits for who receives. */
  taken = fill(two.near);
  EXPECT(BYWAY_ERROR_TIMED_OUT, byway_send(two.near, much, sizeof much, 0, &n));
  began = now_ms();
  EXPECT(BYWAY_ERROR_TIMED_OUT, byway_send(two.near, much, sizeof much, 50, &n));
  CHECK(now_ms() - began >= 49 && n == 9);
  EXPECT(BYWAY_ERROR_TIMED_OUT, byway_flush(two.near, 50));
  EXPECT(BYWAY_ERROR_TIMED_OUT, byway_wait_acked(two.near, 50));
  EXPECT(BYWAY_ERROR_TIMED_OUT, byway_close(two.near, 50));
  two.near = 0;
  EXPECT(BYWAY_ERROR_TIMED_OUT, byway_accept(two.listener, 0, &two.near));
  EXPECT(BYWAY_ERROR_TIMED_OUT, byway_accept(two.listener, 50, &two.near));
  CHECK(two.near == 0);
  /* What the closed end had taken still comes, all of it, and then the end. */
  while (taken > 0) {
    if (!OK(byway_recv(two.far, much, sizeof much, DEADLINE, &n)) || !CHECK(n <= taken && n > 0)) break;
    taken -= n;
  }
  recv_end(two.far);
  pair_close(&two);
}
