/** An adapter on the GPU that is not trained: its parameters, and nothing beside them. */
import { allocate } from '../device/allocation.ts';
import type { Gpu } from '../device/gpu.ts';
import { STEP_FIELDS, uniformBytes } from '../kernels/kernel.ts';
import type { BoundAdapter, DoraNorms } from '../model/decoder.ts';
import { createDoraNorms, startDora } from '../model/dora.ts';
import { type LoraOptions, loraRuns } from '../model/lora.ts';
import type { ModelWeights } from '../model/weights.ts';
import { FlatState, type TensorValues } from '../train/flat_state.ts';

/** What generates with the base model alone. */
const NO_LORA: LoraOptions = { adapters: new Map(), dora: false, dropout: 0 };

export class LoadedAdapter implements BoundAdapter {
  readonly #gpu: Gpu;
  readonly state: FlatState;
  readonly lora: LoraOptions;
  readonly doraNorms: DoraNorms | null;

  private constructor(gpu: Gpu, { state, lora, doraNorms }: BoundAdapter) {
    this.#gpu = gpu;
    this.state = state;
    this.lora = lora;
    this.doraNorms = doraNorms;
  }

  /**
   * @param values by `model.layers.0.self_attn.q_proj.lora_A`
   * @throws GpuMemoryError; whatever was allocated is freed.
   */
  static async create(
    gpu: Gpu,
    model: ModelWeights,
    lora: LoraOptions,
    values: ReadonlyMap<string, TensorValues>,
  ): Promise<LoadedAdapter> {
    const before = new Set(gpu.ledger.buffers());
    try {
      const runs = loraRuns(model.spec, lora);
      const state = await allocate(gpu, () => new FlatState(gpu, runs, false));
      for (const { name } of runs.flat()) {
        const tensor = values.get(name);
        if (!tensor) throw new Error(`the adapter has no ${name}`);
        state.write(name, tensor.data);
      }
      const doraNorms = createDoraNorms(gpu, lora);
      const adapter = new LoadedAdapter(gpu, { state, lora: { ...lora, dropout: 0 }, doraNorms });
      await adapter.#computeNorms(model);
      return adapter;
    } catch (error) {
      for (const left of gpu.ledger.buffers()) if (!before.has(left)) gpu.ledger.destroy(left);
      throw error;
    }
  }

  /** None: the model as it is. */
  static none(gpu: Gpu): LoadedAdapter {
    return new LoadedAdapter(gpu, { state: new FlatState(gpu, [], false), lora: NO_LORA, doraNorms: null });
  }

  async #computeNorms(weights: ModelWeights): Promise<void> {
    if (!this.doraNorms) return;
    const usage = GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST;
    const size = uniformBytes(STEP_FIELDS);
    const step = this.#gpu.ledger.create({ label: 'step', size, usage, category: 'activations' });
    await startDora(this.#gpu, { ...this, spec: weights.spec, weights }, step, false);
    this.#gpu.ledger.destroy(step);
  }

  dispose(): void {
    this.state.dispose();
    if (this.doraNorms) this.#gpu.ledger.destroy(this.doraNorms.tensor.buffer);
  }
}
