/* A settable clock for the processes that share the file $FAKE_CLOCK: eight bytes, the nanoseconds by which it is ahead
   of the machine's, which is never touched. Each change is a line in $FAKE_LOG. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

static int64_t *ahead(void) {
  static int64_t *shared;
  if (!shared) {
    int file = open(getenv("FAKE_CLOCK"), O_RDWR);
    shared = mmap(0, 8, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
  }
  return shared;
}

static void note(const char *what, int64_t nanos) {
  char line[80];
  int length = snprintf(line, sizeof line, "%s %lld\n", what, (long long)nanos);
  int file = open(getenv("FAKE_LOG"), O_WRONLY | O_APPEND | O_CREAT, 0600);
  if (write(file, line, length) < 0)
    abort();
  close(file);
}

/* How the clock takes a step: "", "ignored", or "undone", some looks at the clock later, as a guest agent does. */
static int is(const char *how) {
  const char *wanted = getenv("FAKE_STEPS");
  return wanted && !strcmp(wanted, how);
}

static int64_t to_undo;
static int looks;

int clock_gettime(clockid_t clock, struct timespec *time) {
  int failed = syscall(SYS_clock_gettime, clock, time);
  if (failed || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE))
    return failed;
  if (to_undo && ++looks > 15) {
    __atomic_fetch_sub(ahead(), to_undo, __ATOMIC_SEQ_CST);
    to_undo = 0;
  }
  int64_t nanos = time->tv_sec * 1000000000LL + time->tv_nsec + __atomic_load_n(ahead(), __ATOMIC_SEQ_CST);
  time->tv_sec = nanos / 1000000000;
  time->tv_nsec = nanos % 1000000000;
  return 0;
}

/* A slew is taken and never made up: no test lasts long enough to see it. */
static long slew;

int adjtimex(struct timex *request) {
  unsigned modes = request->modes;
  long left = slew;
  if (modes == ADJ_TICK) { /* the probe for permission */
    errno = EINVAL;
    return -1;
  }
  if (modes & ADJ_SETOFFSET) {
    int64_t by = request->time.tv_sec * 1000000000LL + request->time.tv_usec;
    note("step", by);
    left = slew = 0;
    if (!is("ignored"))
      __atomic_fetch_add(ahead(), by, __ATOMIC_SEQ_CST);
    if (is("undone"))
      to_undo = by;
  } else if (modes == ADJ_OFFSET_SINGLESHOT) {
    note("slew", request->offset * 1000LL);
    slew = request->offset;
  }
  memset(request, 0, sizeof *request);
  request->offset = left;
  request->status = STA_UNSYNC;
  request->maxerror = request->esterror = 16000000;
  return TIME_ERROR;
}
