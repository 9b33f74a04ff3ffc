"""NF4 and FP4 material made by the bitsandbytes package itself (its CPU path), to hold our quantizer against.

  bnb_vectors.py vectors OUT_DIR [TYPE [SEED]]  small tensors with edges -> OUT_DIR/vectors.safetensors and vectors.json; with
                                       the type fp4 -> fp4.safetensors and fp4.json
  bnb_vectors.py model MODEL OUT.json  SHA-256 of the codes of every decoder linear of a model folder

What bitsandbytes 0.50.2 does on a CPU: 4-bit quantization has no native CPU kernel, so the "default" backend (PyTorch) runs.
Full blocks: x · (1 / max(absmax, 1e-38)). The last partial block: x / absmax, with that clamped absmax stored. An odd trailing
nibble is code 7, an all-zero block 0x77. The 8-bit quantizer of double quantization does have a native CPU kernel, and that one
first rounds each value to a grid of 65,536 steps, so that a few codes in a thousand differ from the exact rule (nearest value,
a tie takes the lower code), which the default backend follows and CUDA too but for ties. The vectors therefore hold the default
backend's 8-bit codes; how many the native kernel changes is counted beside them.
"""
import glob
import hashlib
import json
import os
import re
import sys

import bitsandbytes
import bitsandbytes.functional as bnb
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file

from common import DYNAMIC, NF4, quantize, thresholds_and_order

SMALLEST_NORMAL = torch.finfo(torch.float32).tiny
RECIPROCAL_NORMAL = 2.0 ** 126   # above it the reciprocal itself is subnormal
THRESHOLDS = (NF4[:-1] + NF4[1:]) / 2
THRESHOLDS8 = (DYNAMIC[:-1] + DYNAMIC[1:]) / 2
# Any dispatch key without a kernel of its own resolves to the default backend's.
DEFAULT_8BIT = torch.library.get_kernel('bitsandbytes::quantize_blockwise', 'PrivateUse1')


def default_8bit(x):
    return DEFAULT_8BIT.call_boxed(torch._C.DispatchKeySet(torch._C.DispatchKey.CPU), x, bnb.create_dynamic_map(), 256)


def blocks_of(x, size):
    return F.pad(x, (0, (-x.numel()) % size)).reshape(-1, size)


def unpack(packed, n):
    p = packed.reshape(-1)
    return torch.stack([p >> 4, p & 15], 1).reshape(-1)[:n]


def bnb_quantize(w, quant_type='nf4'):
    """What bitsandbytes returns on this CPU: packed codes, fp32 absmax, and the doubly quantized statistics."""
    packed, plain = bnb.quantize_4bit(w, quant_type=quant_type, compress_statistics=False)
    packed2, nested = bnb.quantize_4bit(w, quant_type=quant_type, compress_statistics=True)
    assert torch.equal(packed, packed2)
    codes8, absmax2 = default_8bit(plain.absmax - nested.offset)
    # Only where a partial last block is all zero does the default backend store 1e-38 for 0.
    assert torch.equal(absmax2 * (absmax2 > 1e-37), nested.state2.absmax * (nested.state2.absmax > 1e-37))
    return packed.reshape(-1), plain.absmax, {'absmax_u8': codes8, 'nested_absmax': nested.state2.absmax, 'nested_offset': nested.offset.reshape(1),
                                             'native': nested.absmax}


def sensitive_8bit(absmax, offset, codes):
    """Indices whose 8-bit code hangs on a rounding: division instead of the reciprocal, or the mean's summation order."""
    moved = torch.zeros_like(codes, dtype=torch.bool)
    for o in (offset, offset * (1 + 3e-7), offset * (1 - 3e-7), absmax.double().mean().float()):
        g = blocks_of(absmax - o, 256)
        m = g.abs().amax(1, keepdim=True)
        for x in (g / m, g * (1 / m)):
            moved |= torch.bucketize(x, THRESHOLDS8).to(torch.uint8).reshape(-1)[:codes.numel()] != codes
    return moved.nonzero().flatten().tolist()


