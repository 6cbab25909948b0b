#include "exchange.h"

#include <stdlib.h>
#include <string.h>

#include <gnutls/crypto.h>

// Room for an answer with a signature, and for our server's metadata.
enum { PRECISE_LENGTH = 900 };

void exchange_begin(struct exchange *exchange, const struct ask *ask) {
  static const uint8_t cut_off[] = {NONCE, NONCE_LENGTH, 0, 0, 0};
  struct message *request = &exchange->request;
  memset(exchange, 0, sizeof *exchange);
  exchange->stream = -1;
  if (ask->malformed) {
    memcpy(request->bytes, cut_off, sizeof cut_off);
    request->length = sizeof cut_off;
    return;
  }
  uint8_t nonce[NONCE_LENGTH];
  if (gnutls_rnd(GNUTLS_RND_RANDOM, nonce, sizeof nonce) != 0)
    abort(); // No exchange is worth a nonce that can be guessed.
  put(request, NONCE, nonce, sizeof nonce);
  if (ask->unknown)
    put_unknown(request);
  if (ask->metadata)
    put(request, METADATA_QUERY, NULL, 0);
  if (ask->precision)
    put(request, PRECISION, NULL, 0);
  if (ask->key.algorithm != 0)
    put(request, SIGNATURE_REQUEST, NULL, 0);
  if (ask->precision && !pad(request, PRECISE_LENGTH))
    abort(); // The longest request is far shorter, and of an even length.
}

static bool is_zero(const struct element *element) {
  for (int i = 0; i < element->length; i++)
    if (element->value[i] != 0)
      return false;
  return true;
}

static bool was_asked_for(const struct element *element, const struct ask *ask) {
  switch (element->type) {
  case CLOCK_QUALITY:
  case TIME_SOURCE:
  case METADATA:
    return ask->metadata;
  case PRECISION:
    return ask->precision && element->length == 0;
  case PADDING:
    return ask->precision && is_zero(element);
  case SIGNATURE:
    return ask->key.algorithm != 0;
  default:
    return false;
  }
}

// What follows the timestamps: all that was asked for and nothing else.
static const char *check_rest(const struct exchange *exchange, const struct ask *ask, const struct element *elements,
                              int count) {
  bool has[256] = {false};
  for (int i = 3; i < count; i++) {
    if (!was_asked_for(&elements[i], ask))
      return "an element that was not asked for";
    has[elements[i].type] = true;
  }
  if (ask->metadata && !(has[TIME_SOURCE] && has[METADATA]))
    return "no Time Source or Metadata, which were asked for";
  if (ask->precision && !has[PRECISION])
    return "Precision Mode is not acknowledged";
  if (ask->precision && exchange->answer.length != exchange->request.length)
    return "an answer of another length in Precision Mode";
  if (ask->key.algorithm != 0)
    return key_check(&ask->key, exchange->answer.bytes, &elements[count - 1]);
  return NULL;
}

const char *exchange_finish(const struct exchange *exchange, const struct ask *ask, struct sample *sample) {
  struct element elements[ELEMENTS_MAX];
  int count = parse(exchange->answer.bytes, exchange->answer.length, elements);
  if (count < 0)
    return "an element is cut off";
  if (exchange_error_code(exchange) >= 0)
    return "the answer is an Error";
  if (count < 3 || elements[0].type != NONCE || elements[1].type != RECEIVE_TIME || elements[2].type != SEND_TIME)
    return "an answer without Nonce, Receive and Send Timestamp at its start";
  if (elements[0].length != NONCE_LENGTH || memcmp(elements[0].value, exchange->request.bytes + 2, NONCE_LENGTH) != 0)
    return "another nonce";
  if (elements[1].length != 8 || elements[2].length != 8)
    return "a timestamp is not 8 bytes long";
  const char *wrong = check_rest(exchange, ask, elements, count);
  if (wrong)
    return wrong;
  int64_t t1 = exchange->sent_ns, t4 = exchange->received_ns;
  int64_t t2 = from_ntp(elements[1].value, t1), t3 = from_ntp(elements[2].value, t1);
  if (t3 < t2)
    return "T3 before T2";
  sample->offset_ns = ((t2 - t1) + (t3 - t4)) / 2;
  sample->rtt_ns = (t4 - t1) - (t3 - t2);
  return NULL;
}

bool exchange_is_answered_by(const struct exchange *exchange, const uint8_t *message, size_t length) {
  return length >= 2 + NONCE_LENGTH && memcmp(message, exchange->request.bytes, 2 + NONCE_LENGTH) == 0;
}

int exchange_error_code(const struct exchange *exchange) {
  struct element elements[ELEMENTS_MAX];
  int count = parse(exchange->answer.bytes, exchange->answer.length, elements);
  bool is_error = count == 1 && elements[0].type == ERROR && elements[0].length >= 2 && elements[0].value[1] == 0;
  return is_error ? elements[0].value[0] : -1;
}
