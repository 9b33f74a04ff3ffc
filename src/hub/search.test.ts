import { afterEach, beforeEach, expect, it } from 'vitest';
import { startHub, type TestHub } from '../../e2e/hub/server.ts';
import { GatedModelError, HubBusyError, OfflineError } from './errors.ts';
import { searchModels } from './search.ts';
import { quickRetry } from './testing.ts';

const files = { 'config.json': '{}' };
let hub: TestHub;

beforeEach(async () => {
  hub = await startHub({
    repositories: [
      { id: 'nibble/tiny-llama', files, downloads: 10, likes: 2 },
      { id: 'nibble/big-llama', files, downloads: 90, gated: ['hf_llama'] },
      { id: 'nibble/llama-onnx', files, downloads: 99, tags: ['onnx'] },
      { id: 'nibble/llama-vision', files, downloads: 99, pipelineTag: 'image-text-to-text' },
      { id: 'nibble/qwen', files, downloads: 50 },
      { id: 'nibble/private-llama', files, private: ['hf_mine'] },
    ],
    pageSize: 1,
  });
});
afterEach(() => hub.close());

const search = (query: string, over = {}) => searchModels({ query, hubUrl: hub.apiUrl, retry: quickRetry(), ...over });

it('finds text-generation models with safetensors, the most downloaded first', async () => {
  expect(await search(' Llama ')).toEqual([
    { id: 'nibble/big-llama', downloads: 90, likes: 0, gated: true, updatedAt: '2025-01-02T03:04:05.000Z' },
    { id: 'nibble/tiny-llama', downloads: 10, likes: 2, gated: false, updatedAt: '2025-01-02T03:04:05.000Z' },
  ]);
  expect((await search('', { limit: 2 })).map(({ id }) => id)).toEqual(['nibble/big-llama', 'nibble/qwen']);
  expect(await search('nothing of the kind')).toEqual([]);
});

it('finds private models with a token, and says when the token is no good', async () => {
  const found = await search('private', { token: () => 'hf_mine' });
  expect(found.map(({ id }) => id)).toEqual(['nibble/private-llama']);
  await expect(search('llama', { token: () => 'hf_old' })).rejects.toThrow(GatedModelError);
  hub.log.expectTokenOnlyAtApi('hf_mine');
});

it('retries, gives up by name, and is cancelled by its signal', async () => {
  hub.faults.add({ status: 503, times: 2 });
  expect(await search('qwen')).toHaveLength(1);
  hub.faults.add({ status: 503, times: 100 });
  await expect(search('qwen')).rejects.toThrow(HubBusyError);
  hub.faults.clear();
  hub.faults.offline = true;
  await expect(search('qwen')).rejects.toThrow(OfflineError);
  await expect(search('qwen', { signal: AbortSignal.abort() })).rejects.toThrow(
    expect.objectContaining({ name: 'AbortError' }),
  );
});
