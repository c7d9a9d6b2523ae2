"""google.rpc.Status and ErrorInfo, as published, built here because the
packages at hand carry no generated code for them."""

from google.protobuf import (any_pb2, descriptor_pb2, descriptor_pool,
                             message_factory)

_file = descriptor_pb2.FileDescriptorProto(
    name="rpc.proto", package="google.rpc", syntax="proto3",
    dependency=["google/protobuf/any.proto"])
_status = _file.message_type.add(name="Status")
_status.field.add(name="code", number=1, type=5, label=1)
_status.field.add(name="message", number=2, type=9, label=1)
_status.field.add(name="details", number=3, type=11, label=3,
                  type_name=".google.protobuf.Any")
_info = _file.message_type.add(name="ErrorInfo")
_info.field.add(name="reason", number=1, type=9, label=1)
_info.field.add(name="domain", number=2, type=9, label=1)
_info.field.add(name="metadata", number=3, type=11, label=3,
                type_name=".google.rpc.ErrorInfo.MetadataEntry")
_entry = _info.nested_type.add(name="MetadataEntry")
_entry.options.map_entry = True
_entry.field.add(name="key", number=1, type=9, label=1)
_entry.field.add(name="value", number=2, type=9, label=1)
_pool = descriptor_pool.DescriptorPool()
_pool.AddSerializedFile(any_pb2.DESCRIPTOR.serialized_pb)
_pool.Add(_file)


def _message(name):
    return message_factory.GetMessageClass(_pool.FindMessageTypeByName(name))


def error_info(error):
    """(code, message, reason, next) of a grpc.RpcError's details."""
    trailers = dict(error.trailing_metadata())
    status = _message("google.rpc.Status").FromString(
        trailers["grpc-status-details-bin"])
    assert len(status.details) == 1
    detail = status.details[0]
    assert detail.type_url == "type.googleapis.com/google.rpc.ErrorInfo"
    info = _message("google.rpc.ErrorInfo").FromString(detail.value)
    assert info.domain == "invact"
    assert status.code == error.code().value[0]
    assert status.message == error.details()
    return status.message, info.reason, info.metadata.get("next")
