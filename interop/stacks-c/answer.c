#include "answer.h"

#include <stdio.h>
#include <string.h>

enum { MALFORMED = 1 };

static void put_time(struct message *answer, uint8_t type, int64_t ns) {
  uint8_t value[8];
  uint64_t stamp = to_ntp(ns);
  for (int i = 7; i >= 0; i--, stamp >>= 8)
    value[i] = (uint8_t)stamp;
  put(answer, type, value, sizeof value);
}

static void put_clock(struct message *answer) {
  put(answer, CLOCK_QUALITY, "\x03\x00\x00\x64\x00\x0akept by ntp", 17);
  put(answer, TIME_SOURCE, "\x02\x03interop", 9);
  put(answer, METADATA, "\x04leap\x01" "0\x04site\x07interop\x07unheard\x02of", 31);
}

// Only where the answer can be made as long as the request.
static void acknowledge_precision(struct message *answer, size_t length, const struct key *key) {
  struct message longer = *answer;
  size_t growth = key ? key_growth(key) : 0;
  put(&longer, PRECISION, NULL, 0);
  if (length < growth || !pad(&longer, length - growth))
    return;
  *answer = longer;
  // The matrix asks for this: a client need not say what it made of the acknowledgement.
  puts("precise");
}

static bool good(struct message *answer, const struct answering *how, const struct element *asked, int count,
                 size_t length, int64_t received_ns) {
  if (count < 1 || asked[0].type != NONCE || asked[0].length != NONCE_LENGTH)
    return false;
  bool asks[256] = {false};
  for (int i = 0; i < count; i++)
    asks[asked[i].type] = true;
  const struct key *key = asks[SIGNATURE_REQUEST] && how->key.algorithm != 0 ? &how->key : NULL;
  put(answer, NONCE, asked[0].value, NONCE_LENGTH);
  put_time(answer, RECEIVE_TIME, received_ns);
  put_time(answer, SEND_TIME, unix_ns());
  if (how->unknown)
    put_unknown(answer);
  if (asks[METADATA_QUERY])
    put_clock(answer);
  if (asks[PRECISION])
    acknowledge_precision(answer, length, key);
  return !key || key_sign(key, answer);
}

static void put_error(struct message *answer, uint8_t code, const char *reason) {
  uint8_t value[255] = {code, 0};
  size_t length = strlen(reason);
  memcpy(value + 2, reason, length);
  answer->length = 0;
  put(answer, ERROR, value, 2 + length);
}

bool answer(struct message *answer, const struct answering *how, const uint8_t *request, size_t length,
            int64_t received_ns, bool on_stream) {
  answer->length = 0;
  if (on_stream && how->error != 0) {
    put_error(answer, (uint8_t)how->error, "asked to refuse");
    return true;
  }
  struct element elements[ELEMENTS_MAX];
  int count = parse(request, length, elements);
  if (good(answer, how, elements, count, length, received_ns))
    return true;
  put_error(answer, MALFORMED, "an element is cut off, or no Nonce of 16 bytes at the start");
  return on_stream;
}
