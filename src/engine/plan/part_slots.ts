/** Uniforms that tell a dispatch which part of its grid it is, for one plan; the same parts come again every step. */
import type { Gpu } from '../device/gpu.ts';
import { PART_FIELDS, packUniform, uniformBytes } from '../kernels/kernel.ts';
import type { Grid, GridPart } from './grid_parts.ts';
import { ALIGNMENT } from './tensor.ts';

/** Where a part's uniform is: bind group 1 of its dispatch. */
export interface PartBinding {
  readonly bindGroup: GPUBindGroup;
  readonly offset: number;
}

const SLOTS = 256;

export class PartSlots {
  readonly #gpu: Gpu;
  readonly #buffers: { buffer: GPUBuffer; bindGroup: GPUBindGroup }[] = [];
  readonly #known = new Map<string, PartBinding>();

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  /** The slot of a part of a grid, written before whatever is submitted from now on. */
  slot({ first }: GridPart, groups: Grid): PartBinding {
    const values = [...first, ...groups];
    const key = values.join();
    const known = this.#known.get(key);
    if (known) return known;
    const at = this.#known.size;
    const { buffer, bindGroup } = this.#buffers[Math.floor(at / SLOTS)] ?? this.#grow();
    const binding = { bindGroup, offset: (at % SLOTS) * ALIGNMENT };
    const data = new DataView(new ArrayBuffer(uniformBytes(PART_FIELDS)));
    const fields = Object.fromEntries(Object.keys(PART_FIELDS).map((field, i) => [field, values[i]]));
    packUniform(PART_FIELDS, fields, data, 0);
    this.#gpu.device.queue.writeBuffer(buffer, binding.offset, data.buffer);
    this.#known.set(key, binding);
    return binding;
  }

  /** Between runs, when nothing is encoded that was not submitted: forgets parts of batches that may not come again. */
  recycle(): void {
    if (this.#known.size > SLOTS) this.#known.clear();
  }

  dispose(): void {
    for (const { buffer } of this.#buffers) this.#gpu.ledger.destroy(buffer);
  }

  #grow() {
    const { device, ledger, pipelines } = this.#gpu;
    const buffer = ledger.create({
      label: 'parts of grids',
      size: SLOTS * ALIGNMENT,
      usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
      category: 'activations',
    });
    const resource = { buffer, offset: 0, size: uniformBytes(PART_FIELDS) };
    const bindGroup = device.createBindGroup({
      label: 'parts of grids',
      layout: pipelines.partLayout,
      entries: [{ binding: 0, resource }],
    });
    const made = { buffer, bindGroup };
    this.#buffers.push(made);
    return made;
  }
}
