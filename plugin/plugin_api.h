// The C functions between libinvact.so (libc only) and the plugin
// libinvact-torch<M.m>.so that it loads. No C++ type crosses.
#ifndef INVACT_PLUGIN_PLUGIN_API_H_
#define INVACT_PLUGIN_PLUGIN_API_H_

#ifdef __cplusplus
extern "C" {
#endif

#define INVACT_PLUGIN_ABI 1

struct invact_start {
  unsigned abi;              /* INVACT_PLUGIN_ABI */
  const char* lib_dir;       /* folder of libinvact.so, no trailing slash */
  int python;                /* 1: libtorch_python is mapped */
  const char* torch_version; /* "2.11.0+cu130", or "" where not known */
  void* torch_c;             /* torch._C (borrowed) while Python is making it
                                and sys.modules lacks it; else NULL */
  /* Writes one line that ends in a newline to the job's stderr, if the job has
     one. Never raises SIGPIPE. */
  void (*write_line)(const char* line, unsigned long size);
  /* Where a start that returns 2 leaves its reason, a string of one line:
     libinvact.so says it once a job. */
  char* why;
  unsigned long why_size;
};

/* Installs the hooks of the policy that the environment asks for. Called once,
   after libtorch (and in a Python job torch._C) is initialised; in a Python
   job with the GIL held. Returns 0 when active, 1 when the environment asks
   for nothing (INVACT_DISABLE, policy none), 2 on a failure, with the reason in
   `why`. Says nothing: that waits for the first saved tensor. Never throws. */
int invact_plugin_start(const struct invact_start* start);

#ifdef __cplusplus
}
#endif

#endif /* INVACT_PLUGIN_PLUGIN_API_H_ */
