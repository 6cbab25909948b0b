// One exchange as a client sees it: the request's bytes, and what is wrong with an answer.
//
// Shares nothing with the crates or with the other peers.
#pragma once

#include <stdbool.h>

#include "key.h"
#include "tlv.h"

// What a client asks for.
struct ask {
  bool unknown;   // elements of unknown types in each request
  bool metadata;  // what the server's clock is worth
  bool precision; // answers as long as the requests
  bool malformed; // a request that is none; good is an Error 1
  struct key key; // signatures by this key
};

enum state { UNSENT, WAITING, GIVEN_UP, ANSWERED };

// A request and, piece by piece, its answer. ngtcp2 points into `request` until the end.
struct exchange {
  struct exchange *next;
  enum state state;
  struct message request;
  size_t written;
  struct message answer;
  bool answer_ended;
  int64_t stream;      // -1: none yet
  int64_t sent_ns;     // T1
  int64_t received_ns; // T4
};

struct sample {
  int64_t offset_ns; // how far the server's clock is ahead of ours
  int64_t rtt_ns;    // round trip less the server's own time
};

// A request for this, with a fresh nonce; T1 is to be set when it leaves.
void exchange_begin(struct exchange *exchange, const struct ask *ask);

// Whether a message answers this request: tells datagrams apart.
bool exchange_is_answered_by(const struct exchange *exchange, const uint8_t *message, size_t length);

// The sample of a whole answer. What is wrong with the answer, in words; NULL when it is good.
const char *exchange_finish(const struct exchange *exchange, const struct ask *ask, struct sample *sample);

// The code, where the answer is an Error and nothing else; -1 otherwise.
int exchange_error_code(const struct exchange *exchange);
