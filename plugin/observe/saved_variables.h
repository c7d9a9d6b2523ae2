// Makes the plugin a witness of every tensor that autograd saves.
//
// Torch constructs a SavedVariable for each. Three of its functions are taken
// over at their import slots (import_slot.h): the constructor, so that we know
// which tensor is being saved and whether it is the node's output;
// get_default_hooks, which it calls for a pair of hooks; and register_hooks,
// so that `grad_fn._raw_saved_x.register_hooks(...)` goes on working on a
// tensor that has ours. With this, parameters, views of parameters, tensor
// subclasses and everything saved under a mode or under hooks of the job's own
// never get hooks of ours: they are saved by torch's own code, and read back
// as the very same object.
#ifndef INVACT_PLUGIN_OBSERVE_SAVED_VARIABLES_H_
#define INVACT_PLUGIN_OBSERVE_SAVED_VARIABLES_H_

#include <string>

#include "proto/codes.h"

namespace invact {

// Once, after libtorch (in a Python job libtorch_python as well) is mapped.
// False with the reason when this build of torch can't be observed.
bool ObserveSavedVariables(bool python, std::string* error) noexcept;

// Why the op that this thread is about to run by torch's own kernel was not
// substituted; stands until it is replaced. The next save of the thread takes
// it as its site's reason.
void SetPendingDecline(Reason reason) noexcept;

}  // namespace invact

#endif  // INVACT_PLUGIN_OBSERVE_SAVED_VARIABLES_H_
