// Answers to requests.
#pragma once

#include <stdbool.h>

#include "key.h"
#include "tlv.h"

// How a server answers.
struct answering {
  bool unknown;   // elements of unknown types in each answer
  int error;      // each stream gets an Error of this code; 0: none does
  struct key key; // signs where asked to
};

// False where the draft wants silence, which is on datagrams only. `received_ns` is T2; T3 is now, so send it at once.
bool answer(struct message *answer, const struct answering *how, const uint8_t *request, size_t length,
            int64_t received_ns, bool on_stream);
