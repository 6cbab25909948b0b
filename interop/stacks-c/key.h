// Keys that sign answers, by GnuTLS.
#pragma once

#include <stdbool.h>

#include "tlv.h"

// `ed25519-public:ID:KEY` verifies, `ed25519:ID:SEED` signs, `hmac-sha256:ID:KEY` does both; the last part in hex.
struct key {
  uint8_t algorithm; // of the Signature Block; 0: no key
  bool public;
  uint32_t id;
  uint8_t bytes[64];
  size_t length;
};

// False where the words are no key.
bool key_parse(struct key *key, const char *words);

// How long a message grows by its signature.
size_t key_growth(const struct key *key);

// Appends a Signature Block over the message so far; false where this key cannot sign.
bool key_sign(const struct key *key, struct message *message);

// What is wrong with the Signature Block that `last` should be; NULL where it is good.
const char *key_check(const struct key *key, const uint8_t *message, const struct element *last);
