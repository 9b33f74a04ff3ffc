/** Compiled kernels of one device: a pipeline and a bind group layout a variant. */
import { type KernelDefinition, kernelSource, PART_FIELDS, uniformBytes, variantKey } from './kernel.ts';

export interface CompiledKernel {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

export class ShaderError extends Error {
  override name = 'ShaderError';
}

export class PipelineCache {
  readonly #device: GPUDevice;
  readonly #compiled = new Map<string, Promise<CompiledKernel>>();
  readonly #inParts = new Map<string, Promise<GPUComputePipeline>>();
  #partLayout: GPUBindGroupLayout | null = null;

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  /** Compiles once a variant. Rejects with {@link ShaderError} naming the kernel and the compiler's messages. */
  get(kernel: KernelDefinition): Promise<CompiledKernel> {
    const key = variantKey(kernel);
    let compiled = this.#compiled.get(key);
    if (!compiled) {
      compiled = this.#compile(kernel);
      this.#compiled.set(key, compiled);
    }
    return compiled;
  }

  /** The same kernel over a part of its grid: its pipeline takes {@link partLayout} as bind group 1. */
  getInParts(kernel: KernelDefinition): Promise<GPUComputePipeline> {
    const key = variantKey(kernel);
    let pipeline = this.#inParts.get(key);
    if (!pipeline) {
      const code = kernelSource(kernel, true);
      pipeline = this.get(kernel).then(({ layout }) => this.#pipeline(kernel, code, [layout, this.partLayout]));
      this.#inParts.set(key, pipeline);
    }
    return pipeline;
  }

  /** Of the uniform that says which part of a grid a dispatch is, with a dynamic offset. */
  get partLayout(): GPUBindGroupLayout {
    this.#partLayout ??= this.#device.createBindGroupLayout({
      label: 'part of a grid',
      entries: [
        {
          binding: 0,
          visibility: GPUShaderStage.COMPUTE,
          buffer: { type: 'uniform', hasDynamicOffset: true, minBindingSize: uniformBytes(PART_FIELDS) },
        },
      ],
    });
    return this.#partLayout;
  }

  /** Forgets all pipelines; used by tests that change shader sources. */
  clear(): void {
    this.#compiled.clear();
    this.#inParts.clear();
  }

  async #compile(kernel: KernelDefinition): Promise<CompiledKernel> {
    const device = this.#device;
    const count = Object.keys(kernel.bindings).length;
    const hasParams = Object.keys(kernel.params).length > 0;
    const layout = device.createBindGroupLayout({
      label: kernel.name,
      entries: [
        ...Array.from({ length: count }, (_, binding) => ({
          binding,
          visibility: GPUShaderStage.COMPUTE,
          buffer: { type: 'storage' as const },
        })),
        ...(hasParams
          ? [{ binding: count, visibility: GPUShaderStage.COMPUTE, buffer: { type: 'uniform' as const } }]
          : []),
        { binding: count + 1, visibility: GPUShaderStage.COMPUTE, buffer: { type: 'uniform' as const } },
      ],
    });
    return { pipeline: await this.#pipeline(kernel, kernelSource(kernel), [layout]), layout };
  }

  async #pipeline(
    kernel: KernelDefinition,
    code: string,
    bindGroupLayouts: GPUBindGroupLayout[],
  ): Promise<GPUComputePipeline> {
    const device = this.#device;
    const module = device.createShaderModule({ label: kernel.name, code });
    try {
      return await device.createComputePipelineAsync({
        label: kernel.name,
        layout: device.createPipelineLayout({ bindGroupLayouts }),
        compute: { module, entryPoint: 'main' },
      });
    } catch (error) {
      const { messages } = await module.getCompilationInfo();
      const lines = code.split('\n');
      const text = messages.map((m) => `${m.lineNum}: ${m.message}\n    ${lines[m.lineNum - 1] ?? ''}`).join('\n');
      throw new ShaderError(`${variantKey(kernel)} did not compile: ${text || (error as Error).message}`);
    }
  }
}
