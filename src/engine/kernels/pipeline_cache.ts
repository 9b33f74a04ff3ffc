/** Compiled kernels of one device: a pipeline and a bind group layout a variant. */
import { type KernelDefinition, kernelSource, variantKey } from './kernel.ts';

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

  /** Forgets all pipelines; used by tests that change shader sources. */
  clear(): void {
    this.#compiled.clear();
  }

  async #compile(kernel: KernelDefinition): Promise<CompiledKernel> {
    const device = this.#device;
    const count = Object.keys(kernel.bindings).length;
    const hasParams = Object.keys(kernel.params).length > 0;
    const code = kernelSource(kernel);
    const module = device.createShaderModule({ label: kernel.name, code });
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
    try {
      const pipeline = await device.createComputePipelineAsync({
        label: kernel.name,
        layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
        compute: { module, entryPoint: 'main' },
      });
      return { pipeline, layout };
    } catch (error) {
      const { messages } = await module.getCompilationInfo();
      const lines = code.split('\n');
      const text = messages.map((m) => `${m.lineNum}: ${m.message}\n    ${lines[m.lineNum - 1] ?? ''}`).join('\n');
      throw new ShaderError(`${variantKey(kernel)} did not compile: ${text || (error as Error).message}`);
    }
  }
}
