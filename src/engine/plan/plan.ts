/**
 * A static plan: dispatches are recorded once for the largest shape, tensors placed, pipelines compiled and bind groups
 * made; a step then only encodes. The number of tokens may differ from step to step: it is in the step uniform, and
 * workgroup counts are computed from it when encoding.
 */
import type { Capabilities } from '../device/capabilities.ts';
import type { Gpu } from '../device/gpu.ts';
import { GpuMemoryError, type MemoryCategory } from '../device/ledger.ts';
import {
  type Binding,
  type KernelDefinition,
  type ParamType,
  packUniform,
  STEP_FIELDS,
  uniformBytes,
} from '../kernels/kernel.ts';
import type { MatmulShape, Precision } from '../kernels/matmul_tile.ts';
import type { MatmulProblem } from '../tuning/matmul_choices.ts';
import { type Arena, type Layout, type Lifetime, placeTensors } from './arena.ts';
import { type DispatchTime, type PlanTime, profileCommands, type TimedCommand, timeCommands } from './profile.ts';
import { ALIGNMENT, type ArenaTensor, align, type Tensor, type TensorView, view } from './tensor.ts';

/** Workgroup counts for a micro-batch of `tokens`; null where there is nothing to do. */
export type Workgroups = (tokens: number) => readonly [number, number, number] | null;

interface Dispatch {
  readonly kernel: KernelDefinition;
  readonly views: readonly TensorView[];
  readonly params: Readonly<Record<string, number>>;
  readonly workgroups: Workgroups;
  /** Rough cost in floating-point operations a token, for splitting submits. */
  readonly flopsPerToken: number;
}

export interface DispatchOptions<B extends Record<string, Binding>, P extends Record<string, ParamType>> {
  readonly bindings: { readonly [K in keyof B]: Tensor | TensorView };
  readonly params: { readonly [K in keyof P]: number };
  readonly workgroups: Workgroups;
  readonly flopsPerToken?: number;
}

const asView = (x: Tensor | TensorView): TensorView => ('kind' in x ? view(x) : x);

/** Collects dispatches; `layout` places the tensors, `finish` makes the plan. */
export class PlanBuilder {
  readonly #gpu: Gpu;
  readonly #dispatches: Dispatch[] = [];
  readonly #kept = new Set<ArenaTensor>();
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
    return this.#gpu.matmulChoices.shape(problem, this.capabilities);
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

  /** Keeps a tensor's bytes to the end of the plan, so that it can be read back. */
  keep(tensor: ArenaTensor): void {
    this.#kept.add(tensor);
  }

  dispatch<B extends Record<string, Binding>, P extends Record<string, ParamType>>(
    kernel: KernelDefinition<B, P>,
    options: DispatchOptions<B, P>,
  ): void {
    const views = Object.keys(kernel.bindings).map((name) => asView(options.bindings[name]));
    for (const v of views) {
      if (v.offset % ALIGNMENT !== 0)
        throw new Error(`${kernel.name}: ${v.tensor.name} bound at ${v.offset}, not a multiple of 256`);
    }
    this.#dispatches.push({
      kernel,
      views,
      params: options.params,
      workgroups: options.workgroups,
      flopsPerToken: options.flopsPerToken ?? 0,
    });
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
    const uniforms = gpu.ledger.create({
      label: 'plan parameters',
      size: data.byteLength,
      usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
      category: 'activations',
    });
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
      return { ...dispatch, pipeline: compiled[i].pipeline, bindGroup };
    });
    return new Plan(gpu, commands, uniforms, place);
  }
}

interface PlanCommand extends Dispatch {
  readonly pipeline: GPUComputePipeline;
  readonly bindGroup: GPUBindGroup;
}

/** Floating-point operations a submit may hold before its speed is known: well under a second on any adapter. */
const FIRST_SUBMIT_FLOPS = 5e7;
/** Milliseconds a submit should take: far below what makes an operating system reset the GPU. */
const SUBMIT_MS = 200;

