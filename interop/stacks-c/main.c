// A TSQ client and server on ngtcp2 and GnuTLS, for the matrix in ../RESULTS.md. They take what the peers of ../stacks
// take.
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "link.h"
#include "server.h"

struct report {
  char alpn[32];
  unsigned answered;
  struct sample best;
  uint64_t elapsed_ns;
  unsigned addresses;
  bool resumed, early;
  int error_code; // -1: none
};

// A datagram that is not answered for this long is taken for lost, and asked anew.
static const int64_t RESEND_NS = 100000000;

// --- The exchanges of one connection.

static unsigned count_in(const struct link *link, enum state state) {
  unsigned count = 0;
  for (const struct exchange *one = link->exchanges; one; one = one->next)
    count += one->state == state;
  return count;
}

static bool begin(struct link *link) {
  struct exchange *one = malloc(sizeof *one);
  if (!one) {
    snprintf(link->reason, sizeof link->reason, "no memory");
    return false;
  }
  exchange_begin(one, &link->options->ask);
  one->next = link->exchanges;
  link->exchanges = one;
  return true;
}

// Sends what waits to go, and new requests as long as there may be more.
static bool ask(struct link *link, const struct report *report) {
  unsigned left = link->options->count - report->answered;
  unsigned window = link->options->pipelined ? left : 1;
  for (unsigned open = count_in(link, WAITING) + count_in(link, UNSENT); open < window; open++)
    if (!begin(link))
      return false;
  for (struct exchange *one = link->exchanges; one; one = one->next) {
    if (one->state != UNSENT)
      continue;
    if (!link_send(link, one))
      return false;
    if (one->written < one->request.length)
      break;
    one->state = WAITING;
  }
  return true;
}

static bool collect(struct link *link, struct report *report) {
  for (struct exchange *one = link->exchanges; one; one = one->next) {
    if (one->state != WAITING)
      continue;
    // QUIC sends again what streams carried, and nothing of datagrams.
    if (!link->options->streams && !one->answer_ended && unix_ns() - one->sent_ns > RESEND_NS)
      one->state = GIVEN_UP;
    if (!one->answer_ended)
      continue;
    one->state = ANSWERED;
    report->answered++;
    if (link->options->ask.malformed) {
      report->error_code = exchange_error_code(one);
      continue;
    }
    struct sample sample;
    const char *wrong = exchange_finish(one, &link->options->ask, &sample);
    if (wrong) {
      report->answered--;
      snprintf(link->reason, sizeof link->reason, "%s", wrong);
      return false;
    }
    if (report->answered == 1 || sample.rtt_ns < report->best.rtt_ns)
      report->best = sample;
  }
  return true;
}

static bool ask_all(struct link *link, struct report *report) {
  uint64_t start = monotonic_ns();
  while (report->answered < link->options->count) {
    if (!ask(link, report) || !link_step(link, "answer") || !collect(link, report))
      return false;
    if (link->options->migrate && report->addresses == 1 && report->answered > 0) {
      if (!link_migrate(link))
        return false;
      report->addresses = 2;
    }
  }
  report->elapsed_ns = monotonic_ns() - start;
  return true;
}

static bool run_on(struct link *link, struct report *report) {
  // The first request of 0-RTT goes with the first packet.
  if (!link->options->early && !link_finish_handshake(link))
    return false;
  bool good = ask_all(link, report) && link_finish_handshake(link);
  gnutls_datum_t alpn;
  if (gnutls_alpn_get_selected_protocol(link->tls, &alpn) == 0 && alpn.size < sizeof report->alpn)
    memcpy(report->alpn, alpn.data, alpn.size);
  report->resumed = gnutls_session_is_resumed(link->tls) != 0;
  report->early = link->sent_early && (gnutls_session_get_flags(link->tls) & GNUTLS_SFLAGS_EARLY_DATA) != 0;
  return good;
}

static void forget(struct exchange *exchanges) {
  while (exchanges) {
    struct exchange *next = exchanges->next;
    free(exchanges);
    exchanges = next;
  }
}

