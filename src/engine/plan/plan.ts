/**
 * Recording a static plan: dispatches are recorded once for the largest shape, tensors placed, pipelines compiled and bind
 * groups made; a step then only encodes. The number of tokens may differ from step to step: it is in the step uniform, and
 * workgroup counts are computed from it when encoding.
 */
import type { Capabilities } from '../device/capabilities.ts';
import type { Gpu } from '../device/gpu.ts';
import { GpuMemoryError, type MemoryCategory } from '../device/ledger.ts';
import {
  type Binding,
  isHalves,
  type KernelDefinition,
  type ParamType,
  packUniform,
  STEP_FIELDS,
  uniformBytes,
} from '../kernels/kernel.ts';
import type { MatmulShape, Precision } from '../kernels/matmul_tile.ts';
import type { AttentionChoice, AttentionProblem } from '../tuning/attention_choices.ts';
import type { MatmulProblem } from '../tuning/matmul_choices.ts';
import { type Arena, type Layout, type Lifetime, placeTensors } from './arena.ts';
import { type Interlude, Plan, type Workgroups } from './execution.ts';
import { ALIGNMENT, type ArenaTensor, align, inHalves, type Tensor, type TensorView, view } from './tensor.ts';

interface Dispatch {
  readonly kernel: KernelDefinition;
  readonly views: readonly TensorView[];
  readonly params: Readonly<Record<string, number>>;
  readonly workgroups: Workgroups;
  readonly flopsPerToken: number;
}

export interface DispatchOptions<B extends Record<string, Binding>, P extends Record<string, ParamType>> {
  readonly bindings: { readonly [K in keyof B]: Tensor | TensorView };
  readonly params: { readonly [K in keyof P]: number };
  readonly workgroups: Workgroups;
  /** Rough cost in floating-point operations a token; left out where that is not what a dispatch takes time for. */
  readonly flopsPerToken?: number;
}

const asView = (x: Tensor | TensorView): TensorView => ('kind' in x ? view(x) : x);

/** Collects dispatches; `layout` places the tensors, `finish` makes the plan. */
export class PlanBuilder {
  readonly #gpu: Gpu;
  readonly #dispatches: Dispatch[] = [];
  readonly #kept = new Set<ArenaTensor>();
  /** By the number of dispatches before them. */
  readonly #interludes = new Map<number, Interlude[]>();
  #layout: Layout | null = null;

  /** The most tokens a micro-batch may have. */
  readonly capacity: number;

  /** What matmuls may round their operands to. */
  readonly precision: Precision;

  constructor(gpu: Gpu, capacity: number, precision: Precision = 'f32') {
    this.#gpu = gpu;
    this.capacity = capacity;
    this.precision = precision;
  }

  get capabilities(): Capabilities {
    return this.#gpu.capabilities;
  }

  /** How this device cuts a matmul. */
  matmulShape(problem: MatmulProblem): MatmulShape {
    return this.#gpu.matmulChoices.choose(problem, this.capabilities);
  }

  /** How it cuts a pass of attention. */
  attentionChoice(problem: AttentionProblem): AttentionChoice {
    return this.#gpu.attentionChoices.choose(problem, this.capabilities);
  }

  /** A tensor that lives within the plan, its size given in bytes at capacity. */
  tensor(name: string, bytes: number, category: MemoryCategory = 'activations'): ArenaTensor {
    const limit = this.#gpu.capabilities.maxBindingBytes;
    if (bytes > limit) {
      throw new GpuMemoryError(
        `${name} needs ${bytes} bytes in one piece; this device binds at most ${limit}. Try a shorter max_length or a smaller batch.`,
      );
    }
    return { kind: 'arena', name, bytes: align(Math.max(4, bytes)), category };
  }

  /** A row of floats for every token, in 16 bits where `halves` says so. */
  rows(name: string, perToken: number, halves = false): ArenaTensor {
    const tensor = this.tensor(name, this.capacity * perToken * (halves ? 2 : 4));
    return halves ? { ...tensor, halves } : tensor;
  }

  /** Keeps a tensor's bytes to the end of the plan, so that it can be read back. */
  keep(tensor: ArenaTensor): void {
    this.#kept.add(tensor);
  }

