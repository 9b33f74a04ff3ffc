/**
 * A Hugging Face Hub on this machine that speaks the real protocol as the studio uses it, on two origins: the API, with
 * small files, and the storage, which wants signed addresses and, for weights, a Range. Everything is logged, and faults
 * come on demand. For vitest and for Playwright.
 */
import { createHmac } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { answer, answerFault, type Exchange, preflight, sendFile, startEntry } from './answers.ts';
import { answerApi, type HubState } from './api.ts';
import { Faults } from './faults.ts';
import { HubLog } from './log.ts';
import { Repository, type RepositoryFile, type RepositoryOptions } from './repository.ts';

export interface HubOptions {
  readonly repositories: readonly RepositoryOptions[];
  /** Tokens of any account; those of gated and private models are added. Others are answered 401. */
  readonly tokens?: readonly string[];
  /** How long a signed address holds. Default 3600. */
  readonly signatureSeconds?: number;
  /** Entries on a page of a listing. Default 50. */
  readonly pageSize?: number;
  /** Ports of the API and the storage; any free ones by default. */
  readonly ports?: readonly [api: number, storage: number];
}

export interface TestHub {
  /** Without a slash at the end; what `hubUrl` takes. */
  readonly apiUrl: string;
  readonly cdnUrl: string;
  readonly log: HubLog;
  readonly faults: Faults;
  repository(id: string): Repository;
  close(): Promise<void>;
}

export async function startHub(options: HubOptions): Promise<TestHub> {
  const log = new HubLog();
  const faults = new Faults();
  const repositories = await Promise.all(options.repositories.map(Repository.create));
  const tokens = new Set(options.tokens);
  for (const one of options.repositories)
    for (const token of [...(one.gated ?? []), ...(one.private ?? [])]) tokens.add(token);
  const state: HubState = {
    repositories,
    tokens,
    pageSize: options.pageSize ?? 50,
    apiUrl: '',
    sign: (file) => signedUrl(state.cdnUrl, file, faults.signatureEpoch, options.signatureSeconds ?? 3600),
    cdnUrl: '',
  };
  const start = async (origin: 'api' | 'cdn', handle: (exchange: Exchange) => Promise<void>): Promise<Server> => {
    const server = createServer((request: IncomingMessage, response: ServerResponse) => {
      const url = new URL(request.url ?? '/', `http://${request.headers.host}`);
      if (faults.offline) {
        request.socket.destroy();
        return;
      }
      const exchange = { origin, request, response, url, log, faults };
      if (request.method === 'OPTIONS') preflight(exchange);
      else void handle(exchange).catch(() => response.destroy());
    });
    const port = options.ports?.[origin === 'api' ? 0 : 1] ?? 0;
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    return server;
  };
  const api = await start('api', (exchange) => answerApi(state, exchange));
  const cdn = await start('cdn', (exchange) => answerStorage(state, exchange));
  const address = (server: Server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  state.apiUrl = address(api);
  state.cdnUrl = address(cdn);
  return {
    apiUrl: state.apiUrl,
    cdnUrl: state.cdnUrl,
    log,
    faults,
    repository(id) {
      const found = repositories.find((one) => one.id === id);
      if (!found) throw new Error(`This Hub has no ${id}.`);
      return found;
    },
    async close() {
      for (const server of [api, cdn]) {
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
      }
    },
  };
}

/** Binds the file, the time and the state of the keys together; as CloudFront's, it is all in the query. */
function signedUrl(cdnUrl: string, file: RepositoryFile, epoch: number, seconds: number): string {
  const expires = Math.ceil(Date.now() / 1000) + seconds;
  const query = new URLSearchParams({
    'response-content-disposition': `inline; filename="${file.path.split('/').at(-1)}"`,
    Expires: String(expires),
    Signature: signature(file.oid, expires, epoch),
    'Key-Pair-Id': 'K2NIBBLE',
  });
  return `${cdnUrl}/repos/${file.oid}?${query}`;
}

const signature = (oid: string, expires: number, epoch: number) =>
  createHmac('sha256', 'a key that nobody else has').update(`${oid} ${expires} ${epoch}`).digest('base64url');

/** GET and HEAD /repos/<oid>?<signature>: knows neither models nor users. */
async function answerStorage(state: HubState, exchange: Exchange): Promise<void> {
  const { url, request, faults } = exchange;
  const oid = /^\/repos\/([0-9a-f]+)$/.exec(url.pathname)?.[1];
  const file = state.repositories.flatMap(({ allFiles }) => allFiles).find((one) => one.large && one.oid === oid);
  const entry = startEntry(exchange, file?.path ?? null);
  const expires = Number(url.searchParams.get('Expires'));
  const valid =
    file !== undefined &&
    expires * 1000 > Date.now() &&
    url.searchParams.get('Signature') === signature(file.oid, expires, faults.signatureEpoch);
  if (!valid) return answer(exchange, entry, 403, '<Error><Code>AccessDenied</Code></Error>');
  if (request.method === 'GET' && !request.headers.range) {
    const rule = faults.take({ origin: 'cdn', path: file.path });
    if (await answerFault(exchange, entry, rule)) return;
    return answer(exchange, entry, 400, 'Weights are given by range only.');
  }
  return sendFile(exchange, entry, faults.contentOf(file), {
    path: file.path,
    etag: `"${file.oid}${faults.etagSuffix(file.path)}"`,
    headers: { 'content-type': 'application/octet-stream', 'cache-control': 'public, max-age=31536000' },
  });
}
