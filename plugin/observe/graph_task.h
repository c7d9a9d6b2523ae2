// Where autograd's engine stands, and when an outermost backward begins and
// ends: Engine::execute is taken over at its import slot (Python jobs) or in
// the engine's table of virtual functions (C++ jobs).
#ifndef INVACT_PLUGIN_OBSERVE_GRAPH_TASK_H_
#define INVACT_PLUGIN_OBSERVE_GRAPH_TASK_H_

#include <string>

namespace invact {

// True on a thread that works for a backward.
bool InGraphTask() noexcept;

// Once, after libtorch (in a Python job libtorch_python as well) is mapped.
// False with the reason when this build of torch can't be observed. From then
// on the Recorder hears of each backward that is not part of another one, on
// the thread that asked for it.
bool ObserveBackwards(bool python, std::string* error) noexcept;

}  // namespace invact

#endif  // INVACT_PLUGIN_OBSERVE_GRAPH_TASK_H_