  dispatch<B extends Record<string, Binding>, P extends Record<string, ParamType>>(
    kernel: KernelDefinition<B, P>,
    options: DispatchOptions<B, P>,
  ): void {
    const views = Object.keys(kernel.bindings).map((name) => asView(options.bindings[name]));
    const types = Object.values(kernel.bindings).map(({ type }) => type);
    for (const [i, v] of views.entries()) {
      if (v.offset % ALIGNMENT !== 0)
        throw new Error(`${kernel.name}: ${v.tensor.name} bound at ${v.offset}, not a multiple of 256`);
      if (inHalves(v) !== isHalves(types[i]))
        throw new Error(`${kernel.name} takes ${v.tensor.name} for ${types[i]}, which it is not`);
    }
    this.#dispatches.push({
      kernel,
      views,
      params: options.params,
      workgroups: options.workgroups,
      flopsPerToken: options.flopsPerToken ?? 0,
    });
  }

  /**
   * Something that happens between what is recorded before and what is recorded after, each time the plan runs: a copy in
   * or out of a buffer that dispatches of this plan share.
   */
  interlude(interlude: Interlude): void {
    const at = this.#dispatches.length;
    this.#interludes.set(at, [...(this.#interludes.get(at) ?? []), interlude]);
  }

  /** Decides where each arena tensor lies. */
  layout(): Layout {
    if (this.#layout) return this.#layout;
    const lifetimes = new Map<ArenaTensor, Lifetime>();
    this.#dispatches.forEach(({ kernel, views }, index) => {
      const accesses = Object.values(kernel.bindings);
      views.forEach(({ tensor }, i) => {
        if (tensor.kind !== 'arena') return;
        const known = lifetimes.get(tensor);
        if (!known && accesses[i].access !== 'out') {
          throw new Error(`${kernel.name} reads ${tensor.name}, which nothing has written`);
        }
        lifetimes.set(tensor, { first: known?.first ?? index, last: index });
      });
    });
    for (const tensor of this.#kept) {
      const life = lifetimes.get(tensor);
      if (life) lifetimes.set(tensor, { first: life.first, last: this.#dispatches.length });
    }
    this.#layout = placeTensors(lifetimes, this.#gpu.capabilities.maxBufferBytes);
    return this.#layout;
  }

  /** Compiles the kernels, so that {@link finish} finds them ready. */
  async compile(): Promise<void> {
    await Promise.all(this.#dispatches.map(({ kernel }) => this.#gpu.pipelines.get(kernel)));
  }

  /** The buffer of all dispatches' parameters. */
  allocateParameters(): GPUBuffer {
    const bytes = this.#dispatches.reduce((sum, { kernel }) => sum + align(uniformBytes(kernel.params)), 0);
    return this.#gpu.ledger.create({
      label: 'plan parameters',
      size: Math.max(16, bytes),
      usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
      category: 'activations',
    });
  }

  /** Compiles the kernels and makes the bind groups over an arena that holds at least this plan's layout. */
  async finish(arena: Arena, step: GPUBuffer): Promise<Plan> {
    const gpu = this.#gpu;
    const layout = this.layout();
    const place = ({ tensor, offset, bytes }: TensorView) => {
      if (tensor.kind === 'buffer') return { buffer: tensor.buffer, offset: tensor.offset + offset, size: bytes };
      const at = layout.places.get(tensor)!;
      return { buffer: arena.buffer(at.chunk), offset: at.offset + offset, size: bytes };
    };
    const dispatches = this.#dispatches;
    // First of all: a kernel that does not compile must leave no buffer behind.
    const compiled = await Promise.all(dispatches.map(({ kernel }) => gpu.pipelines.get(kernel)));
    const offsets: number[] = [];
    let uniformSize = 0;
    for (const { kernel } of dispatches) {
      offsets.push(uniformSize);
      uniformSize += align(uniformBytes(kernel.params));
    }
    const data = new DataView(new ArrayBuffer(Math.max(16, uniformSize)));
    dispatches.forEach(({ kernel, params }, i) => {
      packUniform(kernel.params, params, data, offsets[i]);
    });
    const uniforms = this.allocateParameters();
    gpu.device.queue.writeBuffer(uniforms, 0, data.buffer);
    const commands = dispatches.map((dispatch, i) => {
      const count = dispatch.views.length;
      const hasParams = Object.keys(dispatch.kernel.params).length > 0;
      const bindGroup = gpu.device.createBindGroup({
        label: dispatch.kernel.name,
        layout: compiled[i].layout,
        entries: [
          ...dispatch.views.map((v, binding) => ({ binding, resource: place(v) })),
          ...(hasParams
            ? [
                {
                  binding: count,
                  resource: { buffer: uniforms, offset: offsets[i], size: uniformBytes(dispatch.kernel.params) },
                },
              ]
            : []),
          { binding: count + 1, resource: { buffer: step, offset: 0, size: uniformBytes(STEP_FIELDS) } },
        ],
      });
      const { kernel, workgroups, flopsPerToken } = dispatch;
      return { kernel, workgroups, flopsPerToken, pipeline: compiled[i].pipeline, bindGroup };
    });
    return new Plan(gpu, commands, { uniforms, place, interludes: this.#interludes });
  }
}
