const HUGGING_FACE = 'https://huggingface.co';

/** The Hub this page was built or served for: `<meta name="hub-url">`, else Hugging Face. Never taken from the address. */
export function hubUrl(): string {
  return document.querySelector<HTMLMetaElement>('meta[name="hub-url"]')?.content || HUGGING_FACE;
}
