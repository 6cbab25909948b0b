#include "link.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

// Now and then the caller asks a lost datagram anew.
static const uint64_t LONGEST_WAIT = 100 * 1000000;

// The first reason stays: what follows is mostly its consequence.
__attribute__((format(printf, 2, 3))) static bool fail(struct link *link, const char *format, ...) {
  if (link->reason[0] == '\0') {
    va_list values;
    va_start(values, format);
    vsnprintf(link->reason, sizeof link->reason, format, values);
    va_end(values);
  }
  return false;
}

// --- What ngtcp2 calls.

static ngtcp2_conn *conn_of(ngtcp2_crypto_conn_ref *conn_ref) { return ((struct link *)conn_ref->user_data)->conn; }

static int on_confirmed(ngtcp2_conn *conn, void *user) {
  (void)conn;
  ((struct link *)user)->confirmed = true;
  return 0;
}

static int on_path(ngtcp2_conn *conn, uint32_t flags, const ngtcp2_path *path, ngtcp2_path_validation_result result,
                   void *user) {
  (void)conn, (void)flags, (void)path;
  struct link *link = user;
  if (result == NGTCP2_PATH_VALIDATION_RESULT_SUCCESS)
    link->path_validated = true;
  else
    fail(link, "the new path is not validated");
  return 0;
}

static void take(struct link *link, struct exchange *exchange, const uint8_t *bytes, size_t length, bool ended) {
  struct message *answer = &exchange->answer;
  if (length > sizeof answer->bytes - answer->length) {
    fail(link, "an answer of more than %zu bytes", sizeof answer->bytes);
    return;
  }
  if (length > 0)
    memcpy(answer->bytes + answer->length, bytes, length);
  answer->length += length;
  exchange->answer_ended = ended;
  exchange->received_ns = link->received_ns;
}

static int on_datagram(ngtcp2_conn *conn, uint32_t flags, const uint8_t *bytes, size_t length, void *user) {
  (void)conn, (void)flags;
  struct link *link = user;
  for (struct exchange *one = link->exchanges; one; one = one->next) {
    if (one->written == 0 || !exchange_is_answered_by(one, bytes, length))
      continue;
    // An answer that comes late, or twice, is no fault.
    if (one->state == WAITING && !one->answer_ended)
      take(link, one, bytes, length, true);
    return 0;
  }
  fail(link, "a datagram with a nonce of no request");
  return 0;
}

static int on_stream(ngtcp2_conn *conn, uint32_t flags, int64_t stream, uint64_t offset, const uint8_t *bytes,
                     size_t length, void *user, void *exchange) {
  (void)offset;
  if (exchange)
    take(user, exchange, bytes, length, (flags & NGTCP2_STREAM_DATA_FLAG_FIN) != 0);
  ngtcp2_conn_extend_max_offset(conn, length);
  // The stream may have ended: then there is no window to widen.
  (void)ngtcp2_conn_extend_max_stream_offset(conn, stream, length);
  return 0;
}

static int on_reset(ngtcp2_conn *conn, int64_t stream, uint64_t size, uint64_t code, void *user, void *exchange) {
  (void)conn, (void)size, (void)exchange;
  fail(user, "the server reset stream %lld with code %llu", (long long)stream, (unsigned long long)code);
  return 0;
}

static int on_ticket(gnutls_session_t tls, unsigned type, unsigned when, unsigned incoming, const gnutls_datum_t *msg) {
  (void)type, (void)when, (void)msg;
  ngtcp2_crypto_conn_ref *conn_ref = gnutls_session_get_ptr(tls);
  if (incoming)
    ((struct link *)conn_ref->user_data)->has_ticket = true;
  return 0;
}

// --- Setting up.

static bool open_socket(struct link *link, struct udp *udp) {
  if (!parse_address(&udp->local, link->remote.at.ss_family == AF_INET6 ? "[::1]:0" : "127.0.0.1:0"))
    return fail(link, "no local address");
  udp->fd = bind_udp(&udp->local);
  return udp->fd >= 0 || fail(link, "socket: %s", strerror(errno));
}

