/* What goes with a connection before any octet of it. */
#include "check.h"

#include <string.h>

/* Connects with a greeting of so many octets of the pattern, accepts, and compares; and that of the
   listener, which is an answer of so many octets. */
static void greet(byway_handle connector, byway_handle listener, const char *endpoint, size_t len,
                  const uint8_t *answer, size_t answer_len, bool datagram) {
  uint8_t sent[BYWAY_GREETING_SIZE], got[BYWAY_GREETING_SIZE];
  byway_handle near = 0, far = 0;
  size_t i, n = SIZE_MAX;
  for (i = 0; i < len; i++) sent[i] = pattern(7, i);
  OK(datagram ? byway_connect_datagram_greeting(connector, endpoint, sent, len, DEADLINE, &near)
              : byway_connect_greeting(connector, endpoint, sent, len, DEADLINE, &near));
  /* The listener has answered, and nobody has accepted yet. */
  OK(byway_greeting(near, got, sizeof got, &n));
  CHECK(n == answer_len && memcmp(got, answer, n) == 0);
  n = SIZE_MAX;
  OK(byway_accept(listener, DEADLINE, &far));
  if (len > 0) {
    EXPECT(BYWAY_ERROR_BUFFER_TOO_SMALL, byway_greeting(far, got, len - 1, &n));
    CHECK(byway_last_detail() == len && n == SIZE_MAX);
  }
  OK(byway_greeting(far, got, len, &n));
  CHECK(n == len && memcmp(got, sent, len) == 0);
  drop(near);
  drop(far);
}

void test_greetings(void) {
  static const uint8_t early[] = {'e', 0, 0xff};
  uint8_t got[BYWAY_GREETING_SIZE + 1] = {0}, answer[BYWAY_GREETING_SIZE];
  byway_handle a = open_client(), b = open_client(), streams, datagrams, near = 0, far;
  size_t i, n = 0;
  for (i = 0; i < sizeof answer; i++) answer[i] = pattern(9, i);

  /* A connection that is made in the background has its greeting, too. */
  OK(byway_listen(a, "greetings:1", DEADLINE, &streams));
  OK(byway_connect_greeting(b, "greetings:1", early, sizeof early, 0, &near));
  OK(byway_accept(streams, DEADLINE, &far));
  OK(byway_greeting(far, got, sizeof got, &n));
  CHECK(n == sizeof early && memcmp(got, early, n) == 0);
  drop(near);
  drop(far);

  greet(b, streams, "greetings:1", 0, answer, 0, false);
  drop(streams);
  OK(byway_listen_greeting(a, "greetings:1", answer, sizeof answer, DEADLINE, &streams));
  OK(byway_listen_datagram_greeting(a, "greetings:2", answer, 3, DEADLINE, &datagrams));
  greet(b, streams, "greetings:1", 0, answer, sizeof answer, false);
  greet(b, streams, "greetings:1", BYWAY_GREETING_SIZE, answer, sizeof answer, false);
  greet(b, datagrams, "greetings:2", 5, answer, 3, true);

  far = near = 0;
  EXPECT(BYWAY_ERROR_ARGUMENT,
         byway_connect_greeting(b, "greetings:1", got, sizeof got, DEADLINE, &near));
  EXPECT(BYWAY_ERROR_ARGUMENT,
         byway_connect_datagram_greeting(b, "greetings:2", got, sizeof got, 0, &far));
  EXPECT(BYWAY_ERROR_ARGUMENT,
         byway_listen_greeting(a, "greetings:3", got, sizeof got, DEADLINE, &near));
  EXPECT(BYWAY_ERROR_ARGUMENT,
         byway_listen_datagram_greeting(a, "greetings:3", got, sizeof got, 0, &far));
  CHECK(near == 0 && far == 0);
  drop(streams);
  drop(datagrams);
  OK(byway_close(a, DEADLINE));
  OK(byway_close(b, DEADLINE));
}
