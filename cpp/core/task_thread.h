// One thread that runs what it is given, one after another: for libraries whose state belongs to a thread.
#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <mutex>
#include <thread>

namespace sfr {

class TaskThread {
 public:
  TaskThread() : thread_([this] { work(); }) {}
  ~TaskThread();
  TaskThread(const TaskThread&) = delete;
  TaskThread& operator=(const TaskThread&) = delete;

  /// Runs `task` on the thread, after those given before it, and returns when it has ended. What it throws
  /// comes out.
  void run(const std::function<void()>& task);

 private:
  void work();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::packaged_task<void()>> tasks_;
  bool stop_ = false;
  std::thread thread_;  // last: it uses the others
};

}  // namespace sfr
