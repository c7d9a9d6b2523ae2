#include "daemon/service/rpc_status.h"

#include <google/protobuf/any.pb.h>
#include <google/protobuf/unknown_field_set.h>

#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"

namespace invact {
namespace {

std::string Encode(const google::protobuf::UnknownFieldSet& fields) {
  std::string out;
  fields.SerializeToString(&out);
  return out;
}

// google.rpc.Status and ErrorInfo by field number: Debian's protobuf ships no
// header for these two messages.
std::string Details(const absl::Status& status, const std::string& next) {
  google::protobuf::UnknownFieldSet info;
  info.AddLengthDelimited(1, absl::StatusCodeToString(status.code()));
  info.AddLengthDelimited(2, "invact");
  if (!next.empty()) {
    google::protobuf::UnknownFieldSet entry;
    entry.AddLengthDelimited(1, "next");
    entry.AddLengthDelimited(2, next);
    info.AddLengthDelimited(3, Encode(entry));
  }
  google::protobuf::Any any;
  any.set_type_url("type.googleapis.com/google.rpc.ErrorInfo");
  any.set_value(Encode(info));
  google::protobuf::UnknownFieldSet rpc_status;
  rpc_status.AddVarint(1, static_cast<uint64_t>(status.code()));
  rpc_status.AddLengthDelimited(2, std::string(status.message()));
  rpc_status.AddLengthDelimited(3, any.SerializeAsString());
  return Encode(rpc_status);
}

}  // namespace

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  std::string next;
  if (const auto payload = status.GetPayload(kNextUrl)) {
    next = std::string(*payload);
  }
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()),
                      std::string(status.message()), Details(status, next));
}

absl::Status WithHint(absl::Status status, absl::string_view next) {
  status.SetPayload(kNextUrl, absl::Cord(next));
  return status;
}

absl::Status WithNext(absl::Status status, absl::string_view next) {
  return WithHint(
      absl::Status(status.code(), absl::StrCat(status.message(), "; ", next)),
      next);
}

}  // namespace invact
