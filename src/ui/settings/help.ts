/** A sentence for each setting. */
import type { ChoiceField, FlagField, NumberField, PatternField } from '../../state/settings_store.ts';

export const HELP: Readonly<Record<NumberField | FlagField | ChoiceField | PatternField | 'target_modules', string>> = {
  r: 'Rank of the adapter: how much it can learn. 8 to 32 suits most data.',
  lora_alpha: 'Strength of the adapter; twice r is a good habit.',
  target_modules: 'Which linear layers get an adapter. All of them learns best.',
  rank_pattern:
    'Another r for some modules: q_proj = 32, layers.0.mlp.* = 8. Names are expressions, the first that fits counts.',
  alpha_pattern: 'Another lora_alpha for some modules, written the same way.',
  use_rslora: 'Scale by α ∕ √r instead of α ∕ r, for large ranks.',
  lora_dropout:
    'Share of the adapter’s inputs that training leaves out at random, against learning by heart. 0 is usual.',
  use_dora:
    'DoRA: learns the length of each weight row apart from its direction. Learns more a rank, takes more time, and with dropout more still.',
  learning_rate: 'Size of each update. Lower it when the loss jumps, raise it when nothing moves.',
  weight_decay: 'Pulls the adapter’s weights towards zero. 0 is usual for LoRA.',
  loraplus_lr_ratio: 'LoRA+: how many times A’s learning rate B gets. 1 is plain LoRA.',
  max_grad_norm: 'Longer gradients are cut to this length before the update.',
  adam_beta1: 'Memory of AdamW’s mean gradient.',
  adam_beta2: 'Memory of AdamW’s squared gradient.',
  adam_epsilon: 'Keeps AdamW from dividing by zero.',
  max_steps: 'Updates in the whole run.',
  lr_scheduler_type: 'How the learning rate goes over the run.',
  warmup_steps: 'Steps until the full learning rate; below 1, a share of max_steps.',
  eval_steps: 'Steps between two looks at the validation rows. Empty: five over the run.',
  early_stopping_patience: 'Ends the run when the validation loss has not fallen for so many looks. Empty: never.',
  load_best_model_at_end: 'Keeps the adapter of the lowest validation loss, not the last one.',
  per_device_train_batch_size: 'Sequences at once. More is faster and takes more memory.',
  gradient_accumulation_steps: 'Batches that make one update: a larger batch without more memory.',
  optim:
    'AdamW with its moments in 32 bits or in 8, which take a quarter; paged: they leave the GPU where it has no room.',
  optimizer_memory_budget:
    'GPU memory for the moments, in MB; the others pass through two pages of it. Empty: all of them, until the GPU is full.',
  optimizer_host_memory_budget:
    'Host memory for moments that leave the GPU, in MB; the others are paged to the disk. Empty: all of them.',
  optimizer_page_size: 'What moves at a time, in MB. Larger pages move faster, smaller ones need less. Empty: 4.2.',
  weight_memory_budget:
    'GPU memory for the frozen weights, in MB; layers beyond it wait in host memory and stream through. The same numbers, more time. Empty: all on the GPU.',
  train_sampling_strategy:
    'random shuffles the rows; sequential takes them in file order; group_by_length brings rows of like length together.',
  gradient_checkpointing:
    'Computes every layer twice: least memory, about a third more time. Off: only as many layers as memory needs.',
  bnb_4bit_quant_type: 'How the frozen weights are held in 4 bits. nf4 suits weights better; fp4 is there to compare.',
  embeddings_in_8bit:
    'Embedding and output head in 8 bits: about half their memory. Changes the numbers a little; off is exact.',
  seed: 'The same seed gives the same run.',
  max_length: 'Longer rows are cut to this many tokens.',
  packing: 'Puts short rows together into full sequences; rows do not see each other.',
  assistant_only_loss: 'Trains on the assistant’s words only, not on the question.',
  remove_duplicates: 'Leaves out rows that come out the same as an earlier one, token by token.',
  sample_steps: 'Steps between two samples. Empty: five over the run.',
  sample_tokens: 'Where a sample is cut.',
  validation_share: 'Share of the rows kept aside to see whether it learns or memorizes.',
};
