#include "quic.h"

#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <gnutls/crypto.h>

enum { ALPN_MAX = 4 };

static const char PRIORITIES[] = "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-GCM:+AES-256-GCM:"
                                 "+CHACHA20-POLY1305:%DISABLE_TLS13_COMPAT_MODE";

uint64_t monotonic_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000 * MS + (uint64_t)now.tv_nsec;
}

void random_bytes(uint8_t *bytes, size_t length, const ngtcp2_rand_ctx *context) {
  (void)context;
  if (gnutls_rnd(GNUTLS_RND_NONCE, bytes, length) != 0)
    abort();
}

ngtcp2_cid random_id(void) {
  ngtcp2_cid id = {.datalen = ID_LENGTH};
  random_bytes(id.data, ID_LENGTH, NULL);
  return id;
}

static int new_connection_id(ngtcp2_conn *conn, ngtcp2_cid *id, uint8_t *token, size_t length, void *user) {
  (void)conn, (void)user;
  random_bytes(id->data, length, NULL);
  id->datalen = length;
  return gnutls_rnd(GNUTLS_RND_RANDOM, token, NGTCP2_STATELESS_RESET_TOKENLEN) == 0 ? 0 : NGTCP2_ERR_CALLBACK_FAILURE;
}

ngtcp2_callbacks common_callbacks(void) {
  return (ngtcp2_callbacks){
      .recv_crypto_data = ngtcp2_crypto_recv_crypto_data_cb,
      .encrypt = ngtcp2_crypto_encrypt_cb,
      .decrypt = ngtcp2_crypto_decrypt_cb,
      .hp_mask = ngtcp2_crypto_hp_mask_cb,
      .update_key = ngtcp2_crypto_update_key_cb,
      .delete_crypto_aead_ctx = ngtcp2_crypto_delete_crypto_aead_ctx_cb,
      .delete_crypto_cipher_ctx = ngtcp2_crypto_delete_crypto_cipher_ctx_cb,
      .get_path_challenge_data = ngtcp2_crypto_get_path_challenge_data_cb,
      .version_negotiation = ngtcp2_crypto_version_negotiation_cb,
      .rand = random_bytes,
      .get_new_connection_id = new_connection_id,
  };
}

ngtcp2_transport_params common_params(bool datagrams) {
  ngtcp2_transport_params params;
  ngtcp2_transport_params_default(&params);
  params.initial_max_data = 1 << 20;
  params.initial_max_stream_data_bidi_local = 4096;
  params.initial_max_stream_data_bidi_remote = 4096;
  params.max_idle_timeout = 10000 * MS;
  params.active_connection_id_limit = 4;
  params.max_datagram_frame_size = datagrams ? 65535 : 0;
  return params;
}

bool set_up_tls(gnutls_session_t tls, gnutls_certificate_credentials_t credentials, const char *alpn) {
  gnutls_datum_t list[ALPN_MAX];
  unsigned count = 0;
  for (const char *at = alpn; count < ALPN_MAX; at++) {
    size_t length = strcspn(at, ",");
    list[count++] = (gnutls_datum_t){(unsigned char *)at, (unsigned)length};
    at += length;
    if (*at == '\0')
      break;
  }
  return gnutls_priority_set_direct(tls, PRIORITIES, NULL) == 0 &&
         gnutls_credentials_set(tls, GNUTLS_CRD_CERTIFICATE, credentials) == 0 &&
         gnutls_alpn_set_protocols(tls, list, count, GNUTLS_ALPN_MANDATORY) == 0;
}

bool parse_address(struct address *address, const char *words) {
  char host[64];
  const char *colon = strrchr(words, ':');
  size_t bracket = words[0] == '[';
  if (!colon || (size_t)(colon - words) < 2 * bracket || (size_t)(colon - words) >= sizeof host)
    return false;
  size_t length = (size_t)(colon - words) - 2 * bracket;
  memcpy(host, words + bracket, length);
  host[length] = '\0';
  struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
  struct addrinfo *found;
  if (getaddrinfo(host, colon + 1, &hints, &found) != 0)
    return false;
  memcpy(&address->at, found->ai_addr, found->ai_addrlen);
  address->length = found->ai_addrlen;
  freeaddrinfo(found);
  return true;
}

int bind_udp(struct address *local) {
  int fd = socket(local->at.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  struct sockaddr *at = (struct sockaddr *)&local->at;
  if (fd >= 0 && bind(fd, at, local->length) == 0 && getsockname(fd, at, &local->length) == 0)
    return fd;
  if (fd >= 0)
    close(fd);
  return -1;
}
