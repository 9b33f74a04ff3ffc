/** config.json of model_type `phi3` (Phi-3, Phi-3.5, Phi-4). Source: transformers, `Phi3Config`, `modeling_phi3.py`. */
import type { ConfigReader } from './config_reader.ts';
import { fusedLinears, plainSpec, readSizes, readWindow, sameLayers } from './model_config_common.ts';
import type { ModelSpec } from './model_spec.ts';
import { makeRope } from './rope.ts';
import { type RopeFamily, readRopeParameters } from './rope_parameters.ts';

/** Fused linears, a window on all layers, RoPE on a part of each head. */
export function parsePhi3(config: ConfigReader): ModelSpec {
  const sizes = readSizes(config, { maxPositions: 4_096 });
  const rope: RopeFamily = {
    ...sizes,
    partial: true,
    classOriginal: 4_096,
    // Early checkpoints' names for what became longrope.
    aliases: { su: 'longrope', yarn: 'longrope' },
    only: ['default', 'longrope'],
  };
  const ropes = [makeRope(readRopeParameters(config, rope))];
  return {
    ...plainSpec('phi3', config, sizes, ropes, fusedLinears(sizes), { epsilon: 1e-5, tied: false, eos: [32_000] }),
    layers: sameLayers(sizes.layers, readWindow(config, null)),
  };
}
