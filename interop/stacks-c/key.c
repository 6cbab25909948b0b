#include "key.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <gnutls/x509.h>

enum { ED25519 = 1, HMAC_SHA256 = 2, HEAD = 7, SEED = 32, SIGNATURE_MAX = 64, MAC = 32 };

// What PKCS #8 has before the seed (RFC 8410).
static const uint8_t BEFORE_SEED[] = {0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20};

static int digit(char c) {
  static const char digits[] = "0123456789abcdef";
  const char *at = c == '\0' ? NULL : strchr(digits, c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c);
  return at ? (int)(at - digits) : -1;
}

bool key_parse(struct key *key, const char *words) {
  char algorithm[16];
  int used = 0;
  if (sscanf(words, "%15[^:]:%" SCNu32 ":%n", algorithm, &key->id, &used) != 2 || used == 0)
    return false;
  key->public = strcmp(algorithm, "ed25519-public") == 0;
  key->algorithm = key->public || strcmp(algorithm, "ed25519") == 0 ? ED25519 : HMAC_SHA256;
  if (key->algorithm == HMAC_SHA256 && strcmp(algorithm, "hmac-sha256") != 0)
    return false;
  const char *hex = words + used;
  for (key->length = 0; *hex != '\0'; key->length++, hex += 2) {
    int high = digit(hex[0]), low = high < 0 ? -1 : digit(hex[1]);
    if (low < 0 || key->length == sizeof key->bytes)
      return false;
    key->bytes[key->length] = (uint8_t)(high << 4 | low);
  }
  return key->algorithm == ED25519 ? key->length == SEED : key->length > 0;
}

static size_t signature_length(const struct key *key) { return key->algorithm == ED25519 ? SIGNATURE_MAX : MAC; }

size_t key_growth(const struct key *key) { return 2 + HEAD + signature_length(key); }

static bool mac(const struct key *key, gnutls_datum_t message, uint8_t *digest) {
  return gnutls_hmac_fast(GNUTLS_MAC_SHA256, key->bytes, key->length, message.data, message.size, digest) == 0;
}

static bool sign_ed25519(const struct key *key, gnutls_datum_t message, uint8_t *signature) {
  uint8_t bytes[sizeof BEFORE_SEED + SEED];
  memcpy(bytes, BEFORE_SEED, sizeof BEFORE_SEED);
  memcpy(bytes + sizeof BEFORE_SEED, key->bytes, SEED);
  gnutls_datum_t der = {bytes, sizeof bytes}, made = {0};
  gnutls_x509_privkey_t pkcs8 = NULL;
  gnutls_privkey_t private = NULL;
  bool good = gnutls_x509_privkey_init(&pkcs8) == 0 && gnutls_privkey_init(&private) == 0 &&
              gnutls_x509_privkey_import_pkcs8(pkcs8, &der, GNUTLS_X509_FMT_DER, NULL, GNUTLS_PKCS_PLAIN) == 0 &&
              gnutls_privkey_import_x509(private, pkcs8, GNUTLS_PRIVKEY_IMPORT_COPY) == 0 &&
              gnutls_privkey_sign_data2(private, GNUTLS_SIGN_EDDSA_ED25519, 0, &message, &made) == 0 &&
              made.size == SIGNATURE_MAX;
  if (good)
    memcpy(signature, made.data, SIGNATURE_MAX);
  gnutls_free(made.data);
  if (private)
    gnutls_privkey_deinit(private);
  if (pkcs8)
    gnutls_x509_privkey_deinit(pkcs8);
  return good;
}

bool key_sign(const struct key *key, struct message *message) {
  size_t length = signature_length(key);
  uint8_t block[HEAD + SIGNATURE_MAX] = {
      key->algorithm,           (uint8_t)(key->id >> 24), (uint8_t)(key->id >> 16), (uint8_t)(key->id >> 8),
      (uint8_t)key->id,         0,                        (uint8_t)length,
  };
  gnutls_datum_t bytes = {message->bytes, (unsigned)message->length};
  bool good = key->algorithm == HMAC_SHA256 ? mac(key, bytes, block + HEAD)
                                            : !key->public && sign_ed25519(key, bytes, block + HEAD);
  if (good)
    put(message, SIGNATURE, block, HEAD + length);
  return good;
}

static bool verify_ed25519(const struct key *key, gnutls_datum_t message, gnutls_datum_t signature) {
  gnutls_pubkey_t public;
  gnutls_datum_t raw = {(unsigned char *)key->bytes, (unsigned)key->length};
  if (gnutls_pubkey_init(&public) != 0)
    return false;
  bool good = gnutls_pubkey_import_ecc_raw(public, GNUTLS_ECC_CURVE_ED25519, &raw, NULL) == 0 &&
              gnutls_pubkey_verify_data2(public, GNUTLS_SIGN_EDDSA_ED25519, 0, &message, &signature) >= 0;
  gnutls_pubkey_deinit(public);
  return good;
}

const char *key_check(const struct key *key, const uint8_t *message, const struct element *last) {
  if (last->type != SIGNATURE)
    return "no Signature Block at the end";
  if (last->length < HEAD)
    return "a Signature Block that is too short";
  const uint8_t *block = last->value;
  uint32_t id = (uint32_t)block[1] << 24 | (uint32_t)block[2] << 16 | (uint32_t)block[3] << 8 | block[4];
  unsigned length = (unsigned)block[5] << 8 | block[6];
  if (block[0] != key->algorithm || id != key->id || length != last->length - (unsigned)HEAD ||
      length != signature_length(key))
    return "a Signature Block of another algorithm, key or length";
  gnutls_datum_t bytes = {(unsigned char *)message, (unsigned)last->start};
  gnutls_datum_t signature = {(unsigned char *)block + HEAD, length};
  uint8_t digest[MAC];
  bool good = key->algorithm == HMAC_SHA256
                  ? mac(key, bytes, digest) && gnutls_memcmp(digest, signature.data, sizeof digest) == 0
                  : verify_ed25519(key, bytes, signature);
  return good ? NULL : "the signature is wrong";
}
