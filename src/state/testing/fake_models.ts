/** What the fake worker knows of a few models. */
import type { ModelInfo, ModelSearchResult } from '../../worker/studio_protocol.ts';

const LINEARS = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'];

const smol: ModelInfo = {
  name: 'HuggingFaceTB/SmolLM2-135M-Instruct',
  commit: '12fd25f77366fa6b3b4b768ec3050bf629380bac',
  modelType: 'llama',
  parameters: 134_515_008,
  layers: 30,
  hiddenSize: 576,
  vocabSize: 49_152,
  maxPositions: 8192,
  downloadBytes: 269_060_552,
  weightFiles: 1,
  linears: LINEARS,
  linearPaths: LINEARS.map((name) => `${/^[qkvo]_/.test(name) ? 'self_attn' : 'mlp'}.${name}`),
  chatTemplate: true,
};

export const FAKE_MODELS: readonly ModelInfo[] = [
  smol,
  {
    ...smol,
    name: 'HuggingFaceTB/SmolLM2-360M-Instruct',
    commit: 'a10cc1512eabd3dde888204e902eca88bddb4951',
    parameters: 361_821_120,
    layers: 32,
    hiddenSize: 960,
    downloadBytes: 723_674_912,
  },
  {
    ...smol,
    name: 'Qwen/Qwen2.5-0.5B-Instruct',
    commit: '7ae557604adf67be50417f59c2c2f167def9a775',
    modelType: 'qwen2',
    parameters: 494_032_768,
    layers: 24,
    hiddenSize: 896,
    vocabSize: 151_936,
    maxPositions: 32_768,
    downloadBytes: 988_097_824,
  },
  {
    ...smol,
    name: 'meta-llama/Llama-3.2-1B-Instruct',
    commit: '9213176726f574b556790deb65791e0c5aa438b6',
    parameters: 1_235_814_400,
    layers: 16,
    hiddenSize: 2048,
    vocabSize: 128_256,
    maxPositions: 131_072,
    downloadBytes: 2_471_645_608,
    weightFiles: 2,
  },
];

export const FAKE_RESULTS: readonly ModelSearchResult[] = [
  ...FAKE_MODELS.map(({ name }, i) => ({
    id: name,
    downloads: 1_840_312 >> i,
    likes: 412 >> i,
    gated: name.startsWith('meta-llama/'),
    updatedAt: `2025-0${i + 2}-06T08:00:00.000Z`,
  })),
  {
    id: 'openai-community/gpt2',
    downloads: 9_120_400,
    likes: 2801,
    gated: false,
    updatedAt: '2024-02-19T10:57:45.000Z',
  },
];
