"""Likelihood of single edits: does the program become likelier to an untrained model where its bug is mended?

    OMP_NUM_THREADS=1 python benchmarks/single_edits.py --quixbugs path/to/QuixBugs --out docs/results/single_edits.json

For a buggy text, every edit that the tree mutation engine can make is scored by the log-likelihood of the whole edited
text: its sum, which is what is asked about, and beside it its mean over tokens, which is raised by any foreseeable
token that is added (the sum is raised by any token that is left out). The best edit names a line (*localise*) and is a
program (*repair*: one candidate, run on all tests in the sandbox). Lines are ranked by their best edit. Beside them
stand a random line, the line at a fixed place from the end (fitted on training mutants), and the same model's ranking
of lines by their own likelihood.

Cost: the text's key/value cache is computed once; an edited text is computed from its first changed token on, in
batches of edits that begin near each other. Programs that are in the output file already are not run again. No program
text is written.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from _harness import machine, table

from llm_bridge.corpora import minibugs, mutants, quixbugs
from llm_bridge.corpora.mutation import trees
from llm_bridge.corpora.mutation.one_line import changed_line
from llm_bridge.corpora.programs import ProgramPair, corpus_hash
from llm_bridge.corpora.stdlib_functions import Function

if TYPE_CHECKING:
    import torch

    from llm_bridge.training.models import LoadedModel

BY = ("sum", "mean")
RULES = ("fixed line", "line likelihood")
HEAD_TOKENS = 512  # tokens whose logits exist at once


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("single_edits.json"))
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--compute", default="auto", help="float32, bfloat16 or auto (bfloat16 where the CPU has it)")
    parser.add_argument("--quixbugs", type=Path, help="a clone of QuixBugs or its JSONL file")
    parser.add_argument("--limit", type=int, help="only the first programs of each corpus")
    parser.add_argument("--batch-tokens", type=int, default=2048)
    parser.add_argument("--time-limit-s", type=float, default=5.0, help="of one test case in the sandbox")
    options = parser.parse_args()

    warnings.filterwarnings("ignore", message=".*past_key_values.*", category=FutureWarning)  # older ones have no other
    corpora = {"minibugs": minibugs.load()[: options.limit]}
    if options.quixbugs:
        corpora["quixbugs"] = quixbugs.load(options.quixbugs)[: options.limit]
    from llm_bridge.scoring.rules import fit_position
    from llm_bridge.training.fetching import versions
    from llm_bridge.training.models import load_model

    loaded = load_model(options.model, compute=options.compute)
    setting = {
        "model": loaded.fingerprint,
        "batch_tokens": options.batch_tokens,
        "time_limit_s": options.time_limit_s,
        "fixed_line_from_end": fit_position(mutants.load("train")),
    }
    known = json.loads(options.out.read_text()) if options.out.exists() else {}
    if known and known["setting"] != setting:
        raise SystemExit(f"{options.out} was made with another setting or model; name another file with --out")
    result = {"setting": setting, "machine": machine(), "versions": versions(), "programs": known.get("programs", [])}
    print(json.dumps({key: result[key] for key in ("setting", "machine", "versions")}, indent=1), flush=True)
    for pairs in corpora.values():
        for pair in pairs:
            digest = corpus_hash([pair])
            if not any(row["hash"] == digest for row in result["programs"]):
                row = {"hash": digest} | measure(loaded, pair, options, setting["fixed_line_from_end"])
                result["programs"].append(row)
                _write(options.out, result)
                print(f"{pair.corpus:9s} {pair.name:28s} {row['num_edits']:5d} edits {row['cpu_s']:7.1f} s", flush=True)
    result["summary"] = {
        name: summary([row for row in result["programs"] if row["corpus"] == name])
        for name in sorted({row["corpus"] for row in result["programs"]})
    }
    _write(options.out, result)
    for name, numbers in result["summary"].items():
        print(f"\n{name}: {json.dumps({key: value for key, value in numbers.items() if key != 'measures'})}")
        print(table(["by", "measure", "value", "low", "high", "n"], _measure_rows(numbers["measures"])))


def single_edits(text: str, *, max_rounds: int = 40, quiet_rounds: int = 4, seed: int = 0) -> dict[str, int]:
    r"""Texts that differ from a program in one line by one edit of the tree engine, and compile to other code.

    Parameters
    ----------
    text
        A program in normal form: functions, and classes with methods, of any size. The engine's operators go both ways,
        so the fix of a one-line bug may be among its edits. Names, functions to call and places are drawn where there
        are many, hence the rounds.
    max_rounds, quiet_rounds
        Draw anew at most that often, and stop after so many rounds that brought nothing new.
    seed
        Seed of the draws.

    Returns
    -------
    dict
        Edited text to the line of `text`, from 1, that the edit changes, removes or puts a line before (the last line
        where it is put at the end), in the order in which they were found.

    Examples
    --------
    >>> text = "def f(n):\n    total = 0\n    while n > 0:\n        total += n\n        n -= 1\n    return total\n"
    >>> single_edits(text)[text.replace("n > 0", "n >= 0")]
    3
    """
    module = ast.parse(text)
    num_lines = text.count("\n")
    found: dict[str, int] = {}
    seen = {text}
    quiet = 0
    for turn in range(max_rounds):
        before = len(seen)
        for edited in _drawn(module, text, random.Random(f"edits {seed} {turn}")):
            if edited not in seen:
                seen.add(edited)
                line = changed_line(text, edited)
                if line is not None:
                    found[edited] = min(line, num_lines)
        quiet = quiet + 1 if len(seen) == before else 0
        if quiet == quiet_rounds:
            break
    return found


def _drawn(module: ast.Module, text: str, rng: random.Random) -> Iterator[str]:
    for tree in _functions(module):
        function = Function(module="", name=tree.name, text=text, methods={}, attributes=())
        for candidate in trees.proposed(function, tree, rng):
            yield trees.mutate(module, candidate).strip("\n") + "\n"


def _functions(module: ast.Module) -> list[ast.FunctionDef]:
    """Functions and methods; one inside another belongs to the outer one."""
    owners: list[ast.Module | ast.ClassDef] = [
        module,
        *(node for node in module.body if isinstance(node, ast.ClassDef)),
    ]
    return [node for owner in owners for node in owner.body if isinstance(node, ast.FunctionDef)]


def measure(loaded: LoadedModel, pair: ProgramPair, options: argparse.Namespace, from_end: int) -> dict[str, Any]:
    """One program: its edits, what the best of them say, and whether the best programs pass all tests."""
    from llm_bridge.scoring.likelihood import score_texts
    from llm_bridge.scoring.localise import rank_lines
    from llm_bridge.scoring.rules import rule_scores
    from llm_bridge.scoring.sandbox import run_tests

    started = time.process_time()
    edits = single_edits(pair.buggy)
    enumerated = time.process_time()
    found = edit_log_likelihoods(loaded, pair.buggy, list(edits), batch_tokens=options.batch_tokens)
    own, rule = score_texts(loaded, [pair.buggy]), rule_scores([pair.buggy], from_end)
    rankings = {
        "fixed line": [line + 1 for line in rank_lines(pair.buggy, rule[pair.buggy], by="verdict")],
        "line likelihood": [line + 1 for line in rank_lines(pair.buggy, own[pair.buggy], by="nll")],
    }
    scored = time.process_time()
    row: dict[str, Any] = {
        "corpus": pair.corpus,
        "program": pair.name,
        "group": pair.group,
        "defect_class": pair.defect_class,
        "num_lines": len(pair.buggy.splitlines()),
        "gold": list(pair.gold_lines),
        "num_edits": len(edits),
        "fix_among": pair.correct in edits,
        "gold_line_edited": bool(set(edits.values()) & set(pair.gold_lines)),
        "fix_rank": {},
        "plausible": {},
        "gain_nats": {},
    }
    start = own[pair.buggy]
    for by in BY:
        order = sorted(edits, key=lambda text: (-found[text][by], text))
        rankings[by] = list(dict.fromkeys(edits[text] for text in order))
        row["fix_rank"][by] = order.index(pair.correct) + 1 if row["fix_among"] else None
        row["gain_nats"][by] = found[order[0]]["sum"] + start.sum_nll if order else None
        outcome = run_tests(order[0], pair.name, pair.tests, time_limit_s=options.time_limit_s) if order else None
        row["plausible"][by] = outcome is not None and outcome.verdict == "pass"
    row["rankings"] = rankings
    row["cpu_s"] = round(scored - started, 2)
    row["cpu_s_enumerating"] = round(enumerated - started, 2)
    return row


def edit_log_likelihoods(
    loaded: LoadedModel, text: str, edited: Sequence[str], *, batch_tokens: int = 2048
) -> dict[str, dict[str, float]]:
    """Log-likelihood of each edited text in nats, "sum" and "mean" of its tokens, with the text's own cache reused."""
    import torch

    from llm_bridge.training.examples import encode_text

    def token_ids(source: str) -> list[int]:
        encoding = encode_text(source, loaded.tokenizer)
        if encoding.truncated:
            raise ValueError("a program must fit the model's window (got one that does not)")
        return list(encoding.input_ids[: 1 + encoding.num_text])

    base = token_ids(text)
    rows = [
        (_common_prefix(base, ids), ids, source) for source, ids in zip(edited, map(token_ids, edited), strict=True)
    ]
    rows.sort(key=lambda row: (row[0], len(row[1])))
    scores: dict[str, dict[str, float]] = {}
    with torch.inference_mode():
        hidden, cache = _forward(loaded, torch.tensor([base], device=loaded.device), None)
        base_nll = np.concatenate([[0.0], np.cumsum(_token_nll(loaded, hidden[0, :-1], base[1:]))])
        for batch in _batches(rows, batch_tokens):
            start = batch[0][0] - 1  # the last common token is computed again: it predicts the first other one
            width = max(len(ids) for _, ids, _ in batch) - start
            pad = int(loaded.tokenizer.pad_token_id)
            block = torch.full((len(batch), width), pad, device=loaded.device)
            for line, (_, ids, _) in zip(block, batch, strict=True):
                line[: len(ids) - start] = torch.tensor(ids[start:])
            hidden, _ = _forward(loaded, block, _beginning(cache, start, len(batch)))
            lengths = [len(ids) - start - 1 for _, ids, _ in batch]
            before = torch.cat([hidden[row, :length] for row, length in enumerate(lengths)])
            targets = [token for _, ids, _ in batch for token in ids[start + 1 :]]
            nll = np.split(_token_nll(loaded, before, targets), np.cumsum(lengths)[:-1])
            for (_, ids, source), own in zip(batch, nll, strict=True):
                total = -float(base_nll[start] + own.sum())
                scores[source] = {"sum": total, "mean": total / max(1, len(ids) - 1)}
    return scores


