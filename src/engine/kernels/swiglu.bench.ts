import type { BenchSize, KernelBench } from '../bench/kernel_bench.ts';
import { swiglu, swigluBackward } from './swiglu.ts';

function forward(size: BenchSize, tokens: number, width: number): KernelBench {
  return {
    name: `swiglu ${tokens}×${width}`,
    size,
    tokens,
    flops: 8 * tokens * width,
    bytes: 4 * 3 * tokens * width,
    record(plan, buffers, variant) {
      swiglu(plan, {
        activation: 'silu',
        gateUp: buffers.activations('gate, up', 2 * tokens * width, variant),
        y: buffers.activations('y', tokens * width, variant),
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
    record(plan, buffers, variant) {
      swigluBackward(plan, {
        activation: 'silu',
        gateUp: buffers.activations('gate, up', 2 * tokens * width, variant),
        dy: buffers.floats('dy', tokens * width),
        dGateUp: buffers.floats('d gate, up', 2 * tokens * width),
        activated: buffers.activations('activated', tokens * width, variant),
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
