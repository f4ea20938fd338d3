"""Command line: `python -m llm_bridge run RECIPE.toml --out DIR`, `report`, `models`, `corpora`.

A user's mistake ends in one line that says what to do, and exit status 2; models of a study that failed in a line each,
and status 1, once the others are done; an interruption in status 130, and the same command again continues.
"""

from __future__ import annotations

import sys

if __name__ == "__main__" and not sys.flags.safe_path:
    # `python -m` puts the caller's folder first, where a file may be called json.py: it stays, and comes last, only
    # where this very package was found in it
    caller = sys.path.pop(0)
    sys.path += [caller] if __file__ == f"{caller}/llm_bridge/__main__.py" else []

import gc
import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

try:
    import typer
except ImportError as error:  # pragma: no cover - depends on the installation
    raise SystemExit(
        f"python -m llm_bridge needs the optional packages of chirpbridge[bridge] ({error.name} is missing):"
        " pip install 'chirpbridge[bridge]'"
    ) from error

from llm_bridge.files import FailedModelsError, StoreError
from llm_bridge.scoring.sandbox import CageError, IsolationError
from llm_bridge.training.common import ModelDownloadError

INTERRUPTED = 130
OWN_PACKAGES = ("llm_bridge", "lora_phy")
BRIDGE_PACKAGES = ("jinja2", "matplotlib", "pandas", "pydantic", "pytest", "rich", "statsmodels", "typer")
"""What the extra [bridge] brings; whatever else may be missing comes with [llm], [cluster] or [mutants]."""
CLUSTER_PACKAGES = ("dask", "distributed")
MUTANTS_PACKAGES = ("libcst", "mutmut")

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Program text over a LoRa radio link into the fine-tuning of a language model, scored on bugs.",
)
models_app = typer.Typer(no_args_is_help=True, help="Language models: fetch, export; estimate memory, rehearse.")
recipes_app = typer.Typer(no_args_is_help=True, help="Recipes: their keys, and a JSON schema for editors.")
corpora_app = typer.Typer(no_args_is_help=True, help="Corpora: check one for leaks, balance and right tests.")
app.add_typer(models_app, name="models")
app.add_typer(corpora_app, name="corpora")
app.add_typer(recipes_app, name="recipes")

Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Change a value of the recipe; may be repeated."),
]


@app.command()
def run(
    recipe: Annotated[str, typer.Argument(help="A TOML file, or the name of a published recipe.")],
    out: Annotated[str, typer.Option("--out", help="Folder of the results; the same one again continues.")],
    set_: Overrides = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes, one thread each. Without it: this process, all its threads.")
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(metavar="ADDRESS|local", help="A dask.distributed scheduler; local: start one here.")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Folder for links, models and scores that several studies share.")
    ] = None,
    extend: Annotated[
        bool, typer.Option("--extend", help="Add cells to a folder where lists of axes, seeds or methods have grown.")
    ] = False,
    keep_models: Annotated[
        bool, typer.Option("--keep-models", help="Keep every trained model, in DIR/models (see models export).")
    ] = False,
) -> None:
    """Run a recipe: send, train, score, report. What is finished is skipped.

    A method that fails does not end the others: exit status 1, and a line for each that failed.
    """
    from llm_bridge.run import run_recipe
    from llm_bridge.study.recipe_files import load_recipe
    from llm_bridge.training.distributed_training import (
        coordinate_workers,
        is_distributed,
        is_main_process,
        serve_training_jobs,
    )

    if not out.strip():
        raise ValueError(f"'--out' must name a folder for the results (got {out!r})")
    if is_distributed() and (workers or cluster):
        raise ValueError("'--workers' and '--cluster' start processes of their own: not under a launcher")
    if not is_main_process():
        serve_training_jobs()
        return
    with coordinate_workers():
        run_recipe(
            load_recipe(recipe, set_ or []),
            Path(out),
            workers=workers,
            cluster=cluster,
            cache=cache,
            extend=extend,
            keep_models=keep_models,
        )


@app.command()
def report(directory: Annotated[Path, typer.Argument(help="Folder of a run.")]) -> None:
    """Write report.html, results.csv and items.jsonl from the finished cells of a run."""
    # many small matrix products: threads of a BLAS would mostly wait for each other; read once, when numpy is imported
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    gc.disable()  # a folder's rows live to the end, and a collection would go through all of them again and again
    from llm_bridge.report import write_report
    from llm_bridge.results_format import failure_sentences

    path = write_report(directory)
    for line in (f"wrote {path}", *failure_sentences(directory)):
        typer.echo(line)
    gc.freeze()  # nor as the process ends


