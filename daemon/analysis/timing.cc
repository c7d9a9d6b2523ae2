#include "daemon/analysis/timing.h"

#include <algorithm>

namespace invact {
namespace {

void AddSpan(int64_t begin_ns, int64_t end_ns, std::vector<double>* out) {
  // 0: the step did not reach it.
  if (begin_ns > 0 && end_ns >= begin_ns) {
    out->push_back(static_cast<double>(end_ns - begin_ns) / 1e9);
  }
}

struct Times {
  std::vector<double> step, forward, backward;
};

}  // namespace

std::optional<double> Median(std::vector<double> values) {
  if (values.empty()) return std::nullopt;
  const size_t middle = values.size() / 2;
  std::sort(values.begin(), values.end());
  return values.size() % 2 == 1 ? values[middle]
                                : (values[middle - 1] + values[middle]) / 2;
}

v1::Timing MedianTimes(const std::vector<v1::StepTotals>& steps) {
  Times host, device;
  for (const v1::StepTotals& step : steps) {
    if (!step.complete()) continue;
    AddSpan(step.begin_ns(), step.end_ns(), &host.step);
    AddSpan(step.begin_ns(), step.backward_begin_ns(), &host.forward);
    AddSpan(step.backward_begin_ns(), step.end_ns(), &host.backward);
    if (step.has_device_step_seconds()) {
      device.step.push_back(step.device_step_seconds());
    }
    if (step.has_device_forward_seconds()) {
      device.forward.push_back(step.device_forward_seconds());
    }
    if (step.has_device_backward_seconds()) {
      device.backward.push_back(step.device_backward_seconds());
    }
  }
  const bool by_device = !device.step.empty();
  const Times& times = by_device ? device : host;
  v1::Timing timing;
  if (auto v = Median(times.step)) timing.set_step_seconds_median(*v);
  if (auto v = Median(times.forward)) timing.set_forward_seconds_median(*v);
  if (auto v = Median(times.backward)) timing.set_backward_seconds_median(*v);
  if (timing.has_step_seconds_median()) {
    timing.set_clock(by_device ? "device" : "host");
    timing.set_steps(static_cast<int64_t>(times.step.size()));
  }
  return timing;
}

}  // namespace invact
