/* Paths to the relay that are blocked. */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net.h"

/* How long a client tries, in ms: a few exchanges. */
#define TRIES 500

static const char login[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 34\r\n\r\n"
    "<html>Log in to the hotel's network";
static const char missing[] = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
static const char ask_user[] =
    "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\n"
    "Content-Length: 0\r\n\r\n";
static const char ask_digest[] =
    "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Digest realm=\"x\"\r\n"
    "Content-Length: 0\r\n\r\n";
static const char compressed[] =
    "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Encoding: gzip\r\n"
    "Content-Length: 0\r\n\r\n";
static const char no_http[] = "220 mail.example.com ESMTP\r\n\r\n";
static const char half[] =
    "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 100\r\n\r\n";

/* A first failure takes as long as the machine is slow: until then it is silence. */
static int32_t open_in_vain(int32_t code, const byway_config *config, byway_handle *client) {
  int32_t got, ms = TRIES;
  do {
    got = byway_client_open(config, ms, client);
    ms *= 4;
  } while (got == BYWAY_ERROR_SILENCE && code != BYWAY_ERROR_SILENCE && ms < DEADLINE);
  return got;
}

static void blocked(int32_t code, uint64_t detail, const byway_config *config) {
  byway_handle client = 0, other = 0;
  byway_event event;
  EXPECT(code, open_in_vain(code, config, &client));
  CHECK(client == 0 && byway_last_detail() == detail);
  if (code == BYWAY_ERROR_SILENCE) return;

  /* Started, it goes on trying, and events tell how that goes. */
  OK(byway_client_start(config, &client));
  do {
    if (!OK(byway_next_event(client, &event, sizeof event, DEADLINE))) break;
  } while (event.kind != BYWAY_EVENT_KIND_PATH_BLOCKED);
  EXPECT(code, byway_wait_open(client, TRIES));
  EXPECT(code, byway_listen(client, "blocked:1", TRIES, &other));
  EXPECT(code, byway_connect(client, "blocked:1", TRIES, &other));
  CHECK(event.cause == code && event.detail == detail && event.id == 0);
  if (code == BYWAY_ERROR_FOREIGN) CHECK(strstr(event.seen, "Log in") != NULL);
  OK(byway_abort(client));
}

/* By a server that answers so, and whose URL goes to `url`, a field of `config`. */
static void blocked_by(const char *answer, int32_t code, uint64_t detail, byway_config *config,
                       const char **url) {
  server *at = answer_with(answer);
  *url = url_of(at);
  blocked(code, detail, config);
  stop(at);
}

void test_paths(void) {
  byway_config config = settings();
  server *at;

  config.relay_url = "http://127.0.0.1:9";
  blocked(BYWAY_ERROR_CONNECT, 0, &config);
  config.relay_url = "http://byway-test.invalid";
  blocked(BYWAY_ERROR_DNS, 0, &config);

  blocked_by(login, BYWAY_ERROR_FOREIGN, 0, &config, &config.relay_url);
  blocked_by(missing, BYWAY_ERROR_HTTP, 404, &config, &config.relay_url);
  blocked_by(compressed, BYWAY_ERROR_COMPRESSED, 0, &config, &config.relay_url);
  blocked_by(no_http, BYWAY_ERROR_HEAD, 0, &config, &config.relay_url);
  blocked_by(half, BYWAY_ERROR_CUT, 0, &config, &config.relay_url);
  blocked_by(NULL, BYWAY_ERROR_SILENCE, 0, &config, &config.relay_url);

  config = settings();
  config.proxy = BYWAY_PROXY_URL;
  blocked_by(ask_user, BYWAY_ERROR_PROXY_AUTH, 0, &config, &config.proxy_url);
  blocked_by(ask_digest, BYWAY_ERROR_PROXY_SCHEME, 0, &config, &config.proxy_url);

  at = answer_with(login);
  {
    char url[64];
    snprintf(url, sizeof url, "https%s", url_of(at) + strlen("http"));
    config = settings();
    config.relay_url = url;
    blocked(BYWAY_ERROR_TLS_NONE, 0, &config);
  }
  stop(at);
}

/* A relay that refuses. */
void test_refusals(void) {
  byway_config config = settings();
  byway_handle client = 0, listener = 0;
  server *at = relay_that_says(0x33);
  config.relay_url = url_of(at);
  blocked(BYWAY_ERROR_RELAY, 0, &config);
  stop(at);

  at = relay_that_says(0x41);
  config.relay_url = url_of(at);
  EXPECT(BYWAY_ERROR_VERSION, byway_client_open(&config, DEADLINE, &client));
  CHECK(byway_last_detail() == 9);
  stop(at);

  at = relay_that_says(0x40);
  config.relay_url = url_of(at);
  EXPECT(BYWAY_ERROR_MALFORMED, byway_client_open(&config, DEADLINE, &client));
  stop(at);

  at = relay_that_says(0x12);
  config.relay_url = url_of(at);
  client = open_with(&config);
  EXPECT(BYWAY_ERROR_RELAY_LIMIT, byway_listen(client, "limited:1", DEADLINE, &listener));
  CHECK(listener == 0);
  OK(byway_abort(client));
  stop(at);
}