// What went wrong stands in `reason`, which has room for it.
static void run(const struct options *options, struct report *report, char *reason, size_t room) {
  uint64_t deadline = monotonic_ns() + (uint64_t)options->timeout_s * 1000000000;
  struct session session = {0};
  struct link link;
  bool good = true;
  if (options->resume || options->early) {
    good = link_open(&link, options, deadline, NULL) && link_session(&link, &session);
    snprintf(reason, room, "%s", link.reason);
    link_close(&link);
  }
  if (good) {
    good = link_open(&link, options, deadline, session.ticket.data ? &session : NULL) && run_on(&link, report);
    snprintf(reason, room, "%s", link.reason);
    link_close(&link);
    forget(link.exchanges);
  }
  gnutls_free(session.ticket.data);
}

// --- The line that is printed.

// What is in a reason came partly from the server: only plain characters go out.
static void print_text(const char *name, const char *text) {
  if (text[0] == '\0') {
    printf("\"%s\": null, ", name);
    return;
  }
  printf("\"%s\": \"", name);
  for (; *text; text++)
    putchar(*text < ' ' || *text > '~' || *text == '"' || *text == '\\' ? '?' : *text);
  printf("\", ");
}

static int print(const struct options *options, const struct report *report, const char *reason) {
  bool whole = report->answered == options->count && reason[0] == '\0';
  printf("{");
  print_text("alpn", report->alpn);
  print_text("error", reason);
  if (report->answered > 0 && !options->ask.malformed)
    printf("\"offset_ns\": %lld, \"rtt_ns\": %lld, ", (long long)report->best.offset_ns,
           (long long)report->best.rtt_ns);
  if (report->error_code >= 0)
    printf("\"error_code\": %d, ", report->error_code);
  printf("\"asked\": %u, \"answered\": %u, \"nonce_ok\": %s, \"elapsed_ns\": %llu, \"addresses\": %u, "
         "\"resumed\": %s, \"early\": %s}\n",
         options->count, report->answered, report->answered > 0 ? "true" : "false",
         (unsigned long long)report->elapsed_ns, report->addresses, report->resumed ? "true" : "false",
         report->early ? "true" : "false");
  return whole && (!options->ask.malformed || report->error_code >= 0) ? EXIT_SUCCESS : EXIT_FAILURE;
}

// --- Options.

enum { BAD_USAGE = 2 };

struct command_line {
  bool is_server;
  struct options client;
  struct server_options server;
};

static int usage(const char *why) {
  fprintf(stderr,
          "peer-ngtcp2: %s\n"
          "usage: peer-ngtcp2 client ADDRESS:PORT --ca FILE [--server-name NAME] [--alpn A,B] "
          "[--transport datagram|stream] [--count N] [--pipelined] [--malformed] [--migrate] [--resume] [--early] "
          "[--timeout SECONDS] [--unknown] [--metadata] [--precision] [--verify-key ALGORITHM:ID:HEX]\n"
          "       peer-ngtcp2 server --cert FILE --key FILE [--listen ADDRESS:PORT] [--alpn A,B] [--retry] "
          "[--no-datagrams] [--unknown] [--error CODE] [--signing-key ALGORITHM:ID:HEX]\n",
          why);
  return BAD_USAGE;
}

// False where it is no number from 1 to 10000.
static bool number(unsigned *value, const char *text) {
  char *end;
  unsigned long read = strtoul(text, &end, 10);
  *value = (unsigned)read;
  return *end == '\0' && read >= 1 && read <= 10000;
}

static const struct option CLIENT[] = {
    {"ca", required_argument, NULL, 'c'},         {"server-name", required_argument, NULL, 'n'},
    {"alpn", required_argument, NULL, 'a'},       {"transport", required_argument, NULL, 't'},
    {"count", required_argument, NULL, 'N'},      {"timeout", required_argument, NULL, 'T'},
    {"verify-key", required_argument, NULL, 'k'}, {"pipelined", no_argument, NULL, 'p'},
    {"malformed", no_argument, NULL, 'x'},        {"migrate", no_argument, NULL, 'm'},
    {"resume", no_argument, NULL, 'r'},           {"early", no_argument, NULL, 'e'},
    {"unknown", no_argument, NULL, 'u'},          {"metadata", no_argument, NULL, 'q'},
    {"precision", no_argument, NULL, 's'},        {0}};

