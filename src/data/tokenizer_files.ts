/** A tokenizer's files in a model folder: what its special tokens are, and the chat template. */
import type { Folder } from '../formats/range_source.ts';
import { FileMissingError, readText } from '../formats/range_source.ts';
import type { AddedToken } from './added_tokens.ts';
import type { JsonObject } from './tokenizer_pipeline.ts';
import { isJsonObject, TokenizerError } from './tokenizer_pipeline.ts';

const MIB = 2 ** 20;
/** Gemma 3's tokenizer.json has 33 MB, its tokenizer_config.json 1.2 MB. */
const TOKENIZER_CAP = 128 * MIB;
const CONFIG_CAP = 16 * MIB;

/** All that a tokenizer may be read from. */
const PATHS = [
  ...['tokenizer.json', 'tokenizer_config.json', 'special_tokens_map.json', 'generation_config.json', 'config.json'],
  ...['chat_template.jinja', 'chat_template.json'],
];

/** A tokenizer's files in memory, for others that read it again. Rejects as `Folder.open` does. */
export async function copyTokenizerFiles(folder: Folder): Promise<{ path: string; file: Blob }[]> {
  const files: { path: string; file: Blob }[] = [];
  for (const path of PATHS) {
    if (!(await folder.has(path))) continue;
    const file = await folder.open(path);
    const cap = path === 'tokenizer.json' ? TOKENIZER_CAP : CONFIG_CAP;
    // One that is too large is refused where it is read.
    if (file.size <= cap) files.push({ path, file: new Blob([await file.read(0, file.size)]) });
  }
  return files;
}

/** Special tokens by the names that chat templates know them by (`eos_token` …). */
export type SpecialTokens = Readonly<Record<string, string>>;

export interface TokenizerFiles {
  /** tokenizer.json. */
  readonly tokenizer: JsonObject;
  /** tokenizer_config.json, {} when there is none. */
  readonly config: JsonObject;
  readonly specialTokens: SpecialTokens;
  /** Ids at which the model's own settings for generation stop; none where they do not say. */
  readonly stopIds?: readonly number[];
  /** Jinja source, or undefined when the model has none. */
  readonly chatTemplate: string | undefined;
}

/**
 * Reads tokenizer.json, tokenizer_config.json, special_tokens_map.json (for what the former lacks) and the chat template:
 * chat_template.jinja, else tokenizer_config's `chat_template` (a string, or a list whose `default` is taken), else
 * chat_template.json, as transformers does.
 *
 * @throws TokenizerError when tokenizer.json is missing or a file is not what it should be.
 */
export async function readTokenizerFiles(folder: Folder): Promise<TokenizerFiles> {
  const tokenizer = await readJson(folder, 'tokenizer.json', TOKENIZER_CAP);
  if (!tokenizer) {
    throw new TokenizerError(
      `${folder.name} has no tokenizer.json. Choose a model that has one, or save it with a current version of transformers.`,
    );
  }
  const config = (await readJson(folder, 'tokenizer_config.json', CONFIG_CAP)) ?? {};
  const map = (await readJson(folder, 'special_tokens_map.json', CONFIG_CAP)) ?? {};
  const specialTokens: Record<string, string> = {};
  for (const source of [map, config]) {
    for (const [name, value] of Object.entries(source)) {
      const content = name.endsWith('_token') ? tokenContent(value) : undefined;
      if (content !== undefined) specialTokens[name] = content;
    }
  }
  const chatTemplate = await readChatTemplate(folder, config);
  return { tokenizer, config, specialTokens, stopIds: await readStopIds(folder), chatTemplate };
}

/** `eos_token_id` of generation_config.json, else of config.json: what inference looks for, and often more than the tokenizer's eos_token. */
async function readStopIds(folder: Folder): Promise<number[]> {
  for (const path of ['generation_config.json', 'config.json']) {
    const ids = [(await readJson(folder, path, CONFIG_CAP))?.eos_token_id].flat();
    const numbers = ids.filter((id): id is number => typeof id === 'number' && Number.isInteger(id));
    if (numbers.length > 0) return numbers;
  }
  return [];
}

