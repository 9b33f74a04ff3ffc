/** A run's sample prompts, continued by the adapter as it stands: to see it learn. */
import { MOST_SEQUENCES } from '../engine/generate/generator.ts';
import { continueTexts } from './generate_text.ts';
import { type AdapterSource, promptOf, type TextModel } from './studio_generate.ts';
import type { SampleSettings } from './studio_protocol.ts';

/**
 * The prompts continued greedily, as many at a time as fit; as a user's message where the model has a chat template, as plain
 * text where not. After an abort some are cut short or left out.
 */
export async function sampleTexts(
  { text, source }: { readonly text: TextModel; readonly source: AdapterSource },
  { prompts, max_new_tokens }: SampleSettings,
  signal: AbortSignal,
): Promise<string[]> {
  const chat = text.prompts.hasTemplate;
  const stops = await text.prompts.stops(chat);
  const sampling = { temperature: 0, top_k: 0, top_p: 1, seed: 0, max_new_tokens };
  const texts: string[] = [];
  const sequences = Math.min(MOST_SEQUENCES, prompts.length);
  for (let at = 0; at < prompts.length && !signal.aborted; at += sequences) {
    const own = await Promise.all(
      prompts.slice(at, at + sequences).map((prompt) => {
        return promptOf(
          text.prompts,
          chat ? { kind: 'chat', messages: [{ role: 'user', content: prompt }] } : { kind: 'text', text: prompt },
        );
      }),
    );
    const tokens = Math.max(...own.map(({ ids }) => ids.length)) + max_new_tokens;
    const generator = await text.generator(source, sequences, tokens);
    const rows = own.map((prompt) => ({ prompt, strength: 1 }));
    const { tokenizer } = text.model;
    texts.push(
      ...(await continueTexts(generator, tokenizer, { rows, sampling, stops }, { signal })).map((one) => one.text),
    );
  }
  return texts;
}
