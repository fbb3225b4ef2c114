// The updates as plain products of their own, added to that of the weight.
#include <algorithm>

#include "device/launch.h"
#include "ops/linear/linear.h"
#include "ops/linear_lora/lora_problem.h"

namespace sfr::lora {

/// u = x a, y = x weight + bias, then y += u b, update by update.
void linear_lora_cuda(const KernelContext& c) {
  const Problem p = forward_problem(c);
  const Elements x = elements_of(c, 0);
  const Results y = results_of(c, 0);
  ProductArgs whole = product_args(x, elements_of(c, 1), y, p.rows, p.out, p.in);
  whole.bias = c.in<float>(2), whole.is_rounded = p.bf16;
  launch_products(c, whole, 1);
  for (size_t i = 0; i < p.updates.size(); ++i) {
    const Update& u = p.updates[i];
    const Elements a = elements_of(c, kForwardPairs + 2 * i), b = elements_of(c, kForwardPairs + 2 * i + 1);
    ProductArgs down = product_args(x, a, results_of(c, 1) + u.column, p.rows, u.rank, p.in);
    down.c_row = p.rank;
    launch_products(c, down, 1);
    ProductArgs up = product_args(down.c.elements(), b, y + u.begin, p.rows, u.width, u.rank);
    up.a_row = p.rank, up.c_row = p.out, up.start = up.c.elements();
    launch_products(c, up, 1);
  }
}

/// du of all updates lies in work memory, what the long products want behind it.
size_t linear_lora_backward_cuda_work_bytes(const NodeTypes& t) {
  const Problem p = backward_problem(t);
  size_t most = 0;
  for (const Update& u : p.updates)
    most = std::max(
        {most, long_product_bytes(u.rank, u.width, p.rows), long_product_bytes(p.in, u.rank, p.rows)});
  return floats(p.rows * p.rank) + most;
}

void linear_lora_backward_cuda(const KernelContext& c) {
  const Problem p = backward_problem(c);
  Carver work{static_cast<char*>(c.work)};
  const Results du{work.take(p.rows * p.rank)};
  void* rest = work.base + work.used;
  const Elements dy = elements_of(c, 0);
  const size_t first = c.as<LinearLoraBackwardAttributes>().input ? 1 : 0;
  if (first == 1) {
    ProductArgs dx = product_args(dy, elements_of(c, 3), results_of(c, 0), p.rows, p.in, p.out);
    dx.b_row = 1, dx.b_column = p.out, dx.is_rounded = p.bf16;
    launch_products(c, dx, 1);
  }
  for (size_t i = 0; i < p.updates.size(); ++i) {
    const Update& u = p.updates[i];
    const Elements a = elements_of(c, kBackwardPairs + 2 * i), b = elements_of(c, kBackwardPairs + 2 * i + 1);
    ProductArgs own = product_args(dy + u.begin, b, du + u.column, p.rows, u.rank, u.width);
    own.a_row = p.out, own.b_row = 1, own.b_column = u.width, own.c_row = p.rank;
    if (c.has(4)) own.start = elements_of(c, 4) + u.column;
    launch_products(c, own, 1);
    ProductArgs db = product_args(elements_of(c, 2) + u.column, dy + u.begin,
                                  results_of(c, first + 2 * i + 1), u.rank, u.width, p.rows);
    db.a_row = 1, db.a_column = p.rank, db.b_row = p.out;
    launch_long_product(c, db, rest);
    ProductArgs da =
        product_args(elements_of(c, 1), own.c.elements(), results_of(c, first + 2 * i), p.in, u.rank, p.rows);
    da.a_row = 1, da.a_column = p.in, da.b_row = p.rank;
    launch_long_product(c, da, rest);
    if (first == 0) continue;
    ProductArgs dx = product_args(own.c.elements(), a, results_of(c, 0), p.rows, p.in, u.rank);
    dx.a_row = p.rank, dx.b_row = 1, dx.b_column = u.rank, dx.start = dx.c.elements();
    launch_products(c, dx, 1);
  }
}

}  // namespace sfr::lora
