// A server with health and reflection and a client of it in one program, to
// prove that the archives of invact_grpc are complete: its ldd is guarded.
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <string>

#include "invact/v1/run.grpc.pb.h"

int main() {
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  invact::v1::RunService::Service service;
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port);
  builder.RegisterService(&service);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (!server) {
    std::fprintf(stderr, "no server\n");
    return 1;
  }

  auto stub = invact::v1::RunService::NewStub(grpc::CreateChannel(
      "127.0.0.1:" + std::to_string(port), grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() +
                       std::chrono::seconds(10));
  invact::v1::ListRunsRequest request;
  invact::v1::ListRunsResponse response;
  grpc::Status status = stub->ListRuns(&context, request, &response);
  server->Shutdown();
  if (status.error_code() != grpc::StatusCode::UNIMPLEMENTED) {
    std::fprintf(
        stderr, "expected UNIMPLEMENTED of the empty service, got %d: %s\n",
        static_cast<int>(status.error_code()), status.error_message().c_str());
    return 1;
  }
  return 0;
}
