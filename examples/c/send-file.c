/*
 * Sends a file to one who waits for it:
 *
 *   send-file receive copy     backup:1 http://relay.example:8080
 *   send-file send    original backup:1 http://relay.example:8080
 *
 * On the stream: the file's length (8 octets, the highest first), its octets, their checksum (8
 * octets). The receiver answers with one octet when it has written a file of that checksum. A relay
 * that is restarted meanwhile costs a moment; what breaks off for longer is not resumed.
 */
#define _POSIX_C_SOURCE 200809L

#include <stdbool.h>
#include <string.h>

#include "common.h"

/* Milliseconds without any progress after which it is given up. */
#define STALL_MS 120000

/* The receiver's answer. */
#define RECEIVED 1

static uint8_t buffer[65536];

static void fail(const char *why) {
  fprintf(stderr, "%s\n", why);
  exit(1);
}

/* FNV-1a: finds out mistakes, and is no protection against anybody. */
static uint64_t checksum(uint64_t sum, const uint8_t *octets, size_t n) {
  size_t i;
  for (i = 0; i < n; i++) sum = (sum ^ octets[i]) * UINT64_C(0x100000001b3);
  return sum;
}

#define EMPTY UINT64_C(0xcbf29ce484222325)

static void send_all(byway_handle stream, const uint8_t *octets, size_t len) {
  while (len > 0) {
    size_t n;
    must(byway_send(stream, octets, len, STALL_MS, &n));
    octets += n;
    len -= n;
  }
}

static void recv_all(byway_handle stream, uint8_t *octets, size_t len) {
  while (len > 0) {
    size_t n;
    must(byway_recv(stream, octets, len, STALL_MS, &n));
    if (n == 0) fail("the other ended in the middle of the file");
    octets += n;
    len -= n;
  }
}

static void send_number(byway_handle stream, uint64_t number) {
  uint8_t octets[8];
  int i;
  for (i = 0; i < 8; i++) octets[i] = (uint8_t)(number >> (56 - 8 * i));
  send_all(stream, octets, sizeof octets);
}

static uint64_t recv_number(byway_handle stream) {
  uint8_t octets[8];
  uint64_t number = 0;
  int i;
  recv_all(stream, octets, sizeof octets);
  for (i = 0; i < 8; i++) number = number << 8 | octets[i];
  return number;
}

/* Tells every tenth of the way. */
static void progress(uint64_t before, uint64_t now, uint64_t total) {
  uint64_t tenth = total / 10 + 1;
  if (now / tenth != before / tenth) fprintf(stderr, "%llu %%\n", (unsigned long long)(now / tenth * 10));
}

static uint64_t length_of(FILE *file) {
  long end;
  if (fseek(file, 0, SEEK_END) != 0 || (end = ftell(file)) < 0) fail("the file's length cannot be told");
  rewind(file);
  return (uint64_t)end;
}

static void send_file(byway_handle stream, const char *path) {
  FILE *file = fopen(path, "rb");
  uint64_t total, done = 0, sum = EMPTY;
  uint8_t answer;
  if (file == NULL) {
    perror(path);
    exit(1);
  }
  total = length_of(file);
  send_number(stream, total);
  while (done < total) {
    size_t want = total - done < sizeof buffer ? (size_t)(total - done) : sizeof buffer;
    size_t n = fread(buffer, 1, want, file);
    if (n == 0) fail("the file became shorter meanwhile");
    send_all(stream, buffer, n);
    sum = checksum(sum, buffer, n);
    progress(done, done + n, total);
    done += n;
  }
  fclose(file);
  send_number(stream, sum);
  recv_all(stream, &answer, 1);
  if (answer != RECEIVED) fail("the other does not speak this program's language");
  fprintf(stderr, "sent %llu octets, checksum %016llx\n", (unsigned long long)total,
          (unsigned long long)sum);
}

static void receive_file(byway_handle stream, const char *path) {
  FILE *file = fopen(path, "wb");
  uint64_t total, done = 0, sum = EMPTY;
  const uint8_t answer = RECEIVED;
  if (file == NULL) {
    perror(path);
    exit(1);
  }
  total = recv_number(stream);
  while (done < total) {
    size_t n = total - done < sizeof buffer ? (size_t)(total - done) : sizeof buffer;
    must(byway_recv(stream, buffer, n, STALL_MS, &n));
    if (n == 0) fail("the other ended in the middle of the file");
    if (fwrite(buffer, 1, n, file) != n) fail("the file cannot be written");
    sum = checksum(sum, buffer, n);
    progress(done, done + n, total);
    done += n;
  }
  if (fclose(file) != 0) fail("the file cannot be written");
  if (recv_number(stream) != sum) fail("the checksum is wrong");
  send_all(stream, &answer, 1);
  fprintf(stderr, "received %llu octets, checksum %016llx\n", (unsigned long long)total,
          (unsigned long long)sum);
}

int main(int argc, char **argv) {
  byway_handle client, stream;
  bool sends;
  if (argc != 5 || (strcmp(argv[1], "send") != 0 && strcmp(argv[1], "receive") != 0)) {
    fprintf(stderr, "usage: send-file send|receive FILE NAME:PORT RELAY-URL\n");
    return 2;
  }
  sends = strcmp(argv[1], "send") == 0;
  client = open_client(argv[4]);
  if (sends) {
    must(byway_connect(client, argv[3], CONNECT_MS, &stream));
    send_file(stream, argv[2]);
  } else {
    stream = wait_for_peer(client, argv[3]);
    receive_file(stream, argv[2]);
  }
  must(byway_close(stream, STALL_MS));
  must(byway_close(client, STALL_MS));
  return 0;
}
