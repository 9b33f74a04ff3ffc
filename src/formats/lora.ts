/** What a LoRA configuration means for a model: which linears it adapts, each one's rank, and the factor on B·A. */
import { type LinearSpec, layerLinears, type ModelSpec } from './model_spec.ts';
import { PatternError, pythonPattern } from './python_pattern.ts';

/** The fields of RunConfig's `lora` and of PEFT's adapter_config.json that say what is trained. */
export interface LoraSettings {
  readonly r: number;
  readonly lora_alpha: number;
  readonly use_rslora: boolean;
  /** Names; or `all-linear`; or, as in PEFT, a regular expression that a module's whole path must match. */
  readonly target_modules: string | readonly string[];
  /** With names only: the layers that are adapted. A module that is named by its whole path is, in any layer. */
  readonly layers_to_transform?: number | readonly number[] | null;
  /** What stands before a layer's number in a path, as an expression; any name by default. */
  readonly layers_pattern?: string | readonly string[] | null;
  /** Not adapted, though targeted: names, or an expression for the whole path. */
  readonly exclude_modules?: string | readonly string[] | null;
  /** r and lora_alpha of modules whose path ends in a match of the key; the first key that matches counts. */
  readonly rank_pattern?: Readonly<Record<string, number>>;
  readonly alpha_pattern?: Readonly<Record<string, number>>;
}

/** A linear with an adapter. */
export interface AdaptedLinear {
  /** `model.layers.0.self_attn.q_proj` */
  readonly path: string;
  readonly linear: LinearSpec;
  readonly rank: number;
  /** s in y = base(x) + s · B(A(x)). */
  readonly scale: number;
}

/** `target_modules` or a pattern names something that this model does not have, or that cannot be adapted. */
export class LoraTargetError extends Error {
  override name = 'LoraTargetError';
}

/** s in y = base(x) + s · B(A(x)): α/r, or α/√r with rank-stabilized LoRA (arXiv 2312.03732). */
export function loraScale({
  r,
  lora_alpha,
  use_rslora,
}: Pick<LoraSettings, 'r' | 'lora_alpha' | 'use_rslora'>): number {
  return lora_alpha / (use_rslora ? Math.sqrt(r) : r);
}

/** Not linears of a layer: adapting them would need gradients of the vocabulary's tables. */
const OUTSIDE_THE_LAYERS: readonly string[] = ['lm_head', 'embed_tokens', 'wte', 'embed_out'];

/**
 * The linears that get an adapter, by path, layer by layer in the order they run. A name selects as PEFT matches it: the
 * whole path or its last parts (`self_attn.q_proj`, `q_proj`). `all-linear` selects all of them and never the output
 * embedding, as in PEFT. Throws {@link LoraTargetError} for a name, expression or pattern that selects nothing.
 */
export function adaptedLinears(spec: ModelSpec, settings: LoraSettings): ReadonlyMap<string, AdaptedLinear> {
  const { target_modules, rank_pattern = {}, alpha_pattern = {} } = settings;
  const modules = [...spec.layers.keys()].flatMap((layer) =>
    layerLinears(spec).map((linear) => ({ layer, linear, path: `${spec.tensors.layerPrefix}${layer}.${linear.name}` })),
  );
  const targeted = targetTest(spec, target_modules);
  const layers = layerTest(spec, settings);
  const excluded = excludedTest(settings);
  const chosen = modules.filter(({ path, layer }) => targeted(path) && layers(path, layer) && !excluded(path));
  if (chosen.length === 0) {
    const fields = ['target_modules', 'layers_to_transform', 'layers_pattern', 'exclude_modules'] as const;
    const set = fields.filter((field) => [settings[field] ?? []].flat().length > 0);
    throw new LoraTargetError(`${set.join(', ')} select nothing together. ${choices(spec)}`);
  }
  for (const [field, pattern] of Object.entries({ rank_pattern, alpha_pattern })) {
    const idle = Object.keys(pattern).find((key) => !chosen.some(({ path }) => patternTest(key, field)(path)));
    if (idle === undefined) continue;
    throw new LoraTargetError(
      `${field} has ${JSON.stringify(idle)}, which no adapted module matches. ${choices(spec)}`,
    );
  }
  const strength = adapterStrengths(settings);
  return new Map(chosen.map(({ path, linear }) => [path, { path, linear, ...strength(path) }]));
}

