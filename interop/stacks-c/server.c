#include "server.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "quic.h"

// More than any run here opens at once; one more is not answered.
enum { CONNECTIONS_MAX = 1000 };

// A request, piece by piece, and its answer. ngtcp2 points into the answer until the stream is closed.
struct query {
  struct query *next;
  int64_t stream; // -1: a datagram
  struct message request;
  struct message answer;
  bool answered;
  size_t written;
};

struct client {
  struct client *next;
  struct server *server;
  ngtcp2_conn *conn;
  gnutls_session_t tls;
  ngtcp2_crypto_conn_ref conn_ref;
  ngtcp2_cid first_id; // the client's own choice, or that of the Retry: used until it has seen ours
  struct query *queries; // the oldest first
};

struct server {
  const struct server_options *options;
  int fd;
  struct address local;
  gnutls_certificate_credentials_t identity;
  gnutls_datum_t ticket_key;
  gnutls_anti_replay_t anti_replay;
  uint8_t retry_secret[32];
  struct client *clients;
  unsigned count;
  int64_t received_ns; // when the last packet was read: T2 of what it carried
};

// --- Requests.

static struct query *add_query(struct client *client, int64_t stream) {
  struct query *query = calloc(1, sizeof *query);
  if (!query)
    return NULL;
  query->stream = stream;
  struct query **end = &client->queries;
  while (*end)
    end = &(*end)->next;
  return *end = query;
}

static void remove_query(struct client *client, struct query *query) {
  struct query **at = &client->queries;
  while (*at != query)
    at = &(*at)->next;
  *at = query->next;
  free(query);
}

static int on_datagram(ngtcp2_conn *conn, uint32_t flags, const uint8_t *bytes, size_t length, void *user) {
  (void)conn, (void)flags;
  struct client *client = user;
  struct query *query = add_query(client, -1);
  if (!query)
    return NGTCP2_ERR_CALLBACK_FAILURE;
  query->answered = answer(&query->answer, &client->server->options->answering, bytes, length,
                           client->server->received_ns, false);
  if (!query->answered)
    remove_query(client, query);
  return 0;
}

static int on_stream(ngtcp2_conn *conn, uint32_t flags, int64_t stream, uint64_t offset, const uint8_t *bytes,
                     size_t length, void *user, void *known) {
  (void)offset;
  struct client *client = user;
  struct query *query = known ? known : add_query(client, stream);
  if (!query || ngtcp2_conn_set_stream_user_data(conn, stream, query) != 0)
    return NGTCP2_ERR_CALLBACK_FAILURE;
  struct message *request = &query->request;
  // The rest of a request that is too long goes nowhere; then its last element is cut off.
  size_t room = sizeof request->bytes - request->length;
  size_t kept = length < room ? length : room;
  if (kept > 0)
    memcpy(request->bytes + request->length, bytes, kept);
  request->length += kept;
  ngtcp2_conn_extend_max_offset(conn, length);
  (void)ngtcp2_conn_extend_max_stream_offset(conn, stream, length);
  if (flags & NGTCP2_STREAM_DATA_FLAG_FIN)
    query->answered = answer(&query->answer, &client->server->options->answering, request->bytes, request->length,
                             client->server->received_ns, true);
  return 0;
}

static int on_stream_close(ngtcp2_conn *conn, uint32_t flags, int64_t stream, uint64_t code, void *user, void *query) {
  (void)flags, (void)stream, (void)code;
  if (query)
    remove_query(user, query);
  ngtcp2_conn_extend_max_streams_bidi(conn, 1);
  return 0;
}

// --- Connections.

static int on_handshake(ngtcp2_conn *conn, void *user) {
  (void)conn;
  return gnutls_session_ticket_send(((struct client *)user)->tls, 1, 0) == 0 ? 0 : NGTCP2_ERR_CALLBACK_FAILURE;
}

static ngtcp2_conn *conn_of(ngtcp2_crypto_conn_ref *conn_ref) { return ((struct client *)conn_ref->user_data)->conn; }

// GnuTLS takes no early data without a memory of it. A request changes nothing, so that this one forgets.
static int forget_hello(void *user, time_t expires, const gnutls_datum_t *key, const gnutls_datum_t *data) {
  (void)user, (void)expires, (void)key, (void)data;
  return 0;
}

