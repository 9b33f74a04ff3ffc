/** How much the browser keeps for the studio, and whether it promises to. */

export interface StorageEstimate {
  /** Bytes. Null where the browser does not say. */
  readonly usedBytes: number | null;
  readonly quotaBytes: number | null;
  /** Whether it is kept until the user deletes it; otherwise the browser may evict it when the disk fills. */
  readonly persisted: boolean;
}

export async function storageEstimate(storage: StorageManager | undefined): Promise<StorageEstimate> {
  const [estimate, persisted] = await Promise.all([
    storage?.estimate?.().catch(() => null),
    storage?.persisted?.().catch(() => false),
  ]);
  return {
    usedBytes: estimate?.usage ?? null,
    quotaBytes: estimate?.quota ?? null,
    persisted: persisted ?? false,
  };
}

/** Asks for it to be kept. Browsers decide by themselves, some ask the user. */
export async function askToPersist(storage: StorageManager | undefined): Promise<boolean> {
  return (await storage?.persist?.().catch(() => false)) ?? false;
}

/** Bytes that can still be written; infinite where the browser does not say. */
export function roomLeft({ usedBytes, quotaBytes }: StorageEstimate): number {
  return usedBytes === null || quotaBytes === null ? Number.POSITIVE_INFINITY : Math.max(0, quotaBytes - usedBytes);
}
