/* The configuration: sizes of its struct, and what it may say. */
#include "check.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* The struct of a program that was compiled with the header of a later version. */
typedef struct newer {
  byway_config known;
  uint64_t later[3];
} newer;

/* Up to relay_url: the shortest that is taken. */
static size_t shortest(void) {
  return (offsetof(byway_config, relay_url) + sizeof(char *) + 7) & ~(size_t)7;
}

static int32_t start(const byway_config *config) {
  byway_handle client = 0;
  int32_t code = byway_client_start(config, &client);
  CHECK((code == BYWAY_OK) == (client != 0));
  if (code == BYWAY_OK) OK(byway_abort(client));
  return code;
}

void test_config_struct(void) {
  byway_config config = settings();
  newer wide;
  byway_handle client = 0;
  size_t size;
  char *old;

  CHECK(config.size == sizeof config && config.version == BYWAY_CONFIG_VERSION);
  CHECK(config.linger_ms == 180000 && config.keepalive_ms == 0 && config.tcp_timeout_ms == 3000);
  CHECK(config.pace == BYWAY_PACE_STREAMING && config.proxy == BYWAY_PROXY_NONE);
  CHECK(config.channels == 32 && config.ring == 262144 && config.pool == 33554432);
  CHECK(config.backlog == 0 && config.plain == 0 && config.shared_secret == NULL);

  /* No size, none that there ever was, and one that is garbage: nothing is written. */
  memset(&config, 0xa5, sizeof config);
  EXPECT(BYWAY_ERROR_STRUCT, byway_config_default(&config, 0));
  EXPECT(BYWAY_ERROR_STRUCT, byway_config_default(&config, shortest() - 8));
  EXPECT(BYWAY_ERROR_STRUCT, byway_config_default(&config, sizeof config - 1));
  EXPECT(BYWAY_ERROR_STRUCT, byway_config_default(&config, 1 << 20));
  for (size = 0; size < sizeof config; size++) CHECK(((uint8_t *)&config)[size] == 0xa5);

  /* Every older size works, and only so much of memory is touched. */
  for (size = shortest(); size <= sizeof config; size += 8) {
    byway_config *older;
    old = (char *)malloc(size);
    if (!CHECK(old != NULL)) return;
    older = (byway_config *)(void *)old;
    OK(byway_config_default(older, size));
    CHECK(older->size == size);
    older->relay_url = relay_url();
    OK(start(older));
    if (size < offsetof(byway_config, backlog))
      EXPECT(BYWAY_ERROR_STRUCT, byway_config_profile(older, BYWAY_PROFILE_TINY));
    free(old);
  }

  /* A newer one works as long as what we do not know is zero. */
  memset(&wide, 0xa5, sizeof wide);
  OK(byway_config_default(&wide.known, sizeof wide));
  CHECK(wide.known.size == sizeof wide && wide.later[0] == 0 && wide.later[2] == 0);
  OK(byway_config_profile(&wide.known, BYWAY_PROFILE_PHONE));
  wide.known.relay_url = relay_url();
  client = open_with(&wide.known);
  OK(byway_close(client, 0));
  wide.later[2] = 1;
  EXPECT(BYWAY_ERROR_STRUCT, start(&wide.known));
  EXPECT(BYWAY_ERROR_STRUCT, byway_config_profile(&wide.known, BYWAY_PROFILE_PHONE));

  /* Not filled, of another version, of no size. */
  memset(&config, 0, sizeof config);
  EXPECT(BYWAY_ERROR_STRUCT, start(&config));
  EXPECT(BYWAY_ERROR_STRUCT, byway_config_profile(&config, BYWAY_PROFILE_PC));
  config = settings();
  config.version++;
  EXPECT(BYWAY_ERROR_STRUCT, byway_client_open(&config, 0, &client));
  config = settings();
  config.size = 4;
  EXPECT(BYWAY_ERROR_STRUCT, start(&config));
  config.size = UINT32_MAX - 7;
  EXPECT(BYWAY_ERROR_STRUCT, start(&config));
}

static void test_profiles(void) {
  static const struct {
    uint32_t profile, channels, ring, pool, listeners, io_buffer;
  } profiles[] = {
      {BYWAY_PROFILE_TINY, 2, 1 << 10, 0, 1, 1 << 10},
      {BYWAY_PROFILE_PHONE, 8, 16 << 10, 0, 4, 8 << 10},
      {BYWAY_PROFILE_APP, 16, 16 << 10, 2 << 20, 4, 16 << 10},
      {BYWAY_PROFILE_PC, 32, 256 << 10, 32 << 20, 16, 64 << 10},
      {BYWAY_PROFILE_BULK, 4, 8 << 20, 0, 4, 64 << 10},
      {BYWAY_PROFILE_SERVER, 256, 64 << 10, 64 << 20, 16, 64 << 10},
  };
  byway_config config = settings();
  size_t i;
  for (i = 0; i < sizeof profiles / sizeof profiles[0]; i++) {
    OK(byway_config_profile(&config, profiles[i].profile));
    CHECK(config.channels == profiles[i].channels && config.ring == profiles[i].ring);
    CHECK(config.pool == profiles[i].pool);
    CHECK(config.listeners == profiles[i].listeners && config.io_buffer == profiles[i].io_buffer);
    CHECK(config.relay_url == relay_url());
  }
  EXPECT(BYWAY_ERROR_ARGUMENT, byway_config_profile(&config, 6));
  EXPECT(BYWAY_ERROR_ARGUMENT, byway_config_profile(&config, UINT32_MAX));
}

/* One field is wrong. */
#define WRONG(code, field, value) \
  do { \
    byway_config config = settings(); \
    config.field = (value); \
    EXPECT(code, start(&config)); \
  } while (0)

