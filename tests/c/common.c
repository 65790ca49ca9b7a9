#define _POSIX_C_SOURCE 200809L

#include "check.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

const char *relay_url(void) {
  const char *url = getenv("BYWAY_TEST_RELAY");
  if (url == NULL) {
    fprintf(stderr, "BYWAY_TEST_RELAY is not set: tests/c/run starts a relay and sets it\n");
    exit(2);
  }
  return url;
}

size_t long_transfer(void) {
  const char *octets = getenv("BYWAY_TEST_OCTETS");
  return octets != NULL ? (size_t)strtoul(octets, NULL, 10) : (size_t)1 << 20;
}

byway_config settings(void) {
  byway_config config;
  OK(byway_config_default(&config, sizeof config));
  config.relay_url = relay_url();
  return config;
}

byway_handle open_with(const byway_config *config) {
  byway_handle client = 0;
  OK(byway_client_open(config, DEADLINE, &client));
  return client;
}

byway_handle open_client(void) {
  byway_config config = settings();
  return open_with(&config);
}

static bool pair_open_with(pair *two, const byway_config *config, const char *endpoint, bool datagram) {
  memset(two, 0, sizeof *two);
  two->a = open_with(config);
  two->b = open_with(config);
  if (datagram)
    return OK(byway_listen_datagram(two->a, endpoint, DEADLINE, &two->listener)) &&
           OK(byway_connect_datagram(two->b, endpoint, DEADLINE, &two->near)) &&
           OK(byway_accept(two->listener, DEADLINE, &two->far));
  return OK(byway_listen(two->a, endpoint, DEADLINE, &two->listener)) &&
         OK(byway_connect(two->b, endpoint, DEADLINE, &two->near)) &&
         OK(byway_accept(two->listener, DEADLINE, &two->far));
}

bool pair_open(pair *two, const char *endpoint, bool datagram) {
  byway_config config = settings();
  return pair_open_with(two, &config, endpoint, datagram);
}

bool pair_open_plain(pair *two, const char *endpoint) {
  byway_config config = settings();
  config.plain = 1;
  return pair_open_with(two, &config, endpoint, false);
}

void drop(byway_handle handle) {
  if (handle != 0) (void)byway_abort(handle);
}

void pair_close(pair *two) {
  drop(two->near);
  drop(two->far);
  drop(two->listener);
  OK(byway_close(two->a, DEADLINE));
  OK(byway_close(two->b, DEADLINE));
}

uint8_t pattern(uint32_t seed, size_t i) {
  uint32_t x = (uint32_t)i * 2654435761u + seed * 40503u;
  x ^= x >> 15;
  return (uint8_t)(x ^ x >> 8);
}

bool send_pattern(byway_handle stream, uint32_t seed, size_t from, size_t to) {
  uint8_t data[5000];
  while (from < to) {
    size_t len = to - from < sizeof data ? to - from : sizeof data, i, n = 0;
    for (i = 0; i < len; i++) data[i] = pattern(seed, from + i);
    if (!OK(byway_send(stream, data, len, DEADLINE, &n)) || !CHECK(n > 0 && n <= len)) return false;
    from += n;
  }
  return true;
}

bool recv_pattern(byway_handle stream, uint32_t seed, size_t from, size_t to) {
  uint8_t data[4000];
  while (from < to) {
    size_t len = to - from < sizeof data ? to - from : sizeof data, i, n = 0;
    if (!OK(byway_recv(stream, data, len, DEADLINE, &n)) || !CHECK(n > 0 && n <= len)) return false;
    for (i = 0; i < n; i++)
      if (!CHECK(data[i] == pattern(seed, from + i))) return false;
    from += n;
  }
  return true;
}

size_t fill(byway_handle stream) {
  static const uint8_t much[1 << 16] = {0};
  byway_channel_stats stats;
  byway_config config = settings();
  const size_t full = 2 * (size_t)config.ring;
  size_t n;
  memset(&stats, 0, sizeof stats);
  while (OK(byway_channel_get_stats(stream, &stats, sizeof stats)) && stats.written < full)
    if (!OK(byway_send(stream, much, sizeof much, DEADLINE, &n))) break;
  CHECK(stats.written == full);
  return (size_t)stats.written;
}

bool recv_end(byway_handle stream) {
  uint8_t octet;
  size_t n = 1;
  return OK(byway_recv(stream, &octet, 1, DEADLINE, &n)) && CHECK(n == 0);
}

int64_t now_ms(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

void pause_ms(int ms) {
  struct timespec time;
  time.tv_sec = ms / 1000;
  time.tv_nsec = (long)(ms % 1000) * 1000000;
  nanosleep(&time, NULL);
}

struct thread {
  pthread_t id;
};

thread *spawn(void *(*run)(void *), void *argument) {
  thread *other = (thread *)malloc(sizeof *other);
  if (other == NULL || pthread_create(&other->id, NULL, run, argument) != 0) {
    fprintf(stderr, "no thread\n");
    abort();
  }
  return other;
}

void join(thread *other) {
  pthread_join(other->id, NULL);
  free(other);
}

int get_flag(const int *flag) { return __atomic_load_n(flag, __ATOMIC_SEQ_CST); }

void set_flag(int *flag, int value) { __atomic_store_n(flag, value, __ATOMIC_SEQ_CST); }
