// The last error of this thread, and texts for Rust.
#include "shim.h"

#include <cstdlib>
#include <cstring>

namespace {
thread_local std::string last_error;
}

void regraft::keep_error(std::string message) { last_error = std::move(message); }

char* regraft::duplicate(const std::string& text) {
  char* copy = strdup(text.c_str());
  TORCH_CHECK(copy, "out of memory");
  return copy;
}

extern "C" const char* regraft_last_error() { return last_error.c_str(); }

extern "C" void regraft_text_free(char* text) { free(text); }
