// Some systems' compilers check each longjmp for going up the stack, which is what fibres do.
#undef _FORTIFY_SOURCE
#include "native/shim/fibres.h"

#include <ucontext.h>

#include <algorithm>
#include <csetjmp>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "native/shim/memory_check.h"
#include "native/shim/shim.h"

namespace sfr::shim {

namespace {

constexpr size_t kStackBytes = 64 << 10;
constexpr size_t kSharedBytes = 48 << 10;  // what a block has on every card without asking
constexpr size_t kSharedGap = 64;          // between arrays, so that none runs into the next
constexpr uint32_t kWarp = 32;

/// Where a thread of the block stands.
struct Thread {
  enum class State { fresh, paused, at_barrier, at_exchange, done } state = State::fresh;
  int line = 0;
  uint32_t word = 0;        // what it offers to its warp
  size_t fibre = 0;         // that it waits on
  size_t shared_bytes = 0;  // of the arrays that it has asked for
};

/// A stack, and where to go on with it. Runs one thread after the other until one has to wait.
struct Fibre {
  std::unique_ptr<std::byte[]> stack;
  ucontext_t context;
  std::jmp_buf here;
  bool started = false;
};

/// The one launch that runs.
struct Scheduler {
  void (*body)(const void*) = nullptr;
  const void* args = nullptr;
  Index grid{}, extent{}, block{};
  std::vector<Thread> threads;
  std::vector<Fibre> fibres;
  std::vector<size_t> idle;
  alignas(64) std::byte shared[kSharedBytes];
  uint32_t current = 0, next = 0;
  size_t fibre = 0;
  std::jmp_buf home;
  std::string fault;
};

Scheduler& scheduler() {
  static Scheduler s;
  return s;
}

void enter_thread(uint32_t thread) {
  Scheduler& s = scheduler();
  s.current = thread;
  MemoryCheck::instance().set_thread(thread, s.fibres[s.fibre].stack.get(), kStackBytes);
}

[[noreturn]] void go_home() {
  std::longjmp(scheduler().home, 1);
}

/// A fibre's whole life: threads that nobody has begun yet, then rest until it is needed again.
void live() {
  Scheduler& s = scheduler();
  for (;;) {
    while (s.next < s.threads.size()) {
      const uint32_t thread = s.next++;
      enter_thread(thread);
      s.body(s.args);
      s.threads[s.current].state = Thread::State::done;
    }
    s.idle.push_back(s.fibre);
    if (setjmp(s.fibres[s.fibre].here) == 0) go_home();
  }
}

/// Runs fibre `f` until it waits or rests.
void resume(size_t f) {
  Scheduler& s = scheduler();
  s.fibre = f;
  if (setjmp(s.home) != 0) return;
  Fibre& fibre = s.fibres[f];
  if (fibre.started) std::longjmp(fibre.here, 1);
  fibre.started = true;
  setcontext(&fibre.context);
}

void prepare(Fibre& fibre) {
  if (!fibre.stack) fibre.stack = std::make_unique<std::byte[]>(kStackBytes);
  getcontext(&fibre.context);
  fibre.context.uc_stack.ss_sp = fibre.stack.get();
  fibre.context.uc_stack.ss_size = kStackBytes;
  fibre.context.uc_link = nullptr;
  makecontext(&fibre.context, &live, 0);
  fibre.started = false;
}

/// A fibre that has nothing to do.
size_t idle_fibre() {
  Scheduler& s = scheduler();
  if (s.idle.empty()) {
    s.fibres.emplace_back();
    prepare(s.fibres.back());
    return s.fibres.size() - 1;
  }
  const size_t f = s.idle.back();
  s.idle.pop_back();
  return f;
}

void wait(Thread::State state, int line) {
  Scheduler& s = scheduler();
  Thread& self = s.threads[s.current];
  const uint32_t thread = s.current;
  self.state = state;
  self.line = line;
  self.fibre = s.fibre;
  if (setjmp(s.fibres[s.fibre].here) == 0) go_home();
  s.fibre = s.threads[thread].fibre;
  enter_thread(thread);
}

/// Whether threads [first, last) all wait in this way at one line.
bool all_wait(uint32_t first, uint32_t last, Thread::State state) {
  const std::vector<Thread>& t = scheduler().threads;
  return std::all_of(t.begin() + first, t.begin() + last, [&](const Thread& thread) {
    return thread.state == state && thread.line == t[first].line;
  });
}

void go_on(uint32_t first, uint32_t last) {
  Scheduler& s = scheduler();
  for (uint32_t t = first; t < last && s.fault.empty(); ++t) resume(s.threads[t].fibre);
}

/// Lets every thread go on that has paused.
bool serve_paused() {
  Scheduler& s = scheduler();
  bool moved = false;
  for (size_t t = 0; t < s.threads.size() && s.fault.empty(); ++t) {
    if (s.threads[t].state != Thread::State::paused) continue;
    resume(s.threads[t].fibre);
    moved = true;
  }
  return moved;
}

/// Lets every warp go on whose lanes have all come to the same exchange.
bool serve_warps() {
  Scheduler& s = scheduler();
  const auto count = static_cast<uint32_t>(s.threads.size());
  bool moved = false;
  for (uint32_t first = 0; first < count && s.fault.empty(); first += kWarp) {
    const uint32_t last = std::min(first + kWarp, count);
    if (!all_wait(first, last, Thread::State::at_exchange)) continue;
    go_on(first, last);
    moved = true;
  }
  return moved;
}

void run_block() {
  Scheduler& s = scheduler();
  const auto count = static_cast<uint32_t>(s.threads.size());
  std::fill(s.threads.begin(), s.threads.end(), Thread{});
  std::memset(s.shared, 0xFF, kSharedBytes);  // NaN
  MemoryCheck::instance().begin_block();
  s.next = 0;
  while (s.fault.empty()) {
    while (s.next < count && s.fault.empty()) resume(idle_fibre());
    if (!s.fault.empty() || serve_paused() || serve_warps()) continue;
    if (std::all_of(s.threads.begin(), s.threads.end(),
                    [](const Thread& t) { return t.state == Thread::State::done; }))
      return;
    if (!all_wait(0, count, Thread::State::at_barrier)) {
      s.fault = "threads of a block part at a barrier: some wait at line " +
                std::to_string(std::find_if(s.threads.begin(), s.threads.end(),
                                            [](const Thread& t) { return t.state != Thread::State::done; })
                                   ->line) +
                ", others do not come there";
      return;
    }
    MemoryCheck::instance().pass_barrier();
    go_on(0, count);
  }
}

}  // namespace

std::string run_blocks(const uint32_t grid[3], uint32_t block, void (*body)(const void*), const void* args,
                       size_t args_bytes) {
  Scheduler& s = scheduler();
  s.body = body;
  s.args = args;
  s.grid = {grid[0], grid[1], grid[2]};
  s.extent = {block, 1, 1};
  s.threads.resize(block);
  s.fibres.reserve(1025);  // never moved: they hold their own context
  s.fault.clear();
  MemoryCheck::instance().begin_launch(args, args_bytes, s.shared, kSharedBytes);
  for (uint32_t z = 0; z < grid[2] && s.fault.empty(); ++z)
    for (uint32_t y = 0; y < grid[1] && s.fault.empty(); ++y)
      for (uint32_t x = 0; x < grid[0] && s.fault.empty(); ++x) {
        s.block = {x, y, z};
        run_block();
      }
  MemoryCheck::instance().end_launch();
  if (s.fault.empty()) return "";
  // Fibres that were left in the middle begin anew.
  s.idle.clear();
  for (size_t f = 0; f < s.fibres.size(); ++f) {
    prepare(s.fibres[f]);
    s.idle.push_back(f);
  }
  return s.fault;
}

void stop_kernel(const std::string& what) {
  Scheduler& s = scheduler();
  s.fault = "thread " + std::to_string(s.current) + " of block " + std::to_string(s.block.x) + ", " +
            std::to_string(s.block.y) + ", " + std::to_string(s.block.z) + " " + what;
  go_home();
}

Index thread_index() {
  return {scheduler().current, 0, 0};
}
Index block_index() {
  return scheduler().block;
}
Index block_extent() {
  return scheduler().extent;
}
Index grid_extent() {
  return scheduler().grid;
}

void barrier(int line) {
  wait(Thread::State::at_barrier, line);
}

uint32_t exchange(uint32_t word, uint32_t mask, int line) {
  Scheduler& s = scheduler();
  const uint32_t thread = s.current;
  if ((thread ^ mask) >= s.threads.size()) stop_kernel("asks a lane that is not there");
  s.threads[thread].word = word;
  wait(Thread::State::at_exchange, line);
  const uint32_t theirs = s.threads[thread ^ mask].word;
  // Nobody offers anew before all have taken.
  wait(Thread::State::at_exchange, -line);
  return theirs;
}

void* shared_array(size_t bytes) {
  Scheduler& s = scheduler();
  Thread& self = s.threads[s.current];
  std::byte* array = s.shared + self.shared_bytes;
  self.shared_bytes += (bytes + kSharedGap - 1) / kSharedGap * kSharedGap + kSharedGap;
  if (self.shared_bytes > kSharedBytes + kSharedGap)
    stop_kernel("asks for more than 48 KiB of shared memory");
  MemoryCheck::instance().add_shared_array(static_cast<size_t>(array - s.shared), bytes);
  return array;
}

unsigned long long atomic_min(unsigned long long* at, unsigned long long value) {
  MemoryCheck::instance().atomic(at, sizeof *at);
  return std::exchange(*at, std::min(*at, value));
}

int32_t atomic_min(int32_t* at, int32_t value) {
  MemoryCheck::instance().atomic(at, sizeof *at);
  return std::exchange(*at, std::min(*at, value));
}

int32_t atomic_add(int32_t* at, int32_t value) {
  MemoryCheck::instance().atomic(at, sizeof *at);
  return std::exchange(*at, *at + value);
}

int32_t atomic_read(const int32_t* at) {
  MemoryCheck::instance().atomic(at, sizeof *at);
  const int32_t value = *at;
  wait(Thread::State::paused, 0);
  return value;
}

}  // namespace sfr::shim
