/* What stands in for a relay, and what stands between: on a free port of 127.0.0.1. */
#ifndef NET_H
#define NET_H

#include <stdint.h>

typedef struct server server;

/* Answers every request with this, and closes; NULL: never answers. */
server *answer_with(const char *response);

/* Answers every exchange as a relay would that ends it with this status; and claims with LIMITED. */
server *relay_that_says(uint8_t status);

/* Passes everything on to the relay of the tests, unless it is dark: what comes then is lost.
 * It is so when set_dark returns. */
server *gate(void);
void set_dark(server *at, int dark);

/* http://127.0.0.1:port */
const char *url_of(const server *at);

void stop(server *at);

#endif
