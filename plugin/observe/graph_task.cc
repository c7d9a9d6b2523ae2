#include "plugin/observe/graph_task.h"

#include <torch/csrc/autograd/engine.h>
#include <torch/csrc/autograd/graph_task.h>

#include <atomic>
#include <memory>

#include "plugin/log.h"

namespace invact {

namespace {

// Dies with the graph task's list of final callbacks, which runs only when the
// task completes: so a task that an exception ended is noticed as well.
struct EndToken {
  explicit EndToken(void (*end)(bool)) : end(end) {}
  EndToken(const EndToken&) = delete;
  EndToken& operator=(const EndToken&) = delete;
  ~EndToken() { Fire(false); }
  void Fire(bool complete) {
    if (!fired.exchange(true)) end(complete);
  }
  void (*end)(bool);
  std::atomic<bool> fired{false};
};

}  // namespace

bool InGraphTask() noexcept {
  return torch::autograd::get_current_graph_task_id() != -1;
}

void NotifyAtEndOfGraphTask(void (*end)(bool complete)) noexcept {
  auto token = std::make_shared<EndToken>(end);
  try {
    torch::autograd::Engine::get_default_engine().queue_callback(
        [token] { token->Fire(true); });
  } catch (const std::exception& error) {
    // The step then ends here, unfinished: its totals are fixed already.
    SayTrouble("backward-end", error.what());
  }
}

}  // namespace invact
