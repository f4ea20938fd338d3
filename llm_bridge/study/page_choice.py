"""The report's section on which spreading factor to use: interpolated, and as measured where it was run."""

from __future__ import annotations

from html import escape

from llm_bridge.study import figures
from llm_bridge.study.html_parts import Column, figure, spelled, table
from llm_bridge.study.planning import Plan, make_plan, measured_choice
from llm_bridge.study.points import Study
from llm_bridge.study.words import corpus_name, held_equal, method_name


def choice_section(study: Study) -> str:
    """Which spreading factor to use at a distance and a duty cycle: interpolated, and as measured where it was run."""
    parts = []
    plan = make_plan(study)
    if plan is not None:
        p = plan.curve.first
        title = f"Best spreading factor for {method_name(p.method)}, {corpus_name(p.corpus)}, {p.task}"
        where = f"Computed by interpolation, not measured. One program every {plan.period_s / 60:.3g} minutes"
        parts.append(f'<div class="panels">{figure(title, where, figures.best_sf_map(plan.advice))}</div>')
        parts.append(f'<p class="note">{escape(_plan_words(plan))}</p>')
    measured = measured_choice(study)
    if measured:
        columns: list[Column] = [
            ("Held equal", "text", lambda r: held_equal(r[0].first)),
            ("Best", "text", lambda r: f"SF{r[1].sf}"),
            ("F1", "text", lambda r: spelled(r[1].f1, r[1].low, r[1].high)),
            ("n", "number", lambda r: r[1].num_programs),
            ("Not distinguishable from it", "text", lambda r: ", ".join(f"SF{p.sf}" for p in r[2]) or "none"),
        ]
        lead = measured[0][0].first
        parts.append(
            f"<h3>As measured: {escape(method_name(lead.method))}, {escape(corpus_name(lead.corpus))}, "
            f"{escape(lead.task)}</h3>" + table("Best spreading factor as measured", columns, measured, cards=True)
        )
    return "".join(parts)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _plan_words(plan: Plan) -> str:
    radio = plan.radio
    fading = "Rayleigh fading" if plan.fading == "rayleigh" else "no fading"
    said = (
        f"Each program is {plan.text_frames:.1f} frames of {plan.payload_len} bytes, repeated as long as the "
        f"duty cycle allows; {radio['tx_power_dbm']:g} dBm in {radio['region']}, path loss exponent "
        f"{radio['path_loss_exponent']:g}, noise figure {radio['noise_figure_db']:g} dB, {fading}, shadowing "
        f"{radio['shadowing_db']:g} dB. Frame loss is theory; F1 is read off this study's own points against the share "
        "lost, and taken not to depend on SF otherwise. Frames of a text are taken to be lost independently of each "
        f"other: on this study's links {plan.whole[0]:.0%} of the items arrived whole, with independent frames it "
        f"would be {plan.whole[1]:.0%}. "
    )
    if plan.num_checked:
        said += (
            f"Checked on the {plan.num_checked} links of the airtime axis that were run: off by {plan.mean_gap:.2f} of "
            f"F1 on average, {plan.worst_gap:.2f} at most."
        )
    else:
        said += "No link of the airtime axis was run to check it."
    return said + " A dash: no spreading factor gets F1 above 0.01."
