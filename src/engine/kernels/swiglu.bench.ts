import type { BenchSize, KernelBench } from '../bench/kernel_bench.ts';
import { swiglu, swigluBackward } from './swiglu.ts';

function forward(size: BenchSize, tokens: number, width: number): KernelBench {
  return {
    name: `swiglu ${tokens}×${width}`,
    size,
    tokens,
    flops: 8 * tokens * width,
    bytes: 4 * 3 * tokens * width,
    record(plan, buffers) {
      swiglu(plan, {
        activation: 'silu',
        gateUp: buffers.floats('gate, up', 2 * tokens * width),
        y: buffers.floats('y', tokens * width),
        width,
      });
    },
  };
}

function backward(size: BenchSize, tokens: number, width: number): KernelBench {
  return {
    name: `swiglu_backward ${tokens}×${width}`,
    size,
    tokens,
    flops: 16 * tokens * width,
    bytes: 4 * 6 * tokens * width,
    record(plan, buffers) {
      swigluBackward(plan, {
        activation: 'silu',
        gateUp: buffers.floats('gate, up', 2 * tokens * width),
        dy: buffers.floats('dy', tokens * width),
        dGateUp: buffers.floats('d gate, up', 2 * tokens * width),
        activated: buffers.floats('activated', tokens * width),
        width,
      });
    },
  };
}

export const benches: readonly KernelBench[] = [forward, backward].flatMap((bench) => [
  bench('full', 512, 1536),
  bench('full', 2048, 8192),
  bench('small', 64, 96),
]);
