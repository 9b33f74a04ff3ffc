/** Cutting a dispatch: its grid of workgroups as boxes that are dispatched one after the other. */

export type Grid = readonly [x: number, y: number, z: number];

export interface GridPart {
  /** The box's first workgroup in the whole grid. */
  readonly first: Grid;
  readonly size: Grid;
}

export const workgroupsOf = ([x, y, z]: Grid): number => x * y * z;

/** A grid in at least `parts` boxes of nearly the same size, or one a workgroup where there are fewer. */
export function splitGrid(size: Grid, parts: number): GridPart[] {
  return splitBox({ first: [0, 0, 0], size }, parts);
}

function splitBox(box: GridPart, parts: number): GridPart[] {
  if (parts <= 1) return [box];
  const longest = Math.max(...box.size);
  if (longest === 1) return [box];
  const axis = box.size.indexOf(longest);
  const cuts = Math.min(parts, longest);
  const replaced = (grid: Grid, value: number): Grid => grid.with(axis, value) as [number, number, number];
  return Array.from({ length: cuts }, (_, i) => {
    const begin = Math.floor((longest * i) / cuts);
    const end = Math.floor((longest * (i + 1)) / cuts);
    const first = replaced(box.first, box.first[axis] + begin);
    return splitBox({ first, size: replaced(box.size, end - begin) }, Math.ceil(parts / cuts));
  }).flat();
}
