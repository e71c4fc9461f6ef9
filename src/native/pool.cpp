// Memory for tensors on the CPU that is kept when it is given back.
//
// A training step asks for the same large pieces again and again. The system's allocator returns each to the kernel, which
// clears every page anew when it is touched next: half of a step of a small network. Here they come out of one range of
// addresses, where neighbours that are free become one piece again, and the smallest piece that is large enough is
// taken, so little more is touched than tensors take at the peak.
#include <c10/core/CPUAllocator.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <unordered_map>

#include "shim.h"

namespace {
// Smaller pieces the system's allocator keeps as well.
constexpr size_t LARGE = 1 << 18;
// Pieces are multiples of this, and begin at one.
constexpr size_t GRAIN = 1 << 14;
constexpr size_t HUGE_PAGE = 1 << 21;

class Pool {
 public:
  // Reserves addresses, not memory; fewer where the system grants no more.
  explicit Pool(size_t memory) : memory_(memory) {
    for (size_t size = 4 * memory / HUGE_PAGE * HUGE_PAGE; size >= memory / 4 && !begin_; size /= 2) {
      void* range = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      if (range == MAP_FAILED) continue;
#ifdef MADV_HUGEPAGE
      madvise(range, size, MADV_HUGEPAGE);
#endif
      begin_ = reinterpret_cast<uintptr_t>(range);
      // what lies before the first huge page is given up
      uintptr_t first = (begin_ + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
      end_ = begin_ + size;
      release(first, end_ - first);
    }
  }

  bool owns(uintptr_t at) const { return at >= begin_ && at < end_; }

  // Nothing where there are no addresses left.
  void* take(size_t wanted) {
    size_t size = (wanted + GRAIN - 1) / GRAIN * GRAIN;
    std::lock_guard<std::mutex> lock(mutex_);
    auto found = by_size_.lower_bound({size, 0});
    if (found == by_size_.end()) return nullptr;
    TORCH_CHECK(taken_ + size <= memory_, "can't allocate memory: tensors take ", taken_ >> 20, " MiB, ", size >> 20,
                " MiB more are asked for, and there are ", memory_ >> 20, " MiB");
    auto [free_size, at] = *found;
    remove(at, free_size);
    if (free_size > size) insert(at + size, free_size - size);
    sizes_[at] = size;
    taken_ += size;
    peak_ = std::max(peak_, taken_);
    return reinterpret_cast<void*>(at);
  }

  // What tensors take now, and have taken at the most since the last call with `reset`.
  std::pair<size_t, size_t> taken(bool reset) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (reset) peak_ = taken_;
    return {taken_, peak_};
  }

  void give_back(uintptr_t at) {
    std::lock_guard<std::mutex> lock(mutex_);
    auto found = sizes_.find(at);
    size_t size = found->second;
    sizes_.erase(found);
    taken_ -= size;
    release(at, size);
  }

 private:
  void insert(uintptr_t at, size_t size) {
    by_address_[at] = size;
    by_size_.insert({size, at});
  }

  void remove(uintptr_t at, size_t size) {
    by_address_.erase(at);
    by_size_.erase({size, at});
  }

  // Makes one free piece of this one and its free neighbours.
  void release(uintptr_t at, size_t size) {
    auto next = by_address_.lower_bound(at);
    if (next != by_address_.end() && next->first == at + size) {
      size += next->second;
      remove(next->first, next->second);
    }
    auto before = by_address_.lower_bound(at);
    if (before != by_address_.begin()) {
      --before;
      auto [start, length] = *before;
      if (start + length == at) {
        remove(start, length);
        at = start;
        size += length;
      }
    }
    insert(at, size);
  }

  const size_t memory_;
  uintptr_t begin_ = 0, end_ = 0;
  std::mutex mutex_;
  size_t taken_ = 0, peak_ = 0;
  std::map<uintptr_t, size_t> by_address_;
  std::set<std::pair<size_t, uintptr_t>> by_size_;
  std::unordered_map<uintptr_t, size_t> sizes_;
};

// Lives to the end of the process: tensors may be given back by whatever is torn down last.
Pool* pool = nullptr;

void give_back(void* data) {
  auto at = reinterpret_cast<uintptr_t>(data);
  if (pool->owns(at))
    pool->give_back(at);
  else
    std::free(data);
}

struct PooledAllocator final : c10::Allocator {
  c10::DataPtr allocate(size_t size) override {
    void* data = size >= LARGE ? pool->take(size) : nullptr;
    if (!data && size > 0) {
      int failed = posix_memalign(&data, c10::gAlignment, size);
      TORCH_CHECK(failed == 0, "can't allocate memory: ", size, " bytes are asked for");
    }
    return {data, data, &give_back, c10::Device(c10::DeviceType::CPU)};
  }

  c10::DeleterFnPtr raw_deleter() const override { return &give_back; }

  void copy_data(void* to, const void* from, size_t size) const override { default_copy_data(to, from, size); }
};
}  // namespace

extern "C" {

// From now on tensors on the CPU take their memory from a pool of at most so many bytes. Once is enough.
int regraft_pool_memory(int64_t bytes) {
  return regraft::guarded([&] {
    static std::once_flag once;
    std::call_once(once, [&] {
      pool = new Pool(static_cast<size_t>(bytes));
      c10::SetCPUAllocator(new PooledAllocator, /*priority=*/1);
    });
  });
}

// Bytes that large tensors take from the pool, now and at the most since the last call with `reset`.
int regraft_pool_taken(int reset, int64_t* now, int64_t* peak) {
  return regraft::guarded([&] {
    auto [taken, most] = pool ? pool->taken(reset != 0) : std::pair<size_t, size_t>{0, 0};
    *now = static_cast<int64_t>(taken);
    *peak = static_cast<int64_t>(most);
  });
}

}  // extern "C"
