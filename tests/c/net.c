#define _POSIX_C_SOURCE 200809L

#include "net.h"

#include "check.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

/* Connections at once: a client has two, and some tests have several clients. */
#define MOST 64

/* How often a server looks whether it is to stop or to turn dark, in ms. */
#define GLANCE 20

/* First octet of a connection that begins with TLS. */
#define TLS_HANDSHAKE 0x16

typedef struct connection {
  int fd;
  int onward; /* of a gate: the connection to the relay; else -1 */
  size_t len;
  uint8_t data[8192];
} connection;

struct server {
  int listener;
  int stopping, dark, is_dark, passes, speaks;
  uint8_t status;
  const char *response;
  char url[64];
  thread *runs;
  size_t count;
  connection connections[MOST];
};

static void finish(server *at, size_t i) {
  close(at->connections[i].fd);
  if (at->connections[i].onward >= 0) close(at->connections[i].onward);
  at->connections[i] = at->connections[--at->count];
}

static bool give(int fd, const void *data, size_t len) {
  const char *from = (const char *)data;
  while (len > 0) {
    ssize_t n = send(fd, from, len, MSG_NOSIGNAL);
    if (n <= 0) return false;
    from += n;
    len -= (size_t)n;
  }
  return true;
}

static int dial_relay(void) {
  struct sockaddr_in address;
  const char *port = strrchr(relay_url(), ':');
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  memset(&address, 0, sizeof address);
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons((uint16_t)atoi(port + 1));
  if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
    close(fd);
    return -1;
  }
  return fd;
}

static void put(uint8_t *to, uint64_t value, size_t octets) {
  while (octets-- > 0) {
    to[octets] = (uint8_t)value;
    value >>= 8;
  }
}

/* WELCOME, LISTEN_RSP if a claim stands behind HELLO, END: see src/wire/README.md. */
static bool answer_as_relay(const server *at, int fd, const uint8_t *body, size_t len) {
  uint8_t out[36 + 17 + 13];
  char head[128];
  size_t n = 36;
  memset(out, 0, sizeof out);
  out[0] = 0x02, out[3] = 32, out[4] = at->status == 0x41 ? 9 : 2;
  memcpy(out + 5, "byw", 3);
  memcpy(out + 8, body + 22, 8);
  memset(out + 16, 1, 16);
  put(out + 32, 1 << 22, 4);
  if (at->status == 0x12 && len > 46 && body[38] == 0x10) {
    out[n] = 0x11, out[n + 3] = 13;
    memcpy(out + n + 4, body + 42, 4);
    out[n + 8] = 0x12;
    n += 17;
  }
  out[n] = 0x03, out[n + 3] = 9, out[n + 4] = at->status == 0x12 ? 0 : at->status;
  n += 13;
  snprintf(head, sizeof head,
           "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %u\r\n\r\n",
           (unsigned)n);
  return give(fd, head, strlen(head)) && give(fd, out, n);
}

/* What has come so far is answered if it is a request. False: the connection is to be closed. */
static bool answer(server *at, connection *one) {
  char *end, *length;
  size_t head, body = 0;
  one->data[one->len] = 0;
  if (at->response != NULL && one->data[0] == TLS_HANDSHAKE) {
    give(one->fd, at->response, strlen(at->response));
    return false;
  }
  end = strstr((char *)one->data, "\r\n\r\n");
  if (end == NULL) return one->len < sizeof one->data - 1;
  head = (size_t)(end - (char *)one->data) + 4;
  for (length = (char *)one->data; length != NULL && length < end; length = strchr(length, '\n')) {
    if (*length == '\n') length++;
    if (strncasecmp(length, "content-length:", 15) == 0) body = (size_t)strtoul(length + 15, NULL, 10);
  }
  if (one->len < head + body) return head + body < sizeof one->data;
  if (at->response != NULL) {
    give(one->fd, at->response, strlen(at->response));
    shutdown(one->fd, SHUT_WR);
    return false;
  }
  if (!at->speaks) return true;
  if (body < 38 || !answer_as_relay(at, one->fd, one->data + head, body)) return false;
  one->len = 0;
  return true;
}

