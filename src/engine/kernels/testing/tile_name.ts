import { ALL_TILES, type Tile } from '../matmul_tile.ts';

/** The name under which a tile is exported. */
export function tileName(tile: Tile): string {
  const entry = Object.entries(ALL_TILES).find(([, known]) => known === tile);
  if (!entry) throw new Error('a tile that matmul_tile.ts does not name');
  return entry[0];
}
