/*
 * Two people talk. One listens at an endpoint, the other connects to it:
 *
 *   chat listen  talk:1 http://relay.example:8080
 *   chat connect talk:1 http://relay.example:8080
 *
 * One thread, which waits in poll() for the keyboard and for the stream at once. Ctrl-D ends what one
 * has to say; what the other has to say still comes.
 */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "common.h"

/* Milliseconds until the peer has what was said last. */
#define CLOSE_MS 10000

static char said[4096]; /* by the user, and not sent yet */
static size_t len, sent;
static bool saying = true, hearing = true;

/* Writes all of it to stdout. */
static void show(const uint8_t *text, size_t n) {
  while (n > 0) {
    ssize_t written = write(STDOUT_FILENO, text, n);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      perror("stdout");
      exit(1);
    }
    text += written;
    n -= (size_t)written;
  }
}

/* Takes what the user typed. */
static void hear_user(byway_handle stream) {
  ssize_t n = read(STDIN_FILENO, said, sizeof said);
  if (n < 0 && errno == EINTR) return;
  if (n > 0) {
    len = (size_t)n;
    sent = 0;
    return;
  }
  saying = false;
  must(byway_shutdown(stream, BYWAY_HOW_WRITE));
}

/* Does with the stream what can be done without waiting. */
static void exchange(byway_handle stream) {
  uint8_t heard[4096];
  size_t n;
  int32_t code;
  if (sent < len) {
    code = byway_send(stream, (const uint8_t *)said + sent, len - sent, 0, &n);
    if (code == BYWAY_OK) sent += n;
    else if (code != BYWAY_ERROR_TIMED_OUT) must(code);
  }
  if (!hearing) return;
  code = byway_recv(stream, heard, sizeof heard, 0, &n);
  if (code == BYWAY_ERROR_TIMED_OUT) return;
  must(code);
  if (n > 0) {
    show(heard, n);
    return;
  }
  hearing = false;
  fprintf(stderr, "the other has finished%s\n", saying ? "; Ctrl-D ends" : "");
}

static void talk(byway_handle stream) {
  struct pollfd fds[2];
  memset(fds, 0, sizeof fds);
  while (saying || hearing || sent < len) {
    bool unsent = sent < len;
    uint32_t events = (hearing ? BYWAY_READABLE : 0) | (unsent ? BYWAY_WRITABLE : 0);
    must(byway_poll_fd(stream, events, &fds[0].fd));
    fds[0].events = POLLIN;
    /* Nothing is taken from the user as long as the last of it could not be sent. */
    fds[1].fd = saying && !unsent ? STDIN_FILENO : -1;
    fds[1].events = POLLIN;
    if (poll(fds, 2, -1) < 0) {
      if (errno == EINTR) continue;
      perror("poll");
      exit(1);
    }
    if (fds[1].fd >= 0 && fds[1].revents != 0) hear_user(stream);
    if (fds[0].revents != 0 || sent < len) exchange(stream);
  }
}

int main(int argc, char **argv) {
  byway_handle client, stream;
  bool listens;
  if (argc != 4 || (strcmp(argv[1], "listen") != 0 && strcmp(argv[1], "connect") != 0)) {
    fprintf(stderr, "usage: chat listen|connect NAME:PORT RELAY-URL\n");
    return 2;
  }
  listens = strcmp(argv[1], "listen") == 0;
  client = open_client(argv[3]);
  if (listens) stream = wait_for_peer(client, argv[2]);
  else must(byway_connect(client, argv[2], CONNECT_MS, &stream));
  fprintf(stderr, "connected\n");
  talk(stream);
  must(byway_close(stream, CLOSE_MS));
  must(byway_close(client, CLOSE_MS));
  return 0;
}