def _forward(loaded: LoadedModel, ids: torch.Tensor, cache: Any) -> tuple[torch.Tensor, Any]:
    """Last hidden states, and the cache; padding stands on the right, where a causal model does not look."""
    with loaded.arithmetic():
        out = loaded.base.get_decoder()(input_ids=ids, past_key_values=cache, use_cache=True)
    return out.last_hidden_state, out.past_key_values


def _beginning(cache: Any, length: int, rows: int) -> Any:
    """The first `length` tokens of a cache, for several rows."""
    from transformers import DynamicCache

    beginning = DynamicCache()
    for index, layer in enumerate(cache.layers if length else ()):
        keys, values = (kept[:, :, :length].expand(rows, -1, -1, -1) for kept in (layer.keys, layer.values))
        beginning.update(keys, values, index)
    return beginning


def _token_nll(loaded: LoadedModel, hidden: torch.Tensor, targets: Sequence[int]) -> np.ndarray:
    """−log p of each target token, from the hidden state before it."""
    import torch

    from llm_bridge.training.objectives import head_logits

    head = loaded.base.get_output_embeddings()
    pieces = [np.zeros(0)]
    wanted = torch.tensor(list(targets), device=hidden.device)
    for start in range(0, len(wanted), HEAD_TOKENS):
        part = wanted[start : start + HEAD_TOKENS, None]
        logits = head_logits(head, hidden[start : start + HEAD_TOKENS])
        pieces.append((torch.logsumexp(logits, dim=1) - logits.gather(1, part)[:, 0]).double().cpu().numpy())
    return np.concatenate(pieces)


