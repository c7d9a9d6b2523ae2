#include "daemon/cli/preload.h"

#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "daemon/service/rpc_status.h"

namespace invact::cli {

absl::StatusOr<std::string> WithLibrary(const Install& install,
                                        const std::string& existing) {
  if (install.library.empty()) {
    return WithNext(
        absl::FailedPreconditionError(
            absl::StrCat("there is no libinvact.so in ", install.lib)),
        "build it with scripts/setup, or keep bin/ and lib/ of an installed "
        "invact together");
  }
  if (install.library.find_first_of(": \t\n") != std::string::npos) {
    return WithNext(absl::FailedPreconditionError(
                        absl::StrCat("LD_PRELOAD can't name ", install.library,
                                     ": a blank or a colon ends a path there")),
                    "move invact to a folder without them");
  }
  const std::string rest = WithoutLibrary(existing);
  return rest.empty() ? install.library
                      : absl::StrCat(install.library, ":", rest);
}

std::string WithoutLibrary(const std::string& existing) {
  std::vector<std::string> kept;
  for (absl::string_view path :
       absl::StrSplit(existing, absl::ByAnyChar(": "), absl::SkipEmpty())) {
    if (path != "libinvact.so" && !absl::EndsWith(path, "/libinvact.so")) {
      kept.push_back(std::string(path));
    }
  }
  return absl::StrJoin(kept, ":");
}

}  // namespace invact::cli
