/**
 * What a kernel is. A kernel's TypeScript file declares its bindings, its parameters and its constants; the WGSL
 * declarations are generated from them, so the two cannot disagree, and the WGSL file holds only the algorithm.
 */
import { assembleShader } from './shader_sources.ts';

/** Floats in 16 bits, packed in words (shaders/common/halves.wgsl): so many to an element. */
const HALVES = { 'vec2<f16>': 'u32', 'vec4<f16>': 'vec2<u32>', 'vec8<f16>': 'vec4<u32>' } as const;
type HalvesType = keyof typeof HALVES;
export type ElementType = 'f32' | 'u32' | 'i32' | 'vec2<u32>' | 'vec4<f32>' | 'vec4<u32>' | 'atomic<u32>' | HalvesType;

export const isHalves = (type: ElementType): type is HalvesType => type in HALVES;
const storageType = (type: ElementType) => (isHalves(type) ? HALVES[type] : type);

/** How a dispatch uses a binding: liveness in the plan follows from it. */
export type Access = 'in' | 'out' | 'inout';

export interface Binding {
  readonly access: Access;
  readonly type: ElementType;
}

export const input = (type: ElementType): Binding => ({ access: 'in', type });
export const output = (type: ElementType): Binding => ({ access: 'out', type });
export const inout = (type: ElementType): Binding => ({ access: 'inout', type });

/**
 * What a kernel over Numbers (shaders/common/number.wgsl) binds: vectors where every row is whole groups of four.
 *
 * @param halves in 16 bits, of which only vectors can be written
 */
export function numbers(vectors: boolean, halves = false): ElementType {
  if (!halves) return vectors ? 'vec4<f32>' : 'f32';
  if (!vectors) throw new Error('floats in 16 bits come in groups of four');
  return 'vec4<f16>';
}

/** A row of so many elements in Numbers; `also` are offsets that must be whole groups of four too. */
export function inNumbers(elements: number, ...also: number[]): { count: number; vectors: boolean } {
  const vectors = [elements, ...also].every((n) => n % 4 === 0);
  return { count: vectors ? elements / 4 : elements, vectors };
}

export type ParamType = 'u32' | 'i32' | 'f32';
export type Constants = Readonly<Record<string, number | boolean>>;

export interface KernelDefinition<
  B extends Record<string, Binding> = Record<string, Binding>,
  P extends Record<string, ParamType> = Record<string, ParamType>,
> {
  /** The op's name: what dispatch counts and benchmarks are kept under. */
  readonly name: string;
  /** File below shaders/. */
  readonly shader: string;
  /** Storage buffers, in binding order. */
  readonly bindings: B;
  /** Fields of the dispatch's own uniform, fixed when the plan is made. */
  readonly params: P;
  /**
   * Numbers become `const NAME: u32` and count `#for i NAME`, booleans steer `#if NAME`. They make a variant: one
   * pipeline each.
   */
  readonly constants: Constants;
  /** WGSL extensions that it enables; the device must have been made with their features. */
  readonly requires?: readonly string[];
}

/** Values that change from step to step, in one uniform that all kernels see as `step`. */
export const STEP_FIELDS = {
  /** T: tokens in this micro-batch. */
  tokens: 'u32',
  /** 1 / trained tokens in the whole accumulation window. */
  inverse_trained_tokens: 'f32',
  /** Where in the log ring this step's figures go. */
  log_slot: 'u32',
  /** 0 for a window's first micro-batch: the log slot is written, not added to. */
  micro_batch: 'u32',
  /** The run's seed and the optimizer's step, which decide what dropout drops. */
  seed: 'u32',
  number: 'u32',
  /** 1 − lr · weight_decay. */
  decay: 'f32',
  /** lr / (1 − β1^t). */
  step_size: 'f32',
  /** The same two with the second learning rate (LoRA+). */
  second_decay: 'f32',
  second_step_size: 'f32',
  /** 1 / √(1 − β2^t). */
  inverse_sqrt_bias_correction2: 'f32',
  beta1: 'f32',
  beta2: 'f32',
  /** Their own fields: 1 − f32(β) would lose half the digits of 1 − β. */
  one_minus_beta1: 'f32',
  one_minus_beta2: 'f32',
  epsilon: 'f32',
  max_grad_norm: 'f32',
} as const satisfies Record<string, ParamType>;
export type StepValues = Record<keyof typeof STEP_FIELDS, number>;

