#include "daemon/store/curve_pieces.h"

#include <algorithm>

namespace invact {
namespace {

// Who adds up buckets must not overflow, whatever a relay claimed.
constexpr int64_t kMostLost = int64_t{1} << 48;

void Write(const CurvePiece& piece, v1::MemoryBucket* out) {
  out->set_first_step(piece.first_step);
  out->set_last_step(piece.last_step);
  out->set_begin_ns(piece.begin_ns);
  out->set_end_ns(piece.end_ns);
  out->set_min_bytes(piece.range.min);
  out->set_max_bytes(piece.range.max);
  out->set_last_bytes(piece.range.last);
  out->set_max_step(piece.range.max_step);
  out->set_events(piece.events);
  out->set_gap(piece.gap);
  out->set_lost(std::min(piece.lost, kMostLost));
}

}  // namespace

void CurvePiece::Add(const CurvePiece& later) {
  range.Add(later.range);
  first_step = std::min(first_step, later.first_step);
  last_step = std::max(last_step, later.last_step);
  end_ns = std::max(end_ns, later.end_ns);
  events += later.events;
  lost = Plus(lost, later.lost);
  gap |= later.gap;
}

void CurvePieces::Add(const CurvePiece& piece) {
  const bool joins =
      !pieces_.empty() &&
      (piece.events == 0 || pieces_.back().events + piece.events <= each_);
  if (joins) {
    pieces_.back().Add(piece);
  } else {
    if (pieces_.size() >= std::max(kRoom * buckets_, kLeastRoom)) Halve();
    pieces_.push_back(piece);
  }
  if (!gap_) return;
  pieces_.back().gap = true;
  pieces_.back().lost = Plus(pieces_.back().lost, lost_);
  gap_ = false;
  lost_ = 0;
}

void CurvePieces::Halve() {
  size_t kept = 0;
  for (size_t i = 0; i < pieces_.size(); i += 2, ++kept) {
    pieces_[kept] = pieces_[i];
    if (i + 1 < pieces_.size()) pieces_[kept].Add(pieces_[i + 1]);
  }
  pieces_.resize(kept);
  each_ *= 2;
}

void CurvePieces::Fill(v1::MemoryCurve* out) {
  if (pieces_.empty()) return;
  if (gap_) {
    pieces_.back().gap = true;
    pieces_.back().lost = Plus(pieces_.back().lost, lost_);
  }
  int64_t total = 0;
  for (const CurvePiece& piece : pieces_)
    total += std::max<int64_t>(piece.events, 1);
  // A bucket ends where its share of the events has come.
  const auto buckets = static_cast<double>(buckets_);
  int64_t seen = 0;
  double filled = 1;
  CurvePiece bucket = pieces_[0];
  const auto ended = [&] {
    return static_cast<double>(seen) * buckets >=
           filled * static_cast<double>(total);
  };
  for (size_t i = 0; i < pieces_.size(); ++i) {
    if (i > 0) {
      if (ended()) {
        Write(bucket, out->add_buckets());
        while (ended()) ++filled;
        bucket = pieces_[i];
      } else {
        bucket.Add(pieces_[i]);
      }
    }
    seen += std::max<int64_t>(pieces_[i].events, 1);
  }
  Write(bucket, out->add_buckets());
}

}  // namespace invact
