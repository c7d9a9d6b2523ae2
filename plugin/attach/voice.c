#include "plugin/attach/voice.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "plugin/attach/config.h"

enum { kLine = 4096, kArguments = 8 };

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

static int speaks_for_job(void) {
  const long parent = (long)getppid();
  if (!invact_is_first_rank() || is_launcher((long)getpid())) return 0;
  return is_launcher(parent) || !stood_here_before(parent);
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
  line[end] = '\n';
  if (write(2, line, end + 1) < 0) return; /* a job without stderr: no line */
}
