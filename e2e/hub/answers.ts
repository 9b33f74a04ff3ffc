/** How both origins answer: CORS as the Hub sends it, ranges, faults, and a log entry for each request. */
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseRange } from '../../src/cli/static_files.ts';
import type { FaultRule, Faults } from './faults.ts';
import type { HubLog, LogEntry } from './log.ts';
import type { VirtualFile } from './virtual_file.ts';

/** Long enough for a reader to take what was sent before the connection goes: a cut loses what is still on its way. */
const CUT_DELAY_MS = 50;

/** As huggingface.co sends it. */
const EXPOSED =
  'X-Repo-Commit,X-Request-Id,X-Error-Code,X-Error-Message,X-Total-Count,ETag,Link,Accept-Ranges,Content-Range,' +
  'X-Linked-Size,X-Linked-ETag,X-Xet-Hash';

/** A request on its way to its answer. */
export interface Exchange {
  readonly origin: 'api' | 'cdn';
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly url: URL;
  readonly log: HubLog;
  readonly faults: Faults;
}

export function startEntry(exchange: Exchange, file: string | null): LogEntry {
  const { origin, request, log } = exchange;
  const entry: LogEntry = {
    origin,
    method: request.method ?? '',
    url: request.url ?? '',
    file,
    range: request.headers.range ?? null,
    ifRange: headerOf(request, 'if-range'),
    authorization: request.headers.authorization ?? null,
    status: 0,
    begin: 0,
    bytes: 0,
  };
  log.entries.push(entry);
  return entry;
}

/** The API echoes the page's origin; the storage, reached through redirects whose origin is "null", allows all. */
export function corsHeaders({ origin, request }: Exchange): Record<string, string> {
  if (origin === 'cdn') return { 'access-control-allow-origin': '*', 'access-control-expose-headers': '*' };
  return {
    'access-control-allow-origin': request.headers.origin ?? 'https://huggingface.co',
    'access-control-expose-headers': EXPOSED,
    'access-control-max-age': '86400',
    vary: 'Origin',
  };
}

/** Headers that a page may send to each origin after a preflight. The storage takes no Authorization. */
const ALLOWED = {
  api: ['authorization', 'range', 'content-type', 'accept', 'if-none-match'],
  cdn: ['range', 'if-range', 'if-match'],
};

export function preflight(exchange: Exchange): void {
  const { origin, request, response, faults } = exchange;
  const entry = startEntry(exchange, null);
  const asked = (headerOf(request, 'access-control-request-headers') ?? '').split(/,\s*/).filter(Boolean);
  const refused = asked.filter((name) => !ALLOWED[origin].includes(name.toLowerCase()));
  entry.status = refused.length > 0 || (origin === 'cdn' && faults.refusePreflights) ? 403 : 200;
  if (entry.status === 403) {
    response.writeHead(403).end();
    return;
  }
  const methods = origin === 'cdn' ? 'GET, HEAD' : 'GET, HEAD, POST';
  response.writeHead(200, {
    ...corsHeaders(exchange),
    'access-control-allow-headers': asked.join(', '),
    'access-control-allow-methods': methods,
  });
  response.end();
}

/** A small answer of the API or a refusal. */
export async function answer(
  exchange: Exchange,
  entry: LogEntry,
  status: number,
  body: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<void> {
  entry.status = status;
  entry.bytes = status < 300 ? Buffer.byteLength(body) : 0;
  const type = /^[[{]/.test(body) ? 'application/json; charset=utf-8' : 'text/plain; charset=utf-8';
  exchange.response.writeHead(status, { 'content-type': type, ...corsHeaders(exchange), ...headers });
  exchange.response.end(exchange.request.method === 'HEAD' ? undefined : body);
}

/** True when a fault has answered. */
export async function answerFault(exchange: Exchange, entry: LogEntry, rule: FaultRule): Promise<boolean> {
  if (rule.delayMs) await sleep(rule.delayMs);
  if (rule.drop) {
    exchange.request.socket.destroy();
    return true;
  }
  if (rule.status !== undefined) {
    const retry: Record<string, string> =
      rule.retryAfter === undefined ? {} : { 'retry-after': String(rule.retryAfter) };
    await answer(exchange, entry, rule.status, `${rule.status} on demand`, retry);
    return true;
  }
  if (rule.body) {
    await answer(exchange, entry, rule.body.status ?? 200, rule.body.text, { 'content-type': rule.body.type });
    return true;
  }
  return false;
}

/** A file or the range of it that was asked for, with what goes wrong on the way. */
export async function sendFile(
  exchange: Exchange,
  entry: LogEntry,
  content: VirtualFile,
  file: { readonly etag: string; readonly path: string; readonly headers: Readonly<Record<string, string>> },
): Promise<void> {
  const { request, response, faults, origin } = exchange;
  const { size } = content;
  let range = parseRange(request.headers.range, size);
  const ifRange = headerOf(request, 'if-range');
  if (ifRange !== null && ifRange !== file.etag && !faults.ignoreIfRange) range = null;
  const [begin, end] = Array.isArray(range) ? range : [0, size];
  const rule = faults.take({ origin, path: file.path, range: { begin, end, size } });
  if (await answerFault(exchange, entry, rule)) return;
  const headers = { ...corsHeaders(exchange), ...file.headers, 'accept-ranges': 'bytes', etag: file.etag };
  if (range === 'unsatisfiable') {
    entry.status = 416;
    response.writeHead(416, { ...headers, 'content-range': `bytes */${size}` }).end();
    return;
  }
  const whole = range === null || rule.ignoreRange === true;
  const [first, last] = whole ? [0, size] : [begin, end];
  entry.status = whole ? 200 : 206;
  entry.begin = first;
  const contentRange: Record<string, string> = whole ? {} : { 'content-range': `bytes ${first}-${last - 1}/${size}` };
  response.writeHead(entry.status, { ...headers, ...contentRange, 'content-length': String(last - first) });
  if (request.method === 'HEAD') {
    response.end();
    return;
  }
  await sendBytes(response, entry, content, first, last, rule);
}

async function sendBytes(
  response: ServerResponse,
  entry: LogEntry,
  content: VirtualFile,
  begin: number,
  end: number,
  { cutAfterBytes, stallAfterBytes }: FaultRule,
): Promise<void> {
  const stop = begin + (cutAfterBytes ?? stallAfterBytes ?? Number.POSITIVE_INFINITY);
  for await (const chunk of content.read(begin, Math.min(end, stop))) {
    if (response.destroyed) return;
    if (!response.write(chunk)) {
      const gone = new AbortController();
      // Whichever comes first; a reader that goes away never drains.
      await Promise.race([once(response, 'drain', gone), once(response, 'close', gone)]).catch(() => undefined);
      gone.abort();
    }
    entry.bytes += chunk.length;
  }
  if (stop >= end) {
    response.end();
    return;
  }
  if (stallAfterBytes !== undefined) return;
  await sleep(CUT_DELAY_MS);
  response.destroy();
}

function headerOf(request: IncomingMessage, name: string): string | null {
  const value = request.headers[name];
  return typeof value === 'string' ? value : null;
}
