// sfr_native_test [filter]: runs the op sweep and the graph tests; needs neither Node nor a GPU.
#include <cstdio>
#include <exception>

#include "core/error.h"
#include "expect.h"
#include "op_test.h"
#include "sweep.h"

namespace sfr::test {

std::vector<NamedTest>& named_tests() {
  static std::vector<NamedTest> tests;
  return tests;
}

void expect(bool condition, const std::string& message) {
  if (!condition) throw std::runtime_error(message);
}

void expect_error(const std::function<void()>& body, const std::string& text) {
  try {
    body();
  } catch (const Error& error) {
    expect(std::string(error.what()).find(text) != std::string::npos,
           "expected an error with '" + text + "', received '" + error.what() + "'");
    return;
  }
  throw std::runtime_error("expected an error with '" + text + "', received none");
}

}  // namespace sfr::test

int main(int argc, char** argv) {
  using namespace sfr::test;
  const std::string filter = argc > 1 ? argv[1] : "";
  std::vector<NamedTest> tests = named_tests();
  for (NamedTest& test : sweep_tests()) tests.push_back(std::move(test));
  int passed = 0, failed = 0;
  for (const NamedTest& test : tests) {
    if (test.name.find(filter) == std::string::npos) continue;
    try {
      test.body();
      ++passed;
    } catch (const std::exception& error) {
      ++failed;
      std::printf("FAIL %s: %s\n", test.name.c_str(), error.what());
    }
  }
  if (filter.empty()) {
    const std::string missing = ops_never_run();
    if (!missing.empty()) {
      ++failed;
      std::printf("FAIL coverage: ops that no case ran: %s\n", missing.c_str());
    }
  }
  std::printf("native: %d passed, %d failed\n", passed, failed);
  return failed == 0 && passed > 0 ? 0 : 1;
}
