// A connection by ngtcp2 and GnuTLS, with its sockets.
#pragma once

#include "exchange.h"
#include "quic.h"

struct options {
  const char *server;
  const char *ca;
  const char *server_name;
  const char *alpn; // names with commas between them
  bool streams;
  unsigned count;
  bool pipelined;
  bool migrate;
  bool resume;
  bool early;
  unsigned timeout_s;
  struct ask ask;
};

// What a later connection needs of an earlier one.
struct session {
  gnutls_datum_t ticket;
  ngtcp2_transport_params params;
};

struct udp {
  int fd; // -1: none
  struct address local;
};

struct link {
  const struct options *options;
  ngtcp2_conn *conn;
  gnutls_session_t tls;
  gnutls_certificate_credentials_t trust;
  ngtcp2_crypto_conn_ref conn_ref;
  struct udp sockets[2]; // the second while and after moving to it
  struct address remote;
  uint64_t deadline;
  struct exchange *exchanges;
  int64_t received_ns; // when the last packet was read: T4 of what it carried
  bool confirmed;
  bool path_validated;
  bool has_ticket;
  bool sent_early; // a request, before the handshake was over
  bool was_closed; // by the server
  char reason[200]; // what went wrong; empty: nothing
};

// Each of these is false where it failed, and then `reason` says why.

// Begins a connection, with a session of an earlier one if there is one.
bool link_open(struct link *link, const struct options *options, uint64_t deadline, const struct session *session);
// Sends what there is to send and takes in what comes next, waiting for it if need be.
bool link_step(struct link *link, const char *what);
// Sends as much of this request as may go now.
bool link_send(struct link *link, struct exchange *exchange);
bool link_finish_handshake(struct link *link);
// Goes to another port, and on when the path from there is validated.
bool link_migrate(struct link *link);
// Waits for a ticket; `session` lives on when the link is closed, and owns its ticket.
bool link_session(struct link *link, struct session *session);
// Tells the server that we are done, does not wait for it, and gives everything back.
void link_close(struct link *link);
