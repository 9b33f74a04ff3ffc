/** Finds models that the studio may be able to train. */
import { listModels } from '@huggingface/hub';
import { type ConnectionOptions, HubConnection } from './connection.ts';
import { HubAnswerError, HubError } from './errors.ts';

export interface ModelSearchResult {
  readonly id: string;
  /** In the last 30 days. */
  readonly downloads: number;
  readonly likes: number;
  readonly gated: boolean;
  /** ISO 8601. */
  readonly updatedAt: string;
}

export interface SearchOptions extends ConnectionOptions {
  /** Part of a name; empty for the most downloaded of all. */
  readonly query: string;
  /** Default 20. */
  readonly limit?: number;
}

/**
 * Text-generation models with safetensors weights, the most downloaded first. Rejects with OfflineError, HubBusyError,
 * GatedModelError (a token that is not accepted) or HubAnswerError.
 */
export async function searchModels(options: SearchOptions): Promise<ModelSearchResult[]> {
  const { query, limit = 20 } = options;
  const connection = new HubConnection(options);
  const found: ModelSearchResult[] = [];
  try {
    const models = listModels({
      search: { query: query.trim(), task: 'text-generation', tags: ['safetensors'] },
      sort: 'downloads',
      limit,
      hubUrl: connection.hubUrl,
      fetch: connection.api('The search'),
    });
    for await (const { name, downloads, likes, gated, updatedAt } of models) {
      const updated = Number.isNaN(updatedAt.getTime()) ? '' : updatedAt.toISOString();
      found.push({ id: name, downloads, likes, gated: gated !== false, updatedAt: updated });
    }
    return found;
  } catch (error) {
    if (error instanceof HubError || options.signal?.aborted) throw error;
    const detail = error instanceof Error ? error.message.slice(0, 200) : String(error);
    throw new HubAnswerError(`The Hub's answer to the search cannot be read (${detail}). Try again later.`);
  } finally {
    connection.close();
  }
}