export class Plan {
  readonly #gpu: Gpu;
  readonly #commands: readonly PlanCommand[];
  readonly #uniforms: GPUBuffer;
  readonly #place: (v: TensorView) => { buffer: GPUBuffer; offset: number; size: number };
  /** Dispatches of each kernel so far. */
  readonly dispatchCounts = new Map<string, number>();
  #flopsPerSubmit = FIRST_SUBMIT_FLOPS;
  #measured = false;

  constructor(
    gpu: Gpu,
    commands: readonly PlanCommand[],
    uniforms: GPUBuffer,
    place: (v: TensorView) => { buffer: GPUBuffer; offset: number; size: number },
  ) {
    this.#gpu = gpu;
    this.#commands = commands;
    this.#uniforms = uniforms;
    this.#place = place;
  }

  /** Where a kept tensor lies, for copies out of it. */
  locate(tensor: ArenaTensor): { buffer: GPUBuffer; offset: number } {
    return this.#place(view(tensor));
  }

  /**
   * Encodes and submits the whole plan for `tokens` tokens. The first run waits for each submit and measures it; from
   * then on submits are as long as {@link SUBMIT_MS} allows and nothing waits.
   */
  async run(tokens: number): Promise<void> {
    const { device } = this.#gpu;
    let encoder: GPUCommandEncoder | null = null;
    let pass: GPUComputePassEncoder | null = null;
    let flops = 0;
    let fastest = 0;
    const flush = async () => {
      if (!encoder || !pass) return;
      pass.end();
      const started = performance.now();
      device.queue.submit([encoder.finish()]);
      encoder = null;
      pass = null;
      if (!this.#measured) {
        await device.queue.onSubmittedWorkDone();
        fastest = Math.max(fastest, flops / Math.max(0.5, performance.now() - started));
      }
      flops = 0;
    };
    for (const { kernel, pipeline, bindGroup, workgroups, flopsPerToken } of this.#commands) {
      const size = workgroups(tokens);
      if (!size || size[0] * size[1] * size[2] === 0) continue;
      if (!pass) {
        encoder = device.createCommandEncoder();
        pass = encoder.beginComputePass();
      }
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, bindGroup);
      pass.dispatchWorkgroups(...size);
      this.dispatchCounts.set(kernel.name, (this.dispatchCounts.get(kernel.name) ?? 0) + 1);
      flops += flopsPerToken * tokens;
      if (flops >= this.#flopsPerSubmit) await flush();
    }
    await flush();
    if (!this.#measured) {
      // Also where no dispatch counts operations, as in the optimizer's plan: or every run of it would wait.
      this.#measured = true;
      this.#flopsPerSubmit = Math.max(FIRST_SUBMIT_FLOPS, fastest * SUBMIT_MS);
    }
  }

  /**
   * Runs the plan with every dispatch timed: one entry a dispatch, in order. Slower than {@link run}, and where a device
   * has no timestamps the dispatches are repeated, so that what the tensors hold afterwards means nothing.
   */
  profile(tokens: number): Promise<DispatchTime[]> {
    return profileCommands(this.#gpu, this.#timed(tokens), this.#flopsPerSubmit);
  }

  /** Runs the plan in one pass of one submit and times it as a whole: for plans of well under a second. */
  time(tokens: number): Promise<PlanTime> {
    return timeCommands(this.#gpu, this.#timed(tokens));
  }

  #timed(tokens: number): TimedCommand[] {
    return this.#commands.flatMap(({ kernel, pipeline, bindGroup, workgroups, flopsPerToken }) => {
      const size = workgroups(tokens);
      if (!size || size[0] * size[1] * size[2] === 0) return [];
      return [{ kernel, pipeline, bindGroup, size, flops: flopsPerToken * tokens }];
    });
  }

  dispose(): void {
    this.#gpu.ledger.destroy(this.#uniforms);
  }
}