static bool open_tls(struct client *client) {
  struct server *server = client->server;
  unsigned flags = GNUTLS_SERVER | GNUTLS_ENABLE_EARLY_DATA | GNUTLS_NO_END_OF_EARLY_DATA | GNUTLS_NO_AUTO_SEND_TICKET;
  if (gnutls_init(&client->tls, flags) != 0)
    return false;
  client->conn_ref = (ngtcp2_crypto_conn_ref){conn_of, client};
  gnutls_session_set_ptr(client->tls, &client->conn_ref);
  gnutls_anti_replay_enable(client->tls, server->anti_replay);
  return set_up_tls(client->tls, server->identity, server->options->alpn) &&
         gnutls_session_ticket_enable_server(client->tls, &server->ticket_key) == 0 &&
         // The one size that QUIC has for it (RFC 9001, 4.6.1).
         gnutls_record_set_max_early_data_size(client->tls, 0xffffffffu) == 0 &&
         ngtcp2_crypto_gnutls_configure_server_session(client->tls) == 0;
}

static void forget(struct server *server, struct client *client) {
  struct client **at = &server->clients;
  while (*at != client)
    at = &(*at)->next;
  *at = client->next;
  server->count--;
  ngtcp2_conn_del(client->conn);
  while (client->queries)
    remove_query(client, client->queries);
  if (client->tls)
    gnutls_deinit(client->tls);
  free(client);
}

static ngtcp2_path path_to(struct server *server, struct address *remote) {
  return (ngtcp2_path){{(struct sockaddr *)&server->local.at, server->local.length},
                       {(struct sockaddr *)&remote->at, remote->length},
                       NULL};
}

static void send_retry(struct server *server, const ngtcp2_pkt_hd *header, const struct address *remote) {
  uint8_t token[NGTCP2_CRYPTO_MAX_RETRY_TOKENLEN], packet[PACKET];
  const struct sockaddr *to = (const struct sockaddr *)&remote->at;
  ngtcp2_cid id = random_id();
  ngtcp2_ssize length =
      ngtcp2_crypto_generate_retry_token(token, server->retry_secret, sizeof server->retry_secret, header->version, to,
                                         remote->length, &id, &header->dcid, monotonic_ns());
  if (length > 0)
    length = ngtcp2_crypto_write_retry(packet, sizeof packet, header->version, &header->scid, &id, &header->dcid, token,
                                       (size_t)length);
  if (length > 0)
    (void)!sendto(server->fd, packet, (size_t)length, 0, to, remote->length);
}

// A connection for a first packet; NULL when a Retry comes first, or nothing at all.
static struct client *accept_client(struct server *server, const uint8_t *packet, size_t length,
                                    struct address *remote) {
  ngtcp2_pkt_hd header;
  if (ngtcp2_accept(&header, packet, length) != 0 || header.version != NGTCP2_PROTO_VER_V1 ||
      server->count == CONNECTIONS_MAX)
    return NULL;
  ngtcp2_transport_params params = common_params(!server->options->no_datagrams);
  params.initial_max_streams_bidi = STREAMS;
  params.original_dcid = header.dcid;
  if (server->options->retry) {
    if (header.token.len == 0) {
      send_retry(server, &header, remote);
      return NULL;
    }
    if (ngtcp2_crypto_verify_retry_token(&params.original_dcid, header.token.base, header.token.len,
                                         server->retry_secret, sizeof server->retry_secret, header.version,
                                         (struct sockaddr *)&remote->at, remote->length, &header.dcid, 10000 * MS,
                                         monotonic_ns()) != 0)
      return NULL;
    params.retry_scid = header.dcid;
    params.retry_scid_present = 1;
  }
  ngtcp2_callbacks callbacks = common_callbacks();
  callbacks.recv_client_initial = ngtcp2_crypto_recv_client_initial_cb;
  callbacks.handshake_completed = on_handshake;
  callbacks.recv_datagram = on_datagram;
  callbacks.recv_stream_data = on_stream;
  callbacks.stream_close = on_stream_close;
  ngtcp2_settings settings;
  ngtcp2_settings_default(&settings);
  settings.initial_ts = monotonic_ns();
  settings.initial_rtt = 50 * MS;
  settings.no_pmtud = 1;
  settings.token = header.token;
  struct client *client = calloc(1, sizeof *client);
  if (!client)
    return NULL;
  client->server = server;
  client->first_id = header.dcid;
  client->next = server->clients;
  server->clients = client;
  server->count++;
  ngtcp2_cid id = random_id();
  ngtcp2_path path = path_to(server, remote);
  if (ngtcp2_conn_server_new(&client->conn, &header.scid, &id, &path, header.version, &callbacks, &settings, &params,
                             NULL, client) != 0 ||
      !open_tls(client)) {
    forget(server, client);
    return NULL;
  }
  ngtcp2_conn_set_tls_native_handle(client->conn, client->tls);
  return client;
}

