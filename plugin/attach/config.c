#include "plugin/attach/config.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static int is(const char* key, const char* value) {
  const char* found = getenv(key);
  return found != NULL && strcmp(found, value) == 0;
}

int invact_switched_off(void) {
  return is("INVACT_DISABLE", "1") || is("INVACT_POLICY", "none");
}

int invact_is_first_rank(void) {
  static const char* const keys[] = {"RANK", "SLURM_PROCID",
                                     "OMPI_COMM_WORLD_RANK"};
  for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); ++i) {
    const char* rank = getenv(keys[i]);
    if (rank != NULL) return strcmp(rank, "0") == 0;
  }
  return 1;
}
