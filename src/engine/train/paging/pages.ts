/** The moments' pages, in the order in which a step updates them, and which tier each of them belongs to. */

import { readable } from '../../device/ledger.ts';
import { type MomentBits, momentPageBytes } from '../../kernels/adamw.ts';
import { PAGE_BYTES } from '../flat_state.ts';

/** The moments of some parameters of one bank. All pages have the same bytes; of a bank's last one the end may be unused. */
export interface MomentPage {
  readonly index: number;
  /** What the page store knows it by. */
  readonly name: string;
  readonly bank: number;
  /** Of the bank's elements. */
  readonly first: number;
  readonly elements: number;
}

export function momentPages(bankElements: readonly number[], pageElements: number): MomentPage[] {
  const pages: MomentPage[] = [];
  for (const [bank, elements] of bankElements.entries()) {
    for (let first = 0; first < elements; first += pageElements) {
      pages.push({
        index: pages.length,
        name: `moments/${bank}/${first / pageElements}`,
        bank,
        first,
        elements: Math.min(pageElements, elements - first),
      });
    }
  }
  return pages;
}

/** Parameters of the smallest page. */
export const LEAST_PAGE_ELEMENTS = PAGE_BYTES / 4;

/** Parameters whose moments fill at most so many bytes: a power of two times the smallest page. */
export function pageElementsWithin(bits: MomentBits, pageBytes: number): number {
  let elements = LEAST_PAGE_ELEMENTS;
  while (momentPageBytes(bits, 2 * elements) <= pageBytes) elements *= 2;
  return elements;
}

/** Bytes of the two upper tiers; what is beyond lies in the page store. */
export interface TierBudgets {
  /** GPU buffers of moments: the ledger's optimizer category. Two pages at least. */
  readonly gpuBytes: number;
  /** Pages in host memory, those on their way to and from the store and out of the GPU included. */
  readonly hostBytes: number;
}

/** How many pages live where. The first ones are pinned on the GPU, the last ones in host memory; those between are stored. */
export interface Residency {
  readonly pinned: number;
  /** GPU pages that the others pass through. */
  readonly slots: number;
  readonly host: number;
  readonly stored: number;
  /** Pages that wait in host memory for their turn, having come from the store, at most. */
  readonly transit: number;
  /** Pages that are being read from the store at a time, and as many that are being written. */
  readonly inFlight: number;
  /** Pages in host memory that have left the GPU, at most: they are taken from there while the next step computes. */
  readonly leaving: number;
}

/** Pages in host memory at most. */
export const hostPagesOf = ({ host, transit, inFlight, leaving }: Residency) => host + transit + 2 * inFlight + leaving;

/** A budget that not even paging can keep to. */
export class OptimizerBudgetError extends Error {
  override name = 'OptimizerBudgetError';
}

const SLOTS = 2;
/** While one is taken to where it stays, the next one leaves. */
const LEAST_LEAVING = 2;
/** More in flight does not make a disk faster. */
const MOST_TRANSIT_BYTES = 32 * 2 ** 20;

/** @throws OptimizerBudgetError */
export function residencyOf(
  pages: number,
  pageBytes: number,
  { gpuBytes, hostBytes }: TierBudgets,
  hasStore: boolean,
): Residency {
  const onGpu = Math.floor(gpuBytes / pageBytes);
  const none = { slots: 0, host: 0, stored: 0, transit: 0, inFlight: 0, leaving: 0 };
  if (onGpu >= pages) return { ...none, pinned: pages };
  if (onGpu < SLOTS) {
    throw new OptimizerBudgetError(
      `The optimizer's GPU memory is limited to ${readable(gpuBytes)}, but two pages of ${readable(pageBytes)} must fit. ` +
        'Raise optimizer_memory_budget, or lower optimizer_page_size.',
    );
  }
  const pinned = onGpu - SLOTS;
  const streamed = pages - pinned;
  const inHost = Math.floor(hostBytes / pageBytes);
  const leastLeaving = Math.min(LEAST_LEAVING, streamed);
  if (inHost >= streamed + leastLeaving) {
    // With as many as there are pages none waits for another.
    const leaving = Math.min(streamed, inHost - streamed);
    return { ...none, pinned, slots: SLOTS, host: streamed, leaving };
  }
  if (!hasStore) {
    throw new OptimizerBudgetError(
      `The optimizer's moments need ${readable((streamed + leastLeaving) * pageBytes)} of host memory beside the GPU, the ` +
        `limit is ${readable(hostBytes)}, and there is no disk to page them to. Raise optimizer_host_memory_budget, or lower r.`,
    );
  }
  let transit = Math.max(1, Math.min(inHost, Math.floor(MOST_TRANSIT_BYTES / pageBytes)));
  const moving = (count: number) => ({ transit: count, inFlight: Math.ceil(count / 2), leaving: count });
  while (transit > 1 && hostPagesOf({ ...none, pinned, ...moving(transit) }) > inHost) transit--;
  const least = { ...none, pinned, slots: SLOTS, ...moving(transit) };
  const host = Math.max(0, inHost - hostPagesOf(least));
  return { ...least, host, stored: streamed - host };
}

/** Where a page lives. */
export function tierOf({ pinned, stored }: Residency, index: number): 'gpu' | 'stored' | 'host' {
  if (index < pinned) return 'gpu';
  return index < pinned + stored ? 'stored' : 'host';
}
