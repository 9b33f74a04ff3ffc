/** A few models that work well here, smallest first. */

export interface CuratedModel {
  readonly id: string;
  readonly parameters: string;
  readonly download: string;
  readonly note: string;
  readonly gated?: boolean;
}

export const CURATED: readonly CuratedModel[] = [
  {
    id: 'HuggingFaceTB/SmolLM2-135M-Instruct',
    parameters: '135 M',
    download: '269 MB',
    note: 'The quickest start: runs on any GPU, to see whether your data is right.',
  },
  {
    id: 'HuggingFaceTB/SmolLM2-360M-Instruct',
    parameters: '362 M',
    download: '724 MB',
    note: 'Still quick, and noticeably more able.',
  },
  {
    id: 'Qwen/Qwen2.5-0.5B-Instruct',
    parameters: '494 M',
    download: '988 MB',
    note: 'Many languages and a large vocabulary.',
  },
  {
    id: 'TinyLlama/TinyLlama-1.1B-Chat-v1.0',
    parameters: '1.10 B',
    download: '2.20 GB',
    note: 'A Llama 2 in small; short contexts of 2,048 tokens.',
  },
  {
    id: 'meta-llama/Llama-3.2-1B-Instruct',
    parameters: '1.24 B',
    download: '2.47 GB',
    note: 'The most able of these. Its licence is accepted on the Hub first, and it needs a token.',
    gated: true,
  },
];