@app.command()
def federated(
    recipe: Annotated[str, typer.Argument(help="A TOML file, or the name of a published recipe, as federated.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the results; the same one again continues.")],
    set_: Overrides = None,
    rounds: Annotated[
        list[int] | None, typer.Option("--rounds", help="Rounds that divide the steps; may be repeated. [1 and 5]")
    ] = None,
    how: Annotated[
        list[str] | None,
        typer.Option("--how", help="average, least-squares or cosine; may be repeated. [the first two]"),
    ] = None,
    penalty: Annotated[float, typer.Option(help="Penalty of the refined adapter's change.")] = 0.01,
    cache: Annotated[Path | None, typer.Option(help="Folder for links that several studies share.")] = None,
) -> None:
    """Train an adapter at each of several receivers, merge them, and compare with the best one and with pooled data."""
    from llm_bridge.study.federated import run_federated
    from llm_bridge.study.recipe_files import load_recipe

    run_federated(
        load_recipe(recipe, set_ or []),
        out,
        rounds=rounds or (1, 5),
        aggregations=how or ("average", "least-squares"),
        penalty=penalty,
        cache=cache,
    )


@recipes_app.command("schema")
def recipes_schema() -> None:
    """Print the JSON schema of a recipe: editors complete and check a TOML file by it."""
    import json

    from llm_bridge.study.recipe_files import json_schema

    typer.echo(json.dumps(json_schema(), indent=1))


@recipes_app.command("keys")
def recipes_keys() -> None:
    """Print every key of a recipe with its default and meaning, as tables in Markdown."""
    from llm_bridge.study.recipe_files import keys_table

    typer.echo(keys_table(), nl=False)


@models_app.command("fetch")
def models_fetch(
    name: Annotated[str, typer.Argument(help="A known name, or a hub id.")] = "smollm2-135m-instruct",
) -> None:
    """Download a model, check its hash, convert it once; a cached one is checked and kept."""
    from rich.console import Console

    from llm_bridge.training.models import fetch_model

    console = Console()
    with console.status(f"fetching {name}") as status:
        path = fetch_model(
            name, progress=lambda done, total: status.update(f"fetching {name}: {done / max(total, 1):.0%}")
        )
    if not (path / "config.json").is_file():
        raise ValueError(f"'name' must be a model (got {name!r}: the folder {path} has no config.json)")
    console.print(f"{name} is ready in {path}", soft_wrap=True, markup=False, highlight=False)


@models_app.command("export")
def models_export(
    directory: Annotated[Path, typer.Argument(help="Folder of a run with --keep-models.")],
    name: Annotated[str, typer.Argument(help="A folder's name under DIRECTORY/models, such as qlora-seed0.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write, new or empty.")],
    merged: Annotated[
        bool, typer.Option("--merged", help="The whole model with its adapter merged in; not where the base is 4-bit.")
    ] = False,
) -> None:
    """Write a trained model to a folder: an adapter that peft loads, or a whole model that transformers loads."""
    from llm_bridge.results_format import MODELS_FOLDER
    from llm_bridge.training.adapters import export_trained

    kept = sorted(path.name for path in (directory / MODELS_FOLDER).glob("[!.]*"))
    if name not in kept:
        known = ", ".join(kept) or "none; run with --keep-models"
        raise ValueError(f"'name' must be a model that {directory} keeps (got {name!r}; there: {known})")
    path = export_trained(directory / MODELS_FOLDER / name, out, merged=merged)
    typer.echo(f"wrote {path}")


@models_app.command("estimate")
def models_estimate(
    recipe: Annotated[str, typer.Argument(help="A TOML file, or the name of a published recipe.")],
    set_: Overrides = None,
) -> None:
    """Memory that a recipe's methods need, from the model's configuration alone."""
    from rich.console import Console

    from llm_bridge.study.preflight import estimate_recipe
    from llm_bridge.study.recipe_files import load_recipe

    estimate_recipe(load_recipe(recipe, set_ or []), console=Console())


