// A fresh thread's dispatch without autograd: no mode, transform or autocast of
// the job's sees the ops that are run while this lives, nothing is saved.
//
// Threads: on the one that makes it.
#ifndef INVACT_PLUGIN_REBUILD_BELOW_AUTOGRAD_H_
#define INVACT_PLUGIN_REBUILD_BELOW_AUTOGRAD_H_

#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include "plugin/guard.h"

namespace invact {

class BelowAutograd {
 private:
  const OwnWork own_;
  const c10::InferenceMode no_inference_{false};
  const c10::AutoGradMode no_grad_{false};
  const c10::impl::ForceDispatchKeyGuard keys_{
      c10::DispatchKeySet(c10::DispatchKey::BackendSelect),
      c10::autograd_dispatch_keyset_with_ADInplaceOrView |
          c10::autocast_dispatch_keyset};
};

}  // namespace invact

#endif  // INVACT_PLUGIN_REBUILD_BELOW_AUTOGRAD_H_
