/**
 * Whether f16 is good enough for a model on this device: the same micro-batch's loss and gradients in f32 and in f16, both
 * of matrices and of activations in memory, before a run. A model whose activations or gradients leave f16's range, and a driver that multiplies matrices wrongly,
 * both show here.
 */
import type { Gpu } from '../device/gpu.ts';
import { hasMatrices, type Precision } from '../kernels/matmul_tile.ts';
import { initialLora, loraRuns } from '../model/lora.ts';
import type { TokenBatch } from '../token_batch.ts';
import type { TensorValues } from './flat_state.ts';
import { KEEP_NONE } from './kept_layers.ts';
import { Trainer, type TrainerOptions } from './trainer.ts';

/** How far f16 may be from f32, relative: the parity cases' limits for a path with f16 (golden/README.md). */
export const F16_LIMITS = { loss: 2e-3, gradient: 2e-2 } as const;

export interface LossAndGradients {
  readonly loss: number;
  readonly gradients: ReadonlyMap<string, TensorValues>;
}

export interface PrecisionChoice {
  readonly precision: Precision;
  /** |loss16 − loss32| / loss32 and ‖g16 − g32‖ / ‖g32‖ over all gradients; null where the device has no matrices. */
  readonly errors: { readonly loss: number; readonly gradient: number } | null;
}

/** f16 where both errors are within {@link F16_LIMITS}; a NaN on either side never is. */
export function compareWithF32(f32: LossAndGradients, f16: LossAndGradients): PrecisionChoice {
  let difference = 0;
  let size = 0;
  for (const [name, { data }] of f32.gradients) {
    const rounded = f16.gradients.get(name)?.data;
    for (let i = 0; i < data.length; i++) {
      difference += ((rounded?.[i] ?? Number.NaN) - data[i]) ** 2;
      size += data[i] ** 2;
    }
  }
  const errors = {
    loss: Math.abs(f16.loss - f32.loss) / Math.abs(f32.loss),
    gradient: Math.sqrt(difference / size),
  };
  const good = errors.loss <= F16_LIMITS.loss && errors.gradient <= F16_LIMITS.gradient;
  return { precision: good ? 'f16' : 'f32', errors };
}

/**
 * The precision a run should have, tried on one of its micro-batches. A new adapter's B is zero, which would hide half
 * of the gradients: it is tried with small random numbers in its place (not with DoRA, whose magnitudes come from it).
 *
 * @throws whatever Trainer.create throws; nothing stays allocated.
 */
export async function choosePrecision(
  gpu: Gpu,
  options: Omit<TrainerOptions, 'precision' | 'stored' | 'keepLayers' | 'tune' | 'capacity'>,
  batch: TokenBatch,
): Promise<PrecisionChoice> {
  if (!hasMatrices(gpu.capabilities)) return { precision: 'f32', errors: null };
  const adapter = options.adapter ?? (options.lora.dora ? null : withoutZeros(options));
  const measure = async (precision: Precision): Promise<LossAndGradients> => {
    const capacity = batch.ids.length;
    const trainer = await Trainer.create(gpu, {
      ...options,
      adapter,
      precision,
      // Both or neither: what a matrix rounds costs no more when it was stored so.
      stored: precision,
      capacity,
      keepLayers: KEEP_NONE,
      tune: null,
    });
    try {
      const { lossSum, tokens } = await trainer.evaluate([batch]);
      return { loss: lossSum / tokens, gradients: await trainer.gradients(batch) };
    } finally {
      trainer.dispose();
    }
  };
  const compare = async () => compareWithF32(await measure('f32'), await measure('f16'));
  return gpu.matmulChoices.quietly(() => gpu.attentionChoices.quietly(compare));
}

/** As B is after some training: next to the frozen weights, not above them. */
const SMALL = 0.02;

/** PEFT's start with B like A, but small. */
function withoutZeros({ model, lora, seed }: Pick<TrainerOptions, 'model' | 'lora' | 'seed'>) {
  const tensors = loraRuns(model.spec, lora).flat();
  const start = initialLora(tensors, seed, true);
  const asA = tensors
    .filter(({ name }) => name.endsWith('.lora_B'))
    .map((tensor) => ({ ...tensor, name: tensor.name.replace(/B$/, 'A') }));
  for (const [name, { shape, data }] of initialLora(asA, seed + 1, true)) {
    start.set(name.replace(/A$/, 'B'), { shape, data: data.map((x) => x * SMALL) });
  }
  return start;
}
