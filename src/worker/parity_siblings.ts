/** Every sibling of the kernels that computing in f32 has: what `npm run parity -- CASE… --variant all` forces, one after the other. */
import { ATTENTION_VARIANTS } from '../engine/kernels/attention_variant.ts';
import { ALL_TILES, isMatrix } from '../engine/kernels/matmul_tile.ts';

export type ForcedVariant = Readonly<Record<string, string>>;

const tiles = Object.entries(ALL_TILES).filter(([, tile]) => !isMatrix(tile));

/**
 * Each tile, whole and with its depth split; each attention variant, whole and with its queries split; what the rules give
 * on a GPU, and on one with WebGPU's default limits; dispatches in parts; layers computed twice; activations in 16 bits
 * (within the limits of f16). The first forces nothing.
 */
export const PARITY_SIBLINGS: readonly ForcedVariant[] = [
  {},
  ...tiles.flatMap(([tile]): ForcedVariant[] => [{ tile }, { tile, splits: '3' }]),
  ...Object.keys(ATTENTION_VARIANTS).flatMap((attention): ForcedVariant[] => [
    { attention },
    { attention, attention_parts: '2' },
  ]),
  { rules: 'gpu' },
  { limits: 'default' },
  { limits: 'default', rules: 'gpu' },
  { parts: '3' },
  { keep_layers: '0' },
  { keep_layers: '1' },
  { stored: 'f16' },
  { stored: 'f16', rules: 'gpu' },
  { stored: 'f16', keep_layers: '0' },
];

export const variantText = (variant: ForcedVariant) =>
  Object.entries(variant)
    .map(([key, value]) => `${key}=${value}`)
    .join(',');
