/** huggingface.co itself: models, their files' lists, and addresses that lead to the files. */
import { answer, answerFault, type Exchange, sendFile, startEntry } from './answers.ts';
import type { Faults } from './faults.ts';
import type { LogEntry } from './log.ts';
import { CONVERTED, type Commit, type Repository, type RepositoryFile } from './repository.ts';

export interface HubState {
  readonly repositories: readonly Repository[];
  readonly tokens: ReadonlySet<string>;
  readonly pageSize: number;
  readonly sign: (file: RepositoryFile) => string;
  apiUrl: string;
  cdnUrl: string;
}

class Refusal extends Error {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  constructor(status: number, message: string, code?: string) {
    super(message);
    this.status = status;
    this.headers = { ...(code ? { 'x-error-code': code } : {}), 'x-error-message': message };
  }
}

export async function answerApi(state: HubState, exchange: Exchange): Promise<void> {
  // Datasets are repositories too.
  const path = decodeURIComponent(exchange.url.pathname)
    .replace(/^(\/api(?:\/resolve-cache)?)\/datasets(?=\/)/, '$1/models')
    .replace(/^\/datasets(?=\/)/, '')
    .replace('refs/convert/parquet', CONVERTED);
  const resolve = /^\/(?:api\/resolve-cache\/models\/)?([^/]+\/[^/]+)(?:\/resolve)?\/([^/]+)\/(.+)$/.exec(path);
  const isFile = !path.startsWith('/api/') || path.startsWith('/api/resolve-cache/');
  const entry = startEntry(exchange, isFile ? (resolve?.[3] ?? null) : null);
  try {
    checkToken(state, exchange);
    if (isFile) {
      if (!resolve) throw new Refusal(404, 'Not found');
      const [, id = '', revision = '', file = ''] = resolve;
      return await answerResolve(state, exchange, entry, { id, revision, file, path });
    }
    const rule = exchange.faults.take({ origin: 'api', path });
    if (await answerFault(exchange, entry, rule)) return;
    if (path === '/api/models') return await answerSearch(state, exchange, entry);
    return await answerModel(state, exchange, entry, path);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    await answer(exchange, entry, error.status, JSON.stringify({ error: error.message }), error.headers);
  }
}

function tokenOf({ request }: Exchange): string | null {
  return /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1] ?? null;
}

function checkToken(state: HubState, exchange: Exchange): void {
  const token = tokenOf(exchange);
  if (token !== null && !state.tokens.has(token)) {
    throw new Refusal(401, 'Invalid credentials in Authorization header');
  }
}

/** Without a token a private model is answered as one that does not exist: 401 for both. */
function findRepository(state: HubState, exchange: Exchange, id: string): Repository {
  const token = tokenOf(exchange);
  const found = state.repositories.find((one) => one.id === id);
  const seen = found && (!found.options.private || found.options.private.includes(token ?? ''));
  if (!seen) throw new Refusal(token === null ? 401 : 404, 'Repository not found', 'RepoNotFound');
  return found;
}

function findCommit(repository: Repository, revision: string): Commit {
  const commit = repository.find(revision);
  if (!commit) throw new Refusal(404, `Invalid rev id: ${revision}`, 'RevisionNotFound');
  return commit;
}

/** 302 to the storage for large files; for small ones 307 to where this origin keeps them. */
async function answerResolve(
  state: HubState,
  exchange: Exchange,
  entry: LogEntry,
  { id, revision, file, path }: { id: string; revision: string; file: string; path: string },
): Promise<void> {
  const repository = findRepository(state, exchange, id);
  const { gated } = repository.options;
  const token = tokenOf(exchange);
  if (gated && !gated.includes(token ?? '')) {
    const message = `Access to model ${id} is restricted. You must have access to it and be authenticated to access it.`;
    throw new Refusal(token === null ? 401 : 403, message, 'GatedRepo');
  }
  const commit = findCommit(repository, revision);
  const found = commit.files.get(file);
  if (!found) throw new Refusal(404, 'Entry not found', 'EntryNotFound');
  const described = {
    'x-repo-commit': commit.sha,
    'x-linked-size': String(exchange.faults.contentOf(found).size),
    'x-linked-etag': `"${found.oid}"`,
    'content-disposition': `inline; filename="${file.split('/').at(-1)}"`,
  };
  if (path.startsWith('/api/resolve-cache/')) {
    const etag = `"${found.oid}${exchange.faults.etagSuffix(file)}"`;
    const type = file.endsWith('.json') ? 'application/json' : 'text/plain; charset=utf-8';
    const headers = { ...described, 'content-type': type };
    return sendFile(exchange, entry, found.content, { path: file, etag, headers });
  }
  const rule = exchange.faults.take({ origin: 'api', path });
  if (await answerFault(exchange, entry, rule)) return;
  const encoded = file.split('/').map(encodeURIComponent).join('/');
  const location = found.large
    ? state.sign(found)
    : `${state.apiUrl}/api/resolve-cache/models/${id}/${commit.sha}/${encoded}?etag=%22${found.oid}%22`;
  await answer(
    exchange,
    entry,
    found.large ? 302 : 307,
    `Found. Redirecting to ${found.large ? 'storage' : location}`,
    {
      ...described,
      etag: `"${found.oid}"`,
      location,
    },
  );
}

