"""Makes reversing.pt: a TorchScript module that holds the operator regraft::grad_reverse (3 x, with a reversal of 0.5).

Python does not have the operator, so it is declared here first. Made with torch 2.11.0.
"""

from pathlib import Path

import torch

torch.library.define("regraft::grad_reverse", "(Tensor x, float factor) -> Tensor")


class Reversing(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 3 * torch.ops.regraft.grad_reverse(x, 0.5)


torch.jit.script(Reversing()).save(str(Path(__file__).parent / "reversing.pt"))
