#include "daemon/analysis/declines.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "proto/codes.h"

namespace invact {

std::string HintFor(const std::string& reason) {
  for (size_t i = 1; i < std::size(codes::kReasonNames); ++i) {
    if (codes::kReasonNames[i] == reason) {
      return std::string(codes::kReasonHints[i]);
    }
  }
  return "a reason that this version of invact does not know";
}

std::vector<v1::Decline> GroupDeclines(const std::vector<v1::Layer>& layers) {
  std::map<std::string, v1::Decline> by_reason;
  for (const v1::Layer& layer : layers) {
    if (layer.declined().empty()) continue;
    v1::Decline& decline = by_reason[layer.declined()];
    decline.set_sites(decline.sites() + 1);
    decline.set_bytes(decline.bytes() + layer.baseline_bytes());
  }
  std::vector<v1::Decline> out;
  for (auto& [reason, decline] : by_reason) {
    decline.set_reason(reason);
    decline.set_hint(HintFor(reason));
    out.push_back(std::move(decline));
  }
  std::stable_sort(out.begin(), out.end(),
                   [](const v1::Decline& a, const v1::Decline& b) {
                     return std::pair(a.bytes(), a.sites()) >
                            std::pair(b.bytes(), b.sites());
                   });
  return out;
}

}  // namespace invact
