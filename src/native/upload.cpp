// Copies of batches to a CUDA device on a stream of their own, which run while the device computes.
//
// Only libtorch's interfaces for any kind of device are used, so that this compiles without CUDA's headers.
#include <ATen/ops/empty.h>
#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <map>
#include <mutex>

#include "shim.h"

using at::Tensor;

namespace {
// One for each device, for the life of the process.
c10::Stream copy_stream(c10::Device device) {
  static std::mutex mutex;
  static std::map<c10::DeviceIndex, c10::Stream> streams;
  std::lock_guard<std::mutex> lock(mutex);
  auto found = streams.find(device.index());
  if (found == streams.end()) {
    c10::impl::VirtualGuardImpl guard(device.type());
    found = streams.emplace(device.index(), guard.getStreamFromGlobalPool(device)).first;
  }
  return found->second;
}

struct Upload {
  Tensor data;
  c10::Event done;
};
}  // namespace

extern "C" {

// Memory of the CPU that a CUDA device can read by itself; libtorch keeps what is given back.
int regraft_empty_pinned(const int64_t* size, int64_t dimensions, Tensor** out) {
  return regraft::guarded([&] {
    auto options = at::TensorOptions().dtype(at::kByte).pinned_memory(true);
    *out = new Tensor(at::empty(at::IntArrayRef(size, dimensions), options));
  });
}

// Begins a copy to a CUDA device.
int regraft_upload_begin(const Tensor* x, int device, void** out) {
  return regraft::guarded([&] {
    c10::Device to(c10::DeviceType::CUDA, static_cast<c10::DeviceIndex>(device));
    auto stream = copy_stream(to);
    c10::StreamGuard guard(stream);
    c10::Event done(c10::DeviceType::CUDA);
    // from memory that the device cannot read by itself libtorch would wait for all that is under way
    auto source = x->is_pinned() ? *x : x->pin_memory();
    auto data = source.to(to, source.scalar_type(), /*non_blocking=*/true);
    done.record(stream);
    *out = new Upload{std::move(data), std::move(done)};
  });
}

// The copy, which whatever is computed from now on waits for; the host does not.
int regraft_upload_end(void* begun, Tensor** out) {
  return regraft::guarded([&] {
    std::unique_ptr<Upload> upload(static_cast<Upload*>(begun));
    c10::impl::VirtualGuardImpl guard(c10::DeviceType::CUDA);
    auto current = guard.getStream(upload->data.device());
    upload->done.block(current);
    // its memory belongs to the stream that it was made on, and must not be used there before this one is through with it
    upload->data.record_stream(current);
    *out = new Tensor(std::move(upload->data));
  });
}

void regraft_upload_free(void* begun) { delete static_cast<Upload*>(begun); }

}  // extern "C"
