// sfr_native_test [--cuda libsfr_cuda.so] [filter]: runs the op sweep and the graph tests; needs neither Node
// nor a GPU. With --cuda, everything that runs on the launch shim runs on card 0, too; status 3 when there is
// none.
#include <cstdio>
#include <cstring>
#include <exception>

#include "core/error.h"
#include "devices.h"
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

namespace {

/// Whether there is a card behind the library; says so either way.
bool use_card(const char* library) {
  try {
    const auto device = sfr::Device::load(library, 0, 0);
    std::printf("device: %s\n", device->name().c_str());
    sfr::test::set_device_under_test(device);
    return true;
  } catch (const sfr::Error& error) {
    std::printf("%s\n", error.what());
    return false;
  }
}

}  // namespace

int main(int argc, char** argv) {
  using namespace sfr::test;
  constexpr int kNoCard = 3;
  int next = 1;
  if (argc > 2 && std::strcmp(argv[1], "--cuda") == 0) {
    if (!use_card(argv[2])) return kNoCard;
    next = 3;
  }
  const std::string filter = argc > next ? argv[next] : "";
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
