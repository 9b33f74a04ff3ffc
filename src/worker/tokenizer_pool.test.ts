import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { renderHere } from '../data/chat_renderer.ts';
import { diskFolder, goldenCase, jsonl, loadAll, memoryFile, readRows } from '../data/fixtures/testing.ts';
import { prepareDataset } from '../data/prepare.ts';
import { encodeRows, type RowEncoder } from '../data/row_encoder.ts';
import { Tokenizer } from '../data/tokenizer.ts';
import { copyTokenizerFiles } from '../data/tokenizer_files.ts';
import { poolWidth, TokenizerPool, TokenizerWorkerError } from './tokenizer_pool.ts';
import type { CreateTokenizerWorker, TokenizerRequest } from './tokenizer_protocol.ts';
import { serveTokenizer } from './tokenizer_service.ts';

const folder = diskFolder(join(goldenCase('qwen2-chat')!, 'model'));
const files = await copyTokenizerFiles(folder);
const tokenizer = await Tokenizer.load(folder);

/** A worker of this thread, with what crosses copied; `delay` keeps each of its replies back. */
const inThread =
  (delay: () => number): CreateTokenizerWorker =>
  (onReply) => {
    let last = Promise.resolve();
    const serve = serveTokenizer((reply) => {
      const copy = structuredClone(reply);
      const wait = new Promise((resolve) => setTimeout(resolve, delay()));
      last = last.then(() => wait).then(() => onReply(copy));
    });
    return { post: (request) => serve(structuredClone(request)), terminate() {} };
  };

const rows = Array.from({ length: 700 }, (_, i) => {
  const kinds = [
    { text: `Story ${i % 90} of the fox` },
    { prompt: `Who? ${i}`, completion: ` I, ${i}.` },
    { messages: [{ role: 'user', content: `Say ${i}` }, ...(i % 5 ? [{ role: 'assistant', content: `${i}` }] : [])] },
    { nothing: i },
  ];
  return kinds[i % 4];
});

async function prepare(encoder?: RowEncoder, signal?: AbortSignal) {
  const { rows: set, problems } = await readRows([memoryFile(jsonl(rows))]);
  const config = { max_length: 24, assistant_only_loss: true };
  const options = { rows: set, problems, tokenizer, config, openChat: renderHere, signal };
  const dataset = await prepareDataset({ ...options, ...(encoder && { encoder }) });
  return { summary: dataset.summary, groups: [...dataset.groups], examples: await loadAll(dataset) };
}

describe('a pool of tokenizers', () => {
  it('makes of any dataset what one thread makes of it, whoever is done first', async () => {
    const alone = await prepare();
    expect(alone.summary.examples).toBeGreaterThan(400);
    expect(alone.summary.droppedCount).toBeGreaterThan(150);
    expect(alone.summary.duplicates).toBeGreaterThan(50);
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 5 }),
        fc.infiniteStream(fc.nat({ max: 12 })),
        async (width, delays) => {
          const pool = new TokenizerPool(
            files,
            inThread(() => delays.next().value as number),
            width,
          );
          expect(await prepare(pool)).toEqual(alone);
          pool.close();
        },
      ),
      { numRuns: 6 },
    );
  });

  it('goes to a worker that has nothing to do, and starts no more than it may', async () => {
    const given: number[] = [];
    let workers = 0;
    const create: CreateTokenizerWorker = () => {
      const me = workers++;
      return { post: ({ type }: TokenizerRequest) => void (type === 'encode' && given.push(me)), terminate() {} };
    };
    const pool = new TokenizerPool(files, create, 3);
    for (let i = 0; i < 7; i++) pool.encode([], 8).catch(() => undefined);
    expect(given).toEqual([0, 1, 2, 0, 1, 2, 0]);
    pool.close();
  });

  it('ends with an error that says what to do when a worker ends, and starts anew', async () => {
    let broken = true;
    const create: CreateTokenizerWorker = (onReply, onFailure) =>
      broken
        ? { post: () => setTimeout(() => onFailure('out of memory')), terminate() {} }
        : inThread(() => 0)(onReply, onFailure);
    const pool = new TokenizerPool(files, create, 2);
    await expect(prepare(pool)).rejects.toThrow(TokenizerWorkerError);
    await expect(prepare(pool)).rejects.toThrow('ended: out of memory. Read the data again.');
    broken = false;
    expect((await prepare(pool)).summary.examples).toBeGreaterThan(400);
    pool.close();
  });

  it('stops when it is told to', async () => {
    const controller = new AbortController();
    const pool = new TokenizerPool(
      files,
      inThread(() => 5),
      2,
    );
    const given = vi.spyOn(pool, 'encode');
    const running = prepare(pool, controller.signal);
    controller.abort(new Error('enough'));
    await expect(running).rejects.toThrow('enough');
    expect(given.mock.calls.length).toBeLessThan(11);
    pool.close();
  });

  describe('between datasets', () => {
    afterEach(() => void vi.useRealTimers());

    it('lets its workers go after a while, and not before', async () => {
      let ended = 0;
      const create: CreateTokenizerWorker = (onReply) => {
        const post = ({ type }: TokenizerRequest) => {
          if (type === 'encode') onReply({ type: 'encoded', encoded: encodeRows(tokenizer, [], 8) });
        };
        return { post, terminate: () => void ended++ };
      };
      vi.useFakeTimers();
      const pool = new TokenizerPool(files, create, 2, 1000);
      await pool.encode([], 8);
      vi.advanceTimersByTime(900);
      await pool.encode([], 8);
      vi.advanceTimersByTime(900);
      expect(ended).toBe(0);
      vi.advanceTimersByTime(200);
      expect(ended).toBe(1);
    });
  });

  it('has a thread less than there are processors, and few', () => {
    expect([1, 2, 4, 64].map(poolWidth)).toEqual([1, 1, 3, 4]);
  });
});
