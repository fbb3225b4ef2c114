// A test framework in a page: named tests, failures counted, one line each.
#pragma once
#include <functional>
#include <string>
#include <vector>

namespace sfr::test {

struct NamedTest {
  std::string name;
  std::function<void()> body;  // throws to fail
};

std::vector<NamedTest>& named_tests();

struct RegisterTest {
  RegisterTest(const char* name, std::function<void()> body) {
    named_tests().push_back({name, std::move(body)});
  }
};

/// Throws with the message unless the condition holds.
void expect(bool condition, const std::string& message);
/// Throws unless `body` throws an sfr::Error whose message contains `text`.
void expect_error(const std::function<void()>& body, const std::string& text);

#define SFR_TEST_CAT2(a, b) a##b
#define SFR_TEST_CAT(a, b) SFR_TEST_CAT2(a, b)
#define SFR_TEST(name)                                                        \
  static void SFR_TEST_CAT(test_body_, __LINE__)();                           \
  static const ::sfr::test::RegisterTest SFR_TEST_CAT(test_entry_, __LINE__)( \
      name, &SFR_TEST_CAT(test_body_, __LINE__));                             \
  static void SFR_TEST_CAT(test_body_, __LINE__)()

}  // namespace sfr::test