// False where the value is none that the option takes.
static bool set_client(struct options *options, int is) {
  struct ask *ask = &options->ask;
  switch (is) {
  case 'c': options->ca = optarg; break;
  case 'n': options->server_name = optarg; break;
  case 'a': options->alpn = optarg; break;
  case 't': options->streams = strcmp(optarg, "stream") == 0; return options->streams || !strcmp(optarg, "datagram");
  case 'N': return number(&options->count, optarg);
  case 'T': return number(&options->timeout_s, optarg);
  case 'k': return key_parse(&ask->key, optarg);
  case 'p': options->pipelined = true; break;
  case 'x': ask->malformed = options->streams = true; break;
  case 'm': options->migrate = true; break;
  case 'r': options->resume = true; break;
  case 'e': options->early = true; break;
  case 'u': ask->unknown = true; break;
  case 'q': ask->metadata = true; break;
  default: ask->precision = true;
  }
  return true;
}

static const struct option SERVER[] = {
    {"cert", required_argument, NULL, 'c'},        {"key", required_argument, NULL, 'k'},
    {"listen", required_argument, NULL, 'l'},      {"alpn", required_argument, NULL, 'a'},
    {"error", required_argument, NULL, 'e'},       {"signing-key", required_argument, NULL, 's'},
    {"retry", no_argument, NULL, 'r'},             {"no-datagrams", no_argument, NULL, 'd'},
    {"unknown", no_argument, NULL, 'u'},           {0}};

static bool set_server(struct server_options *options, int is) {
  unsigned code;
  switch (is) {
  case 'c': options->cert = optarg; break;
  case 'k': options->key = optarg; break;
  case 'l': options->listen = optarg; break;
  case 'a': options->alpn = optarg; break;
  case 'e':
    if (!number(&code, optarg) || code > 255)
      return false;
    options->answering.error = (int)code;
    break;
  case 's': return key_parse(&options->answering.key, optarg) && !options->answering.key.public;
  case 'r': options->retry = true; break;
  case 'd': options->no_datagrams = true; break;
  default: options->answering.unknown = true;
  }
  return true;
}

// What is wrong with the command line; NULL: nothing.
static const char *read_options(struct command_line *line, int count, char **words) {
  line->is_server = count > 1 && strcmp(words[1], "server") == 0;
  if (!line->is_server && (count < 2 || strcmp(words[1], "client") != 0))
    return "wanted: client or server";
  for (int is; (is = getopt_long(count - 1, words + 1, "", line->is_server ? SERVER : CLIENT, NULL)) != -1;) {
    if (is == '?')
      return "an option that it does not have";
    if (!(line->is_server ? set_server(&line->server, is) : set_client(&line->client, is)))
      return "an option with a value it does not take";
  }
  int rest = count - 1 - optind;
  if (line->is_server)
    return rest == 0 && line->server.cert && line->server.key ? NULL : "wanted: --cert and --key, nothing more";
  if (rest != 1 || !line->client.ca)
    return "wanted: ADDRESS:PORT and --ca";
  line->client.server = words[1 + optind];
  return NULL;
}

int main(int count, char **words) {
  struct command_line line = {
      .client = {.server_name = "localhost", .alpn = "tsq", .count = 1, .timeout_s = 5},
      .server = {.listen = "127.0.0.1:0", .alpn = "tsq"},
  };
  const char *wrong = read_options(&line, count, words);
  if (wrong)
    return usage(wrong);
  // Who started the server waits for its lines.
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (line.is_server) {
    fprintf(stderr, "peer-ngtcp2: %s\n", serve(&line.server));
    return EXIT_FAILURE;
  }
  struct report report = {.addresses = 1, .error_code = -1};
  char reason[200] = "";
  run(&line.client, &report, reason, sizeof reason);
  return print(&line.client, &report, reason);
}
