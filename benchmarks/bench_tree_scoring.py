"""Scoring of near copies: prefix trees against one padded row for each text, in CPU seconds of the same process.

    python benchmarks/bench_tree_scoring.py [--model NAME] [--programs 8] [--seeds 10] [--sf 8] [--json FILE]

Texts: both versions of MiniBugs programs over the link of the primary study (Rayleigh fading, mean SNR -10 dB, damaged
frames dropped), as often as there are channel seeds. The two ways take turns. The rows of the other way are batches of
near-equal length, which is how texts were scored before trees.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from _harness import machine

from llm_bridge.corpora import minibugs
from llm_bridge.scoring.likelihood import _token_nll, score_texts
from llm_bridge.scoring.prefix_trees import prefix_trees
from llm_bridge.study.transmission import items_of
from llm_bridge.training.examples import encode_text, length_batches, make_batch, verdict_ids
from llm_bridge.training.models import LoadedModel, load_model
from llm_bridge.training.objectives import hidden_states, line_verdicts, verdict_direction
from llm_bridge.transport.link import RadioSettings, send_items


def received_texts(programs: int, seeds: int, sf: int) -> list[str]:
    """Distinct texts that arrive."""
    items = items_of(minibugs.load()[:programs])
    texts: dict[str, None] = {}
    for seed in range(seeds):
        settings = RadioSettings(sf=sf, snr_db=-10.0, fading="rayleigh", policy="drop", channel_seed=seed)
        texts.update(dict.fromkeys(arrival.text for arrival in send_items(items, settings) if arrival.delivered))
    return list(texts)


@torch.inference_mode()
def separate(loaded: LoadedModel, texts: list[str]) -> dict[str, tuple[float, np.ndarray]]:
    """Sum of the token likelihoods and verdicts of the lines, from a row of its own for each text."""
    encodings = [encode_text(text, loaded.tokenizer) for text in texts]
    found = {}
    for picked in length_batches([len(encoding.input_ids) for encoding in encodings], 2048):
        batch = make_batch([encodings[i] for i in picked], pad_id=int(loaded.tokenizer.pad_token_id))
        with loaded.arithmetic():
            hidden = hidden_states(loaded.base, batch.input_ids, batch.attention_mask)
        lines, _ = line_verdicts(hidden, verdict_direction(loaded.base, verdict_ids(loaded.tokenizer)), batch)
        for row, index in enumerate(picked):
            encoding = encodings[index]
            target = batch.input_ids[row, 1 : 1 + encoding.num_text]
            nll = _token_nll(loaded.base.get_output_embeddings(), hidden[row, : encoding.num_text], target)
            found[texts[index]] = (float(nll.sum()), lines[row, : len(encoding.line_ends)].numpy())
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--programs", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--sf", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--max-nodes", type=int, nargs="+", default=[512])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    loaded = load_model(arguments.model)
    texts = received_texts(arguments.programs, arguments.seeds, arguments.sf)
    ids = [encode_text(text, loaded.tokenizer).input_ids for text in texts]
    tokens = sum(map(len, ids))
    results = []
    for max_nodes in arguments.max_nodes:
        nodes = sum(len(tree.tokens) for tree in prefix_trees(ids, max_nodes=max_nodes))
        seconds: dict[str, list[float]] = {"separate": [], "tree": []}
        for _ in range(arguments.repeats):
            start = time.process_time()
            rows = separate(loaded, texts)
            seconds["separate"].append(time.process_time() - start)
            start = time.process_time()
            trees = score_texts(loaded, texts, max_nodes=max_nodes)
            seconds["tree"].append(time.process_time() - start)
        worst = max(
            max(
                abs(rows[text][0] - trees[text].sum_nll) / max(1, trees[text].num_tokens),
                float(np.max(np.abs(rows[text][1] - np.array(trees[text].line_verdict)), initial=0.0)),
            )
            for text in texts
        )
        ratio = min(seconds["separate"]) / min(seconds["tree"])
        results.append(
            {"max_nodes": max_nodes, "texts": len(texts), "tokens": tokens, "nodes": nodes,
             "tokens_per_node": tokens / nodes, "cpu_s": seconds, "ratio": ratio, "largest_difference": worst}
        )  # fmt: skip
        print(
            f"{len(texts)} texts, {tokens} tokens, {nodes} nodes ({tokens / nodes:.2f} to one), trees of at most "
            f"{max_nodes}: {ratio:.2f} x as fast; largest difference {worst:.1e} (nats a token, or a line's verdict)"
        )
    if arguments.json:
        arguments.json.write_text(
            json.dumps(
                {"machine": machine(), "settings": vars(arguments) | {"json": None}, "results": results}, indent=1
            )
            + "\n"
        )


if __name__ == "__main__":
    main()