/** /api/models/<id>[/revision/<rev>], …/tree/<rev>[/<folder>] and POST …/paths-info/<rev>. */
async function answerModel(state: HubState, exchange: Exchange, entry: LogEntry, path: string): Promise<void> {
  const [, , , org = '', name = '', what, revision = 'main', ...folder] = path.split('/');
  const id = `${org}/${name}`;
  const renamed = state.repositories.find(({ options }) => options.formerId === id);
  if (renamed) {
    const location = `${state.apiUrl}${exchange.url.pathname.replace(id, renamed.id)}${exchange.url.search}`;
    return answer(exchange, entry, 307, `Temporary Redirect. Redirecting to ${location}`, { location });
  }
  const repository = findRepository(state, exchange, id);
  const commit = findCommit(repository, revision);
  if (what === undefined || what === 'revision') {
    const siblings = [...commit.files.keys()].map((rfilename) => ({ rfilename }));
    const expanded = exchange.url.searchParams.getAll('expand');
    const info = { ...summary(repository), sha: commit.sha, siblings };
    const kept = Object.entries(info).filter(
      ([key]) => expanded.length === 0 || ['_id', 'id', ...expanded].includes(key),
    );
    return answer(exchange, entry, 200, JSON.stringify(Object.fromEntries(kept)));
  }
  if (what === 'paths-info' && exchange.request.method === 'POST') {
    const { paths } = JSON.parse(await bodyOf(exchange)) as { paths: string[] };
    const found = paths.flatMap((one) => commit.files.get(one) ?? []).map(treeEntry);
    return answer(exchange, entry, 200, JSON.stringify(found));
  }
  if (what !== 'tree') throw new Refusal(404, 'Not found');
  const prefix = folder.length > 0 ? `${folder.join('/')}/` : '';
  const recursive = exchange.url.searchParams.get('recursive') === 'true';
  return answerPage(state, exchange, entry, treeOf(commit, prefix, recursive, exchange.faults), state.pageSize);
}

function treeOf(commit: Commit, prefix: string, recursive: boolean, faults: Faults): unknown[] {
  const entries: unknown[] = [];
  const folders = new Set<string>();
  for (const file of commit.files.values()) {
    if (!file.path.startsWith(prefix)) continue;
    const parts = file.path.slice(prefix.length).split('/');
    for (let depth = 1; depth < parts.length; depth++) {
      const folder = prefix + parts.slice(0, depth).join('/');
      if (folders.has(folder) || (!recursive && depth > 1)) continue;
      folders.add(folder);
      entries.push({ type: 'directory', oid: file.oid.slice(0, 40), size: 0, path: folder });
    }
    if (recursive || parts.length === 1) entries.push(treeEntry(file, faults.contentOf(file).size));
  }
  return entries;
}

function treeEntry({ path, oid, large }: RepositoryFile, size: number): unknown {
  if (!large) return { type: 'file', oid, size, path };
  return { type: 'file', oid: oid.slice(0, 40), size, lfs: { oid, size, pointerSize: 134 }, xetHash: oid, path };
}

async function answerSearch(state: HubState, exchange: Exchange, entry: LogEntry): Promise<void> {
  const query = exchange.url.searchParams;
  const words = (query.get('search') ?? '').toLowerCase();
  const found = state.repositories.filter(({ id, options }) => {
    if (options.private && !options.private.includes(tokenOf(exchange) ?? '')) return false;
    const tags = options.tags ?? ['safetensors'];
    const task = query.get('pipeline_tag');
    return (
      id.toLowerCase().includes(words) &&
      (task === null || (options.pipelineTag ?? 'text-generation') === task) &&
      query.getAll('filter').every((tag) => tags.includes(tag))
    );
  });
  const sorted = found.map(summary).sort((a, b) => b.downloads - a.downloads);
  return answerPage(state, exchange, entry, sorted, Math.min(Number(query.get('limit') ?? 1000), state.pageSize));
}

function summary({ id, options, head }: Repository) {
  return {
    _id: head.sha.slice(0, 24),
    id,
    private: options.private !== undefined,
    pipeline_tag: options.pipelineTag ?? 'text-generation',
    downloads: options.downloads ?? 0,
    likes: options.likes ?? 0,
    gated: options.gated ? 'manual' : false,
    lastModified: '2025-01-02T03:04:05.000Z',
    tags: options.tags ?? ['safetensors'],
  };
}

/** One page of a listing; the next one's address is in the Link header. */
async function answerPage(
  state: HubState,
  exchange: Exchange,
  entry: LogEntry,
  items: readonly unknown[],
  size: number,
): Promise<void> {
  const from = Number(exchange.url.searchParams.get('cursor') ?? 0);
  const headers: Record<string, string> = {};
  if (from + size < items.length) {
    const next = new URL(`${state.apiUrl}${exchange.url.pathname}${exchange.url.search}`);
    next.searchParams.set('cursor', String(from + size));
    headers.link = `<${next.href}>; rel="next"`;
  }
  return answer(exchange, entry, 200, JSON.stringify(items.slice(from, from + size)), headers);
}

async function bodyOf({ request }: Exchange): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}
