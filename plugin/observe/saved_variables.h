// Makes the plugin a witness of every tensor that autograd saves.
//
// Torch constructs a SavedVariable for each. Three of its functions are taken
// over at their import slots (import_slot.h): the constructor, so that we know
// which tensor is being saved and whether it is the node's output; unpack, so
// that what is read back is the very same object; and register_hooks, so that
// `grad_fn._raw_saved_x.register_hooks(...)` goes on working on a tensor that
// has ours. Every tensor is saved by torch's own code. A hook of ours is hung
// on what that made, only to hear of its end; parameters, views of parameters,
// tensor subclasses and everything saved under a mode get none.
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
