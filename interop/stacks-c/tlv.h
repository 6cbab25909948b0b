// Elements of a message: type, length, value. Written from draft/protocol.md alone.
#pragma once

#include <stddef.h>
#include <stdint.h>

enum type {
  NONCE = 1,
  RECEIVE_TIME = 2,
  SEND_TIME = 3,
  METADATA_QUERY = 247,
  CLOCK_QUALITY = 248,
  ERROR = 249,
  PRECISION = 250,
  TIME_SOURCE = 251,
  SIGNATURE_REQUEST = 252,
  METADATA = 253,
  PADDING = 254,
  SIGNATURE = 255,
};

enum { NONCE_LENGTH = 16, ELEMENTS_MAX = 64, MESSAGE_MAX = 1400 };

struct element {
  uint8_t type;
  uint8_t length;
  const uint8_t *value;
  size_t start;
};

struct message {
  uint8_t bytes[MESSAGE_MAX];
  size_t length;
};

// How many elements a message has; -1 where one is cut off or they are too many.
int parse(const uint8_t *bytes, size_t length, struct element elements[ELEMENTS_MAX]);

// Appends an element; the caller knows that there is room.
void put(struct message *message, uint8_t type, const void *value, size_t length);

// Appends an element for each of two types that mean nothing, one at each end of the reserved range.
void put_unknown(struct message *message);

// Appends Padding up to this length; false where that cannot be.
_Bool pad(struct message *message, size_t length);

// Nanoseconds since 1970.
int64_t unix_ns(void);
// The 64-bit NTP timestamp; its era is lost, as on the wire.
uint64_t to_ntp(int64_t unix_ns);
// The time it means, in the era that brings it nearest to `pivot_ns`.
int64_t from_ntp(const uint8_t value[8], int64_t pivot_ns);
