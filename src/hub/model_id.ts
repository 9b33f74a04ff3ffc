/** A model's id from what people type or paste: `org/name`, `org/name@revision`, or an address of the Hub's pages. */
import { ModelIdError } from './errors.ts';

export interface ModelId {
  /** `org/name`; a few old models have no `org/`. */
  readonly id: string;
  /** A branch, tag or commit, if the text names one. */
  readonly revision: string | null;
}

/** As on the Hub: letters, digits, '-', '_' and '.', not at the ends, at most 96. */
const NAME = /^(?=.{1,96}$)[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9_-])?$/;
/** The Hub's own names; a mirror's is its `hubUrl`. */
const HUB_NAMES = ['huggingface.co', 'www.huggingface.co', 'hf.co', 'huggingface.com'];
/** Pages that are no models. */
const OTHER_KINDS = ['datasets', 'spaces', 'collections', 'papers', 'docs', 'buckets', 'settings', 'blog', 'api'];

/** Throws {@link ModelIdError}. */
export function parseModelId(text: string, hubUrl: string): ModelId {
  const trimmed = text.trim();
  const path = pagePath(trimmed, hubUrl);
  const fail = (problem: string): never => {
    const shown = trimmed.length > 100 ? `${trimmed.slice(0, 100)}…` : trimmed;
    throw new ModelIdError(
      `"${shown}" ${problem}. Give a model's id like Qwen/Qwen2.5-0.5B-Instruct, or paste its address.`,
    );
  };
  if (path === 'elsewhere') return fail('is an address outside the Hugging Face Hub');
  const [plain = '', typed] = path === null ? trimmed.split(/@(.*)/s) : [path];
  let parts: string[];
  try {
    parts = plain.split('/').map(decodeURIComponent);
  } catch {
    return fail('is not a valid address');
  }
  while (parts.at(-1) === '') parts.pop();
  if (parts[0] === 'models') parts.shift();
  if (parts.length > 1 && OTHER_KINDS.includes(parts[0] ?? '')) return fail('is not a model');
  // Below a model's page: …/tree/main, …/blob/main/config.json, …/resolve/… and …/commit/….
  const at = parts.findIndex((part, i) => i > 0 && ['tree', 'blob', 'resolve', 'raw', 'commit'].includes(part));
  const names = path !== null && at > 0 ? parts.slice(0, at) : parts;
  const revision = (path !== null && at > 0 ? parts[at + 1] : typed) || null;
  // A page's tabs (…/discussions) are the model all the same.
  const id = path !== null ? names.slice(0, 2) : names;
  if (id.length < 1 || id.length > 2 || !id.every((name) => NAME.test(name) && !/--|\.\./.test(name))) {
    return fail('is not a model id');
  }
  if (revision !== null && !isRevision(revision)) return fail('names a revision that cannot exist');
  return { id: id.join('/'), revision };
}

/** The same of a dataset: its address has `datasets/` before the id. Throws {@link ModelIdError}. */
export function parseDatasetId(text: string, hubUrl: string): ModelId {
  return parseModelId(text.trim().replace(/^((?:[^@]*\/)?)datasets\/(?=[^/]+\/[^/]+)/, '$1'), hubUrl);
}

/** A git ref or commit, with nothing in it that could lead elsewhere in an address. */
export function isRevision(text: string): boolean {
  return /^[A-Za-z0-9._/-]{1,200}$/.test(text) && text.split('/').every((part) => part !== '' && !/^\.+$/.test(part));
}

/** The path of an address on the Hub, without a leading slash; null when the text is no address. */
function pagePath(text: string, hubUrl: string): string | null {
  const bare = HUB_NAMES.find((host) => text.startsWith(`${host}/`));
  if (bare) return pagePath(`https://${text}`, hubUrl);
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) return null;
  if (!URL.canParse(text)) return 'elsewhere';
  const url = new URL(text);
  const known =
    url.origin === new URL(hubUrl).origin || (/^https?:$/.test(url.protocol) && HUB_NAMES.includes(url.host));
  return known ? url.pathname.slice(1) : 'elsewhere';
}
