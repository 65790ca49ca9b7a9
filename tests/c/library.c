/* Version, texts of errors, the log. */
#include "check.h"

#include <stdio.h>
#include <string.h>

static void *fail_elsewhere(void *argument) {
  (void)argument;
  CHECK(byway_last_error()[0] == 0);
  CHECK(byway_last_detail() == 0);
  EXPECT(BYWAY_ERROR_ARGUMENT, byway_config_default(NULL, sizeof(byway_config)));
  CHECK(strstr(byway_last_error(), "config") != NULL);
  return NULL;
}

void test_library(void) {
  const char *unknown = byway_strerror(-99999);
  char version[32], endpoint[2];
  char before[256];
  pair two;
  int32_t code;

  CHECK(byway_version() == BYWAY_VERSION);
  snprintf(version, sizeof version, "%u.%u.%u", byway_version() >> 16, byway_version() >> 8 & 255,
           byway_version() & 255);
  CHECK(strcmp(byway_version_string(), version) == 0);

  CHECK(unknown != NULL && unknown[0] != 0);
  CHECK(byway_strerror(BYWAY_OK)[0] != 0);
  CHECK(byway_strerror(INT32_MIN) != NULL && byway_strerror(INT32_MAX) != NULL);
#define CODE(name) \
  code = name; \
  CHECK(strcmp(byway_strerror(code), unknown) != 0 && strchr(byway_strerror(code), '\n') == NULL);
#include "codes.inc"
#undef CODE

  /* A success leaves the last error, each thread has its own, and it has its number. */
  pair_open(&two, "text:1", false);
  EXPECT(BYWAY_ERROR_BUFFER_TOO_SMALL, byway_endpoint(two.near, endpoint, sizeof endpoint));
  CHECK(byway_last_detail() == strlen("text:1") + 1);
  snprintf(before, sizeof before, "%s", byway_last_error());
  CHECK(before[0] != 0 && strchr(before, '\n') == NULL);
  join(spawn(fail_elsewhere, NULL));
  CHECK(strcmp(byway_last_error(), before) == 0);
  OK(byway_flush(two.near, DEADLINE));
  CHECK(strcmp(byway_last_error(), before) == 0);
  CHECK(byway_last_detail() == strlen("text:1") + 1);
  pair_close(&two);
}

typedef struct heard {
  int lines;
  int refused;
  byway_handle client;
} heard;

static void listen_in(void *userdata, uint32_t level, const char *message) {
  heard *all = (heard *)userdata;
  byway_config config;
  uint32_t ready = 0;
  CHECK(level >= BYWAY_LOG_LEVEL_ERROR && level <= BYWAY_LOG_LEVEL_TRACE);
  CHECK(message[0] != 0 && strchr(message, '\n') == NULL);
  CHECK(byway_version_string() != NULL && byway_strerror(-1) != NULL);
  if (EXPECT(BYWAY_ERROR_CALLBACK, byway_readiness(all->client, &ready)) &&
      EXPECT(BYWAY_ERROR_CALLBACK, byway_config_default(&config, sizeof config)) &&
      EXPECT(BYWAY_ERROR_CALLBACK, byway_set_log(NULL, NULL, 0)))
    __atomic_add_fetch(&all->refused, 1, __ATOMIC_SEQ_CST);
  __atomic_add_fetch(&all->lines, 1, __ATOMIC_SEQ_CST);
}

/* An address of the host itself where nobody listens: port 9 is "discard". */
static const char NOBODY[] = "http://127.0.0.1:9";

static void fail_to_open(void) {
  byway_config config = settings();
  byway_handle client = 0;
  config.relay_url = NOBODY;
  EXPECT(BYWAY_ERROR_CONNECT, byway_client_open(&config, 300, &client));
  CHECK(client == 0);
}

void test_log(void) {
  heard all;
  int lines;
  memset(&all, 0, sizeof all);

  EXPECT(BYWAY_ERROR_ARGUMENT, byway_set_log(listen_in, &all, 6));
  fail_to_open();
  CHECK(get_flag(&all.lines) == 0);

  OK(byway_set_log(listen_in, &all, BYWAY_LOG_LEVEL_TRACE));
  fail_to_open();
  CHECK(get_flag(&all.lines) > 0 && get_flag(&all.refused) == get_flag(&all.lines));

  OK(byway_set_log(listen_in, &all, BYWAY_LOG_LEVEL_OFF));
  lines = get_flag(&all.lines);
  fail_to_open();
  CHECK(get_flag(&all.lines) == lines);

  OK(byway_set_log(listen_in, &all, BYWAY_LOG_LEVEL_DEBUG));
  OK(byway_set_log(NULL, NULL, BYWAY_LOG_LEVEL_TRACE));
  lines = get_flag(&all.lines);
  fail_to_open();
  CHECK(get_flag(&all.lines) == lines);
}

static void ignore(void *userdata, uint32_t level, const char *message) {
  (void)userdata, (void)level, (void)message;
}

void be_loud(void) {
  pair two;
  fail_to_open();
  byway_set_log(ignore, NULL, BYWAY_LOG_LEVEL_TRACE);
  fail_to_open();
  pair_open(&two, "loud:1", false);
  send_pattern(two.near, 1, 0, 1000);
  recv_pattern(two.far, 1, 0, 1000);
  byway_network_changed(two.a);
  byway_set_log(NULL, NULL, 0);
  EXPECT(BYWAY_ERROR_HANDLE, byway_close(12345, 0));
  pair_close(&two);
}