void test_config_values(void) {
  byway_config config;
  byway_header headers[2];
  byway_handle client;
  char long_value[4096];
  static const uint8_t zeros[BYWAY_SHARED_SECRET_SIZE] = {0};

  test_profiles();

  WRONG(BYWAY_ERROR_ARGUMENT, relay_url, NULL);
  WRONG(BYWAY_ERROR_ARGUMENT, relay_url, "http://\xff\xfe/");
  WRONG(BYWAY_ERROR_RELAY_URL, relay_url, "");
  WRONG(BYWAY_ERROR_RELAY_URL, relay_url, "relay.example:80");
  WRONG(BYWAY_ERROR_RELAY_URL, relay_url, "ftp://relay.example");
  WRONG(BYWAY_ERROR_RELAY_URL, relay_url, "http://");
  WRONG(BYWAY_ERROR_SETTING, linger_ms, 0);
  WRONG(BYWAY_ERROR_SETTING, pool, 1000);
  WRONG(BYWAY_ERROR_SETTING, token, "two words");
  WRONG(BYWAY_ERROR_SETTING, token_file, "/nowhere/at/all");
  WRONG(BYWAY_ERROR_SETTING, tcp_timeout_ms, 0);
  WRONG(BYWAY_ERROR_SETTING, pace, 3);
  WRONG(BYWAY_ERROR_SETTING, proxy, 3);
  WRONG(BYWAY_ERROR_SETTING, channels, 0);
  WRONG(BYWAY_ERROR_SETTING, channels, 257);
  WRONG(BYWAY_ERROR_SETTING, ring, 0);
  WRONG(BYWAY_ERROR_SETTING, ring, 1000);
  WRONG(BYWAY_ERROR_SETTING, ring, 128);
  WRONG(BYWAY_ERROR_SETTING, listeners, 17);
  WRONG(BYWAY_ERROR_SETTING, io_buffer, 511);
  WRONG(BYWAY_ERROR_SETTING, io_buffer, (16u << 20) + 1);
  WRONG(BYWAY_ERROR_SETTING, backlog, 256);
  WRONG(BYWAY_ERROR_SETTING, reserved, "something");
  WRONG(BYWAY_ERROR_SETTING, plain, 2);
  WRONG(BYWAY_ERROR_ARGUMENT, shared_secret_len, BYWAY_SHARED_SECRET_SIZE); /* shared_secret is NULL */
  WRONG(BYWAY_ERROR_SETTING, shared_secret, zeros); /* shared_secret_len is 0 */
  WRONG(BYWAY_ERROR_ARGUMENT, proxy, BYWAY_PROXY_URL); /* proxy_url is NULL */
  WRONG(BYWAY_ERROR_SETTING, user_agent, "two\r\nlines");
  WRONG(BYWAY_ERROR_ARGUMENT, user_agent, "\xff");
  WRONG(BYWAY_ERROR_ARGUMENT, roots_pem_len, 10);   /* roots_pem is NULL */
  WRONG(BYWAY_ERROR_ARGUMENT, roots_pem_len, SIZE_MAX);
  WRONG(BYWAY_ERROR_ARGUMENT, header_count, 1); /* headers is NULL */
  WRONG(BYWAY_ERROR_SETTING, header_count, SIZE_MAX);

  config = settings();
  config.proxy = BYWAY_PROXY_URL;
  config.proxy_url = "socks5://127.0.0.1:1";
  EXPECT(BYWAY_ERROR_SETTING, start(&config));
  config.proxy_url = "http://";
  EXPECT(BYWAY_ERROR_SETTING, start(&config));

  config = settings();
  config.shared_secret = zeros;
  config.shared_secret_len = sizeof zeros;
  EXPECT(BYWAY_ERROR_SETTING, start(&config));

  config = settings();
  config.relay_url = "https://127.0.0.1:9";
  config.roots_pem = "no certificate";
  config.roots_pem_len = strlen(config.roots_pem);
  EXPECT(BYWAY_ERROR_SETTING, start(&config));
  CHECK(byway_last_error()[0] != 0);

  memset(headers, 0, sizeof headers);
  config = settings();
  config.headers = headers;
  config.header_count = 2;
  EXPECT(BYWAY_ERROR_ARGUMENT, start(&config));
  headers[0].name = headers[1].name = "X-Test";
  EXPECT(BYWAY_ERROR_ARGUMENT, start(&config));
  headers[0].value = headers[1].value = "1";
  client = open_with(&config);
  OK(byway_close(client, 0));
  headers[1].name = "two words";
  EXPECT(BYWAY_ERROR_SETTING, start(&config));
  headers[1].name = "Content-Length";
  EXPECT(BYWAY_ERROR_SETTING, start(&config));
  headers[1].name = "X-Test";
  headers[1].value = "a\r\nHost: elsewhere";
  EXPECT(BYWAY_ERROR_SETTING, start(&config));
  memset(long_value, 'a', sizeof long_value - 1);
  long_value[sizeof long_value - 1] = 0;
  headers[1].value = long_value;
  EXPECT(BYWAY_ERROR_SETTING, start(&config));

  /* All of it set, and used. */
  config = settings();
  headers[1].value = "2";
  config.headers = headers;
  config.header_count = 2;
  config.user_agent = "";
  config.pace = BYWAY_PACE_LONG_POLL;
  config.epoch_ms = 1;
  config.keepalive_ms = 60000;
  config.listeners = 0;
  memset(config.owner, 1, sizeof config.owner);
  client = open_with(&config);
  OK(byway_wait_open(client, 0));
  OK(byway_close(client, 0));
}
