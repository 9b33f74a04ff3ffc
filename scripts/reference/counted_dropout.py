"""LoRA's dropout with the engine's random numbers in the place of PyTorch's, so that both sides drop the same elements.

An element stays where Philox4x32-10 (Salmon et al. 2011) of (element, micro-batch, step, 0) with the key (seed, module) is not below
p·2³². Elements count along a module's input in rows padded to whole fours, its rows being the micro-batch's tokens without padding;
steps count from 1, 0 is before the first; a module's number is its place among all linears of the model.
"""
import numpy as np
import torch

from common import ALL_LINEAR, FUSED_LINEAR

WORD = np.uint64(0xffffffff)
HALF = np.uint64(32)


def philox(counter, key):
    """Four words of 32 bits, as arrays of uint64, from a counter of four and a key of two."""
    c0, c1, c2, c3 = (np.asarray(c, dtype=np.uint64) for c in counter)
    k0, k1 = key
    for _ in range(10):
        p0, p1 = np.uint64(0xd2511f53) * c0, np.uint64(0xcd9e8d57) * c2
        c0, c1, c2, c3 = (p1 >> HALF) ^ c1 ^ np.uint64(k0), p1 & WORD, (p0 >> HALF) ^ c3 ^ np.uint64(k1), p0 & WORD
        k0, k1 = (k0 + 0x9e3779b9) & 0xffffffff, (k1 + 0xbb67ae85) & 0xffffffff
    return c0, c1, c2, c3


class Clock:
    """Where training is: what all masks of a forward pass depend on."""

    def __init__(self, seed):
        self.seed, self.step, self.micro, self.tokens = seed, 0, 0, None

    def set(self, step, micro, segments):
        """`segments` [rows, length] of the micro-batch; 0 is padding, which has no number and is left alone."""
        real = np.asarray(segments) > 0
        self.step, self.micro = step, micro
        self.tokens = np.where(real, np.cumsum(real).reshape(real.shape) - 1, -1)


class CountedDropout(torch.nn.Module):
    def __init__(self, p, module, clock):
        super().__init__()
        self.p, self.module, self.clock = p, module, clock

    def factors(self, width):
        """0 or 1 / (1 − p) for every element of the input [rows, length, width]; 1 for padding."""
        quads = (width + 3) // 4
        tokens = self.clock.tokens
        index = np.maximum(tokens, 0)[..., None] * quads + np.arange(quads)
        constant = lambda value: np.full_like(index, value)
        words = philox((index, constant(self.clock.micro), constant(self.clock.step), constant(0)), (self.clock.seed, self.module))
        words = np.stack(words, axis=-1).reshape(*tokens.shape, 4 * quads)[..., :width]
        factors = np.where(words >= round(self.p * 2 ** 32), 1 / (1 - self.p), 0.0)
        return np.where(tokens[..., None] >= 0, factors, 1.0)

    def forward(self, x):
        if not self.training:
            return x
        return x * torch.tensor(self.factors(x.shape[-1]), dtype=x.dtype, device=x.device)


def count_dropout(peft_model, seed):
    """Puts CountedDropout in the place of every dropout of the adapter `default`; returns the clock that it reads."""
    clock = Clock(seed)
    for path, module in peft_model.named_modules():
        dropout = getattr(module, 'lora_dropout', None)
        if not dropout:
            continue
        parts = path.split('.')
        attention = peft_model.get_submodule('.'.join(parts[:-2])).self_attn
        order = FUSED_LINEAR if hasattr(attention, 'qkv_proj') else ALL_LINEAR
        layer = int(parts[parts.index('layers') + 1])
        number = layer * len(order) + order.index(parts[-1])
        dropout['default'] = CountedDropout(dropout['default'].p, number, clock)
    return clock