def edges(w, packed, absmax, quant_type):
    """Blocks where bitsandbytes' CPU path may differ from the rule we follow, with the reason; all others must be equal."""
    n = w.numel()
    _, rule = quantize(w, False, quant_type)
    differ = blocks_of((unpack(packed, n) != unpack(rule['packed'], n)).float(), 64).amax(1) > 0
    partial = absmax.numel() - 1 if n % 64 else None
    exempt = []
    for i in range(absmax.numel()):
        true = rule['absmax'][i].item()
        if 0 < true < SMALLEST_NORMAL:
            exempt.append({'block': i, 'codes': True, 'absmax': i == partial, 'reason': 'subnormal absmax: its reciprocal is clamped at 1 / 1e-38'})
        elif true > RECIPROCAL_NORMAL:
            exempt.append({'block': i, 'codes': bool(differ[i]), 'absmax': False, 'reason': 'subnormal reciprocal: exact on a CPU, flushed to zero by some GPUs'})
        elif i == partial and true == 0:
            exempt.append({'block': i, 'codes': False, 'absmax': True, 'reason': 'all-zero partial block: absmax is stored as 1e-38, ours is 0'})
        elif i == partial and differ[i]:
            exempt.append({'block': i, 'codes': True, 'absmax': False, 'reason': 'partial block: divided instead of multiplied by the reciprocal'})
    free = torch.ones(absmax.numel(), dtype=torch.bool)
    free[[e['block'] for e in exempt if e['codes']]] = False
    assert not (differ & free).any(), 'a block outside the known edges differs'
    same = torch.ones(absmax.numel(), dtype=torch.bool)
    same[[e['block'] for e in exempt if e['absmax']]] = False
    assert torch.equal(absmax[same], rule['absmax'][same])
    if n % 2:
        assert packed[-1] & 15 == {'nf4': 7, 'fp4': 0}[quant_type]
    return exempt, rule


def tie_block(absmax, generator, THRESHOLDS):
    """The 15 thresholds, and their neighbours one step up and down, times absmax (a power of two keeps them exact)."""
    up = torch.nextafter(THRESHOLDS, torch.full_like(THRESHOLDS, 9.0))
    down = torch.nextafter(THRESHOLDS, torch.full_like(THRESHOLDS, -9.0))
    up, down = (torch.where(v.abs() < SMALLEST_NORMAL, 0.0, v) for v in (up, down))   # FP4's at 0: a GPU takes subnormals for 0
    values = torch.cat([THRESHOLDS, up, down, torch.tensor([0.0, -0.0, 0.5, -0.5, 1e-30, -1e-30, 0.0])])
    values = values[torch.randperm(values.numel(), generator=generator)]
    return torch.cat([values, torch.zeros(63 - values.numel()), torch.tensor([-1.0 if absmax > 1 else 1.0])]) * absmax


def rounding_blocks(count, generator, THRESHOLDS):
    """Blocks in which x · (1/absmax) and x / absmax give different codes: they tell the reciprocal from the division."""
    found = []
    while len(found) < count:
        absmax = torch.rand(1, generator=generator) + 1
        near = (THRESHOLDS * absmax).view(torch.int32)[:, None] + torch.arange(-2, 3, dtype=torch.int32)
        x = near.reshape(-1).view(torch.float32)
        x = x[torch.bucketize(x * (1 / absmax), THRESHOLDS) != torch.bucketize(x / absmax, THRESHOLDS)]
        if x.numel() > 0:
            fill = (torch.randn(63 - x.numel(), generator=generator) * 0.3).clamp(-1, 1)
            found.append(torch.cat([x, fill, absmax]))
    return torch.stack(found)


