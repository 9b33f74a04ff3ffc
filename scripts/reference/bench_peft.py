"""The peer's side of `npm run bench -- train`: LoRA through PyTorch + transformers + PEFT on one CUDA GPU.

Milliseconds a step (median, least, most), tokens a second and peak memory, for models with random weights of the same shapes,
one JSON line a configuration on stdout; the first line says what ran it. What fails (out of memory, a graph that cannot be
captured) leaves a line with `error`, and the next configuration goes on.

    python bench_peft.py --base bf16 nf4 --mode eager compile \
        --run SmolLM2-135M:1x512 SmolLM2-135M:4x512 Llama-3.2-1B:4x512 --checkpointing off on

A step is what our own bench times: forward, backward, clipping to norm 1, AdamW over the adapter, with an empty queue before
and after. A capture that fails can leave CUDA unusable: give `--mode graphs` a run of its own. Needs torch, transformers and
peft; bitsandbytes for `--base nf4`. Run it on the same GPU as our bench, in one go.
"""

import argparse
import gc
import json
import statistics
import sys
import time
import traceback

import torch
import transformers

SIZES = {
    "tiny": dict(hidden_size=64, intermediate_size=192, num_hidden_layers=2, num_attention_heads=4,
                 num_key_value_heads=2, vocab_size=512),
    "SmolLM2-135M": dict(hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
                         num_key_value_heads=3, vocab_size=49152),
    "SmolLM2-360M": dict(hidden_size=960, intermediate_size=2560, num_hidden_layers=32, num_attention_heads=15,
                         num_key_value_heads=5, vocab_size=49152),
    "Llama-3.2-1B": dict(hidden_size=2048, intermediate_size=8192, num_hidden_layers=16, num_attention_heads=32,
                         num_key_value_heads=8, head_dim=64, vocab_size=128256),
}
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
DEFAULT_RUNS = ["SmolLM2-135M:1x512", "SmolLM2-135M:4x512", "SmolLM2-360M:4x512", "Llama-3.2-1B:1x512",
                "Llama-3.2-1B:4x512"]


def base_model(name: str, base: str, attention: str):
    """A model with random weights on the GPU, its linears in bf16 or NF4 with double quantization."""
    config = transformers.LlamaConfig(**SIZES[name], tie_word_embeddings=True, max_position_embeddings=8192,
                                      use_cache=False)
    with torch.device("cuda"):
        model = transformers.LlamaForCausalLM._from_config(config, dtype=torch.bfloat16, attn_implementation=attention)
    if base == "bf16":
        return model
    # `BitsAndBytesConfig` quantizes while a checkpoint is loaded, and there is none: so the decoder's linears are
    # replaced as transformers' own integration does it. A Linear4bit quantizes its weight when that moves to the GPU.
    import bitsandbytes as bnb

    for path, linear in list(model.model.named_modules()):
        if not isinstance(linear, torch.nn.Linear):
            continue
        quantized = bnb.nn.Linear4bit(linear.in_features, linear.out_features, bias=False,
                                      compute_dtype=torch.bfloat16, compress_statistics=True, quant_type="nf4",
                                      device="cpu")
        quantized.weight = bnb.nn.Params4bit(linear.weight.data.cpu(), requires_grad=False, compress_statistics=True,
                                             quant_type="nf4", module=quantized)
        parent, _, leaf = path.rpartition(".")
        setattr(model.model.get_submodule(parent), leaf, quantized.to("cuda"))
    # What PEFT and transformers ask to know that the base is quantized.
    model.is_loaded_in_4bit = True
    model.is_quantized = True
    return model


def adapted(model, rank: int, checkpointing: bool):
    import peft

    for parameter in model.parameters():
        parameter.requires_grad_(False)
    model = peft.get_peft_model(model, peft.LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=TARGETS,
                                                       task_type="CAUSAL_LM"))
    model.train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.data = parameter.data.float()
    if checkpointing:
        model.enable_input_require_grads()
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return model, trained


def eager_step(model, trained, optimizer, ids):
    def step():
        with torch.autocast("cuda", torch.bfloat16):
            loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)
        return loss.detach()

    return step