async function readChatTemplate(folder: Folder, config: JsonObject): Promise<string | undefined> {
  const file = await readIfThere(folder, 'chat_template.jinja', CONFIG_CAP);
  if (file !== undefined) return file;
  const named = namedTemplate(config.chat_template);
  if (named !== undefined) return named;
  const json = await readJson(folder, 'chat_template.json', CONFIG_CAP);
  return namedTemplate(json?.chat_template);
}

/** A template, or the default one of a list of {name, template}. */
function namedTemplate(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  if (!Array.isArray(value)) return undefined;
  const entries = value.filter(isJsonObject);
  const chosen = entries.find((entry) => entry.name === 'default');
  return typeof chosen?.template === 'string' ? chosen.template : undefined;
}

/** A token as these files write it: its content, or an object that has it. */
function tokenContent(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  return isJsonObject(value) && typeof value.content === 'string' ? value.content : undefined;
}

/**
 * The added tokens of a tokenizer as transformers sees them: those of tokenizer.json, with the flags that tokenizer_config's
 * `added_tokens_decoder` gives them, and the named special tokens of the vocabulary that are not listed as added.
 */
export function mergeAddedTokens(files: TokenizerFiles): AddedToken[] {
  const { tokenizer, config, specialTokens } = files;
  const byContent = new Map<string, AddedToken>();
  const add = (value: unknown, id: unknown) => {
    if (!isJsonObject(value) || typeof value.content !== 'string') return;
    const known = byContent.get(value.content)?.id ?? id;
    if (typeof known !== 'number' || !Number.isInteger(known) || known < 0) return;
    const special = value.special === true;
    byContent.set(value.content, {
      id: known,
      content: value.content,
      single_word: value.single_word === true,
      lstrip: value.lstrip === true,
      rstrip: value.rstrip === true,
      normalized: typeof value.normalized === 'boolean' ? value.normalized : !special,
      special,
    });
  };
  const listed: unknown[] = Array.isArray(tokenizer.added_tokens) ? tokenizer.added_tokens : [];
  for (const token of listed) add(token, isJsonObject(token) ? token.id : undefined);
  if (isJsonObject(config.added_tokens_decoder)) {
    for (const [id, token] of Object.entries(config.added_tokens_decoder)) add(token, Number(id));
  }
  const vocab = isJsonObject(tokenizer.model) ? tokenizer.model.vocab : undefined;
  for (const content of [...Object.values(specialTokens), ...furtherSpecialTokens(config)]) {
    if (byContent.has(content)) continue;
    const id = vocabularyId(vocab, content);
    if (id !== undefined) add({ content, special: true, normalized: false }, id);
  }
  return [...byContent.values()];
}

/** Special tokens without a name of their own: a list, or in newer files a mapping. */
function furtherSpecialTokens(config: JsonObject): string[] {
  const lists = [config.additional_special_tokens, config.extra_special_tokens];
  return lists.flatMap((list) => {
    const tokens: unknown[] = Array.isArray(list) ? list : isJsonObject(list) ? Object.values(list) : [];
    return tokens.flatMap((token) => tokenContent(token) ?? []);
  });
}

/** BPE vocabularies map tokens to ids, Unigram ones list [token, score]. */
function vocabularyId(vocab: unknown, token: string): number | undefined {
  if (Array.isArray(vocab)) {
    const index = vocab.findIndex((entry: unknown) => Array.isArray(entry) && entry[0] === token);
    return index === -1 ? undefined : index;
  }
  if (!isJsonObject(vocab) || !Object.hasOwn(vocab, token)) return undefined;
  return Number(vocab[token]);
}

async function readIfThere(folder: Folder, path: string, cap: number): Promise<string | undefined> {
  try {
    if (!(await folder.has(path))) return undefined;
    return await readText(folder, path, cap);
  } catch (error) {
    if (error instanceof FileMissingError) return undefined;
    if (error instanceof TypeError) throw new TokenizerError(`${folder.name}/${path} is not UTF-8. Download it again.`);
    throw error;
  }
}

async function readJson(folder: Folder, path: string, cap: number): Promise<JsonObject | undefined> {
  const text = await readIfThere(folder, path, cap);
  if (text === undefined) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new TokenizerError(`${folder.name}/${path} is not valid JSON. Download it again.`);
  }
  if (!isJsonObject(value)) throw new TokenizerError(`${folder.name}/${path} is not a JSON object. Download it again.`);
  return value;
}
