/* Callbacks of a client's configuration, and another proxy for a client. */
#define _POSIX_C_SOURCE 200809L

#include "check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net.h"

/* A name that no DNS knows. */
#define NAME "relay.byway-test.invalid"

/* More sockets than a test has dials. */
#define MOST 256

/* What the callbacks of a client do, and what they saw. */
typedef struct seen {
  const char *addresses;  /* What on_resolve gives. */
  int32_t refuses;        /* What on_socket or on_resolve returns. */
  int starts, ends, resolves, releases;
  int sockets;
  int kept[MOST];         /* The very sockets. */
  int port;               /* That on_resolve was told. */
  byway_handle client;
} seen;

static int count(int *flag) { return __atomic_add_fetch(flag, 1, __ATOMIC_SEQ_CST); }

/* In no callback may byway be called, nor after the last one. */
static void look(seen *all) {
  uint32_t ready = 0;
  EXPECT(BYWAY_ERROR_CALLBACK, byway_readiness(all->client, &ready));
  CHECK(get_flag(&all->releases) == 0);
}

static int32_t on_socket(void *userdata, int32_t fd) {
  seen *all = (seen *)userdata;
  int yes = 1, at;
  look(all);
  if (all->refuses != 0) return all->refuses;
  CHECK(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof yes) == 0);
  at = count(&all->sockets) - 1;
  if (CHECK(at < MOST)) set_flag(&all->kept[at], dup(fd));
  return 0;
}

static int32_t on_resolve(void *userdata, const char *host, uint16_t port, char *addresses,
                          size_t size) {
  seen *all = (seen *)userdata;
  look(all);
  CHECK(strcmp(host, NAME) == 0 && size == BYWAY_ADDRESSES_SIZE);
  set_flag(&all->port, port);
  count(&all->resolves);
  if (all->addresses == NULL) return 77;
  snprintf(addresses, size, "%s", all->addresses);
  return 0;
}

static void on_start(void *userdata) {
  look((seen *)userdata);
  count(&((seen *)userdata)->starts);
}

static void on_end(void *userdata) {
  look((seen *)userdata);
  count(&((seen *)userdata)->ends);
}

static void on_release(void *userdata) {
  look((seen *)userdata);
  count(&((seen *)userdata)->releases);
}

static byway_config hooked(seen *all) {
  byway_config config = settings();
  memset(all, 0, sizeof *all);
  config.on_socket = on_socket;
  config.on_resolve = on_resolve;
  config.on_thread_start = on_start;
  config.on_thread_end = on_end;
  config.on_release = on_release;
  config.hooks_userdata = all;
  return config;
}

static int port_of(const char *url) { return atoi(strrchr(url, ':') + 1); }

/* The port that the newest socket is connected to; 0 if it is not. */
static int newest_goes_to(const seen *all) {
  struct sockaddr_in peer;
  socklen_t len = sizeof peer;
  int fd = get_flag(&all->kept[get_flag(&all->sockets) - 1]);
  memset(&peer, 0, sizeof peer);
  if (getpeername(fd, (struct sockaddr *)&peer, &len) != 0) return 0;
  return ntohs(peer.sin_port);
}

/* on_release tells when all threads have ended, and is the last. */
static void released(seen *all) {
  int64_t until = now_ms() + DEADLINE;
  int i;
  while (get_flag(&all->releases) == 0 && now_ms() < until) pause_ms(1);
  CHECK(get_flag(&all->releases) == 1);
  CHECK(get_flag(&all->starts) == get_flag(&all->ends));
  for (i = 0; i < get_flag(&all->sockets); i++) close(all->kept[i]);
}

static void test_good_hooks(void) {
  seen all;
  byway_config config = hooked(&all);
  byway_handle client;
  char url[64];
  int set = 0;
  socklen_t len = sizeof set;
  snprintf(url, sizeof url, "http://" NAME ":%d", port_of(relay_url()));
  config.relay_url = url;
  all.addresses = " 127.0.0.1\n127.0.0.1";
  client = open_with(&config);
  CHECK(get_flag(&all.resolves) > 0 && get_flag(&all.port) == port_of(relay_url()));
  CHECK(get_flag(&all.starts) >= 3);
  CHECK(newest_goes_to(&all) == port_of(relay_url()));
  CHECK(getsockopt(get_flag(&all.kept[0]), SOL_SOCKET, SO_KEEPALIVE, &set, &len) == 0 && set != 0);
  CHECK(get_flag(&all.releases) == 0);
  OK(byway_close(client, DEADLINE));
  released(&all);
}

static void refused(int32_t code, const char *words, byway_config *config, seen *all) {
  byway_handle client = 0;
  byway_event event;
  char url[64];
  snprintf(url, sizeof url, "http://" NAME ":%d", port_of(relay_url()));
  config->relay_url = url;
  OK(byway_client_start(config, &client));
  do {
    if (!OK(byway_next_event(client, &event, sizeof event, DEADLINE))) break;
  } while (event.kind != BYWAY_EVENT_KIND_PATH_BLOCKED);
  CHECK(event.cause == code);
  EXPECT(code, byway_wait_open(client, 1));
  if (!CHECK(strstr(event.seen, words) != NULL)) printf("  %s\n", event.seen);
  OK(byway_abort(client));
  released(all);
}

