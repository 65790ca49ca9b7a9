/*
 * A phone and a PC that send each other 8 MiB at once, in one thread each:
 *
 *     phone pc RELAY               listens, and serves one peer
 *     phone phone RELAY [PROXY]    connects to it, through an HTTP proxy if one is given
 *
 * Every octet follows from its direction and offset, and is checked. At the end each says the
 * checksums (FNV-1a, 64 bits) of what it sent and received. SIGUSR1 says that the network is another.
 */
#define _POSIX_C_SOURCE 200809L
#include <byway.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <time.h>

#define ENDPOINT "pc:1"
#define OCTETS (8ull << 20)
/* Not a power of two, so that pieces end anywhere in a word of the pattern. */
#define PIECE 4001
/* Longer than any recovery takes on a slow machine: whoever waits so long hangs. */
#define HUNG_S 150
#define HUNG_MS (HUNG_S * 1000)
#define FNV_BASIS 0xcbf29ce484222325ull
#define FNV_PRIME 0x100000001b3ull

enum direction { PHONE_TO_PC = 1, PC_TO_PHONE = 2 };

/* One direction of the stream. */
struct way {
    enum direction direction;
    uint64_t offset;
    uint64_t checksum;
    int ended;
};

static volatile sig_atomic_t roamed;

static void on_roam(int signal)
{
    (void)signal;
    roamed = 1;
}

static void must(const char *what, int32_t code)
{
    if (code != BYWAY_OK) {
        fprintf(stderr, "%s: %s: %s\n", what, byway_strerror(code), byway_last_error());
        exit(1);
    }
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* The octet at an offset: of the word that the finaliser of SplitMix64 makes of direction and place. */
static uint8_t octet(enum direction direction, uint64_t offset)
{
    uint64_t n = offset / 8 + ((uint64_t)direction << 56);
    n = (n ^ (n >> 30)) * 0xbf58476d1ce4e5b9ull;
    n = (n ^ (n >> 27)) * 0x94d049bb133111ebull;
    return (uint8_t)((n ^ (n >> 31)) >> (offset % 8 * 8));
}

static void went(struct way *way, const uint8_t *data, size_t n)
{
    size_t i;
    for (i = 0; i < n; i++)
        way->checksum = (way->checksum ^ data[i]) * FNV_PRIME;
    way->offset += n;
}

/* Sends what finds room; whether something did. */
static int send_some(byway_handle stream, struct way *way)
{
    static uint8_t data[PIECE];
    size_t i, n, sent;
    int32_t code;

    if (way->ended)
        return 0;
    n = OCTETS - way->offset < PIECE ? (size_t)(OCTETS - way->offset) : PIECE;
    for (i = 0; i < n; i++)
        data[i] = octet(way->direction, way->offset + i);
    code = byway_send(stream, data, n, 0, &sent);
    if (code == BYWAY_ERROR_TIMED_OUT)
        return 0;
    must("send", code);
    went(way, data, sent);
    if (way->offset == OCTETS) {
        must("shutdown", byway_shutdown(stream, BYWAY_HOW_WRITE));
        way->ended = 1;
    }
    return 1;
}

/* Receives what is there; whether something was. */
static int receive_some(byway_handle stream, struct way *way)
{
    static uint8_t data[PIECE];
    size_t i, n;
    uint64_t before = way->offset >> 20;
    int32_t code;

    if (way->ended)
        return 0;
    code = byway_recv(stream, data, sizeof data, 0, &n);
    if (code == BYWAY_ERROR_TIMED_OUT)
        return 0;
    must("receive", code);
    for (i = 0; i < n; i++) {
        if (data[i] != octet(way->direction, way->offset + i)) {
            fprintf(stderr, "octet %llu is not what was sent\n",
                    (unsigned long long)(way->offset + i));
            exit(1);
        }
    }
    went(way, data, n);
    way->ended = n == 0;
    if (way->offset >> 20 != before)
        printf("received %d MiB\n", (int)(way->offset >> 20));
    return 1;
}

/* Waits until something can be received or sent, or the network is another. */
static void wait_for(byway_handle stream, uint32_t events, const sigset_t *mask)
{
    struct timespec hung = { HUNG_S, 0 };
    fd_set set;
    int fd, n;

    must("poll_fd", byway_poll_fd(stream, events, &fd));
    FD_ZERO(&set);
    FD_SET(fd, &set);
    n = pselect(fd + 1, &set, NULL, NULL, &hung, mask);
    if (n == 0 || (n < 0 && errno != EINTR)) {
        fprintf(stderr, "%s\n", n == 0 ? "nothing goes on any more" : strerror(errno));
        exit(1);
    }
}

static void exchange(byway_handle client, byway_handle stream, struct way *out, struct way *in,
                     const sigset_t *mask)
{
    double began = seconds(), last = began, stall = 0;

    while (!out->ended || !in->ended) {
        int received = receive_some(stream, in), sent = send_some(stream, out);
        if (received) {
            double now = seconds();
            stall = now - last > stall ? now - last : stall;
            last = now;
        }
        if (!received && !sent)
            wait_for(stream, BYWAY_READABLE | (out->ended ? 0 : BYWAY_WRITABLE), mask);
        if (roamed) {
            roamed = 0;
            must("network changed", byway_network_changed(client));
            printf("told of the new network\n");
        }
    }
    must("close", byway_close(stream, HUNG_MS));
    printf("sent %016llx\nreceived %016llx\n", (unsigned long long)out->checksum,
           (unsigned long long)in->checksum);
    printf("%llu MiB each way in %.1f s, longest stall %.2f s\n", OCTETS >> 20, seconds() - began,
           stall);
}

int main(int count, char **arguments)
{
    int phone = count > 1 && strcmp(arguments[1], "phone") == 0;
    struct way there = { PHONE_TO_PC, 0, FNV_BASIS, 0 }, back = { PC_TO_PHONE, 0, FNV_BASIS, 0 };
    struct sigaction action;
    byway_config config;
    byway_handle client, listener, stream;
    sigset_t blocked, mask;

    if ((!phone && (count != 3 || strcmp(arguments[1], "pc") != 0)) || count < 3 || count > 4) {
        fprintf(stderr, "usage: %s pc RELAY | phone RELAY [PROXY]\n", arguments[0]);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    memset(&action, 0, sizeof action);
    action.sa_handler = on_roam;
    sigaction(SIGUSR1, &action, NULL);
    /* The client's threads inherit the mask: the signal comes to this one, while it waits. */
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    sigprocmask(SIG_BLOCK, &blocked, &mask);

    must("config", byway_config_default(&config, sizeof config));
    must("profile", byway_config_profile(&config, phone ? BYWAY_PROFILE_PHONE : BYWAY_PROFILE_PC));
    config.relay_url = arguments[2];
    if (count > 3) {
        config.proxy = BYWAY_PROXY_URL;
        config.proxy_url = arguments[3];
    }
    must("open", byway_client_open(&config, HUNG_MS, &client));
    if (phone) {
        must("connect", byway_connect(client, ENDPOINT, HUNG_MS, &stream));
        exchange(client, stream, &there, &back, &mask);
    } else {
        must("listen", byway_listen(client, ENDPOINT, HUNG_MS, &listener));
        printf("listening\n");
        must("accept", byway_accept(listener, HUNG_MS, &stream));
        exchange(client, stream, &back, &there, &mask);
    }
    must("close", byway_close(client, HUNG_MS));
    return 0;
}