/** The optimizer's part of them where nothing is updated. */
export const NO_UPDATE: Omit<
  StepValues,
  'tokens' | 'inverse_trained_tokens' | 'log_slot' | 'micro_batch' | 'seed' | 'number'
> = {
  decay: 1,
  step_size: 0,
  second_decay: 1,
  second_step_size: 0,
  inverse_sqrt_bias_correction2: 1,
  beta1: 0,
  beta2: 0,
  one_minus_beta1: 0,
  one_minus_beta2: 0,
  epsilon: 1,
  max_grad_norm: 1,
};

/** Bytes of a uniform with these fields (all 4 bytes wide, the struct rounded to 16). */
export const uniformBytes = (fields: Readonly<Record<string, ParamType>>) =>
  Math.max(16, Math.ceil(Object.keys(fields).length / 4) * 16);

/** Writes fields in order at a byte offset. Throws on a missing, negative or fractional value where it matters. */
export function packUniform(
  fields: Readonly<Record<string, ParamType>>,
  values: Readonly<Record<string, number>>,
  view: DataView,
  offset: number,
): void {
  let at = offset;
  for (const [name, type] of Object.entries(fields)) {
    const value = values[name];
    if (value === undefined || Number.isNaN(value)) throw new Error(`uniform ${name} has no value`);
    if (type === 'f32') view.setFloat32(at, value, true);
    else if (!Number.isInteger(value)) throw new Error(`uniform ${name} must be an integer, not ${value}`);
    else if (type === 'u32') view.setUint32(at, value, true);
    else view.setInt32(at, value, true);
    at += 4;
  }
}

export function defineKernel<B extends Record<string, Binding>, P extends Record<string, ParamType>>(
  definition: KernelDefinition<B, P>,
): KernelDefinition<B, P> {
  return definition;
}

/** Builtin values of an entry point that are the same whether its grid is dispatched whole or in parts. */
const LOCAL_BUILTINS: ReadonlySet<string> = new Set([
  'local_invocation_id',
  'local_invocation_index',
  'subgroup_id',
  'subgroup_invocation_id',
  'subgroup_size',
  'num_subgroups',
]);

/** What a part of a grid knows of the whole: its first workgroup, and the whole grid. */
export const PART_FIELDS = {
  first_x: 'u32',
  first_y: 'u32',
  first_z: 'u32',
  groups_x: 'u32',
  groups_y: 'u32',
  groups_z: 'u32',
} as const satisfies Record<string, ParamType>;

const struct = (name: string, fields: Readonly<Record<string, ParamType>>) =>
  `struct ${name} { ${Object.entries(fields)
    .map(([field, type]) => `${field}: ${type}`)
    .join(', ')} }`;

/**
 * The kernel over a part of its grid: `workgroup_id` and `num_workgroups` of the entry point become what they would be
 * in the whole grid. The algorithm does not see the difference, so that results are the same to the bit.
 */
