"""f32 matrix product in PyTorch. Case: {"size": n}. Result: [GFLOP of one product] = 2 n^3 / 1e9."""

import torch

import peer


def main() -> None:
    request = peer.parse(__doc__, ())
    n = request.case["size"]
    a, b, c = torch.randn(n, n), torch.randn(n, n), torch.empty(n, n)
    torch.mm(a, b, out=c)
    peer.measure(request, lambda: torch.mm(a, b, out=c), [2 * n**3 / 1e9])


if __name__ == "__main__":
    main()
