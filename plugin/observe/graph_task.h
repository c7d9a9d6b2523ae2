// Where autograd's engine stands on the calling thread.
#ifndef INVACT_PLUGIN_OBSERVE_GRAPH_TASK_H_
#define INVACT_PLUGIN_OBSERVE_GRAPH_TASK_H_

#include <functional>

namespace invact {

// True on a thread that works for a backward.
bool InGraphTask() noexcept;

// Calls `end` once when the calling thread's graph task is over: with true
// after it completed, with false when it was given up (an exception). Any
// thread may be the caller of `end`; no lock of ours may be held here.
void NotifyAtEndOfGraphTask(void (*end)(bool complete)) noexcept;

}  // namespace invact

#endif  // INVACT_PLUGIN_OBSERVE_GRAPH_TASK_H_
