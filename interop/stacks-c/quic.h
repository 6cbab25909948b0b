// What both sides tell ngtcp2 and GnuTLS.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include <gnutls/gnutls.h>
#include <ngtcp2/ngtcp2.h>
#include <ngtcp2/ngtcp2_crypto.h>
#include <ngtcp2/ngtcp2_crypto_gnutls.h>

#if NGTCP2_VERSION_NUM >= 0x010000
#error "written for ngtcp2 0.12, which Debian 12 has; 1.0 changed the calls used here"
#endif

enum { PACKET = 2048, ID_LENGTH = 16, STREAMS = 100 };

static const uint64_t MS = 1000000;

struct address {
  struct sockaddr_storage at;
  socklen_t length;
};

// Nanoseconds that only go up.
uint64_t monotonic_ns(void);

// Bytes that need not be secret, as ngtcp2 wants them.
void random_bytes(uint8_t *bytes, size_t length, const ngtcp2_rand_ctx *context);
ngtcp2_cid random_id(void);

// The callbacks that are the same on both sides.
ngtcp2_callbacks common_callbacks(void);
// Both sides' transport parameters, with datagrams or without.
ngtcp2_transport_params common_params(bool datagrams);
// `alpn`: names with commas between them.
bool set_up_tls(gnutls_session_t tls, gnutls_certificate_credentials_t credentials, const char *alpn);

// ADDRESS:PORT, or [ADDRESS]:PORT; false where it is neither.
bool parse_address(struct address *address, const char *words);
// A socket bound there, which says where that is; -1 where there is none, and errno says why.
int bind_udp(struct address *local);