def make_inputs(quant_type, seed):
    thresholds, _ = thresholds_and_order(quant_type)
    g = torch.Generator().manual_seed(seed)
    normal = lambda *shape: torch.randn(*shape, generator=g)
    rounding = rounding_blocks(24, g, thresholds)
    ties = torch.stack([tie_block(a, g, thresholds) for a in (1.0, 0.5, 2.0, 2.0 ** -20, 2.0 ** 20, 0.25, 4.0, 2.0 ** -100)])
    zeros = normal(20, 64)
    zeros[[0, 3, 7, 19]] = 0.0
    zeros[7] = -0.0
    zeros[5, 1:] = 0.0
    sparse = normal(6, 64) * (torch.rand(6, 64, generator=g) < 0.05)
    scales = normal(16, 64) * torch.tensor([10.0 ** k for k in (-37, -36, -30, -20, -12, -8, -4, -2, 0, 2, 4, 8, 12, 20, 30, 36)])[:, None]
    subnormal = torch.stack([normal(64) * 1e-40, normal(64) * 3e-39, normal(64), torch.full((64,), 1.4e-45)])
    huge = normal(3, 64).clamp(-3, 3) * torch.tensor([1e38, 8e37, 2e37])[:, None]
    # A pre-trained matrix's look: rows of their own scale and a few outliers.
    weight = lambda rows, columns: normal(rows, columns) * 0.04 * (0.5 + torch.rand(rows, 1, generator=g)) + (torch.rand(rows, columns, generator=g) < 0.002) * 0.4
    partial_rounding = torch.cat([normal(64), rounding[0][:20], rounding[0][-1:]])
    return {
        'normal_f32': normal(64, 96), 'ties_f32': ties, 'reciprocal_f32': rounding, 'partial_division_f32': partial_rounding,
        'zero_blocks_f32': zeros, 'all_zero_f32': torch.zeros(8, 64), 'sparse_f32': sparse, 'scales_f32': scales, 'subnormal_f32': subnormal,
        'huge_f32': huge, 'zero_partial_f32': torch.cat([normal(64), torch.zeros(11)]), 'one_element_f32': torch.tensor([-0.3]),
        'one_block_f32': normal(1, 64), 'n65_f32': normal(65), 'n77_odd_f32': normal(7, 11), 'n255_odd_f32': normal(255), 'n10x10_f32': normal(10, 10),
        'weight_f32': weight(100, 200), 'equal_absmax_f32': torch.where(torch.rand(10, 64, generator=g) < 0.5, 1.0, -1.0),
        'weight_f16': weight(96, 200).half(), 'ties_f16': (torch.randint(-64, 65, (40, 64), generator=g) / 64).half(), 'subnormal_f16': (normal(4, 64) * 2e-7).half(),
        'n1001_odd_f16': normal(7, 143).half(),
        'weight_bf16': weight(192, 272).bfloat16(), 'ties_bf16': (torch.randint(-128, 129, (40, 64), generator=g) / 128).bfloat16(), 'n333_odd_bf16': normal(9, 37).bfloat16(),
        'large_bf16': (normal(12, 64) * 1e30).bfloat16(),
    }


def write_vectors(out, quant_type='nf4', seed=64):
    os.makedirs(out, exist_ok=True)
    tensors, notes = {}, {}
    for name, w in make_inputs(quant_type, int(seed)).items():
        packed, absmax, nested = bnb_quantize(w, quant_type)
        exempt, rule = edges(w, packed, absmax, quant_type)
        sensitive = sensitive_8bit(absmax, nested['nested_offset'], nested['absmax_u8'])
        native = nested.pop('native')
        tensors |= {f'{name}.input': w.contiguous(), f'{name}.packed': packed, f'{name}.absmax': absmax, **{f'{name}.{k}': v for k, v in nested.items()}}
        if any(e['codes'] or e['absmax'] for e in exempt):
            tensors |= {f'{name}.rule_packed': rule['packed'], f'{name}.rule_absmax': rule['absmax']}
        notes[name] = {'shape': list(w.shape), 'dtype': str(w.dtype).removeprefix('torch.'), 'elements': w.numel(), 'blocks': absmax.numel(),
                       'partial_block': w.numel() % 64, 'odd_trailing_nibble': w.numel() % 2 == 1, 'exempt_blocks': exempt,
                       'exempt_absmax_u8': sensitive, 'native_cpu_u8_differs': int((native != nested['absmax_u8']).sum())}
        print(f"{name:22} {w.numel():6} elements, exempt {len(exempt)}, sensitive u8 {len(sensitive)}, native u8 differs {notes[name]['native_cpu_u8_differs']}")
    file = {'nf4': 'vectors', 'fp4': 'fp4'}[quant_type]
    save_file(tensors, os.path.join(out, f'{file}.safetensors'))
    about = {
        'bitsandbytes': bitsandbytes.__version__,
        'keys': {'input': 'the tensor', 'packed': f'{quant_type.upper()} codes, high nibble first', 'absmax': 'fp32, per block of 64 (no double quantization)',
                 'absmax_u8, nested_absmax, nested_offset': 'double quantization of absmax: the default backend (exact rule)',
                 'rule_packed, rule_absmax': 'where a block is exempt: what our rule gives (reciprocal everywhere, absmax as it is)'},
        'exempt_blocks': 'codes: the codes of this block may differ from bitsandbytes; absmax: its absmax may',
        'exempt_absmax_u8': 'indices whose 8-bit code hangs on the rounding of the mean or of the scaling; where nested_absmax is 0 every code decodes to the offset',
        'native_cpu_u8_differs': "8-bit codes that bitsandbytes' native CPU kernel (a 65,536-step table) changes",
    }
    with open(os.path.join(out, f'{file}.json'), 'w') as f:
        json.dump({'about': about, 'tensors': notes}, f, indent=1)


