#pragma once

#include "engine/loading/make_stream.h"

namespace moe {

// The device on which a test of the whole engine computes: every suite that
// loads an engine gives it to LoadEngineOptions::make_stream.
StreamFactory TestStream();

}  // namespace moe