static bool open_tls(struct link *link, const struct session *session) {
  const struct options *options = link->options;
  unsigned flags = GNUTLS_CLIENT | GNUTLS_NO_END_OF_EARLY_DATA | (options->early ? GNUTLS_ENABLE_EARLY_DATA : 0u);
  if (gnutls_certificate_allocate_credentials(&link->trust) != 0 ||
      gnutls_certificate_set_x509_trust_file(link->trust, options->ca, GNUTLS_X509_FMT_PEM) <= 0)
    return fail(link, "no certificate in %s", options->ca);
  if (gnutls_init(&link->tls, flags) != 0 || !set_up_tls(link->tls, link->trust, options->alpn) ||
      gnutls_server_name_set(link->tls, GNUTLS_NAME_DNS, options->server_name, strlen(options->server_name)) != 0 ||
      ngtcp2_crypto_gnutls_configure_client_session(link->tls) != 0)
    return fail(link, "GnuTLS cannot be set up");
  gnutls_session_set_verify_cert(link->tls, options->server_name, 0);
  gnutls_handshake_set_hook_function(link->tls, GNUTLS_HANDSHAKE_NEW_SESSION_TICKET, GNUTLS_HOOK_POST, on_ticket);
  link->conn_ref = (ngtcp2_crypto_conn_ref){conn_of, link};
  gnutls_session_set_ptr(link->tls, &link->conn_ref);
  if (session && gnutls_session_set_data(link->tls, session->ticket.data, session->ticket.size) != 0)
    return fail(link, "GnuTLS does not take its own ticket");
  return true;
}

static ngtcp2_path path_from(struct link *link, struct udp *udp) {
  return (ngtcp2_path){{(struct sockaddr *)&udp->local.at, udp->local.length},
                       {(struct sockaddr *)&link->remote.at, link->remote.length},
                       NULL};
}

static bool open_conn(struct link *link) {
  ngtcp2_settings settings;
  ngtcp2_settings_default(&settings);
  settings.initial_ts = monotonic_ns();
  // Without this a lost first packet costs a second.
  settings.initial_rtt = 50 * MS;
  settings.no_pmtud = 1;
  ngtcp2_transport_params params = common_params(!link->options->streams);
  ngtcp2_callbacks callbacks = common_callbacks();
  callbacks.client_initial = ngtcp2_crypto_client_initial_cb;
  callbacks.recv_retry = ngtcp2_crypto_recv_retry_cb;
  callbacks.handshake_confirmed = on_confirmed;
  callbacks.path_validation = on_path;
  callbacks.recv_datagram = on_datagram;
  callbacks.recv_stream_data = on_stream;
  callbacks.stream_reset = on_reset;
  ngtcp2_cid ours = random_id(), theirs = random_id();
  ngtcp2_path path = path_from(link, &link->sockets[0]);
  int error = ngtcp2_conn_client_new(&link->conn, &theirs, &ours, &path, NGTCP2_PROTO_VER_V1, &callbacks, &settings,
                                     &params, NULL, link);
  return error == 0 || fail(link, "ngtcp2: %s", ngtcp2_strerror(error));
}

bool link_open(struct link *link, const struct options *options, uint64_t deadline, const struct session *session) {
  memset(link, 0, sizeof *link);
  link->options = options;
  link->deadline = deadline;
  link->sockets[0].fd = link->sockets[1].fd = -1;
  if (!parse_address(&link->remote, options->server))
    return fail(link, "%s is no ADDRESS:PORT", options->server);
  if (!open_socket(link, &link->sockets[0]) || !open_tls(link, session) ||
      !open_conn(link))
    return false;
  ngtcp2_conn_set_tls_native_handle(link->conn, link->tls);
  if (session && options->early)
    ngtcp2_conn_set_early_remote_transport_params(link->conn, &session->params);
  return true;
}

// --- Packets out.

static void send_packet(struct link *link, const ngtcp2_path *path, const uint8_t *packet, size_t length) {
  for (int i = 0; i < 2; i++) {
    struct udp *udp = &link->sockets[i];
    if (udp->fd >= 0 && path->local.addrlen == udp->local.length &&
        memcmp(path->local.addr, &udp->local.at, udp->local.length) == 0)
      // A packet that cannot leave is a packet lost, and QUIC lives with those.
      (void)!sendto(udp->fd, packet, length, 0, path->remote.addr, path->remote.addrlen);
  }
}