function overPart(source: string, name: string): string {
  const entry = /fn main\(([^{]*)\) \{/.exec(source);
  if (!entry) throw new Error(`${name} has no entry point fn main(…) {`);
  const kept: string[] = [];
  const values: string[] = [];
  const parameters = entry[1].split(',').map((text) => text.trim());
  for (const parameter of parameters.filter((text) => text !== '')) {
    const [, builtin, variable] = /^@builtin\((\w+)\) (\w+): [\w<>]+$/.exec(parameter) ?? [];
    if (builtin === 'workgroup_id') {
      kept.push(`@builtin(workgroup_id) group_in_part: vec3<u32>`);
      values.push(
        `let ${variable} = group_in_part + vec3<u32>(dispatch_part.first_x, dispatch_part.first_y, dispatch_part.first_z);`,
      );
    } else if (builtin === 'num_workgroups') {
      values.push(
        `let ${variable} = vec3<u32>(dispatch_part.groups_x, dispatch_part.groups_y, dispatch_part.groups_z);`,
      );
    } else if (builtin && LOCAL_BUILTINS.has(builtin)) kept.push(parameter);
    else throw new Error(`${name} cannot be dispatched in parts: its entry point takes ${parameter}`);
  }
  const whole = source.replace(entry[0], `fn main(${kept.join(', ')}) {\n  ${values.join('\n  ')}`);
  return [
    struct('DispatchPart', PART_FIELDS),
    '@group(1) @binding(0) var<uniform> dispatch_part: DispatchPart;',
    whole,
  ].join('\n');
}

/**
 * `load_x(i)` and `store_x(i, value)` of each binding that the algorithm asks for by these names: numbers in f32, whether the
 * binding holds them so or in 16 bits.
 */
function accessors(bindings: readonly (readonly [string, Binding])[], algorithm: string): string[] {
  return bindings.flatMap(([name, { type }]) => {
    const halves = isHalves(type);
    const value = halves ? type.replace('f16', 'f32') : type;
    const count = value[3];
    const read = halves ? `from_halves_${count}(${name}[i])` : `${name}[i]`;
    const written = halves ? `to_halves_${count}(value)` : 'value';
    const load = `fn load_${name}(i: u32) -> ${value} { return ${read}; }`;
    const store = `fn store_${name}(i: u32, value: ${value}) { ${name}[i] = ${written}; }`;
    return [load, store].filter((_, i) => algorithm.includes(`${['load', 'store'][i]}_${name}(`));
  });
}

/**
 * The complete WGSL of a kernel: generated declarations, then its file.
 *
 * @param inParts for dispatches over a part of the grid, whose uniform is in bind group 1
 */
export function kernelSource(kernel: KernelDefinition, inParts = false): string {
  const bindings = Object.entries(kernel.bindings);
  // Everything is read_write: activations share arena buffers, and WebGPU forbids one buffer to be both read-only and
  // writable within a dispatch.
  const storage = bindings.map(
    ([name, { type }], i) => `@group(0) @binding(${i}) var<storage, read_write> ${name}: array<${storageType(type)}>;`,
  );
  const hasParams = Object.keys(kernel.params).length > 0;
  const constants = Object.entries(kernel.constants).map(([name, value]) =>
    typeof value === 'boolean' ? `const ${name}: bool = ${value};` : `const ${name}: u32 = ${value}u;`,
  );
  const algorithm = assembleShader(kernel.shader, kernel.constants);
  return [
    `// ${kernel.name}`,
    ...(kernel.requires ?? []).map((extension) => `enable ${extension};`),
    ...constants,
    ...(hasParams ? [struct('Params', kernel.params)] : []),
    struct('Step', STEP_FIELDS),
    ...storage,
    ...(hasParams ? [`@group(0) @binding(${bindings.length}) var<uniform> params: Params;`] : []),
    `@group(0) @binding(${bindings.length + 1}) var<uniform> step: Step;`,
    ...(bindings.some(([, { type }]) => isHalves(type)) ? [assembleShader('common/halves.wgsl', {})] : []),
    ...accessors(bindings, algorithm),
    inParts ? overPart(algorithm, kernel.name) : algorithm,
  ].join('\n');
}

/** A variant's identity: op, bindings and constants. Pinned by a run, shown in logs, the pipeline cache's key. */
export function variantKey(kernel: KernelDefinition): string {
  const constants = Object.entries(kernel.constants).map(([name, value]) => `${name}=${value}`);
  const bindings = Object.entries(kernel.bindings).map(([name, { type }]) =>
    isHalves(type) ? `${name}:${type}` : name,
  );
  return [kernel.name, kernel.shader, bindings.join(','), ...constants].join(' ');
}

/** Workgroups for `count` items in one dimension, folded into two where WebGPU's 65,535 would be passed. */
export function grid(count: number): [number, number, number] {
  const LIMIT = 65535;
  if (count <= LIMIT) return [count, 1, 1];
  const rows = Math.ceil(count / LIMIT);
  return [Math.ceil(count / rows), rows, 1];
}
