/* What the two programs share: opening a client, and saying why something failed. */
#ifndef COMMON_H
#define COMMON_H

#include <stdio.h>
#include <stdlib.h>

#include "byway.h"

/* Milliseconds to find the relay, and the peer. */
#define OPEN_MS 10000
#define CONNECT_MS 20000

/* Exit codes, as those of the byway command: 1 failed on the way, 2 wrong use or configuration,
 * 3 refused, 4 the path to the relay is blocked, 5 timed out or the peer is away. */
static int exit_code(int32_t code) {
  if (code == BYWAY_OK) return 0;
  if (code == BYWAY_ERROR_TIMED_OUT || code == BYWAY_ERROR_PEER_AWAY) return 5;
  if (code == BYWAY_ERROR_IN_USE || code == BYWAY_ERROR_NO_LISTENER ||
      code == BYWAY_ERROR_BACKLOG_FULL || code == BYWAY_ERROR_RELAY_LIMIT)
    return 3;
  if (code <= BYWAY_ERROR_DNS && code >= BYWAY_ERROR_RELAY) return 4;
  if (code <= BYWAY_ERROR_ENDPOINT && code > BYWAY_ERROR_NO_LISTENER) return 2;
  return 1;
}

/* Says why and ends the program, and with it the client, unless the code is BYWAY_OK. */
static void must(int32_t code) {
  if (code == BYWAY_OK) return;
  fprintf(stderr, "%s\n", byway_last_error());
  exit(exit_code(code));
}

/* A client of the relay at a URL. */
static byway_handle open_client(const char *url) {
  byway_config config;
  byway_handle client;
  must(byway_config_default(&config, sizeof config));
  config.relay_url = url;
  config.proxy = BYWAY_PROXY_ENVIRONMENT;
  must(byway_client_open(&config, OPEN_MS, &client));
  return client;
}

/* Waits at an endpoint for one peer. The client answers no other from then on. */
static byway_handle wait_for_peer(byway_handle client, const char *endpoint) {
  byway_handle listener, stream;
  must(byway_listen(client, endpoint, OPEN_MS, &listener));
  fprintf(stderr, "listening at %s\n", endpoint);
  must(byway_accept(listener, BYWAY_FOREVER, &stream));
  must(byway_close(listener, 0));
  return stream;
}

#endif