// One packet, with this request in it if it has room, or with what ngtcp2 itself has to say.
static ngtcp2_ssize write_packet(struct link *link, struct exchange *exchange, ngtcp2_path *path, uint8_t *packet) {
  ngtcp2_pkt_info info;
  uint64_t now = monotonic_ns();
  if (!exchange)
    return ngtcp2_conn_writev_stream(link->conn, path, &info, packet, PACKET, NULL, 0, -1, NULL, 0, now);
  ngtcp2_vec rest = {exchange->request.bytes + exchange->written, exchange->request.length - exchange->written};
  if (exchange->written == 0)
    exchange->sent_ns = unix_ns();
  ngtcp2_ssize length, taken = -1;
  if (link->options->streams) {
    length = ngtcp2_conn_writev_stream(link->conn, path, &info, packet, PACKET, &taken, NGTCP2_WRITE_STREAM_FLAG_FIN,
                                       exchange->stream, &rest, 1, now);
    if (taken > 0)
      exchange->written += (size_t)taken;
  } else {
    int accepted = 0;
    length = ngtcp2_conn_writev_datagram(link->conn, path, &info, packet, PACKET, &accepted, 0, 0, &rest, 1, now);
    if (accepted)
      exchange->written = exchange->request.length;
  }
  link->sent_early |= exchange->written > 0 && !ngtcp2_conn_get_handshake_completed(link->conn);
  return length == NGTCP2_ERR_STREAM_DATA_BLOCKED ? 0 : length;
}

static bool transmit(struct link *link, struct exchange *exchange) {
  uint8_t packet[PACKET];
  ngtcp2_path_storage path;
  ngtcp2_path_storage_zero(&path);
  ngtcp2_ssize length;
  do {
    length = write_packet(link, exchange, &path.path, packet);
    if (length < 0)
      return fail(link, "ngtcp2: %s", ngtcp2_strerror((int)length));
    if (length > 0)
      send_packet(link, &path.path, packet, (size_t)length);
  } while (length > 0 && !(exchange && exchange->written == exchange->request.length));
  ngtcp2_conn_update_pkt_tx_time(link->conn, monotonic_ns());
  return true;
}

bool link_send(struct link *link, struct exchange *exchange) {
  if (link->options->streams && exchange->stream < 0) {
    int error = ngtcp2_conn_open_bidi_stream(link->conn, &exchange->stream, exchange);
    if (error == NGTCP2_ERR_STREAM_ID_BLOCKED)
      return true;
    if (error != 0)
      return fail(link, "ngtcp2: %s", ngtcp2_strerror(error));
  }
  return transmit(link, exchange);
}

// --- Packets in.

static bool explain(struct link *link, int error) {
  if (error == NGTCP2_ERR_DRAINING) {
    ngtcp2_connection_close_error why;
    ngtcp2_conn_get_connection_close_error(link->conn, &why);
    link->was_closed = true;
    return fail(link, "closed by the server: code %#llx %.*s", (unsigned long long)why.error_code,
                why.reason ? (int)why.reasonlen : 0, why.reason ? (const char *)why.reason : "");
  }
  if (error == NGTCP2_ERR_CRYPTO) {
    const char *alert = gnutls_alert_get_name(ngtcp2_conn_get_tls_alert(link->conn));
    return fail(link, "TLS: %s", alert ? alert : "failed");
  }
  return fail(link, "ngtcp2: %s", ngtcp2_strerror(error));
}

