#define _GNU_SOURCE
#include "plugin/attach/voice.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include "plugin/attach/config.h"

enum { kLine = 4096, kArguments = 8, kAncestors = 32 };

static int g_no_stderr;

void invact_look_at_stderr(void) {
  const int before = errno;
  g_no_stderr = fcntl(2, F_GETFD) < 0;
  errno = before;
}

void invact_write_line(const char* line, unsigned long size) {
  static const struct timespec at_once;
  sigset_t pipe, before, pending;
  const int error = errno;
  if (g_no_stderr) return;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  sigpending(&pending);
  sigprocmask(SIG_BLOCK, &pipe, &before); /* of this thread, as Linux has it */
  if (write(2, line, size) < 0 && errno == EPIPE &&
      !sigismember(&pending, SIGPIPE)) {
    while (sigtimedwait(&pipe, NULL, &at_once) < 0 && errno == EINTR) {
    }
  }
  sigprocmask(SIG_SETMASK, &before, NULL);
  errno = error;
}

/* Whether a program named so starts the processes that train. */
static int starts_others(const char* name) {
  static const char* const names[] = {
      "torchrun",
      "torch.distributed.run",
      "torch.distributed.launch",
      "accelerate",
      "accelerate.commands.launch",
      "deepspeed",
      "deepspeed.launcher.launch",
      "deepspeed.launcher.runner",
  };
  const char* slash = strrchr(name, '/');
  if (slash != NULL) name = slash + 1;
  for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); ++i) {
    if (strcmp(name, names[i]) == 0) return 1;
  }
  return 0;
}

/* Looks at the interpreter, the script or the module after -m, no further. */
static int is_launcher(long pid) {
  char path[64], text[kLine];
  snprintf(path, sizeof(path), "/proc/%ld/cmdline", pid);
  FILE* in = fopen(path, "re");
  if (in == NULL) return 0;
  const size_t size = fread(text, 1, sizeof(text) - 1, in);
  fclose(in);
  text[size] = '\0';
  const char* argument = text;
  for (int i = 0; i < kArguments && argument < text + size; ++i) {
    if (starts_others(argument)) return 1;
    const int is_option = argument[0] == '-';
    if (i > 0 && !is_option) return 0;
    argument += strlen(argument) + 1;
  }
  return 0;
}

/* Whether a process has this file and libtorch_python mapped: then it came to
   the same end and said so. */
static int stood_here_before(long pid) {
  char path[64], line[kLine];
  int ours = 0, torch = 0;
  snprintf(path, sizeof(path), "/proc/%ld/maps", pid);
  FILE* in = fopen(path, "re");
  if (in == NULL) return 0;
  while (fgets(line, sizeof(line), in) != NULL) {
    ours = ours || strstr(line, "/libinvact.so") != NULL;
    torch = torch || strstr(line, "/libtorch_python.so") != NULL;
  }
  fclose(in);
  return ours && torch;
}

static long parent_of(long pid) {
  char path[64], text[1024];
  snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
  FILE* in = fopen(path, "re");
  if (in == NULL) return 0;
  const size_t size = fread(text, 1, sizeof(text) - 1, in);
  fclose(in);
  text[size] = '\0';
  /* "PID (name) state parent ...": the name may hold anything. */
  const char* end = strrchr(text, ')');
  if (end == NULL || strlen(end) < 5) return 0;
  /* By hand: newer headers turn strtol into a symbol of a newer glibc. */
  long parent = 0;
  for (end += 4; *end >= '0' && *end <= '9'; ++end) {
    parent = parent * 10 + (*end - '0');
  }
  return parent;
}

static int speaks_for_job(void) {
  if (!invact_is_first_rank() || is_launcher((long)getpid())) return 0;
  /* Not the parent alone: a server of forks without torch may lie between. */
  long ancestor = (long)getppid();
  for (int i = 0; i < kAncestors && ancestor > 1; ++i) {
    if (is_launcher(ancestor)) return 1;
    if (stood_here_before(ancestor)) return 0;
    ancestor = parent_of(ancestor);
  }
  return 1;
}

void invact_say(const char* format, ...) {
  char line[kLine] = "invact: ";
  const size_t start = strlen(line);
  va_list arguments;
  if (!speaks_for_job()) return;
  va_start(arguments, format);
  vsnprintf(line + start, sizeof(line) - start - 1, format, arguments);
  va_end(arguments);
  const size_t end = strlen(line);
  /* A path may hold anything, a line is one line. */
  for (size_t i = start; i < end; ++i) {
    if ((unsigned char)line[i] < ' ' || line[i] == 127) line[i] = '?';
  }
  line[end] = '\n';
  invact_write_line(line, end + 1);
}
