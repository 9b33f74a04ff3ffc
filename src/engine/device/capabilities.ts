/** What a device can do, as far as kernels and plans ask. */
export interface Capabilities {
  /** Vendor, architecture and device as the browser tells them. */
  readonly name: string;
  readonly features: readonly string[];
  /** Those of them that the device was made with, so that kernels may use them. */
  readonly enabled: readonly string[];
  /** Empty unless `chromium-experimental-subgroup-matrix` is enabled. */
  readonly subgroupMatrixConfigs: readonly SubgroupMatrixConfig[];
  /** A CPU plays the GPU: SwiftShader, lavapipe, WARP. */
  readonly software: boolean;
  /** Lanes a subgroup, where the browser says. */
  readonly subgroupSize: number | null;
  readonly workgroupStorageBytes: number;
  readonly maxBindingBytes: number;
  readonly maxBufferBytes: number;
}

/** A shape that the device multiplies by subgroups: [M, K] × [K, N]. */
export interface SubgroupMatrixConfig {
  readonly componentType: string;
  readonly resultComponentType: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}