static bool read_more(server *at, connection *one) {
  ssize_t n = recv(one->fd, one->data + one->len, sizeof one->data - 1 - one->len, 0);
  if (n <= 0) return false;
  one->len += (size_t)n;
  return answer(at, one);
}

static bool pass(int from, int to) {
  uint8_t data[16384];
  ssize_t n = recv(from, data, sizeof data, 0);
  return n > 0 && give(to, data, (size_t)n);
}

static void take(server *at) {
  int fd = accept(at->listener, NULL, NULL), onward = -1;
  if (fd < 0) return;
  if (at->passes) onward = dial_relay();
  if (at->count == MOST || (at->passes && onward < 0)) {
    close(fd);
    return;
  }
  at->connections[at->count].fd = fd;
  at->connections[at->count].onward = onward;
  at->connections[at->count++].len = 0;
}

static void *serve(void *argument) {
  server *at = (server *)argument;
  struct pollfd fds[2 * MOST + 1];
  while (!get_flag(&at->stopping)) {
    size_t i;
    if (get_flag(&at->dark)) {
      set_flag(&at->is_dark, 1);
      pause_ms(GLANCE);
      continue;
    }
    /* What came in the dark is lost. */
    while (get_flag(&at->is_dark) && at->count > 0) finish(at, at->count - 1);
    set_flag(&at->is_dark, 0);
    memset(fds, 0, sizeof fds);
    fds[0].fd = at->listener, fds[0].events = POLLIN;
    for (i = 0; i < at->count; i++) {
      fds[2 * i + 1].fd = at->connections[i].fd, fds[2 * i + 1].events = POLLIN;
      fds[2 * i + 2].fd = at->connections[i].onward, fds[2 * i + 2].events = POLLIN;
    }
    if (poll(fds, 2 * at->count + 1, GLANCE) <= 0) continue;
    for (i = at->count; i-- > 0;) {
      connection *one = &at->connections[i];
      bool goes_on = true;
      if (fds[2 * i + 1].revents != 0)
        goes_on = at->passes ? pass(one->fd, one->onward) : read_more(at, one);
      if (goes_on && fds[2 * i + 2].revents != 0) goes_on = pass(one->onward, one->fd);
      if (!goes_on) finish(at, i);
    }
    if (fds[0].revents != 0) take(at);
  }
  while (at->count > 0) finish(at, at->count - 1);
  close(at->listener);
  return NULL;
}

static server *start(const char *response, int passes, int speaks, uint8_t status) {
  struct sockaddr_in address;
  socklen_t len = sizeof address;
  server *at = (server *)calloc(1, sizeof *at);
  if (at == NULL) abort();
  memset(&address, 0, sizeof address);
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  at->listener = socket(AF_INET, SOCK_STREAM, 0);
  if (bind(at->listener, (struct sockaddr *)&address, sizeof address) != 0 ||
      listen(at->listener, MOST) != 0 ||
      getsockname(at->listener, (struct sockaddr *)&address, &len) != 0)
    abort();
  snprintf(at->url, sizeof at->url, "http://127.0.0.1:%u", (unsigned)ntohs(address.sin_port));
  at->response = response, at->passes = passes, at->speaks = speaks, at->status = status;
  at->runs = spawn(serve, at);
  return at;
}

server *answer_with(const char *response) { return start(response, 0, 0, 0); }

server *relay_that_says(uint8_t status) { return start(NULL, 0, 1, status); }

server *gate(void) { return start(NULL, 1, 0, 0); }

void set_dark(server *at, int dark) {
  set_flag(&at->dark, dark);
  while (get_flag(&at->is_dark) != dark) pause_ms(1);
}

const char *url_of(const server *at) { return at->url; }

void stop(server *at) {
  set_flag(&at->stopping, 1);
  join(at->runs);
  free(at);
}
