// The server's loop: one socket, one thread, a connection per client.
#pragma once

#include "answer.h"

struct server_options {
  const char *listen;
  const char *cert;
  const char *key;
  const char *alpn; // names with commas between them
  bool retry;
  bool no_datagrams;
  struct answering answering;
};

// Serves until it is killed; prints `listening on ADDRESS` first. Comes back only with why it cannot.
const char *serve(const struct server_options *options);
