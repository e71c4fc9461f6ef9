// What every file of the shim shares: the error that Rust reads after a call has failed, and texts for Rust.
//
// Every function is extern "C", catches everything, and answers 0 or -1 (or a null pointer). Tensors cross as the
// `torch::Tensor*` that tch calls `C_tensor`; a tensor that is returned belongs to the caller.
#pragma once
#include <ATen/core/Tensor.h>
#include <exception>
#include <string>

namespace regraft {
void keep_error(std::string message);

// A copy of the text for Rust, which hands it back to `regraft_text_free`.
char* duplicate(const std::string& text);

template <typename F>
int guarded(F&& body) {
  try {
    body();
    return 0;
  } catch (const c10::Error& e) {
    keep_error(e.what_without_backtrace());
  } catch (const std::exception& e) {
    keep_error(e.what());
  } catch (...) {
    keep_error("an exception of an unknown type");
  }
  return -1;
}
}  // namespace regraft
