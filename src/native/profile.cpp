// libtorch's profiler (Kineto): every operator, every kernel, and the ranges that Rust names.
#include <ATen/record_function.h>
#include <torch/csrc/autograd/profiler_kineto.h>

#include <cstdlib>
#include <memory>
#include <sstream>

#include "shim.h"

using namespace torch::autograd::profiler;
using torch::profiler::impl::ActivityType;
using torch::profiler::impl::ProfilerConfig;
using torch::profiler::impl::ProfilerState;

extern "C" {

// Records this thread, and those that run backward for it, until `regraft_profile_end`.
int regraft_profile_begin(int cuda) {
  return regraft::guarded([&] {
    // without this it complains of every machine that has no GPU
    setenv("KINETO_LOG_LEVEL", "99", /*overwrite=*/0);
    ProfilerConfig config(ProfilerState::KINETO);
    std::set<ActivityType> activities{ActivityType::CPU};
    if (cuda) activities.insert(ActivityType::CUDA);
    prepareProfiler(config, activities);
    enableProfiler(config, activities,
                   {at::RecordScope::FUNCTION, at::RecordScope::USER_SCOPE, at::RecordScope::BACKWARD_FUNCTION});
  });
}

// Writes the trace to `path`, unless that is null; `text` gets a line per event: name, nanoseconds of its start and end, thread, and whether
// it ran on the device.
int regraft_profile_end(const char* path, char** text) {
  return regraft::guarded([&] {
    auto result = disableProfiler();
    // a file of another name is renamed to this one: it must never be a device
    if (path) result->save(path);
    std::ostringstream lines;
    for (const auto& event : result->events())
      lines << event.name() << '\t' << event.startNs() << '\t' << event.endNs() << '\t' << event.startThreadId() << '\t'
            << (event.deviceType() != c10::DeviceType::CPU) << '\n';
    *text = regraft::duplicate(lines.str());
  });
}

// A range of the trace; null where nothing is recorded.
at::RecordFunction* regraft_range_begin(const char* name) {
  at::RecordFunction* range = nullptr;
  regraft::guarded([&] {
    auto record = std::make_unique<at::RecordFunction>(at::RecordScope::USER_SCOPE);
    if (!record->isActive()) return;
    record->before(std::string(name));
    range = record.release();
  });
  return range;
}

void regraft_range_end(at::RecordFunction* range) { delete range; }
}
