// The numbers of one step: those of tensors on the CPU at once, those of
// tensors on a CUDA device once the device has come so far.
//
// Threads: one at a time, its owner's lock.
#ifndef INVACT_PLUGIN_DIGEST_NUMBERS_H_
#define INVACT_PLUGIN_DIGEST_NUMBERS_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "plugin/digest/leaves.h"
#include "plugin/ring/ring_layout.h"

namespace invact {

// Gives each name and type a number that the relay is told of.
class Parameters {
 public:
  // kNoSite when there are too many.
  uint32_t NumberOf(const Leaf& leaf);

 private:
  std::unordered_map<std::string, uint32_t> numbers_;
};

class StepNumbers {
 public:
  explicit StepNumbers(int64_t step);
  StepNumbers(StepNumbers&&) noexcept;
  ~StepNumbers();

  void AddLoss(uint32_t place, const at::Tensor& loss);
  void AddGradient(uint32_t parameter, const at::Tensor& gradient);
  void AddUnseen(DigestKind kind, uint32_t subject, NoDigest reason);

  // Nothing is added any more; device memory is given back.
  void Close();
  // Reads memory alone: no torch, no driver.
  bool Ready() const;
  void AppendTo(std::vector<DigestRecord>* records) const;

 private:
  class Queue;  // what is under way on one device
  struct Place {
    size_t record;
    size_t queue;
    size_t slot;
  };

  template <typename Host, typename Device>
  void Add(DigestKind kind, uint32_t subject, const at::Tensor& tensor,
           Host host, Device device);
  // nullptr while the device's stream is being captured.
  Queue* QueueOf(at::Device device);

  const int64_t step_;
  std::vector<DigestRecord> records_;
  std::vector<std::unique_ptr<Queue>> queues_;
  std::vector<Place> awaited_;
  bool plain_;  // no dispatch mode is on
};

}  // namespace invact

#endif  // INVACT_PLUGIN_DIGEST_NUMBERS_H_
