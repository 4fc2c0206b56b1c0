"""Where subjects come from: the sample data, a MiewID CSV, or a data set of the wildlife-datasets library."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from pairx_hooks import Annotation

from ..chips import Chip, cut_chip
from ..errors import ChipError, SettingsError
from ..hosts.local.annotations import read_annotations
from ..models.embedding import EmbeddingModel
from ..photographs import read_photograph
from .data_source import DataSource
from .subjects import Subject, SubjectSet, as_network_sees

__all__ = ["PER_INDIVIDUAL", "csv_source", "find_source", "load_subjects"]

PER_INDIVIDUAL = 4
"""Photographs of an individual at most."""
_CHIP_SIDE = 1024


def find_source(text: str, *, images: Path | None = None, download: bool = False) -> DataSource:
    """Return the data that a person names.

    Args:
        text: ``sample``, ``sample:FOLDER``, the path of a MiewID CSV, or ``wildlife:NAME:FOLDER``.
        images: folder that paths in a CSV start from; the CSV's own by default.
        download: fetch a data set of the wildlife-datasets library first.

    Raises:
        SettingsError: nothing of that kind is known.
        HostError: the CSV cannot be read.
        MissingExtra: the library is not installed.
    """
    kind, _, rest = text.partition(":")
    if kind == "sample" and not Path(text).exists():
        from .sample_source import sample_source

        return sample_source(Path(rest).expanduser() if rest else None)
    if kind == "wildlife":
        from .wildlife_source import wildlife_source

        return wildlife_source(rest, download=download)
    path = Path(text).expanduser()
    if path.is_file():
        return csv_source(path, images)
    raise SettingsError(
        f"there is no data {text!r}; give 'sample', 'sample:FOLDER', the path of a CSV file in MiewID's layout, or "
        f"'wildlife:NAME:FOLDER'"
    )


def csv_source(path: Path, images: Path | None = None) -> DataSource:
    """Return a MiewID CSV as a source.

    Raises:
        HostError: it cannot be read.
    """
    table = read_annotations(path, images or path.absolute().parent)
    return DataSource(
        name=path.name, annotations=table.annotations, problems=tuple(problem.message for problem in table.problems)
    )


def load_subjects(
    source: DataSource,
    model: EmbeddingModel,
    *,
    limit: int,
    seed: int = 0,
    progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> SubjectSet:
    """Cut the chips of at most `limit` annotations, whole individuals at a time, and resize them for the network.

    Raises:
        SettingsError: no individual has two photographs that can be used.
    """
    chosen = _chosen(source.annotations, limit, seed)
    subjects: list[Subject] = []
    cut: dict[str, Chip] = {}
    left_out = list(source.problems)
    for number, annotation in enumerate(chosen):
        progress("Cutting chips", number, len(chosen))
        try:
            chip = _cut(annotation)
        except (ChipError, OSError) as error:
            left_out.append(f"{annotation.annotation_id}: {error}")
            continue
        seen = as_network_sees(model, [chip])[0]
        cut[annotation.annotation_id] = seen
        subjects.append(_subject(source, annotation, seen))
    names = [subject.name for subject in subjects]
    if not any(names.count(name) > 1 for name in names):
        raise SettingsError(
            f"no individual of {source.name} has two photographs that can be used ({len(subjects)} photographs, "
            f"{len(left_out)} left out{': ' + left_out[0] if left_out else ''}); explanations are of pairs"
        )
    return SubjectSet(
        source=source.name,
        subjects=tuple(subjects),
        digest=_digest(subjects),
        truth=source.make_truth(cut) if source.make_truth else None,
        vocabulary=source.vocabulary,
        left_out=tuple(left_out),
    )


def _subject(source: DataSource, annotation: Annotation, chip: Chip) -> Subject:
    return Subject(
        subject_id=annotation.annotation_id,
        name=str(annotation.name),
        species=annotation.species or "",
        viewpoint=annotation.viewpoint or "",
        chip=chip,
        mask=source.mask_of(annotation, chip),
        words=source.words.get(annotation.annotation_id, frozenset()),
        unsure=source.unsure.get(annotation.annotation_id, frozenset()),
    )


def _cut(annotation: Annotation) -> Chip:
    return cut_chip(
        read_photograph(annotation.image),
        bbox=annotation.bbox,
        theta=annotation.theta,
        max_side=_CHIP_SIDE,
        uri=annotation.image,
        name=annotation.name,  # explainers that look for a rival need to know who is who
    )


def _chosen(annotations: Sequence[Annotation], limit: int, seed: int) -> list[Annotation]:
    """Return photographs of individuals that have two at least: species take turns, so that none is left out."""
    by_species: dict[str, dict[str, list[Annotation]]] = {}
    for annotation in annotations:
        if annotation.name is not None:
            of_species = by_species.setdefault(annotation.species or "", {})
            of_species.setdefault(annotation.name, []).append(annotation)
    rng = np.random.default_rng(seed)
    queues: list[Iterator[list[Annotation]]] = []
    for names in by_species.values():
        usable = [group for group in names.values() if len(group) > 1]
        queues.append(iter([usable[index] for index in rng.permutation(len(usable))]))
    chosen: list[Annotation] = []
    while queues and len(chosen) < limit:
        for queue in list(queues):
            group = next(queue, None)
            if group is None:
                queues.remove(queue)
            elif len(chosen) < limit:
                picked = sorted(rng.permutation(len(group))[:PER_INDIVIDUAL])
                chosen.extend(group[index] for index in picked)
    order = {annotation.annotation_id: place for place, annotation in enumerate(annotations)}
    return sorted(chosen, key=lambda annotation: order[annotation.annotation_id])


def _digest(subjects: Sequence[Subject]) -> str:
    parts = "\n".join(f"{subject.subject_id} {subject.name} {subject.chip.sha256}" for subject in subjects)
    return "sha256:" + hashlib.sha256(parts.encode()).hexdigest()
