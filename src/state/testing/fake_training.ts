/** A run as it looks from outside: a curve that falls with noise, evaluations, a norm that blows up when asked to. */
import type { AdapterFile, StepRecord } from '../../worker/protocol.ts';
import type { ModelInfo, TrainRequest } from '../../worker/studio_protocol.ts';

/** From this learning rate on the loss becomes NaN. */
export const DIVERGES_AT = 0.1;

export function stepRecord(step: number, { training }: TrainRequest): StepRecord {
  const share = step / training.max_steps;
  const noise = Math.sin(step * 12.9898) * 0.5 + Math.sin(step * 4.1414) * 0.3;
  const loss = 1.15 + 1.9 * Math.exp(-share * 4.5) + noise * 0.16;
  const warmup = training.warmup_steps >= 1 ? training.warmup_steps : training.warmup_steps * training.max_steps;
  const rise = warmup > 0 ? Math.min(1, step / warmup) : 1;
  return {
    step,
    loss,
    grad_norm: 0.55 + 1.4 * Math.exp(-share * 6) + Math.abs(noise) * 0.25,
    learning_rate: training.learning_rate * rise * (training.lr_scheduler_type === 'linear' ? 1 - share : 1),
    num_tokens: Math.round(training.gradient_accumulation_steps * 148 + noise * 90),
    mean_token_accuracy: 0.38 + 0.3 * share,
  };
}

export const evalLoss = (step: number, maxSteps: number): number => 1.31 + 1.72 * Math.exp((-4.2 * step) / maxSteps);

export function adapterFiles(model: ModelInfo, { lora }: TrainRequest): AdapterFile[] {
  const modules = lora.target_modules === 'all-linear' ? model.linears : lora.target_modules;
  const config = {
    base_model_name_or_path: model.name,
    bias: 'none',
    lora_alpha: lora.lora_alpha,
    lora_dropout: 0,
    peft_type: 'LORA',
    r: lora.r,
    target_modules: modules,
    task_type: 'CAUSAL_LM',
    use_rslora: lora.use_rslora,
  };
  const weights = new Uint8Array(modules.length * model.layers * lora.r * model.hiddenSize * 2);
  return [
    { path: 'adapter_config.json', bytes: new TextEncoder().encode(JSON.stringify(config, null, 2)) },
    { path: 'adapter_model.safetensors', bytes: weights },
  ];
}
