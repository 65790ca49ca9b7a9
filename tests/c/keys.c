/* Whom a channel is with: keys that are pinned, told and admitted, and secrets that peers share. */
#include "check.h"

#include <string.h>

/* A client whose identity has this octet throughout, and its key name. */
static byway_handle open_as(uint8_t octet, char *name) {
  byway_config config = settings();
  memset(config.identity, octet, sizeof config.identity);
  OK(byway_identity_name(config.identity, name, BYWAY_KEY_NAME_SIZE));
  return open_with(&config);
}

/* The channel's peer has this key name. */
static bool peer_is(byway_handle channel, const char *name) {
  char got[BYWAY_KEY_NAME_SIZE];
  memset(got, 0xa5, sizeof got);
  return OK(byway_peer_key(channel, got, sizeof got)) && CHECK(strcmp(got, name) == 0);
}

void test_pinned_key(void) {
  static const uint8_t greeting[] = "a greeting";
  char camera_name[BYWAY_KEY_NAME_SIZE], viewer_name[BYWAY_KEY_NAME_SIZE], small[1];
  uint8_t got[BYWAY_GREETING_SIZE];
  byway_handle camera = open_as(1, camera_name), viewer = open_as(2, viewer_name);
  byway_handle streams = 0, datagrams = 0, near = 0, far = 0, none = 0;
  size_t n = 0;
  int timeout;

  OK(byway_listen(camera, "pinned:1", DEADLINE, &streams));
  OK(byway_listen_datagram(camera, "pinned:2", DEADLINE, &datagrams));
  /* Waiting, and in the background. */
  for (timeout = DEADLINE; timeout >= 0; timeout -= DEADLINE) {
    OK(byway_connect_to_key(viewer, "pinned:1", camera_name, greeting, sizeof greeting, timeout,
                            &near));
    OK(byway_wait_open(near, DEADLINE));
    OK(byway_accept(streams, DEADLINE, &far));
    peer_is(near, camera_name);
    peer_is(far, viewer_name);
    OK(byway_greeting(far, got, sizeof got, &n));
    CHECK(n == sizeof greeting && memcmp(got, greeting, n) == 0);
    drop(near);
    drop(far);
    OK(byway_connect_datagram_to_key(viewer, "pinned:2", camera_name, NULL, 0, timeout, &near));
    OK(byway_wait_open(near, DEADLINE));
    OK(byway_accept(datagrams, DEADLINE, &far));
    peer_is(near, camera_name);
    drop(near);
    drop(far);
  }

  /* Somebody else than expected listens there: nothing is told to them. */
  EXPECT(BYWAY_ERROR_WRONG_KEY,
         byway_connect_to_key(viewer, "pinned:1", viewer_name, greeting, sizeof greeting,
                              DEADLINE, &none));
  EXPECT(BYWAY_ERROR_WRONG_KEY,
         byway_connect_datagram_to_key(viewer, "pinned:2", viewer_name, greeting, 3, DEADLINE,
                                       &none));
  EXPECT(BYWAY_ERROR_TIMED_OUT, byway_accept(streams, 0, &none));
  EXPECT(BYWAY_ERROR_TIMED_OUT, byway_accept(datagrams, 0, &none));
  OK(byway_connect_to_key(viewer, "pinned:1", viewer_name, NULL, 0, 0, &near));
  EXPECT(BYWAY_ERROR_WRONG_KEY, byway_wait_open(near, DEADLINE));
  drop(near);

  EXPECT(BYWAY_ERROR_ARGUMENT, byway_connect_to_key(viewer, "pinned:1", NULL, NULL, 0, 0, &none));
  EXPECT(BYWAY_ERROR_KEY_NAME,
         byway_connect_to_key(viewer, "pinned:1", "pinned", NULL, 0, 0, &none));
  camera_name[44] = 0;
  EXPECT(BYWAY_ERROR_KEY_NAME,
         byway_connect_to_key(viewer, "pinned:1", camera_name, NULL, 0, 0, &none));
  EXPECT(BYWAY_ERROR_ARGUMENT,
         byway_connect_to_key(viewer, "pinned:1", viewer_name, NULL, 1, 0, &none));

  OK(byway_connect(viewer, "pinned:1", DEADLINE, &near));
  EXPECT(BYWAY_ERROR_BUFFER_TOO_SMALL, byway_peer_key(near, small, sizeof small));
  CHECK(byway_last_detail() == BYWAY_KEY_NAME_SIZE && none == 0);
  drop(near);
  drop(streams);
  drop(datagrams);
  OK(byway_close(camera, DEADLINE));
  OK(byway_close(viewer, DEADLINE));
}

