"""Provenance: what the results were made from, with what, and how; and all tables."""

from collections.abc import Iterator

import pandas as pd

from comvae.study.citing import citation
from dashboard import elements as el
from dashboard import records
from dashboard.study import Study, warnings


def compose(study: Study, ask: el.Ask) -> Iterator[el.Element]:
    """The whole page."""
    yield el.Text(
        "What the results are made from: data, code, libraries, machines and settings; "
        "and every table as it lies on disk."
    )
    yield from _files(study)
    yield from _trained(study)
    yield from _settings(study)
    yield from _datasets(study)
    if cited := citation():
        yield el.Heading("Cite the paper and this study")
        yield el.Code(cited)


def _files(study: Study) -> Iterator[el.Element]:
    yield el.Heading("Tables and reports")
    found = records.files(study.results, study.folder)
    if not found:
        yield el.Text("None is written yet: `make study` writes them at its end.")
        return
    yield el.Row([el.File(path) for path in found])
    yield el.Caption(
        "Each file as it lies in the folder of results, byte for byte; the README "
        "there says what its columns are. Gaps image by image lie beside each block "
        "as gaps.parquet, and among the artifacts of each run in MLflow."
    )


def _trained(study: Study) -> Iterator[el.Element]:
    yield el.Heading("Code, libraries, machines")
    blocks, problems = records.load_blocks(study.index.runs)
    yield from warnings(p for p in problems if p not in study.index.problems)
    if blocks.empty:
        yield el.Text("No block is trained yet.")
        return
    found = records.differences(blocks)
    yield from warnings(found)
    if not found:
        yield el.Text(
            "All blocks were trained with the same code, libraries and settings."
        )
    of = f"Of {len(blocks)} blocks"
    code = records.recorded(blocks, records.of_code(blocks))
    if when := records.finished(blocks):
        code["finished"] = when
    yield el.pairs(code, ("What", of), f"Code and libraries of {len(blocks)} blocks.")
    machines = records.recorded(blocks, records.MACHINES)
    if machines:
        says = f"Machines of {len(blocks)} blocks."
        yield el.Private([el.pairs(machines, ("Machine", of), says)])
    yield el.Details("Block by block", list(_blocks(blocks, study)))


def _blocks(blocks: pd.DataFrame, study: Study) -> Iterator[el.Element]:
    table = blocks.drop(columns=records.MACHINES).rename(columns=records.title_of)
    table["model"] = [study.title(model) for model in table["model"]]
    yield el.SortableTable(
        table.rename(columns={"finished": "finished, UTC"}),
        f"What each of {len(blocks)} blocks was trained with.",
        {"training, s": ".1f", "parameters": ",.0f"},
    )
    yield el.Caption(
        "A block is the seeds of one model that train in lockstep. A click on a head "
        "sorts the blocks."
    )


def _settings(study: Study) -> Iterator[el.Element]:
    yield el.Heading("The study, resolved")
    shared, differing = records.compared(records.load_settings(study.index.runs))
    if study.plan:
        plan = records.plan_in_short(study.plan)
        planned = el.pairs(plan, ("Study", "Value"), "What study.json says.")
    else:
        planned = el.Text("There is no `study.json` that can be read.")
    yield el.Private([planned])
    if shared:
        says = f"{len(shared)} settings that all models share."
        yield el.pairs(shared, ("Setting of all models", "Value"), says)
    if len(differing):
        yield el.Subheading("Where the models differ")
        differing = differing[study.in_order(differing.columns)]
        rows = differing.rename(columns=study.title).rename_axis("Setting")
        says = f"{len(rows)} settings in which {rows.shape[1]} models differ."
        yield el.SortableTable(rows.reset_index(), says)
        yield el.Caption("What the settings mean: docs/settings.md and docs/paper.md.")


def _datasets(study: Study) -> Iterator[el.Element]:
    yield el.Heading("Datasets")
    found, problems = records.load_datasets(study.results)
    yield from warnings(problems)
    if not found and not problems:
        yield el.Text("None is fetched yet.")
    for name, record in found.items():
        yield el.Subheading(str(record.get("title", name)))
        rest = {key: value for key, value in record.items() if key != "arrays"}
        says = f"Source, size and changes of {name}."
        if rest:
            yield el.pairs(rest, ("Dataset", "Value"), says)
        arrays = record.get("arrays")
        if isinstance(arrays, dict):
            yield el.Text("SHA-256 of the bytes of its arrays:")
            sums = [f"{found}  {part}" for part, found in arrays.items()]
            yield el.Code("\n".join(sums))
