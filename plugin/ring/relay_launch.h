// Starts the relay beside a training process without the process noticing: no
// child that wait() or SIGCHLD could show, no descriptor, no environment of
// ours left behind, nothing that keeps its output pipes open.
#ifndef INVACT_PLUGIN_RING_RELAY_LAUNCH_H_
#define INVACT_PLUGIN_RING_RELAY_LAUNCH_H_

#include <sys/types.h>

#include <cstdint>
#include <string>

namespace invact {

// `relay_path PID MEMFD START` is executed in a new session, with the memfd as
// its only descriptor besides 0-2, which are /dev/null. False with the reason
// when the file can't be executed or no process could be made. Called once,
// from any thread; takes about a millisecond.
bool LaunchRelay(int memfd, const char* relay_path, std::string* error);

// When the process was started, in clock ticks since boot; 0 when there is no
// such process. A pid and this name one process for good.
uint64_t ProcessStartTicks(pid_t pid);

}  // namespace invact

#endif  // INVACT_PLUGIN_RING_RELAY_LAUNCH_H_