/* The channel ends with the code: a listener looks at those that have come when it accepts. */
static void ends(byway_handle listener, byway_handle stream, int32_t code) {
  int64_t begun = now_ms();
  byway_handle none = 0;
  uint8_t octet;
  size_t n;
  int32_t got;
  do {
    EXPECT(BYWAY_ERROR_TIMED_OUT, byway_accept(listener, 10, &none));
    got = byway_recv(stream, &octet, 1, 10, &n);
  } while (got == BYWAY_ERROR_TIMED_OUT && now_ms() - begun < DEADLINE);
  EXPECT(code, got);
}

void test_refuse(void) {
  char name[BYWAY_KEY_NAME_SIZE];
  const char *names[1] = {name};
  byway_handle server = open_client(), stranger = open_as(4, name), guest = open_client();
  byway_handle listener = 0, near = 0, far = 0;
  uint8_t octet;
  size_t n;

  OK(byway_listen(server, "refuse:2", DEADLINE, &listener));
  OK(byway_connect(stranger, "refuse:2", DEADLINE, &near));
  OK(byway_accept(listener, DEADLINE, &far));
  EXPECT(BYWAY_ERROR_ARGUMENT, byway_refuse(listener, NULL, 1));
  OK(byway_refuse(listener, names, 1));
  OK(byway_refuse_peer(far));
  EXPECT(BYWAY_ERROR_CLOSED, byway_recv(far, &octet, 1, 0, &n));
  EXPECT(BYWAY_ERROR_KEY_REFUSED, byway_recv(near, &octet, 1, DEADLINE, &n));
  drop(near);
  drop(far);
  /* It comes back in vain, and another peer does not. */
  OK(byway_connect(stranger, "refuse:2", DEADLINE, &near));
  ends(listener, near, BYWAY_ERROR_KEY_REFUSED);
  drop(near);
  OK(byway_connect(guest, "refuse:2", DEADLINE, &near));
  OK(byway_accept(listener, DEADLINE, &far));
  CHECK(send_pattern(near, 1, 0, 1000) && recv_pattern(far, 1, 0, 1000));
  drop(near);
  drop(far);
  drop(listener);
  OK(byway_close(server, DEADLINE));
  OK(byway_close(guest, DEADLINE));
  OK(byway_close(stranger, DEADLINE));
}

void test_admit(void) {
  char known_name[BYWAY_KEY_NAME_SIZE], stranger_name[BYWAY_KEY_NAME_SIZE];
  byway_handle server = open_client(), known = open_as(3, known_name);
  byway_handle stranger = open_as(4, stranger_name);
  byway_handle listener = 0, near = 0, far = 0, refused = 0;
  const char *names[2];

  OK(byway_listen(server, "admit:1", DEADLINE, &listener));
  /* The stranger is there before the keys are given. */
  OK(byway_connect(stranger, "admit:1", DEADLINE, &refused));
  names[0] = known_name, names[1] = "stranger";
  EXPECT(BYWAY_ERROR_KEY_NAME, byway_admit(listener, names, 2));
  names[1] = NULL;
  EXPECT(BYWAY_ERROR_ARGUMENT, byway_admit(listener, names, 2));
  EXPECT(BYWAY_ERROR_ARGUMENT, byway_admit(listener, NULL, 1));
  EXPECT(BYWAY_ERROR_ARGUMENT, byway_admit(listener, names, SIZE_MAX));
  OK(byway_admit(listener, names, 1));
  OK(byway_connect(known, "admit:1", DEADLINE, &near));
  OK(byway_accept(listener, DEADLINE, &far));
  peer_is(far, known_name);
  ends(listener, refused, BYWAY_ERROR_KEY_REFUSED);
  drop(refused);
  drop(near);
  drop(far);
  /* Other keys, and none. */
  names[0] = stranger_name;
  OK(byway_admit(listener, names, 1));
  OK(byway_connect(stranger, "admit:1", DEADLINE, &near));
  OK(byway_accept(listener, DEADLINE, &far));
  peer_is(far, stranger_name);
  OK(byway_admit(listener, NULL, 0));
  OK(byway_connect(known, "admit:1", DEADLINE, &refused));
  ends(listener, refused, BYWAY_ERROR_KEY_REFUSED);
  drop(refused);
  /* What was accepted stays. */
  CHECK(send_pattern(near, 1, 0, 1000) && recv_pattern(far, 1, 0, 1000));
  drop(near);
  drop(far);
  drop(listener);
  OK(byway_close(server, DEADLINE));
  OK(byway_close(known, DEADLINE));
  OK(byway_close(stranger, DEADLINE));
}

