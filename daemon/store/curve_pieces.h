// Makes a curve of at most so many buckets of a stream of values whose length
// is not known before: the least and the most of each bucket are those of the
// values in it.
//
// A bucket has as many events as the others, or as close to it as the ranges
// that came allow. Memory: kRoom pieces a bucket, at least kLeastRoom. One
// thread.
#ifndef INVACT_DAEMON_STORE_CURVE_PIECES_H_
#define INVACT_DAEMON_STORE_CURVE_PIECES_H_

#include <cstdint>
#include <vector>

#include "daemon/store/memory_summary.h"
#include "invact/v1/run.pb.h"

namespace invact {

struct CurvePiece {
  Range range;
  int64_t first_step, last_step;
  int64_t begin_ns, end_ns;
  int64_t events;
  int64_t lost;
  bool gap;

  static CurvePiece At(int64_t value, int64_t step, int64_t time_ns,
                       int64_t events, bool gap) {
    return {
        Range::Of(value, step), step, step, time_ns, time_ns, events, 0, gap};
  }
  void Add(const CurvePiece& later);
};

class CurvePieces {
 public:
  static constexpr size_t kRoom = 4, kLeastRoom = 4096;

  // buckets: at least 1.
  explicit CurvePieces(int64_t buckets)
      : buckets_(static_cast<size_t>(buckets)) {}

  // The next one. Where it has no event it belongs to the one before.
  void Add(const CurvePiece& piece);
  // Records were lost before the next piece, and there is nothing after it
  // that tells so.
  void Lose(int64_t records) {
    gap_ = true;
    lost_ = Plus(lost_, records);
  }
  bool empty() const { return pieces_.empty(); }
  void Fill(v1::MemoryCurve* out);

 private:
  void Halve();

  const size_t buckets_;
  int64_t each_ = 1;  // events that a piece is filled up to
  std::vector<CurvePiece> pieces_;
  bool gap_ = false;
  int64_t lost_ = 0;
};

}  // namespace invact

#endif  // INVACT_DAEMON_STORE_CURVE_PIECES_H_
