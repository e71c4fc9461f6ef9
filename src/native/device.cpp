// Precision, memory layout, randomness and memory of devices: what tch does not reach.
#include <ATen/Config.h>
#include <ATen/Context.h>
#include <ATen/DeviceAccelerator.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <ATen/autocast_mode.h>

#include "shim.h"

using at::Tensor;

namespace {
at::DeviceType device_type(int index) { return index < 0 ? at::kCPU : at::kCUDA; }
}  // namespace

extern "C" {

// Device: -1 is the CPU, 0 and up a CUDA device. Kind: a c10::ScalarType. Gives back what was set before.
int regraft_autocast_begin(int device, int kind, int* was_enabled, int* was_kind) {
  return regraft::guarded([&] {
    auto type = device_type(device);
    *was_enabled = at::autocast::is_autocast_enabled(type);
    *was_kind = static_cast<int>(at::autocast::get_autocast_dtype(type));
    at::autocast::set_autocast_enabled(type, true);
    at::autocast::set_autocast_dtype(type, static_cast<at::ScalarType>(kind));
    at::autocast::increment_nesting();
  });
}

int regraft_autocast_end(int device, int was_enabled, int was_kind) {
  return regraft::guarded([&] {
    auto type = device_type(device);
    if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(type, was_enabled != 0);
    at::autocast::set_autocast_dtype(type, static_cast<at::ScalarType>(was_kind));
  });
}

int regraft_to_channels_last(const Tensor* x, Tensor** out) {
  return regraft::guarded([&] { *out = new Tensor(x->contiguous(at::MemoryFormat::ChannelsLast)); });
}

int regraft_is_channels_last(const Tensor* x, int* out) {
  return regraft::guarded([&] { *out = x->is_contiguous(at::MemoryFormat::ChannelsLast); });
}

// Points `x`, and everything that shares it, at the storage of `data`; it stays the same leaf.
int regraft_set_data(Tensor* x, const Tensor* data) {
  return regraft::guarded([&] { x->set_data(*data); });
}

// Gives the gradients' memory back; the next backward puts its own in their place, where zeros would be added to.
int regraft_forget_gradients(Tensor* const* tensors, int64_t count) {
  return regraft::guarded([&] {
    for (int64_t i = 0; i < count; ++i) tensors[i]->mutable_grad() = Tensor();
  });
}

int regraft_set_deterministic(int on) {
  return regraft::guarded([&] {
    at::globalContext().setDeterministicAlgorithms(on != 0, /*warn_only=*/true);
    at::globalContext().setDeterministicCuDNN(on != 0);
  });
}

int regraft_set_tf32(int on) {
  return regraft::guarded([&] {
    at::globalContext().setAllowTF32CuDNN(on != 0);
    at::globalContext().setAllowTF32CuBLAS(on != 0);
  });
}

// Bytes that tensors take on a CUDA device, now and at the most since the last call with `reset`.
int regraft_device_taken(int device, int reset, int64_t* now, int64_t* peak) {
  return regraft::guarded([&] {
    auto index = static_cast<c10::DeviceIndex>(device);
    if (reset) at::accelerator::resetPeakStats(index);
    auto stats = at::accelerator::getDeviceStats(index);
    const auto& allocated = stats.allocated_bytes[static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE)];
    *now = allocated.current;
    *peak = allocated.peak;
  });
}

// Bytes that are free on a CUDA device.
int regraft_device_free(int device, int64_t* bytes) {
  return regraft::guarded([&] {
    *bytes = static_cast<int64_t>(at::accelerator::getMemoryInfo(static_cast<c10::DeviceIndex>(device)).first);
  });
}

// How libtorch was built and what it found on this machine; the text lives as long as the thread.
const char* regraft_build_report() {
  thread_local std::string text;
  if (regraft::guarded([&] {
        text = at::show_config() + "\n" + at::get_parallel_info() + "\nCPU capability: " + at::get_cpu_capability();
      }) != 0)
    text.clear();
  return text.c_str();
}

}  // extern "C"