/* A client with a secret whose octets are all the same. */
static byway_handle open_with_secret(uint8_t octet) {
  uint8_t secret[BYWAY_SHARED_SECRET_SIZE];
  byway_config config = settings();
  byway_handle client;
  memset(secret, octet, sizeof secret);
  config.shared_secret = secret;
  config.shared_secret_len = sizeof secret;
  client = open_with(&config);
  /* It was copied. */
  memset(secret, 0, sizeof secret);
  return client;
}

void test_shared_secret(void) {
  byway_handle server = open_with_secret(1), ally = open_with_secret(1);
  byway_handle strangers[2], listener = 0, near = 0, far = 0;
  int i;
  strangers[0] = open_with_secret(2), strangers[1] = open_client();
  OK(byway_listen(server, "secret:1", DEADLINE, &listener));
  for (i = 0; i < 2; i++) {
    EXPECT(BYWAY_ERROR_HANDSHAKE, byway_connect(strangers[i], "secret:1", DEADLINE, &near));
    CHECK(near == 0);
    OK(byway_close(strangers[i], DEADLINE));
  }
  OK(byway_connect(ally, "secret:1", DEADLINE, &near));
  OK(byway_accept(listener, DEADLINE, &far));
  CHECK(send_pattern(near, 2, 0, 1000) && recv_pattern(far, 2, 0, 1000));
  drop(near);
  drop(far);
  drop(listener);
  OK(byway_close(server, DEADLINE));
  OK(byway_close(ally, DEADLINE));
}

void test_plain(void) {
  byway_config config = settings();
  byway_handle plain[2], encrypts, at_plain = 0, at_encrypts = 0, near = 0, far = 0, none = 0;
  char name[BYWAY_KEY_NAME_SIZE];
  config.plain = 1;
  plain[0] = open_with(&config), plain[1] = open_with(&config);
  encrypts = open_as(5, name);
  OK(byway_listen(plain[0], "plain:1", DEADLINE, &at_plain));
  OK(byway_listen(encrypts, "plain:2", DEADLINE, &at_encrypts));
  OK(byway_connect(plain[1], "plain:1", DEADLINE, &near));
  OK(byway_accept(at_plain, DEADLINE, &far));
  CHECK(send_pattern(near, 3, 0, 1000) && recv_pattern(far, 3, 0, 1000));
  /* No key to tell. */
  peer_is(near, "");
  peer_is(far, "");
  /* None falls back, whichever end is the plain one. */
  EXPECT(BYWAY_ERROR_PEER_PLAIN, byway_connect(encrypts, "plain:1", DEADLINE, &none));
  EXPECT(BYWAY_ERROR_PEER_ENCRYPTS, byway_connect(plain[1], "plain:2", DEADLINE, &none));
  EXPECT(BYWAY_ERROR_UNSUPPORTED,
         byway_connect_to_key(plain[1], "plain:1", name, NULL, 0, DEADLINE, &none));
  CHECK(none == 0);
  drop(near);
  drop(far);
  drop(at_plain);
  drop(at_encrypts);
  OK(byway_close(plain[0], DEADLINE));
  OK(byway_close(plain[1], DEADLINE));
  OK(byway_close(encrypts, DEADLINE));
}