def sha(t):
    return hashlib.sha256(t.contiguous().numpy().tobytes()).hexdigest()


def write_model(folder, out):
    """Every decoder linear: bitsandbytes' codes against the pure reciprocal rule, and what division would have changed."""
    result = {}
    for path in sorted(glob.glob(os.path.join(folder, '*.safetensors'))):
        with safe_open(path, 'pt') as f:
            for key in sorted(k for k in f.keys() if re.search(r'layers\.\d+\..*_proj\.weight$', k)):
                w = f.get_tensor(key)
                packed, absmax, nested = bnb_quantize(w)
                _, rule = quantize(w, True)
                x = blocks_of(w.float().reshape(-1), 64)
                divided = torch.bucketize(x / absmax[:, None], THRESHOLDS).reshape(-1)[:w.numel()]
                codes = unpack(packed, w.numel())
                scaled = x * (1 / absmax)[:, None]
                result[key.removesuffix('.weight')] = {
                    'shape': list(w.shape), 'blocks': absmax.numel(), 'packed': sha(packed), 'absmax_f32': sha(absmax),
                    'rule_packed': sha(rule['packed']), 'rule_differs': int((codes != unpack(rule['packed'], w.numel())).sum()),
                    'division_differs': int((codes != divided).sum()), 'ties': int(torch.isin(scaled, THRESHOLDS).sum()),
                    'nested_offset': nested['nested_offset'].item(), 'nested_absmax': sha(nested['nested_absmax']),
                    'absmax_u8_default_backend': sha(nested['absmax_u8']), 'absmax_u8_division': sha(rule['absmax']), 'absmax_u8_native_cpu': sha(nested['native']),
                    'absmax_u8_division_differs': int((nested['absmax_u8'] != rule['absmax']).sum()),
                    'absmax_u8_native_differs': int((nested['absmax_u8'] != nested['native']).sum()),
                    'absmax_u8_sensitive': len(sensitive_8bit(absmax, nested['nested_offset'], nested['absmax_u8'])),
                    'absmax_u8_f64_mean_differs': f64_mean_differs(absmax, nested['absmax_u8']),
                }
    counts = ('blocks', 'rule_differs', 'division_differs', 'ties', 'absmax_u8_division_differs', 'absmax_u8_native_differs', 'absmax_u8_sensitive',
              'absmax_u8_f64_mean_differs')
    total = {k: sum(r[k] for r in result.values()) for k in counts}
    with open(out, 'w') as f:
        json.dump({'bitsandbytes': bitsandbytes.__version__, 'total': total, 'linears': result}, f, indent=1)
    print(len(result), 'linears', json.dumps(total))


def f64_mean_differs(absmax, codes):
    """8-bit codes that change when the offset is the float64 mean, rounded (what we would compute)."""
    q, _ = default_8bit(absmax - absmax.double().mean().float())
    return int((q != codes).sum())


if __name__ == '__main__':
    mode, *paths = sys.argv[1:]
    {'vectors': write_vectors, 'model': write_model}[mode](*paths)
