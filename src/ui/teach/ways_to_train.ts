/** What three ways of training a model hold, from this run's own figures. */
import type { MemoryCategory } from '../../worker/protocol.ts';

interface Way {
  readonly name: string;
  readonly bytes: number;
  readonly note: string;
}

/**
 * Bytes of weights, gradients and moments. All parameters: bf16 weights and gradients, f32 master copy and two moments, 16 bytes a
 * parameter (Rajbhandari et al. 2020, §3.1). LoRA: bf16 weights, this run's adapter and optimizer. QLoRA: this run.
 */
export function waysToTrain(parameters: number, memory: Readonly<Record<MemoryCategory, number>>): Way[] {
  const trained = memory.adapter + memory.optimizer;
  return [
    {
      name: 'All parameters',
      bytes: 16 * parameters,
      note: '16 bytes a parameter, as is usual with AdamW in mixed precision',
    },
    { name: 'LoRA', bytes: 2 * parameters + trained, note: 'frozen weights in 16 bits, and this adapter' },
    { name: 'QLoRA', bytes: memory.weights + trained, note: 'this run: layers in 4 bits, tables in 16' },
  ];
}
