import * as v from 'valibot';
import type { AdapterFile } from '../../worker/protocol.ts';

const schema = v.object({
  r: v.number(),
  lora_alpha: v.number(),
  target_modules: v.pipe(
    v.union([v.string(), v.array(v.string())]),
    v.transform((names) => (typeof names === 'string' ? [names] : names)),
  ),
});

/** What an adapter's own file says of it; null where it cannot be read. */
export function adapterConfig(files: readonly AdapterFile[]): v.InferOutput<typeof schema> | null {
  const file = files.find(({ path }) => path.endsWith('adapter_config.json'));
  if (!file) return null;
  try {
    const parsed = v.safeParse(schema, JSON.parse(new TextDecoder().decode(file.bytes)));
    return parsed.success ? parsed.output : null;
  } catch {
    return null;
  }
}
