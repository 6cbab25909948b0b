#include "tlv.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

static const int64_t NS = 1000000000;
static const int64_t SECONDS_1900_TO_1970 = 2208988800;

int parse(const uint8_t *bytes, size_t length, struct element elements[ELEMENTS_MAX]) {
  int count = 0;
  for (size_t at = 0; at < length; count++) {
    if (count == ELEMENTS_MAX || length - at < 2 || length - at - 2 < bytes[at + 1])
      return -1;
    elements[count] = (struct element){bytes[at], bytes[at + 1], bytes + at + 2, at};
    at += 2u + bytes[at + 1];
  }
  return count;
}

void put(struct message *message, uint8_t type, const void *value, size_t length) {
  assert(length <= 255 && message->length + 2 + length <= sizeof message->bytes);
  uint8_t *end = message->bytes + message->length;
  end[0] = type;
  end[1] = (uint8_t)length;
  if (length > 0)
    memcpy(end + 2, value, length);
  message->length += 2 + length;
}

void put_unknown(struct message *message) {
  put(message, 4, "?", 1);
  put(message, 246, "?", 1);
}

bool pad(struct message *message, size_t length) {
  static const uint8_t zeros[255];
  if (length > sizeof message->bytes)
    return false;
  while (message->length < length) {
    size_t left = length - message->length;
    if (left == 1)
      return false;
    size_t value = left - 2 > sizeof zeros ? sizeof zeros : left - 2;
    // Never a single byte left: no element is that short.
    if (left - 2 - value == 1)
      value--;
    put(message, PADDING, zeros, value);
  }
  return message->length == length;
}

int64_t unix_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return (int64_t)now.tv_sec * NS + now.tv_nsec;
}

uint64_t to_ntp(int64_t unix_ns) {
  uint64_t fraction = ((uint64_t)(unix_ns % NS) << 32) / (uint64_t)NS;
  return (uint64_t)(unix_ns / NS + SECONDS_1900_TO_1970) << 32 | fraction;
}

int64_t from_ntp(const uint8_t value[8], int64_t pivot_ns) {
  uint64_t stamp = 0;
  for (int i = 0; i < 8; i++)
    stamp = stamp << 8 | value[i];
  // Of two stamps less than half an era apart the wrapping difference is right.
  int64_t distance = (int64_t)(stamp - to_ntp(pivot_ns));
  int64_t fraction = (int64_t)(((uint64_t)distance & 0xffffffffu) * (uint64_t)NS >> 32);
  return pivot_ns + (distance >> 32) * NS + fraction;
}
