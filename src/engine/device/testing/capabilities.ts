import type { Capabilities } from '../capabilities.ts';

/** A GPU with room for every tile of f32, and no features: for what only counts or chooses. */
export const GPU: Capabilities = {
  name: 'test',
  features: [],
  enabled: [],
  subgroupMatrixConfigs: [],
  software: false,
  subgroupSize: 32,
  workgroupStorageBytes: 32768,
  maxBindingBytes: 2 ** 30,
  maxBufferBytes: 2 ** 30,
};