Row = tuple[int, list[int], str]


def _batches(rows: Sequence[Row], batch_tokens: int) -> list[list[Row]]:
    """Neighbours in the order of their first changed token; at most `batch_tokens` behind the common prefix, padded."""
    batches: list[list[Row]] = []
    width = 0
    for row in rows:
        if batches:
            width = max(width, len(row[1]) - batches[-1][0][0] + 1)
        if not batches or width * (len(batches[-1]) + 1) > batch_tokens:
            batches.append([])
            width = len(row[1]) - row[0] + 1
        batches[-1].append(row)
    return batches


def _common_prefix(first: Sequence[int], second: Sequence[int]) -> int:
    """Number of equal tokens at the beginning; at least 1, the token that begins every text."""
    for index, (one, other) in enumerate(zip(first, second, strict=False)):
        if one != other:
            return index
    return min(len(first), len(second))


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Counts, and for each way of ranking F1, Top-1, Top-3, mean reciprocal rank with intervals over programs."""
    from llm_bridge.scoring.metrics import compare_cells, measures, score_cell

    named = {by: [_localise_row(row, by) for row in rows] for by in (*BY, *RULES)}
    numbers = {by: {name: asdict(one) for name, one in measures(items).items()} for by, items in named.items()}
    for by in BY:
        repaired = [_repair_row(row, by) for row in rows]
        numbers[by]["plausible@1"] = asdict(measures(repaired)["plausible@1"])
        for rule in RULES:
            numbers[by][f"f1 minus {rule}"] = asdict(compare_cells(named[by], named[rule]))
    return {
        "programs": len(rows),
        "fix_among_edits": sum(row["fix_among"] for row in rows),
        "fix_ranked_first": {by: sum(row["fix_rank"][by] == 1 for row in rows) for by in BY},
        "gold_line_edited": sum(row["gold_line_edited"] for row in rows),
        "mean_edits": float(np.mean([row["num_edits"] for row in rows])),
        "cpu_s_per_program": float(np.mean([row["cpu_s"] for row in rows])),
        "chance": score_cell(named["mean"])["baseline"],
        "measures": numbers,
    }


def _localise_row(row: Mapping[str, Any], by: str) -> dict[str, Any]:
    ranking = row["rankings"][by]
    ranks = [rank for rank, line in enumerate(ranking, start=1) if line in row["gold"]]
    return _item(row, "localise") | {
        "correct": bool(ranks) and ranks[0] == 1,
        "num_lines": row["num_lines"],
        "num_gold": len(row["gold"]),
        "rank": ranks[0] if ranks else None,
    }


def _repair_row(row: Mapping[str, Any], by: str) -> dict[str, Any]:
    return _item(row, "repair") | {"correct": row["plausible"][by]}


def _item(row: Mapping[str, Any], task: str) -> dict[str, Any]:
    fields = {name: row[name] for name in ("program", "group")}
    return fields | {"task": task, "version": "buggy", "delivered": True, "intact": True}


def _measure_rows(numbers: Mapping[str, Mapping[str, Any]]) -> list[list[Any]]:
    return [
        [by, name, one["value"], one["low"], one["high"], one.get("n", one.get("num_clusters"))]
        for by, found in numbers.items()
        for name, one in found.items()
        if name not in ("coverage", "intact")
    ]


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(content, indent=1) + "\n")
    os.replace(temporary, path)


if __name__ == "__main__":
    main()
