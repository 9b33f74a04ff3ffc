/** What a LoRA configuration means for a model: which linears it adapts, and the factor on B·A. */
import { type LinearSpec, layerLinears, type ModelSpec } from './model_spec.ts';

/** The fields of RunConfig's `lora` and of PEFT's adapter_config.json that say what is trained. */
export interface LoraSettings {
  readonly r: number;
  readonly lora_alpha: number;
  readonly use_rslora: boolean;
  readonly target_modules: 'all-linear' | readonly string[];
}

/** `target_modules` names something that this model does not have, or that cannot be adapted. */
export class LoraTargetError extends Error {
  override name = 'LoraTargetError';
}

/** s in y = base(x) + s · B(A(x)): α/r, or α/√r with rank-stabilized LoRA (arXiv 2312.03732). */
export function loraScale({ r, lora_alpha, use_rslora }: Omit<LoraSettings, 'target_modules'>): number {
  return lora_alpha / (use_rslora ? Math.sqrt(r) : r);
}

/** Not linears of a layer: adapting them would need gradients of the vocabulary's tables. */
const OUTSIDE_THE_LAYERS: readonly string[] = ['lm_head', 'embed_tokens', 'wte', 'embed_out'];

/**
 * The linears of every layer that `target_modules` selects, in the order they run. A name selects as PEFT matches it: the
 * whole path below the layer (`self_attn.q_proj`) or its last parts (`q_proj`). `all-linear` selects all of them and
 * never the output embedding, as in PEFT. Throws {@link LoraTargetError} for a name that selects nothing.
 */
export function selectLoraTargets(spec: ModelSpec, targetModules: LoraSettings['target_modules']): LinearSpec[] {
  const linears = layerLinears(spec);
  if (targetModules === 'all-linear') return linears;
  if (targetModules.length === 0) throw new LoraTargetError(`target_modules is empty. ${choices(linears)}`);
  for (const target of targetModules) {
    if (linears.some((linear) => isTargeted(linear.name, target))) continue;
    const lastPart = target.slice(target.lastIndexOf('.') + 1);
    if (OUTSIDE_THE_LAYERS.includes(lastPart)) {
      throw new LoraTargetError(
        `target_modules has ${target}, but the embedding and the output head stay frozen here: only the layers' linears ` +
          `are trained. ${choices(linears)}`,
      );
    }
    throw new LoraTargetError(
      `target_modules: this model has no linear ${JSON.stringify(target)}. ${choices(linears)}`,
    );
  }
  return linears.filter(({ name }) => targetModules.some((target) => isTargeted(name, target)));
}

function isTargeted(name: string, target: string): boolean {
  return name === target || (target !== '' && name.endsWith(`.${target}`));
}

function choices(linears: readonly LinearSpec[]): string {
  const names = linears.map(({ name }) => name.slice(name.lastIndexOf('.') + 1));
  return `Choose from ${names.join(', ')}, or "all-linear".`;
}
