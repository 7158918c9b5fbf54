#pragma once

namespace moe {

// Sends the log of the engine, gRPC and Protobuf through Log, so that every
// line has one form: the engine's events under their own names, those of the
// libraries as event=grpc and event=protobuf with file, line and message. Call
// it once, after InitLog.
void CaptureLibraryLogs();

}  // namespace moe
