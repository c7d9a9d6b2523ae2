// IngestService: one bidirectional stream a relay, on gRPC's callback threads,
// so that thousands of idle streams need no thread of their own.
//
// Owned by the server. A stream reads one message at a time, gives batches to
// the Writer and acknowledges what was committed; it stops reading while the
// writer's queue is full. Drain must be called before the writer stops.
#ifndef INVACT_DAEMON_INGEST_INGEST_SERVICE_H_
#define INVACT_DAEMON_INGEST_INGEST_SERVICE_H_

#include <memory>
#include <mutex>
#include <set>

#include "daemon/ingest/live_streams.h"
#include "daemon/ingest/writer.h"
#include "daemon/service/token_auth.h"
#include "invact/v1/ingest.grpc.pb.h"

namespace invact {

class IngestStream;

// Messages arrive as bytes: parsed by gRPC, a malformed one could not be told
// from a half-close.
class IngestService final
    : public v1::IngestService::WithRawCallbackMethod_Stream<
          v1::IngestService::Service> {
 public:
  // All three must outlive the service and its server.
  IngestService(Writer* writer, LiveStreams* live, const TokenAuth* auth)
      : writer_(writer), live_(live), auth_(auth) {}

  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Stream(
      grpc::CallbackServerContext* context) override;

  // Ends each stream as soon as what it sent is acknowledged.
  void Drain();

 private:
  friend class IngestStream;
  Writer* const writer_;
  LiveStreams* const live_;
  const TokenAuth* const auth_;
  std::mutex mutex_;
  bool draining_ = false;
  std::set<std::shared_ptr<IngestStream>> streams_;
};

}  // namespace invact

#endif  // INVACT_DAEMON_INGEST_INGEST_SERVICE_H_
