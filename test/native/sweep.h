#pragma once
#include <string>
#include <vector>

#include "expect.h"
#include "op_test.h"

namespace sfr::test {

/// One test per op case: reference in double, every SIMD level, 1, 2, 3 and 64 threads bitwise equal, guards
/// intact, gradients against finite differences of the reference, output trusted.
std::vector<NamedTest> sweep_tests();

/// What such a test does; throws to fail.
void run_case(const OpTest& test, const OpCase& c);

/// Names of registered ops that no program of the sweep contained (forward or backward); "" when none.
std::string ops_never_run();

}  // namespace sfr::test