/** Rank and scale of a module's adapter, as r, lora_alpha and the patterns have them. */
export function adapterStrengths(
  settings: Omit<LoraSettings, 'target_modules'>,
): (path: string) => { readonly rank: number; readonly scale: number } {
  const { rank_pattern = {}, alpha_pattern = {}, use_rslora } = settings;
  const first = (field: string, pattern: Readonly<Record<string, number>>) => {
    const tests = Object.entries(pattern).map(([key, value]) => ({ matches: patternTest(key, field), value }));
    return (path: string) => tests.find(({ matches }) => matches(path))?.value;
  };
  const rankOf = first('rank_pattern', rank_pattern);
  const alphaOf = first('alpha_pattern', alpha_pattern);
  return (path) => {
    const rank = rankOf(path) ?? settings.r;
    return { rank, scale: loraScale({ r: rank, lora_alpha: alphaOf(path) ?? settings.lora_alpha, use_rslora }) };
  };
}

/** Which paths `target_modules` selects. */
function targetTest(spec: ModelSpec, targets: LoraSettings['target_modules']): (path: string) => boolean {
  if (typeof targets !== 'string') return namesTest(spec, targets);
  if (targets.toLowerCase() === 'all-linear') return () => true;
  const matches = expression('target_modules', targets);
  if (allPaths(spec).some(matches)) return matches;
  // PEFT wants a list here and refuses a lone name.
  if (layerLinears(spec).some(({ name }) => isTargeted(name, targets))) return namesTest(spec, [targets]);
  throw new LoraTargetError(
    `target_modules: no linear's whole path (such as ${allPaths(spec)[0]}) matches ${JSON.stringify(targets)}. ${choices(spec)}`,
  );
}

function namesTest(spec: ModelSpec, targets: readonly string[]): (path: string) => boolean {
  if (targets.length === 0) throw new LoraTargetError(`target_modules is empty. ${choices(spec)}`);
  const paths = allPaths(spec);
  for (const target of targets) {
    if (paths.some((path) => isTargeted(path, target))) continue;
    const lastPart = target.slice(target.lastIndexOf('.') + 1);
    if (OUTSIDE_THE_LAYERS.includes(lastPart)) {
      throw new LoraTargetError(
        `target_modules has ${target}, but the embedding and the output head stay frozen here: only the layers' linears ` +
          `are trained. ${choices(spec)}`,
      );
    }
    throw new LoraTargetError(`target_modules: this model has no linear ${JSON.stringify(target)}. ${choices(spec)}`);
  }
  return (path) => targets.some((target) => isTargeted(path, target));
}

function layerTest(spec: ModelSpec, settings: LoraSettings): (path: string, layer: number) => boolean {
  const { target_modules, layers_to_transform: layers, layers_pattern } = settings;
  const chosen = typeof layers === 'number' ? [layers] : (layers ?? []);
  const patterns = [layers_pattern ?? []].flat().filter((pattern) => pattern !== '');
  if (chosen.length === 0) {
    if (patterns.length === 0) return () => true;
    throw new LoraTargetError('layers_pattern says where layers_to_transform counts: set that too, or leave it out.');
  }
  if (typeof target_modules === 'string') {
    throw new LoraTargetError('layers_to_transform works with names in target_modules only: write them as a list.');
  }
  const outside = chosen.find((layer) => !(layer in spec.layers));
  if (outside !== undefined) {
    throw new LoraTargetError(
      `layers_to_transform has ${outside}; this model has layers 0 to ${spec.layers.length - 1}.`,
    );
  }
  const places = patterns.map((pattern) => expression('layers_pattern', `(?:^|.*?\\.)${pattern}\\.\\d+\\..*`));
  const placed = (path: string) => places.length === 0 || places.some((matches) => matches(path));
  return (path, layer) => target_modules.includes(path) || (chosen.includes(layer) && placed(path));
}

function excludedTest({ exclude_modules: excluded }: LoraSettings): (path: string) => boolean {
  if (typeof excluded === 'string' && excluded !== '') return expression('exclude_modules', excluded);
  return (path) => (excluded || []).some((name: string) => isTargeted(path, name));
}

/** PEFT's `get_pattern_key`: the key as an expression, behind nothing or a dot. */
export const patternTest = (key: string, field = 'pattern') => expression(field, `(.*\\.)?(${key})`);

function expression(field: string, pattern: string): (path: string) => boolean {
  try {
    return pythonPattern(pattern);
  } catch (error) {
    if (!(error instanceof PatternError)) throw error;
    throw new LoraTargetError(`${field}: ${error.message}`);
  }
}

const allPaths = (spec: ModelSpec) =>
  [...spec.layers.keys()].flatMap((layer) =>
    layerLinears(spec).map(({ name }) => `${spec.tensors.layerPrefix}${layer}.${name}`),
  );

function isTargeted(name: string, target: string): boolean {
  return name === target || (target !== '' && name.endsWith(`.${target}`));
}

function choices(spec: ModelSpec): string {
  const names = layerLinears(spec).map(({ name }) => name.slice(name.lastIndexOf('.') + 1));
  return `Choose from ${names.join(', ')}, or "all-linear".`;
}
