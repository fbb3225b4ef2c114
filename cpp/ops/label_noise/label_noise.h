// label_noise: which labels are likely wrong by another network's probabilities (confident learning,
// Northcutt et al. 2021, as ACMT's self label-noise identification uses it, Xu et al. 2023).
//   labels u8 [..] below K, probabilities q f32 [.., K] -> y f32 [..]; all elements are pooled
//   1. threshold h[k] = mean of q[k] over the elements labelled k; 2. an element counts as class b, that of
//   the largest q[b] among those with q[b] >= h[b] - 1e-6, if there is one; 3. C[a][b] = elements labelled a
//   that count as b, the diagonal at least 1; 4. J = rows of C scaled to the n[a] elements labelled a and
//   rounded, keeping the rows' sums; 5. y = 1 where, k being the label,
//     q[k] is below the (n[k] - J[k][k])-th lowest of the label's (counted from 0),
//     for some j q[j] - q[k] is at least the J[k][j]-th largest of the label's (counted from 1), and
//     k is not the largest of q;
//   1 everywhere when there is a single label: nothing can be told then.
// Not differentiable. Throws Error(data) on a label that is not below K.
#pragma once
