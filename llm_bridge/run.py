"""A recipe, run to its report: the study's stages, then the report on its folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from llm_bridge import report
from llm_bridge.files import FailedModelsError
from llm_bridge.report.channel import read_channel, residual_table
from llm_bridge.results_format import cell_dirs, failure_sentences
from llm_bridge.study.cache import locked, share_cache
from llm_bridge.study.channel import run_channel
from llm_bridge.study.experiment import claim_folder, run_cells
from llm_bridge.study.preflight import check_isolation, check_links, check_test_suites
from llm_bridge.study.recipe import Recipe
from llm_bridge.study.workspace import Workspace, open_workspace

if TYPE_CHECKING:
    from rich.console import Console


def run_recipe(
    recipe: Recipe,
    directory: Path | str,
    *,
    console: Console | None = None,
    workers: int | None = None,
    cluster: str | None = None,
    cache: Path | None = None,
    extend: bool = False,
    keep_models: bool = False,
) -> Path:
    """Run a recipe to its report; returns the report's path. Without a method it is the channel stage alone.

    Parameters
    ----------
    recipe, directory
        What to run, and the folder of its results. What is finished there is not computed again.
    console
        Console of the package rich that it reports to; the default is standard output.
    workers, cluster
        As in `llm_bridge.study.parallel.open_executor`. The result does not depend on them, given one thread.
    cache
        Folder for links, models and scores that several studies share; the default is one of the study's own.
    extend
        Whether lists of axes, seeds, methods and corpora may have grown since the folder was filled; the default is
        that another recipe is refused.
    keep_models
        Whether every trained model is written to ``models/<method>-seed<n>`` in the folder; the default is that it is
        deleted once its cells are finished.

    Raises
    ------
    FailedModelsError
        A model could not be trained or scored; the other cells and the report are written.
    StoreError
        The folder is in use, cannot be written, was edited, or was filled by another recipe.
    RecipeError, CorpusError, ModelError, ModelDownloadError
        What the user asked for is not there, or not possible; nothing was written for it.
    """
    from rich.console import Console

    check_links(recipe)
    check_isolation(recipe)
    directory, console = Path(directory), console or Console()
    with locked(directory):
        if cache is not None:
            share_cache(directory, cache)
        study = open_workspace(recipe, directory, console)
        check_test_suites(recipe, study.test)
        if recipe.training.methods:
            study.keep_models = keep_models
            run_cells(study, workers=workers, cluster=cluster, extend=extend)
            failed = failure_sentences(directory)
            if failed and not cell_dirs(directory):
                raise FailedModelsError("\n".join(failed))
            path = _report(study)
            if failed:
                raise FailedModelsError("\n".join(failed))
            return path
        claim_folder(recipe, directory, extend=extend)
        run_channel(study, workers=workers, cluster=cluster)
        return _channel_report(study)


def _report(study: Workspace) -> Path:
    with study.phase("report"):
        seen = report.load_study(study.directory)
        path = report.write_report(study.directory, study=seen)
    study.console.print(f"in all{'':<54}{sum(seconds for _, seconds in study.phases):7.1f} s", highlight=False)
    report.print_results(study.console, seen, path)
    return path


def _channel_report(study: Workspace) -> Path:
    with study.phase("report"):
        path = report.write_report(study.directory)
    study.console.print("\nShare of bytes wrong or lost, by spreading factor, over all channel seeds", highlight=False)
    shares = residual_table(read_channel(study.directory)).to_string()
    study.console.print(shares, soft_wrap=True, highlight=False, markup=False)
    study.console.print(f"\nreport: {path}", soft_wrap=True, highlight=False, markup=False)
    return path
