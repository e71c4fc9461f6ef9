// The last error of this thread.
#include "shim.h"

namespace {
thread_local std::string last_error;
}

void regraft::keep_error(std::string message) { last_error = std::move(message); }

extern "C" const char* regraft_last_error() { return last_error.c_str(); }