static bool receive(struct link *link, struct udp *udp) {
  uint8_t packet[PACKET];
  ngtcp2_pkt_info info = {0};
  while (udp->fd >= 0) {
    ssize_t length = recv(udp->fd, packet, sizeof packet, 0);
    if (length < 0)
      // A refusal by ICMP is what a path that fails looks like; the timers judge it.
      return errno == EAGAIN || errno == EINTR || errno == ECONNREFUSED || fail(link, "recv: %s", strerror(errno));
    link->received_ns = unix_ns();
    ngtcp2_path path = path_from(link, udp);
    int error = ngtcp2_conn_read_pkt(link->conn, &path, &info, packet, (size_t)length, monotonic_ns());
    if (error != 0)
      return explain(link, error);
    if (link->reason[0] != '\0')
      return false;
  }
  return true;
}

bool link_step(struct link *link, const char *what) {
  if (!transmit(link, NULL))
    return false;
  uint64_t now = monotonic_ns();
  if (now >= link->deadline)
    return fail(link, "no %s in time", what);
  uint64_t until = ngtcp2_conn_get_expiry(link->conn);
  until = until < link->deadline ? until : link->deadline;
  uint64_t wait = until > now ? until - now : 0;
  wait = wait < LONGEST_WAIT ? wait : LONGEST_WAIT;
  struct timespec limit = {0, (long)wait};
  struct pollfd polled[2] = {{link->sockets[0].fd, POLLIN, 0}, {link->sockets[1].fd, POLLIN, 0}};
  if (ppoll(polled, 2, &limit, NULL) < 0 && errno != EINTR)
    return fail(link, "poll: %s", strerror(errno));
  now = monotonic_ns();
  if (ngtcp2_conn_get_expiry(link->conn) <= now) {
    int error = ngtcp2_conn_handle_expiry(link->conn, now);
    if (error != 0)
      return explain(link, error);
  }
  return receive(link, &link->sockets[0]) && receive(link, &link->sockets[1]);
}

// --- What takes some steps.

bool link_finish_handshake(struct link *link) {
  while (!ngtcp2_conn_get_handshake_completed(link->conn))
    if (!link_step(link, "handshake"))
      return false;
  return true;
}

bool link_migrate(struct link *link) {
  if (!open_socket(link, &link->sockets[1]))
    return false;
  ngtcp2_path path = path_from(link, &link->sockets[1]);
  int error = NGTCP2_ERR_INVALID_STATE;
  while (!link->confirmed || (error = ngtcp2_conn_initiate_migration(link->conn, &path, monotonic_ns())) != 0) {
    if (link->confirmed && error != NGTCP2_ERR_CONN_ID_BLOCKED)
      return fail(link, "migration: %s", ngtcp2_strerror(error));
    if (!link_step(link, "spare connection id"))
      return false;
  }
  while (!link->path_validated)
    if (!link_step(link, "validation of the new path"))
      return false;
  // What still comes to the old port is not for us any more.
  close(link->sockets[0].fd);
  link->sockets[0].fd = -1;
  return true;
}

bool link_session(struct link *link, struct session *session) {
  while (!link->has_ticket)
    if (!link_step(link, "session ticket"))
      return false;
  const ngtcp2_transport_params *params = ngtcp2_conn_get_remote_transport_params(link->conn);
  if (!params || gnutls_session_get_data2(link->tls, &session->ticket) != 0)
    return fail(link, "GnuTLS does not hand out its ticket");
  session->params = *params;
  return true;
}

void link_close(struct link *link) {
  if (link->conn && !link->was_closed) {
    uint8_t packet[PACKET];
    ngtcp2_path_storage path;
    ngtcp2_path_storage_zero(&path);
    ngtcp2_pkt_info info;
    ngtcp2_connection_close_error why;
    ngtcp2_connection_close_error_default(&why);
    ngtcp2_connection_close_error_set_application_error(&why, 0, NULL, 0);
    ngtcp2_ssize length =
        ngtcp2_conn_write_connection_close(link->conn, &path.path, &info, packet, PACKET, &why, monotonic_ns());
    if (length > 0)
      send_packet(link, &path.path, packet, (size_t)length);
  }
  ngtcp2_conn_del(link->conn);
  if (link->tls)
    gnutls_deinit(link->tls);
  if (link->trust)
    gnutls_certificate_free_credentials(link->trust);
  for (int i = 0; i < 2; i++)
    if (link->sockets[i].fd >= 0)
      close(link->sockets[i].fd);
}