static void test_bad_hooks(void) {
  seen all;
  byway_config config = hooked(&all);
  byway_handle client = 0;
  all.addresses = "127.0.0.1";
  all.refuses = EPERM;
  refused(BYWAY_ERROR_HOOK, "on_socket", &config, &all);

  config = hooked(&all);
  refused(BYWAY_ERROR_DNS, "on_resolve: it returned 77", &config, &all);
  config = hooked(&all);
  all.addresses = "localhost";
  refused(BYWAY_ERROR_DNS, "no numeric address", &config, &all);
  config = hooked(&all);
  all.addresses = "";
  refused(BYWAY_ERROR_DNS, "", &config, &all);

  /* However the call ends that got them, they are released. */
  config = hooked(&all);
  config.backlog = 256;
  EXPECT(BYWAY_ERROR_SETTING, byway_client_start(&config, &client));
  released(&all);
  config = hooked(&all);
  EXPECT(BYWAY_ERROR_ARGUMENT, byway_client_open(&config, 0, NULL));
  released(&all);
  config = hooked(&all);
  config.version++;
  EXPECT(BYWAY_ERROR_STRUCT, byway_client_start(&config, &client));
  CHECK(all.releases == 0);
}

void test_hooks(void) {
  test_good_hooks();
  test_bad_hooks();
}

/* Waits until the newest socket goes there, and sends on. */
static void goes_on(const pair *two, const seen *all, int port, size_t *sent) {
  size_t to = *sent + 20000;
  int64_t until = now_ms() + DEADLINE;
  send_pattern(two->near, 7, *sent, to);
  recv_pattern(two->far, 7, *sent, to);
  send_pattern(two->far, 8, *sent, to);
  recv_pattern(two->near, 8, *sent, to);
  while (newest_goes_to(all) != port && now_ms() < until) pause_ms(1);
  CHECK(newest_goes_to(all) == port);
  *sent = to;
}

/* A stream goes on, and loses nothing, while its client goes from one proxy to none and to another. */
void test_other_proxy(void) {
  seen all;
  byway_config config = hooked(&all);
  pair two;
  char url[64];
  size_t sent = 0;
  server *office = gate(), *cafe = gate();
  snprintf(url, sizeof url, "http://" NAME ":%d", port_of(relay_url()));
  config.relay_url = url;
  config.proxy = BYWAY_PROXY_URL;
  config.proxy_url = url_of(office);
  all.addresses = "127.0.0.1";
  memset(&two, 0, sizeof two);
  two.a = open_client();
  two.b = open_with(&config);
  OK(byway_listen(two.a, "roam:1", DEADLINE, &two.listener));
  OK(byway_connect(two.b, "roam:1", DEADLINE, &two.near));
  OK(byway_accept(two.listener, DEADLINE, &two.far));
  goes_on(&two, &all, port_of(url_of(office)), &sent);
  CHECK(get_flag(&all.resolves) == 0);

  /* What cannot be used changes nothing. */
  EXPECT(BYWAY_ERROR_SETTING, byway_network_changed_with(two.b, BYWAY_PROXY_URL, "socks5://x"));
  EXPECT(BYWAY_ERROR_SETTING, byway_network_changed_with(two.b, 3, NULL));
  EXPECT(BYWAY_ERROR_ARGUMENT, byway_network_changed_with(two.b, BYWAY_PROXY_URL, NULL));
  EXPECT(BYWAY_ERROR_HANDLE, byway_network_changed_with(0, BYWAY_PROXY_NONE, NULL));
  EXPECT(BYWAY_ERROR_KIND, byway_network_changed_with(two.near, BYWAY_PROXY_NONE, NULL));
  OK(byway_network_changed(two.b));
  goes_on(&two, &all, port_of(url_of(office)), &sent);
  CHECK(get_flag(&all.resolves) == 0);

  stop(office);
  OK(byway_network_changed_with(two.b, BYWAY_PROXY_NONE, NULL));
  goes_on(&two, &all, port_of(relay_url()), &sent);
  CHECK(get_flag(&all.resolves) > 0);

  OK(byway_network_changed_with(two.b, BYWAY_PROXY_URL, url_of(cafe)));
  goes_on(&two, &all, port_of(url_of(cafe)), &sent);

  /* The environment is read by the call. */
  setenv("http_proxy", "socks5://nowhere", 1);
  EXPECT(BYWAY_ERROR_SETTING, byway_network_changed_with(two.b, BYWAY_PROXY_ENVIRONMENT, NULL));
  unsetenv("http_proxy");
  OK(byway_network_changed_with(two.b, BYWAY_PROXY_ENVIRONMENT, NULL));
  goes_on(&two, &all, port_of(relay_url()), &sent);
  pair_close(&two);
  released(&all);
  stop(cafe);
}
