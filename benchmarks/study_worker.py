"""Train one model of the digits study, and print the seconds as JSON.

Run as a file by benchmarks/study.py, with another version of `comvae` on the path: it
uses only what every version has.
"""

import json
import sys
from pathlib import Path
from time import perf_counter

import torch


def main(root: str, model: str, epochs: int, threads: int) -> None:
    """Train the block of config/config.yaml below `root`; 0 epochs: as it says."""
    torch.set_flush_denormal(True)
    torch.set_num_threads(threads)

    import comvae
    from comvae.datasets.digits import read
    from comvae.datasets.loading import Dataset
    from comvae.engine.training import train
    from comvae.study.settings import load_study

    if Path(root).resolve() not in Path(comvae.__file__).resolve().parents:
        sys.exit(f"Error: found comvae at {comvae.__file__}, expected it below {root}")
    config = Path(root, "config")
    catalogue = load_study(source=config / "config.yaml", models=config / "models.yaml")
    block = catalogue.run_config("digits", model, catalogue.study.seeds_of(model))
    if epochs:
        training = block.training.model_copy(update={"epochs": epochs})
        block = block.model_copy(update={"training": training})
    arrays = {part: torch.from_numpy(array) for part, array in read().items()}
    images, others = arrays["train-images"], arrays["test-images"]
    data = Dataset("digits", images.flatten(1), others.flatten(1), 16, 8, 8)

    start = perf_counter()
    trained = train(block, data, "cpu")
    seconds = perf_counter() - start
    last = trained.history.groupby("seed").tail(1)
    work = block.training.model_dump() | {"seeds": len(block.seeds)}
    result = {
        "seconds": seconds,
        "negative_elbo": float(last["negative_elbo"].mean()),
        "work": work,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