def captured_step(step):
    """The whole step, optimizer included, as one CUDA graph: what launch overhead costs is what this takes away."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        # Lazily made state (moments, workspaces, autotuning) must exist before the capture.
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = step()

    def replay():
        graph.replay()
        return loss

    return replay


def measure(step, warm_up: int, steps: int):
    losses = [step() for _ in range(warm_up)]
    torch.cuda.synchronize()
    times = []
    for _ in range(steps):
        started = time.perf_counter()
        loss = step()
        torch.cuda.synchronize()
        times.append(1e3 * (time.perf_counter() - started))
    started = time.perf_counter()
    for _ in range(steps):
        step()
    torch.cuda.synchronize()
    pipelined = 1e3 * (time.perf_counter() - started) / steps
    return times, pipelined, float(losses[0]), float(loss)


def run(name: str, rows: int, length: int, base: str, mode: str, checkpointing: bool, options):
    torch.manual_seed(0)
    torch._dynamo.reset()
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    model, trained = adapted(base_model(name, base, options.attention), options.rank, checkpointing)
    ids = torch.randint(0, SIZES[name]["vocab_size"], (rows, length), device="cuda")
    # capturable keeps AdamW's step count on the GPU, as a graph needs it.
    optimizer = torch.optim.AdamW(trained, lr=2e-4, weight_decay=0.0, fused=True, capturable=mode == "graphs")
    called = model
    if mode == "compile":
        called = torch.compile(model)
    elif mode == "reduce-overhead":
        called = torch.compile(model, mode="reduce-overhead")
    step = eager_step(called, trained, optimizer, ids)
    started = time.perf_counter()
    if mode == "graphs":
        step = captured_step(step)
    times, pipelined, first, last = measure(step, options.warm_up, options.steps)
    seconds = time.perf_counter() - started
    median = statistics.median(times)
    return dict(ms=round(median, 2), ms_min=round(min(times), 2), ms_max=round(max(times), 2), steps=len(times),
                pipelined_ms=round(pipelined, 2), tok_s=round(1e3 * rows * length / median),
                peak_GiB=round(torch.cuda.max_memory_allocated() / 2**30, 3),
                reserved_GiB=round(torch.cuda.max_memory_reserved() / 2**30, 3),
                first_loss=round(first, 4), last_loss=round(last, 4), seconds=round(seconds, 1))


def versions():
    found = {"torch": torch.__version__, "transformers": transformers.__version__, "cuda": torch.version.cuda}
    for package in ("peft", "bitsandbytes"):
        try:
            found[package] = __import__(package).__version__
        except Exception as error:  # noqa: BLE001: bitsandbytes may be there and not load
            found[package] = f"not usable: {error!r}"[:200]
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", nargs="+", default=DEFAULT_RUNS, metavar="MODEL:ROWSxLENGTH",
                        help=f"models are {', '.join(SIZES)}")
    parser.add_argument("--base", nargs="+", choices=["bf16", "nf4"], default=["bf16", "nf4"])
    parser.add_argument("--mode", nargs="+", choices=["eager", "compile", "reduce-overhead", "graphs"],
                        default=["eager"])
    parser.add_argument("--checkpointing", nargs="+", choices=["off", "on"], default=["off"])
    parser.add_argument("--attention", choices=["sdpa", "eager", "flash_attention_2"], default="sdpa")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--warm-up", type=int, default=4)
    options = parser.parse_args()
    if options.steps < 8:
        parser.error("--steps is at least 8: a median of fewer says little")
    if not torch.cuda.is_available():
        sys.exit("bench_peft.py needs a CUDA GPU")
    print(json.dumps(dict(gpu=torch.cuda.get_device_name(0), **versions())), flush=True)
    for configuration in options.run:
        name, _, shape = configuration.partition(":")
        rows, _, length = shape.partition("x")
        if name not in SIZES or not (rows.isdigit() and length.isdigit()):
            parser.error(f"{configuration} is not MODEL:ROWSxLENGTH")
        for base in options.base:
            for mode in options.mode:
                for checkpointing in options.checkpointing:
                    line = dict(model=name, B=int(rows), S=int(length), base=base, mode=mode,
                                checkpointing=checkpointing == "on")
                    try:
                        line.update(run(name, int(rows), int(length), base, mode, checkpointing == "on", options))
                    except Exception as error:  # noqa: BLE001: whatever it is, the other configurations go on
                        traceback.print_exc(file=sys.stderr)
                        line["error"] = repr(error)[:400]
                    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
