/** A device that only counts: what allocates on it learns what it would need, and nothing is allocated or computed. */
import { Pacing } from '../plan/pacing.ts';
import { AttentionChoices } from '../tuning/attention_choices.ts';
import { MatmulChoices } from '../tuning/matmul_choices.ts';
import type { Capabilities } from './capabilities.ts';
import type { Gpu } from './gpu.ts';
import { MemoryLedger } from './ledger.ts';

/**
 * Whatever is recorded for it gets the variants that a device with these capabilities would get by rule. Buffers can be
 * made, written and destroyed; there are no pipelines, so that no plan can be finished.
 */
export function dryGpu(capabilities: Capabilities): Gpu {
  const device = {
    limits: { maxBufferSize: capabilities.maxBufferBytes },
    createBuffer: ({ label, size }: GPUBufferDescriptor) => ({ label: label ?? '', size, destroy() {} }),
    queue: { writeBuffer() {} },
  };
  const counting: Omit<Gpu, 'device' | 'pipelines'> = {
    capabilities,
    ledger: new MemoryLedger(device as unknown as GPUDevice),
    matmulChoices: new MatmulChoices(),
    attentionChoices: new AttentionChoices(),
    pacing: new Pacing(),
    lost: new Promise(() => {}),
    check() {},
    dispose() {},
  };
  return { ...counting, device } as unknown as Gpu;
}
