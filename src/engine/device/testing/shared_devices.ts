/** Devices that several sessions of one test file use in turn, for tests. */
import { vi } from 'vitest';

/**
 * `requestDevice` hands out the device of an earlier request of the same kind as long as it lives, and a device compiles a
 * shader once however many sessions ask for it: on SwiftShader that is most of a short session. What destroys a device takes
 * it away from all that come later. Returns what tells the devices that were made, newest last.
 */
export function shareDevices(): () => readonly GPUDevice[] {
  const made: GPUDevice[] = [];
  const living = new Map<string, GPUDevice>();
  const request = GPUAdapter.prototype.requestDevice;
  vi.spyOn(GPUAdapter.prototype, 'requestDevice').mockImplementation(async function (this: GPUAdapter, descriptor) {
    const kind = JSON.stringify(descriptor);
    const known = living.get(kind);
    if (known) return known;
    const device = await request.call(this, descriptor);
    made.push(device);
    living.set(kind, device);
    const destroy = device.destroy.bind(device);
    device.destroy = () => {
      living.delete(kind);
      return destroy();
    };
    compileOnce(device);
    return device;
  });
  return () => made;
}

function compileOnce(device: GPUDevice): void {
  const described = new WeakMap<object, string>();
  const compiled = new Map<string, Promise<GPUComputePipeline>>();
  const [module, layout, pipelineLayout, compile] = [
    device.createShaderModule.bind(device),
    device.createBindGroupLayout.bind(device),
    device.createPipelineLayout.bind(device),
    device.createComputePipelineAsync.bind(device),
  ];
  const note = <T extends object>(made: T, description: string): T => {
    described.set(made, description);
    return made;
  };
  device.createShaderModule = (one) => note(module(one), one.code);
  device.createBindGroupLayout = (one) => note(layout(one), JSON.stringify(one.entries));
  device.createPipelineLayout = (one) =>
    note(pipelineLayout(one), [...one.bindGroupLayouts].map((group) => group && described.get(group)).join());
  device.createComputePipelineAsync = (one) => {
    const key = `${described.get(one.layout as GPUPipelineLayout)} ${described.get(one.compute.module)}`;
    const pipeline = compiled.get(key) ?? compile(one);
    compiled.set(key, pipeline);
    return pipeline;
  };
}
