#pragma once

namespace moe {

// From now on what the engine, gRPC and Protobuf log goes through Log, so that
// every line has one form: the engine's events under their own names, the
// libraries' as event=grpc and event=protobuf with file, line and message. To
// be called once, after InitLog.
void CaptureLibraryLogs();

}  // namespace moe
