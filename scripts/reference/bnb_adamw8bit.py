"""What bitsandbytes' AdamW8bit makes of a small tensor, for the reference in TypeScript and the kernel.

Writes e2e/golden/bnb-vectors/adamw8bit.json: parameters, each step's gradients, and after it parameters, codes and the
largest of each block. 600 elements: two whole blocks and a part of one; bitsandbytes keeps so small a tensor in 32 bits
unless it is told otherwise.

    python scripts/reference/bnb_adamw8bit.py
"""

import json
from pathlib import Path

import bitsandbytes as bnb
import torch

ELEMENTS = 600
STEPS = 4
SETTINGS = {"lr": 1e-2, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.1}


def main() -> None:
    generator = torch.Generator().manual_seed(11)
    parameter = torch.nn.Parameter(torch.randn(ELEMENTS, generator=generator) * 0.1)
    optimizer = bnb.optim.AdamW8bit([parameter], min_8bit_size=1, **SETTINGS)
    # Blocks of different sizes, and within them elements from large to tiny.
    sizes = 10 ** (torch.rand(ELEMENTS, generator=generator) * 4 - 5)
    start = parameter.detach().tolist()
    steps = []
    for _ in range(STEPS):
        parameter.grad = torch.randn(ELEMENTS, generator=generator) * sizes
        gradients = parameter.grad.tolist()
        optimizer.step()
        state = optimizer.state[parameter]
        steps.append(
            {
                "gradients": gradients,
                "parameters": parameter.detach().tolist(),
                "codes1": state["state1"].tolist(),
                "codes2": state["state2"].tolist(),
                "largest1": state["absmax1"].tolist(),
                "largest2": state["absmax2"].tolist(),
            }
        )
    beta1, beta2 = SETTINGS["betas"]
    state = optimizer.state[parameter]
    vectors = {
        "version": bnb.__version__,
        "settings": {
            "learningRate": SETTINGS["lr"],
            "beta1": beta1,
            "beta2": beta2,
            "epsilon": SETTINGS["eps"],
            "weightDecay": SETTINGS["weight_decay"],
        },
        "map1": state["qmap1"].tolist(),
        "map2": state["qmap2"].tolist(),
        "start": start,
        "steps": steps,
    }
    path = Path(__file__).resolve().parents[2] / "e2e/golden/bnb-vectors/adamw8bit.json"
    path.write_text(json.dumps(vectors, separators=(",", ":")) + "\n")
    print(path, path.stat().st_size)


if __name__ == "__main__":
    main()
