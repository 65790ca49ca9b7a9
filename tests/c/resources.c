/* Descriptors and threads. */
#define _POSIX_C_SOURCE 200809L

#include "check.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static int entries(const char *path) {
  DIR *folder = opendir(path);
  int n = 0;
  if (!CHECK(folder != NULL)) return 0;
  while (readdir(folder) != NULL) n++;
  closedir(folder);
  return n;
}

/* What a process has when its last client was closed, in a moment or two. */
static bool back_to(int fds, int threads) {
  int64_t until = now_ms() + DEADLINE;
  while (entries("/proc/self/fd") > fds || entries("/proc/self/task") > threads) {
    if (now_ms() > until) return false;
    pause_ms(10);
  }
  return true;
}

void test_no_leaks(void) {
  byway_config config = settings();
  byway_handle client, listener, stream;
  int fds, threads, round, rounds = long_transfer() < (size_t)1 << 20 ? 30 : 100;
  int32_t fd;
  char endpoint[BYWAY_ENDPOINT_SIZE];
  OK(byway_config_profile(&config, BYWAY_PROFILE_TINY));
  /* What is made once is there then. */
  client = open_with(&config);
  OK(byway_close(client, DEADLINE));
  fds = entries("/proc/self/fd");
  threads = entries("/proc/self/task");
  for (round = 0; round < rounds; round++) {
    client = open_with(&config);
    /* A client that was aborted may hold its endpoint for a moment. */
    snprintf(endpoint, sizeof endpoint, "leak:%d", round);
    OK(byway_listen(client, endpoint, DEADLINE, &listener));
    OK(byway_connect(client, endpoint, DEADLINE, &stream));
    OK(byway_poll_fd(client, BYWAY_EVENT, &fd));
    OK(byway_poll_fd(stream, BYWAY_READABLE, &fd));
    OK(byway_second_poll_fd(stream, BYWAY_WRITABLE, &fd));
    OK(byway_abort(stream));
    OK(byway_close(listener, 0));
    if (round % 2 == 0) OK(byway_close(client, DEADLINE));
    else OK(byway_abort(client));
  }
  CHECK(back_to(fds, threads));
}

/* Without a free descriptor there is none to poll, and nothing else goes wrong. */
void test_descriptors(void) {
  struct rlimit before, low;
  int taken[256];
  size_t count = 0;
  int32_t fd = -7;
  pair two;
  if (!pair_open(&two, "full:1", false)) return;
  if (!CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0)) return;
  low = before;
  low.rlim_cur = 200;
  CHECK(setrlimit(RLIMIT_NOFILE, &low) == 0);
  while (count < 256 && (taken[count] = dup(0)) >= 0) count++;
  CHECK(count < 256);
  EXPECT(BYWAY_ERROR_SYSTEM, byway_poll_fd(two.near, BYWAY_READABLE, &fd));
  CHECK(fd == -7);
  while (count > 0) close(taken[--count]);
  CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
  OK(byway_poll_fd(two.near, BYWAY_READABLE, &fd));
  CHECK(fd >= 0);
  send_pattern(two.near, 30, 0, 1000);
  recv_pattern(two.far, 30, 0, 1000);
  pair_close(&two);
}
