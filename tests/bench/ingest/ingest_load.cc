// Sends batches of records over one or more streams, as relays do, and counts
// what was acknowledged, that is committed.
//
// usage: invact_ingest_load unix:SOCKET STREAMS RECORDS_PER_BATCH SECONDS
// Prints one line of JSON. 48 bytes a record; every 16th batch carries a step
// with a table of 200 sites, which is what a relay sends ten times a second.
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "invact/v1/ingest.grpc.pb.h"

namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kRecordBytes = 48;
// Bytes that a relay may have sent and not yet seen acknowledged.
constexpr size_t kWindowBytes = 2 << 20;
constexpr int kSites = 200;
constexpr int kStepEvery = 16;

struct Stream {
  int number = 0;
  int records = 0;
  Clock::time_point end;
  int64_t acked_records = 0;
  std::vector<double> ack_ms;
  std::string error;
};

invact::v1::StreamRequest Hello(int number) {
  invact::v1::StreamRequest request;
  invact::v1::Hello& hello = *request.mutable_hello();
  hello.set_protocol_major(1);
  hello.set_run_secret(std::string(16, 's'));
  char id[17];
  std::snprintf(id, sizeof(id), "%016x", number + 1);
  hello.mutable_run()->set_id(id);
  hello.mutable_run()->set_pid(number + 1);
  return request;
}

void AddStep(int64_t index, invact::v1::Batch* batch) {
  invact::v1::SiteTable& table = *batch->mutable_last_step();
  invact::v1::StepTotals& totals = *table.mutable_totals();
  totals.set_index(index);
  totals.set_complete(true);
  totals.set_phase("done");
  totals.set_baseline_bytes(kSites << 20);
  for (int site = 0; site < kSites; ++site) {
    invact::v1::SiteRow& row = *table.add_rows();
    row.set_site(site);
    row.set_baseline_bytes(1 << 20);
    row.set_action("keep");
  }
  *batch->add_steps() = totals;
}

std::string Records(int count) {
  std::string records(count * kRecordBytes, '\0');
  for (int i = 0; i < count; ++i) {
    char* record = &records[i * kRecordBytes];
    const uint64_t time = i * 1000, address = 0x7f0000000000 + i * 512;
    std::memcpy(record, &time, 8);
    std::memcpy(record + 8, &address, 8);
    record[40] = 1;
  }
  return records;
}

void Drive(invact::v1::IngestService::Stub& stub, Stream& self) {
  grpc::ClientContext context;
  auto stream = stub.Stream(&context);
  invact::v1::StreamResponse reply;
  if (!stream->Write(Hello(self.number)) || !stream->Read(&reply)) {
    self.error = stream->Finish().error_message();
    return;
  }
  std::mutex mutex;
  std::condition_variable wake;
  std::deque<Clock::time_point> sent;
  uint64_t acked = 0;
  bool over = false;
  const size_t window =
      std::max<size_t>(1, kWindowBytes / (self.records * kRecordBytes));
  std::thread reader([&] {
    while (stream->Read(&reply)) {
      std::lock_guard lock(mutex);
      const auto now = Clock::now();
      for (; acked < reply.ack().seq(); ++acked) {
        self.ack_ms.push_back(
            std::chrono::duration<double, std::milli>(now - sent.front())
                .count());
        sent.pop_front();
      }
      wake.notify_one();
    }
    std::lock_guard lock(mutex);
    over = true;
    wake.notify_one();
  });
  invact::v1::StreamRequest plain;
  plain.mutable_batch()->set_record_bytes(kRecordBytes);
  plain.mutable_batch()->set_records(Records(self.records));
  plain.mutable_batch()->set_wall_time_ns(1);
  for (uint64_t seq = 1; Clock::now() < self.end; ++seq) {
    {
      std::unique_lock lock(mutex);
      wake.wait(lock, [&] { return over || sent.size() < window; });
      if (over) break;
      sent.push_back(Clock::now());
    }
    plain.mutable_batch()->set_seq(seq);
    if (seq % kStepEvery == 0) {
      invact::v1::StreamRequest with_step = plain;
      AddStep(seq / kStepEvery, with_step.mutable_batch());
      if (!stream->Write(with_step)) break;
    } else if (!stream->Write(plain)) {
      break;
    }
  }
  stream->WritesDone();
  reader.join();
  const grpc::Status status = stream->Finish();
  if (!status.ok()) self.error = status.error_message();
  self.acked_records = static_cast<int64_t>(acked) * self.records;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: %s unix:SOCKET STREAMS RECORDS SECONDS\n",
                 argv[0]);
    return 2;
  }
  const int count = std::atoi(argv[2]);
  std::vector<Stream> streams(count);
  auto channel =
      grpc::CreateChannel(argv[1], grpc::InsecureChannelCredentials());
  auto stub = invact::v1::IngestService::NewStub(channel);
  const auto begin = Clock::now();
  const auto end = begin + std::chrono::seconds(std::atoi(argv[4]));
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) {
    streams[i].number = i;
    streams[i].records = std::atoi(argv[3]);
    streams[i].end = end;
    threads.emplace_back([&stub, &self = streams[i]] { Drive(*stub, self); });
  }
  for (std::thread& thread : threads) thread.join();
  const double seconds =
      std::chrono::duration<double>(Clock::now() - begin).count();
  int64_t records = 0;
  std::vector<double> ack_ms;
  for (const Stream& stream : streams) {
    if (!stream.error.empty()) {
      std::fprintf(stderr, "stream %d: %s\n", stream.number,
                   stream.error.c_str());
      return 1;
    }
    records += stream.acked_records;
    ack_ms.insert(ack_ms.end(), stream.ack_ms.begin(), stream.ack_ms.end());
  }
  if (ack_ms.empty()) {
    std::fprintf(stderr, "nothing was acknowledged\n");
    return 1;
  }
  std::sort(ack_ms.begin(), ack_ms.end());
  std::printf(
      "{\"records\": %lld, \"seconds\": %.3f, \"ack_ms_p50\": %.1f, "
      "\"ack_ms_p99\": %.1f}\n",
      static_cast<long long>(records), seconds, ack_ms[ack_ms.size() / 2],
      ack_ms[ack_ms.size() * 99 / 100]);
  return 0;
}
