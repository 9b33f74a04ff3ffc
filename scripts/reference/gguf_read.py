"""Reads a GGUF file with numpy alone: metadata, and tensors dequantized to float32 (ggml's block formats)."""
import struct

import numpy as np

SCALARS = {0: '<u1', 1: '<i1', 2: '<u2', 3: '<i2', 4: '<u4', 5: '<i4', 6: '<f4', 7: '|b1', 10: '<u8', 11: '<i8', 12: '<f8'}
STRING, ARRAY = 8, 9
# ggml type -> (name, elements a block, bytes a block)
TYPES = {0: ('F32', 1, 4), 1: ('F16', 1, 2), 30: ('BF16', 1, 2), 2: ('Q4_0', 32, 18), 3: ('Q4_1', 32, 20), 6: ('Q5_0', 32, 22),
         7: ('Q5_1', 32, 24), 8: ('Q8_0', 32, 34), 14: ('Q6_K', 256, 210)}


def read(path):
    """Returns (metadata, {name: (type name, shape row-major, raw bytes as uint8)}); float32 numbers stay numpy float32."""
    data = np.memmap(path, dtype=np.uint8, mode='r')
    at = 0

    def take(n):
        nonlocal at
        at += n
        return bytes(data[at - n:at])

    def number(fmt):
        return struct.unpack(fmt, take(struct.calcsize(fmt)))[0]

    def string():
        return take(number('<Q')).decode('utf-8')

    def value(kind):
        if kind == STRING:
            return string()
        if kind == ARRAY:
            inner, count = number('<I'), number('<Q')
            return [value(inner) for _ in range(count)]
        dtype = np.dtype(SCALARS[kind])
        v = np.frombuffer(take(dtype.itemsize), dtype)[0]
        return v if dtype.kind == 'f' else v.item()

    assert take(4) == b'GGUF', 'not a GGUF file'
    version = number('<I')
    assert version in (2, 3), f'GGUF version {version}'
    tensors, pairs = number('<Q'), number('<Q')
    metadata = {}
    for _ in range(pairs):
        key = string()
        metadata[key] = value(number('<I'))
    infos = []
    for _ in range(tensors):
        name = string()
        shape = [number('<Q') for _ in range(number('<I'))][::-1]   # ggml counts from the fastest dimension
        infos.append((name, shape, number('<I'), number('<Q')))
    alignment = metadata.get('general.alignment', 32)
    start = (at + alignment - 1) // alignment * alignment
    out = {}
    for name, shape, kind, offset in infos:
        label, elements, size = TYPES[kind]
        n = int(np.prod(shape)) // elements * size
        out[name] = (label, shape, data[start + offset:start + offset + n])
    return metadata, out


def dequantize(kind, raw):
    """Raw blocks (uint8) of a type to a flat float32 array."""
    if kind in ('F32', 'F16'):
        return raw.view('<f4' if kind == 'F32' else '<f2').astype(np.float32)
    if kind == 'BF16':
        return (raw.view('<u2').astype(np.uint32) << 16).view(np.float32)
    size = next(s for name, _, s in TYPES.values() if name == kind)
    blocks = np.ascontiguousarray(raw).reshape(-1, size)
    half = lambda a: a.copy().view('<f2').astype(np.float32)
    nibbles = lambda q: np.concatenate([q & 15, q >> 4], axis=1)      # low nibbles are the block's first half
    if kind == 'Q8_0':
        return (half(blocks[:, :2]) * blocks[:, 2:].view(np.int8)).astype(np.float32).reshape(-1)
    if kind == 'Q6_K':
        low = blocks[:, :128].reshape(-1, 2, 1, 64) >> np.array([0, 4], np.uint8).reshape(1, 1, 2, 1) & 15
        high = blocks[:, 128:192].reshape(-1, 2, 1, 32) >> np.array([0, 2, 4, 6], np.uint8).reshape(1, 1, 4, 1) & 3
        q = (low.reshape(-1, 16, 16) | high.reshape(-1, 16, 16) << 4).astype(np.int8) - 32
        scale = half(blocks[:, 208:]) * blocks[:, 192:208].view(np.int8).astype(np.float32)
        return (scale[:, :, None] * q.astype(np.float32)).reshape(-1)
    d = half(blocks[:, :2])
    if kind == 'Q4_0':
        return (d * (nibbles(blocks[:, 2:]).astype(np.float32) - 8)).reshape(-1)
    if kind == 'Q4_1':
        return (d * nibbles(blocks[:, 4:]).astype(np.float32) + half(blocks[:, 2:4])).reshape(-1)
    first = 2 if kind == 'Q5_0' else 4
    fifth = np.unpackbits(blocks[:, first:first + 4], axis=1, bitorder='little')
    q = (nibbles(blocks[:, first + 4:]) | fifth << 4).astype(np.float32)
    return (d * (q - 16) if kind == 'Q5_0' else d * q + half(blocks[:, 2:4])).reshape(-1)