static bool has_id(const struct client *client, const uint8_t *bytes, size_t length) {
  // Of ours there are as many as the client keeps, and some more.
  ngtcp2_cid ids[32] = {client->first_id};
  size_t count = 1;
  if (ngtcp2_conn_get_num_scid(client->conn) < sizeof ids / sizeof *ids)
    count += ngtcp2_conn_get_scid(client->conn, ids + 1);
  for (size_t i = 0; i < count; i++)
    if (ids[i].datalen == length && memcmp(ids[i].data, bytes, length) == 0)
      return true;
  return false;
}

// --- Packets.

static ngtcp2_ssize write_packet(struct client *client, struct query *query, ngtcp2_path *path, uint8_t *packet) {
  ngtcp2_pkt_info info;
  uint64_t now = monotonic_ns();
  if (!query)
    return ngtcp2_conn_writev_stream(client->conn, path, &info, packet, PACKET, NULL, 0, -1, NULL, 0, now);
  ngtcp2_vec rest = {query->answer.bytes + query->written, query->answer.length - query->written};
  ngtcp2_ssize length, taken = -1;
  if (query->stream >= 0) {
    length = ngtcp2_conn_writev_stream(client->conn, path, &info, packet, PACKET, &taken, NGTCP2_WRITE_STREAM_FLAG_FIN,
                                       query->stream, &rest, 1, now);
    query->written += taken > 0 ? (size_t)taken : 0;
    // A stream that the client gave up needs no answer.
    if (length == NGTCP2_ERR_STREAM_SHUT_WR || length == NGTCP2_ERR_STREAM_NOT_FOUND)
      query->written = query->answer.length;
    bool is_stuck = length == NGTCP2_ERR_STREAM_DATA_BLOCKED || length == NGTCP2_ERR_STREAM_SHUT_WR ||
                    length == NGTCP2_ERR_STREAM_NOT_FOUND;
    return is_stuck ? 0 : length;
  }
  int accepted = 0;
  length = ngtcp2_conn_writev_datagram(client->conn, path, &info, packet, PACKET, &accepted, 0, 0, &rest, 1, now);
  if (accepted)
    query->written = query->answer.length;
  return length;
}

// All of one answer, or as much as may go; NULL: what ngtcp2 itself has to say. Not 0: the connection is at its end.
static int transmit(struct client *client, struct query *query) {
  uint8_t packet[PACKET];
  ngtcp2_path_storage path;
  ngtcp2_path_storage_zero(&path);
  ngtcp2_ssize length;
  do {
    length = write_packet(client, query, &path.path, packet);
    if (length < 0)
      return (int)length;
    if (length > 0)
      // A packet that cannot leave is a packet lost, and QUIC lives with those.
      (void)!sendto(client->server->fd, packet, (size_t)length, 0, path.path.remote.addr, path.path.remote.addrlen);
  } while (length > 0 && !(query && query->written == query->answer.length));
  return 0;
}

static int flush(struct client *client) {
  int error = 0;
  for (struct query *query = client->queries, *next; query && error == 0; query = next) {
    next = query->next;
    if (!query->answered || query->written == query->answer.length)
      continue;
    error = transmit(client, query);
    if (error == 0 && query->written < query->answer.length)
      break;
    // What a stream carries is kept until the stream is closed.
    if (error == 0 && query->stream < 0)
      remove_query(client, query);
  }
  if (error == 0)
    error = transmit(client, NULL);
  ngtcp2_conn_update_pkt_tx_time(client->conn, monotonic_ns());
  return error;
}

