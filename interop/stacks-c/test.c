// The tests of what needs no network; `cargo xtask interop` runs them before the matrix. Exit code 0: all hold.
#include <stdio.h>
#include <string.h>

#include "answer.h"
#include "exchange.h"

static int failures;

static void check(bool holds, const char *what) {
  if (holds)
    return;
  // The server's own words go to stdout.
  fprintf(stderr, "does not hold: %s\n", what);
  failures++;
}

static const char SEED[] = "ed25519:7:1111111111111111111111111111111111111111111111111111111111111111";
// Of that seed, by another program.
static const char PUBLIC[] = "ed25519-public:7:d04ab232742bb4ab3a1368bd4615e4e6d0224ab71a016baf8520a332c9778737";

static struct key key(const char *words) {
  struct key key;
  check(key_parse(&key, words), "a key is a key");
  return key;
}

static struct ask everything(const char *words) {
  return (struct ask){.unknown = true, .metadata = true, .precision = true, .key = key(words)};
}

// Lets a server answer; what the client makes of it.
static const char *exchanged(struct exchange *exchange, const struct ask *ask, const struct answering *how) {
  struct sample sample;
  exchange_begin(exchange, ask);
  exchange->sent_ns = exchange->received_ns = unix_ns();
  if (!answer(&exchange->answer, how, exchange->request.bytes, exchange->request.length, exchange->sent_ns, false))
    return "silence";
  return exchange_finish(exchange, ask, &sample);
}

static void client_takes_what_the_server_answers(void) {
  struct exchange exchange;
  struct ask asked[] = {{0}, everything(PUBLIC), everything("hmac-sha256:7:0011")};
  const char *signing[] = {SEED, SEED, "hmac-sha256:7:0011"};
  for (int i = 0; i < 3; i++) {
    struct answering how = {.key = key(signing[i])};
    check(exchanged(&exchange, &asked[i], &how) == NULL, "the client takes what the server answers");
  }
}

static void client_refuses_an_answer_with_any_byte_changed(void) {
  struct exchange exchange;
  struct ask ask = everything(PUBLIC);
  struct answering how = {.key = key(SEED)};
  struct sample sample;
  check(exchanged(&exchange, &ask, &how) == NULL, "the answer is good before a byte is changed");
  for (size_t at = 0; at < exchange.answer.length; at++) {
    exchange.answer.bytes[at] ^= 1;
    check(exchange_finish(&exchange, &ask, &sample) != NULL, "an answer with a byte changed is refused");
    exchange.answer.bytes[at] ^= 1;
  }
}

static void client_refuses_what_it_did_not_ask_for(void) {
  struct exchange exchange;
  struct answering unknown = {.unknown = true}, plain = {0};
  check(exchanged(&exchange, &(struct ask){0}, &unknown) != NULL, "an unknown element is refused");
  struct ask signature = {.key = key(PUBLIC)};
  check(exchanged(&exchange, &signature, &plain) != NULL, "an answer without its signature is refused");
}

static void client_refuses_an_answer_that_left_before_its_request_came(void) {
  struct exchange exchange;
  struct sample sample;
  struct ask ask = {0};
  exchange_begin(&exchange, &ask);
  exchange.sent_ns = exchange.received_ns = unix_ns();
  int64_t later = exchange.sent_ns + 1000000000;
  answer(&exchange.answer, &(struct answering){0}, exchange.request.bytes, exchange.request.length, later, false);
  check(exchange_finish(&exchange, &ask, &sample) != NULL, "T3 before T2 is refused");
}

static void malformed_request_gets_an_error_on_a_stream_only(void) {
  struct exchange exchange;
  struct answering how = {0};
  exchange_begin(&exchange, &(struct ask){.malformed = true});
  const struct message *request = &exchange.request;
  check(answer(&exchange.answer, &how, request->bytes, request->length, 0, true), "a stream gets an answer");
  check(exchange_error_code(&exchange) == 1, "it is Error 1");
  check(!answer(&exchange.answer, &how, request->bytes, request->length, 0, false), "a datagram gets none");
}

static void every_length_but_one_byte_more_can_be_padded_to(void) {
  struct element elements[ELEMENTS_MAX];
  for (size_t more = 0; more < 1200; more++) {
    struct message message = {{NONCE, 0}, 2};
    bool padded = pad(&message, 2 + more);
    check(padded == (more != 1), "all can be padded to but one byte");
    check(!padded || (message.length == 2 + more && parse(message.bytes, message.length, elements) > 0),
          "what is padded can be read");
  }
}

static void timestamps_before_and_after_the_wrap_of_2036_are_near_each_other(void) {
  const int64_t second = 1000000000, wrap = (4294967296 - 2208988800) * second;
  check(to_ntp(0) == (uint64_t)2208988800 << 32 && to_ntp(wrap) == 0, "the epochs are those of RFC 868");
  for (int64_t sign = -1; sign <= 1; sign += 2) {
    uint8_t value[8];
    uint64_t stamp = to_ntp(wrap + sign * second);
    for (int i = 7; i >= 0; i--, stamp >>= 8)
      value[i] = (uint8_t)stamp;
    int64_t off = from_ntp(value, wrap - sign * second) - (wrap + sign * second);
    check(off >= -1 && off <= 1, "an era is the nearest one");
  }
}

int main(void) {
  client_takes_what_the_server_answers();
  client_refuses_an_answer_with_any_byte_changed();
  client_refuses_what_it_did_not_ask_for();
  client_refuses_an_answer_that_left_before_its_request_came();
  malformed_request_gets_an_error_on_a_stream_only();
  every_length_but_one_byte_more_can_be_padded_to();
  timestamps_before_and_after_the_wrap_of_2036_are_near_each_other();
  return failures != 0;
}