@models_app.command("rehearse")
def models_rehearse(
    recipe: Annotated[str, typer.Argument(help="A TOML file, or the name of a published recipe.")],
    set_: Overrides = None,
    method: Annotated[
        list[str] | None, typer.Option("--method", help="A method of the recipe; without it, each in turn.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--folder", help="Folder for the random weights, which are deleted at the end.")
    ] = None,
    disk_gb: Annotated[float | None, typer.Option("--disk-gb", min=0, help="Most disk they may take, in GB.")] = None,
    memory_gb: Annotated[
        float | None, typer.Option("--memory-gb", min=0, help="Stop a method that takes more memory, in GB.")
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option("--tokenizer", help="Folder of the model's tokenizer, where you have it.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="JSON file to which the records are added.")] = None,
) -> None:
    """Rehearse a recipe at full size on random weights: memory beside the plan, time a token, save, load, resume.

    Numbers are those of the path, never of the model. Exit status 1 where a method did not finish.
    """
    from rich.console import Console

    from llm_bridge.study.recipe_files import load_recipe
    from llm_bridge.study.rehearsal import rehearse_recipe, write_rehearsals

    records = rehearse_recipe(
        load_recipe(recipe, set_ or []),
        console=Console(),
        methods=method or (),
        folder=folder,
        tokenizer=tokenizer,
        max_disk=None if disk_gb is None else disk_gb * 1e9,
        max_memory=None if memory_gb is None else memory_gb * 1e9,
    )
    if out is not None:
        write_rehearsals(records, out)
    if any(record["status"] != "finished" for record in records):
        raise typer.Exit(1)


@corpora_app.command("check")
def corpora_check(
    path: Annotated[
        Path | None,
        typer.Argument(help="mutants, mutants-mutmut, your own JSONL file, QuixBugs' clone or file; none: MiniBugs."),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="Also probe whether this model knows it by heart.")
    ] = None,
) -> None:
    """Check a corpus: every line, one hunk each, balance, duplicates, leaks, and every test run in the sandbox.

    Exit status 1 where it has problems, 2 where it cannot be checked.
    """
    from llm_bridge.corpora import checks, minibugs, mutants, mutmut_mutants, own_corpus, quixbugs
    from llm_bridge.scoring.sandbox import require_isolation, run_tests, suite_problems

    named = {"mutants": lambda: mutants.load("test"), "mutants-mutmut": mutmut_mutants.load}
    if path is None:
        pairs = minibugs.load()
    elif str(path) in named:
        pairs = named[str(path)]()
    elif quixbugs.is_quixbugs(path):
        pairs = quixbugs.load(path)
    else:
        pairs, problems = own_corpus.read(str(path).removeprefix(own_corpus.PREFIX))
        for problem in problems:
            typer.echo(f"PROBLEM {problem}")
        if problems:
            typer.echo(f"{len(problems)} problems; {len(pairs)} pairs are well")
            raise typer.Exit(1)
    if problems := suite_problems(pairs):
        for problem in problems:
            typer.echo(f"PROBLEM {problem}")
        raise typer.Exit(1)
    if any(pair.tests.cases or pair.tests.test_module for pair in pairs):
        require_isolation()
    found = checks.check(pairs, run_tests=run_tests)
    typer.echo(checks.render(found))
    if model is not None:
        from llm_bridge.scoring.likelihood import score_texts
        from llm_bridge.training.models import load_model

        loaded = load_model(model)
        probe = checks.memorisation(
            pairs, lambda texts: {text: found.sum_nll for text, found in score_texts(loaded, texts).items()}
        )
        typer.echo(checks.render_memorisation(probe))
    if found.problems:
        raise typer.Exit(1)


@corpora_app.command("template")
def corpora_template() -> None:
    """Print a corpus of three pairs, one JSON object a line: the start of a JSONL file of your own."""
    from llm_bridge.corpora import own_corpus

    typer.echo(own_corpus.template(), nl=False)


def main() -> None:
    """Run the command line; turn the errors that a user can mend into one line."""
    try:
        status = app(spread_overrides(sys.argv[1:]), standalone_mode=False)
        if status == INTERRUPTED:  # how typer reports Ctrl-C in this mode
            raise KeyboardInterrupt
        if status:
            raise SystemExit(status)
    except KeyboardInterrupt:
        program = Path(sys.argv[0])
        begin = [program.name] if program.name != "__main__.py" else ["python", "-m", "llm_bridge"]
        again = shlex.join([*begin, *sys.argv[1:]])
        _fail(f"interrupted; nothing finished was lost, the same command continues:\n  {again}", INTERRUPTED)
    except (typer.Abort, typer.Exit) as stop:
        raise SystemExit(getattr(stop, "exit_code", 1)) from None
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in OWN_PACKAGES:  # no extra would bring it
            raise
        extras = {"bridge": BRIDGE_PACKAGES, "cluster": CLUSTER_PACKAGES, "mutants": MUTANTS_PACKAGES}
        extra = next((name for name, packages in extras.items() if package in packages), "llm")
        _fail(f"{error.name or error} is missing: pip install 'chirpbridge[{extra}]'", 2)
    except FailedModelsError as error:
        _fail(str(error).replace("\n", "\nerror: "), 1)
    except (ValueError, OSError, StoreError, ModelDownloadError, IsolationError, CageError) as error:
        if os.environ.get("CHIRPBRIDGE_TRACEBACK"):
            raise
        ours = type(error).__module__.startswith("llm_bridge") or str(error).startswith("'")
        _fail(str(error) if ours else f"{error} (CHIRPBRIDGE_TRACEBACK=1 shows where)", 2)
    except Exception as error:
        if type(error).__module__.startswith(("click", "typer")):  # wrong use of the command line
            show = getattr(error, "show", None)
            if show is not None:
                show()
            raise SystemExit(getattr(error, "exit_code", 2)) from None
        raise


def spread_overrides(arguments: Sequence[str]) -> list[str]:
    """``--set A=1 B=2`` as ``--set A=1 --set B=2``: one option may take several settings.

    Examples
    --------
    >>> spread_overrides(["run", "toy", "--set", "radio.sf=7", "score.bootstrap=200", "--out", "dir"])
    ['run', 'toy', '--set', 'radio.sf=7', '--set', 'score.bootstrap=200', '--out', 'dir']
    """
    spread: list[str] = []
    follows = False  # whether the last word was a setting
    for word in arguments:
        setting = re.match(r"[a-z_]+(\.[\w-]+)*=", word) is not None
        if follows and setting:
            spread.append("--set")
        follows = setting and spread[-1:] == ["--set"]
        spread.append(word)
    return spread


def _fail(message: str, status: int) -> None:
    typer.echo(f"error: {message}", err=True)
    raise SystemExit(status)


if __name__ == "__main__":
    main()