// Says why, if that is to be said, and forgets the connection.
static void end(struct client *client, int error) {
  struct server *server = client->server;
  bool is_silent = error == NGTCP2_ERR_DRAINING || error == NGTCP2_ERR_IDLE_CLOSE || error == NGTCP2_ERR_RETRY ||
                   error == NGTCP2_ERR_DROP_CONN || error == NGTCP2_ERR_HANDSHAKE_TIMEOUT;
  if (!is_silent) {
    ngtcp2_connection_close_error why;
    ngtcp2_connection_close_error_default(&why);
    if (error == NGTCP2_ERR_CRYPTO)
      ngtcp2_connection_close_error_set_transport_error_tls_alert(&why, ngtcp2_conn_get_tls_alert(client->conn), NULL,
                                                                  0);
    else
      ngtcp2_connection_close_error_set_transport_error_liberr(&why, error, NULL, 0);
    uint8_t packet[PACKET];
    ngtcp2_pkt_info info;
    ngtcp2_path_storage path;
    ngtcp2_path_storage_zero(&path);
    ngtcp2_ssize length =
        ngtcp2_conn_write_connection_close(client->conn, &path.path, &info, packet, PACKET, &why, monotonic_ns());
    if (length > 0)
      (void)!sendto(server->fd, packet, (size_t)length, 0, path.path.remote.addr, path.path.remote.addrlen);
  }
  forget(server, client);
}

static void take(struct server *server, const uint8_t *packet, size_t length, struct address *remote) {
  ngtcp2_version_cid ids;
  if (ngtcp2_pkt_decode_version_cid(&ids, packet, length, ID_LENGTH) != 0)
    return;
  struct client *client = server->clients;
  while (client && !has_id(client, ids.dcid, ids.dcidlen))
    client = client->next;
  if (!client)
    client = accept_client(server, packet, length, remote);
  if (!client)
    return;
  ngtcp2_path path = path_to(server, remote);
  ngtcp2_pkt_info info = {0};
  int error = ngtcp2_conn_read_pkt(client->conn, &path, &info, packet, length, monotonic_ns());
  // T3 is in the answers: they leave at once.
  if (error == 0)
    error = flush(client);
  if (error != 0)
    end(client, error);
}

// When the first timer runs out.
static uint64_t run_timers(struct server *server) {
  uint64_t first = UINT64_MAX;
  for (struct client *client = server->clients, *next; client; client = next) {
    next = client->next;
    uint64_t now = monotonic_ns();
    if (ngtcp2_conn_get_expiry(client->conn) <= now) {
      int error = ngtcp2_conn_handle_expiry(client->conn, now);
      if (error == 0)
        error = flush(client);
      if (error != 0) {
        end(client, error);
        continue;
      }
    }
    uint64_t expiry = ngtcp2_conn_get_expiry(client->conn);
    first = expiry < first ? expiry : first;
  }
  return first;
}

static bool step(struct server *server) {
  uint64_t first = run_timers(server), now = monotonic_ns();
  uint64_t wait = first <= now ? 0 : first - now;
  struct timespec limit = {(time_t)(wait / 1000000000), (long)(wait % 1000000000)};
  struct pollfd polled = {server->fd, POLLIN, 0};
  if (ppoll(&polled, 1, first == UINT64_MAX ? NULL : &limit, NULL) < 0 && errno != EINTR)
    return false;
  uint8_t packet[PACKET];
  for (;;) {
    struct address remote = {.length = sizeof remote.at};
    ssize_t length =
        recvfrom(server->fd, packet, sizeof packet, 0, (struct sockaddr *)&remote.at, &remote.length);
    if (length < 0)
      return errno == EAGAIN || errno == EINTR || errno == ECONNREFUSED;
    server->received_ns = unix_ns();
    take(server, packet, (size_t)length, &remote);
  }
}

const char *serve(const struct server_options *options) {
  struct server server = {.options = options};
  if (gnutls_certificate_allocate_credentials(&server.identity) != 0 ||
      gnutls_certificate_set_x509_key_file(server.identity, options->cert, options->key, GNUTLS_X509_FMT_PEM) < 0)
    return "GnuTLS does not take the certificate and its key";
  if (gnutls_session_ticket_key_generate(&server.ticket_key) != 0 || gnutls_anti_replay_init(&server.anti_replay) != 0)
    return "GnuTLS cannot make tickets";
  gnutls_anti_replay_set_add_function(server.anti_replay, forget_hello);
  random_bytes(server.retry_secret, sizeof server.retry_secret, NULL);
  if (!parse_address(&server.local, options->listen))
    return "--listen is no ADDRESS:PORT";
  server.fd = bind_udp(&server.local);
  char host[64], port[8];
  if (server.fd < 0 || getnameinfo((struct sockaddr *)&server.local.at, server.local.length, host, sizeof host, port,
                                   sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) != 0)
    return "cannot listen there";
  bool is_v6 = server.local.at.ss_family == AF_INET6;
  printf("listening on %s%s%s:%s\n", is_v6 ? "[" : "", host, is_v6 ? "]" : "", port);
  while (step(&server))
    ;
  return strerror(errno);
}
